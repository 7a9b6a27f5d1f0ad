"""A pushed folder read back from the Hub and compared, file by file, without writing anything to disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import HubError
from .hub import Hub, plain
from .hub_changes import KEPT, Branch, head_of, local_files, remote_files, sha256_of
from .hub_errors import retried

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

PARTIAL_CONTENT = 206


def verify_folder(hub: Hub, repo_id: str, repo_type: str, folder: Path, *, revision: str) -> dict[str, str]:
    """Read every file of a revision back and compare it; returns path -> SHA-256 in hex.

    Nothing is written to disk. Raises ``HubError`` naming the first file that is missing, extra or different.
    """
    files = local_files(folder)
    with plain(hub, f"reading {repo_id} at {revision} back"):
        commit = head_of(hub, Branch(repo_id, repo_type, revision))
        branch = Branch(repo_id, repo_type, commit)
        remote = remote_files(hub, branch)
        expected = {name: sha256_of(path) for name, path in files.items()}
        for name in sorted(expected.keys() | remote.keys() - {KEPT}):
            if wrong := _wrong(hub, branch, name, expected.get(name), remote.get(name)):
                again = "publish again, which sends only what differs"
                raise HubError(f"{repo_id} at {revision}: {name} {wrong}; {again}")
    return expected


def _wrong(hub: Hub, branch: Branch, name: str, expected: str | None, entry: RepoFile | None) -> str:
    """What is wrong with a file on the Hub, '' when nothing is."""
    if entry is None:
        return "is missing"
    if expected is None:
        return "should not be there"
    return "" if _sha256_of_remote(hub, branch, name, entry.size) == expected else "differs"


def _sha256_of_remote(hub: Hub, branch: Branch, name: str, size: int) -> str:
    """SHA-256 of the bytes that the Hub hands out; a broken download goes on where it broke."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    url = hf_hub_url(branch.repo_id, name, **_kind(branch), endpoint=hub.endpoint)
    headers = build_hf_headers(token=hub.token or False) | {"Accept-Encoding": "identity"}
    digest, got = hashlib.sha256(), 0

    def read() -> None:
        nonlocal digest, got
        if got and got == size:  # all of it came, and then the connection broke
            return
        rest = {"Range": f"bytes={got}-"} if got else {}
        with get_session().stream("GET", url, headers=headers | rest, follow_redirects=True) as response:
            if response.is_error:
                response.read()
            hf_raise_for_status(response)
            if response.status_code != PARTIAL_CONTENT:
                digest, got = hashlib.sha256(), 0
            for block in response.iter_bytes(1 << 20):
                digest.update(block)
                got += len(block)

    retried(read)
    return digest.hexdigest()


def _kind(branch: Branch) -> dict[str, str]:
    return {"repo_type": branch.repo_type, "revision": branch.revision}
