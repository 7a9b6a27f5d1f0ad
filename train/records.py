"""Evaluation records, one JSON line for each completion, in files that an interrupted evaluation goes on with.

Lines are appended batch by batch in the order of the questions. ``resume.json`` says for each file what decided its
lines: weights, questions, decoding and versions. A rerun keeps the whole lines of a file asked for with the same,
and anything else starts over.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import manifest
from ..game.answer import judge, parse
from ..game.language import mixes
from ..game.puzzle import Puzzle, Verdict
from .generation import Completion, Decoding
from .questions import Row

Record = dict[str, Any]
RESUME_FILE = "resume.json"
_LIBRARIES = ("countdown-r1", "torch", "transformers", "tokenizers", "vllm")
# JSON leaves these as they are, but many a reader of lines would break one there.
_LINE_ENDS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pass:
    """One file of records below the evaluation's folder: ``rows`` asked of the model ``label`` with ``decoding``."""

    name: str
    label: str
    rows: Sequence[Row]
    decoding: Decoding
    weights_sha256: str

    @property
    def n_completions(self) -> int:
        return len(self.rows) * self.decoding.samples

    @property
    def key(self) -> str:
        """SHA-256 of everything that decides the lines; the batch size does not."""
        decoding = {
            name: value for name, value in asdict(self.decoding).items() if name not in ("batch_size", "greedy")
        }
        asked = [self.label, self.weights_sha256, decoding, _versions(), [dict(row) for row in self.rows]]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def record(number: int, row: Row, prompt: str, completion: Completion, label: str, sample: int = 0) -> Record:
    """The DataCanvas article's fields, and what is needed to slice the results."""
    puzzle = Puzzle(tuple(row["nums"]), row["target"])
    verdict = judge(puzzle, completion.text)
    mix = mixes({"prompt": prompt, "language": row["language"], "generation": completion.text})
    return {
        "test_id": number,
        "sample": sample,
        "score": int(verdict.solved),
        "prompt": prompt,
        "nums": list(puzzle.nums),
        "generation": completion.text,
        "gen_calculation": _number(verdict),
        "target": puzzle.target,
        "verdict": verdict.status.value,
        "format": int(parse(completion.text).well_formed),
        "mixed": int(bool(mix)),
        "language": row["language"],
        "level": row["level"],
        "checkpoint": label,
        "n_tokens": completion.n_tokens,
        "seconds": round(completion.seconds, 4),
    }


def _number(verdict: Verdict) -> float | int | None:
    if verdict.value is None or abs(verdict.value) > 10**15:
        return None
    return int(verdict.value) if verdict.value.denominator == 1 else float(verdict.value)


def line_of(record: Record) -> str:
    """The record as one line of JSON, whatever a reader takes for the end of a line."""
    return json.dumps(record, ensure_ascii=False).translate(_LINE_ENDS) + "\n"


def tidy(folder: Path, passes: Iterable[Pass]) -> None:
    """Leave in an interrupted evaluation's folder only what these passes can go on with."""
    keys = _read_keys(folder)
    same = {one.name for one in passes if keys.get(one.name) == one.key}
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in {*same, RESUME_FILE}:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    if not any((folder / name).exists() for name in same):
        shutil.rmtree(folder)
        folder.mkdir()


def resume(folder: Path, one: Pass) -> list[Record]:
    """The records that are there already, judged again; the file is cut behind the last whole one."""
    path = folder / one.name
    if not path.is_file():
        return []
    kept: list[Record] = []
    end = 0
    with path.open("rb+") as file:
        for line in file:
            found = _whole(line, one, len(kept))
            if found is None:
                _log.warning("%s: line %d is damaged, so it and what follows is asked again", path, len(kept) + 1)
                break
            kept.append(found)
            end += len(line)
        file.truncate(end)
    return kept


def _whole(line: bytes, one: Pass, place: int) -> Record | None:
    """The record of a line, None when it is cut short, no record, or not the one that belongs there."""
    if place >= one.n_completions or not line.endswith(b"\n"):
        return None
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    number, sample = divmod(place, one.decoding.samples)
    row = one.rows[number]
    expected = {"test_id": number, "sample": sample, "nums": list(row["nums"]), "target": row["target"]}
    kinds = {"prompt": str, "generation": str, "n_tokens": int, "seconds": int | float}
    if not isinstance(values, dict) or any(values.get(key) != value for key, value in expected.items()):
        return None
    if not all(isinstance(values.get(key), kind) for key, kind in kinds.items()):
        return None
    completion = Completion(values["generation"], values["n_tokens"], values["seconds"])
    return record(number, row, values["prompt"], completion, one.label, sample)


def begin(folder: Path, one: Pass) -> None:
    """Note in ``resume.json`` what the file of a pass answers, before its first line is there."""
    (folder / one.name).parent.mkdir(parents=True, exist_ok=True)
    keys = {**_read_keys(folder), one.name: one.key}
    manifest.write_whole(folder / RESUME_FILE, json.dumps(keys, indent=2) + "\n")


def append(path: Path, batch: Iterable[Record]) -> None:
    """Save a batch of records."""
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(map(line_of, batch)))


def _read_keys(folder: Path) -> Mapping[str, str]:
    try:
        keys = json.loads((folder / RESUME_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return keys if isinstance(keys, dict) else {}


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
