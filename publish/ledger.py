"""What was read back and found equal: one line of JSON a revision, in the run's folder, so that a rerun need not ask.

A line is on disk before anything relies on it, such as a tag. A line that an interruption cut short is not there.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import manifest
from ..errors import StageError

FOLDER, FILE = ".publish", "verified.jsonl"


@dataclass(frozen=True)
class Ledger:
    """The verified revisions of one run on one Hub. ``place`` says which Hub it is."""

    path: Path
    place: str

    def holds(self, repo_id: str, commit: str, sha256: Mapping[str, str]) -> bool:
        """Whether these very files were found at that commit."""
        return self._line(repo_id, commit, sha256) in self._lines()

    def add(self, repo_id: str, commit: str, sha256: Mapping[str, str]) -> None:
        """Note a verified revision, durably."""
        torn = self.path.is_file() and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" * torn + self._line(repo_id, commit, sha256) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def commits(self, repo_id: str) -> set[str]:
        """Every commit of a repository that was found equal to what was sent."""
        found = (json.loads(line) for line in self._lines())
        return {one["commit"] for one in found if self._is_about(one, {repo_id})}

    def forget(self, repo_ids: Collection[str]) -> None:
        """Take out every line about these repositories on this Hub."""
        left = [line for line in self._lines() if not self._is_about(json.loads(line), repo_ids)]
        if self.path.is_file():
            manifest.write_whole(self.path, "".join(f"{line}\n" for line in left))

    def _is_about(self, one: Mapping[str, Any], repo_ids: Collection[str]) -> bool:
        return one["hub"] == self.place and one["repo"] in repo_ids

    def _line(self, repo_id: str, commit: str, sha256: Mapping[str, str]) -> str:
        files = dict(sorted(sha256.items()))
        return json.dumps({"hub": self.place, "repo": repo_id, "commit": commit, "sha256": files})

    def _lines(self) -> list[str]:
        text = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        return [line for line in text.splitlines() if line.endswith("}}")]


def ledger_of(run: Path, place: str) -> Ledger:
    """The ledger of ``run`` for reading alone; another process may be adding to it."""
    return Ledger(run / FOLDER / FILE, place)


@contextmanager
def only_publisher(run: Path, place: str) -> Iterator[Ledger]:
    """The ledger of ``run``, to one process at a time. Raises ``StageError`` while another one publishes it."""
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageError(f"{run} is being published by another process; wait for it, or stop it first") from None
        yield ledger_of(run, place)
