"""A folder and a branch of a repository made equal; ``hub_verify`` proves it by reading everything back.

A push compares the folder with the branch as it is, sends what differs in as few commits as the Hub's limits allow,
and names the commit it was compared with. So a rerun resumes, equal folders make no commit, and when a conflict, a
refusal or a lost answer leaves it open what has happened, the branch is looked at anew instead of asked again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import manifest
from .errors import HubError
from .hub import Hub, plain, quiet_bars
from .hub_errors import retried
from .scan import refuse, scan

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.hf_api import RepoFile

KEPT = ".gitattributes"  # written by the Hub itself; says what goes to LFS
# One commit takes the Hub longer with every file, and text travels inside it; commits themselves are rationed.
MAX_COMMIT_FILES, MAX_COMMIT_TEXT_BYTES, MAX_TEXT_BYTES = 2_000, 100 * 2**20, 10 * 2**20
LARGE_BYTES = 2**20
LAST = ("README.md", "manifest.json")  # a branch whose card is there is complete
_digests: dict[tuple[int, int, int, int], str] = {}


@dataclass(frozen=True)
class Branch:
    """A branch, or a commit, of one repository."""

    repo_id: str
    repo_type: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"{self.repo_id} at {self.revision}"

    @property
    def where(self) -> dict[str, Any]:
        """As huggingface_hub's own arguments."""
        return {"repo_id": self.repo_id, "repo_type": self.repo_type, "revision": self.revision}


def push_folder(
    hub: Hub,
    repo_id: str,
    repo_type: str,
    folder: Path,
    *,
    revision: str = "main",
    message: str,
    allowed: Collection[str] = (),
) -> str:
    """Make a branch an exact mirror of a folder; returns the commit's sha.

    The branch is created when it is missing, files that are gone are deleted, and no commit is made when nothing
    changed. ``allowed`` are e-mail addresses that may be in it. Raises ``HubError`` when a file holds a secret (before
    anything is sent) or the Hub refuses.
    """
    files = local_files(folder)
    refuse(scan(folder, {"access token in use": hub.token or ""}, files, allowed))
    branch = Branch(repo_id, repo_type, revision)
    with plain(hub, f"pushing to {branch}"), quiet_bars(path.stat().st_size for path in files.values()):
        _ensure_branch(hub, branch)
        return retried(lambda: _push_once(hub, branch, files, message))


def push_text(hub: Hub, branch: Branch, name: str, text: str, *, message: str) -> str:
    """Make one small file of a branch this text, in a commit unless it is; returns the branch's commit."""
    from huggingface_hub import CommitOperationAdd

    content = text.encode()

    def once() -> str:
        head = head_of(hub, branch)
        entry = remote_files(hub, Branch(branch.repo_id, branch.repo_type, head)).get(name)
        if entry is not None and entry.blob_id == _git_name(content):
            return head
        return _commit(hub, branch, [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)], message, head)

    with plain(hub, f"changing {name} of {branch}"):
        return retried(once)


def local_files(folder: Path) -> dict[str, Path]:
    """What a push of the folder would send, by path in the repository."""
    if not folder.is_dir():
        raise HubError(f"{folder} is not a folder: there is nothing to push")
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {name: path for name, path in paths.items() if not {".git", ".cache"} & set(name.split("/"))}
    if any(name.rsplit("/", 1)[-1] == ".gitignore" for name in files):
        raise HubError(f"{folder} holds a .gitignore, and the Hub silently leaves out what it lists: remove it")
    if not files:
        raise HubError(f"{folder} holds no file to push")
    return files


def _ensure_branch(hub: Hub, branch: Branch) -> None:
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        head_of(hub, branch)
    except RevisionNotFoundError:
        place = {"repo_type": branch.repo_type, "branch": branch.revision}
        retried(lambda: hub.api.create_branch(branch.repo_id, **place, exist_ok=True))


def head_of(hub: Hub, branch: Branch) -> str:
    """The commit that a revision means now."""
    return str(retried(lambda: hub.api.repo_info(**branch.where)).sha)


def _push_once(hub: Hub, branch: Branch, files: Mapping[str, Path], message: str) -> str:
    """Compare, upload and commit. What fails in a commit goes through, so that the caller compares anew."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    head = head_of(hub, branch)
    changed, gone = _difference(files, remote_files(hub, Branch(branch.repo_id, branch.repo_type, head)))
    operations: list[Any] = [CommitOperationDelete(path_in_repo=name) for name in gone]
    for number, names in enumerate(_batches(changed, files)):
        additions = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=files[name]) for name in names]
        _upload(hub, branch, additions)
        deletions = [] if number else operations
        head = _commit(
            hub, branch, [*deletions, *additions], f"{message} (part {number + 1})" if number else message, head
        )
    return head if changed or not gone else _commit(hub, branch, operations, message, head)


def _difference(files: Mapping[str, Path], remote: Mapping[str, RepoFile]) -> tuple[list[str], list[str]]:
    """Names to send and names to delete."""
    changed = [name for name, path in files.items() if name not in remote or not _is_same(path, remote[name])]
    return changed, [name for name in remote if name not in files and name != KEPT]


def _batches(names: list[str], files: Mapping[str, Path]) -> Iterator[list[str]]:
    """Names in as few commits as fit, the card and the manifest in the last of them."""
    batch: list[str] = []
    size = 0
    for name in sorted(names, key=lambda name: (name in LAST, name)):
        own = files[name].stat().st_size
        own = own if own <= MAX_TEXT_BYTES else 0
        if batch and (len(batch) >= MAX_COMMIT_FILES or size + own > MAX_COMMIT_TEXT_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += own
    if batch:
        yield batch


def _upload(hub: Hub, branch: Branch, additions: list[CommitOperationAdd]) -> None:
    """Send what goes to LFS or Xet, one file at a time, so that a failure costs that file alone."""
    where = {"repo_type": branch.repo_type, "revision": branch.revision, "free_memory": False}
    for group in _groups(additions):
        retried(lambda group=group: hub.api.preupload_lfs_files(branch.repo_id, group, **where))


def _groups(additions: list[CommitOperationAdd]) -> Iterator[list[CommitOperationAdd]]:
    """Small files together, for each call asks the Hub twice; a large one alone."""
    large = [one for one in additions if one.upload_info.size > MAX_TEXT_BYTES]
    small = [one for one in additions if one.upload_info.size <= MAX_TEXT_BYTES]
    yield from ([small] if small else [])
    yield from ([one] for one in large)


def _commit(hub: Hub, branch: Branch, operations: list[Any], message: str, parent: str) -> str:
    commit = hub.api.create_commit(
        branch.repo_id,
        operations,
        commit_message=message,
        repo_type=branch.repo_type,
        revision=branch.revision,
        parent_commit=parent,
    )
    return str(commit.oid)


def remote_files(hub: Hub, branch: Branch) -> dict[str, RepoFile]:
    """Every file of a revision as the Hub lists it, by path."""
    from huggingface_hub.hf_api import RepoFile

    tree = retried(lambda: list(hub.api.list_repo_tree(**branch.where, recursive=True)))
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _is_same(path: Path, entry: RepoFile) -> bool:
    """By SHA-256 for a file in LFS, by git's own name for it otherwise."""
    size = path.stat().st_size
    if size != entry.size:
        return False
    if entry.lfs is not None:
        return entry.lfs.sha256 == sha256_of(path)
    return entry.blob_id == _git_name(path.read_bytes())


def _git_name(content: bytes) -> str:
    """What git calls a blob (SHA-1 over a header and the content)."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file; of a large one only once in a process while it stays the same, links to it included."""
    at = path.stat()
    if at.st_size < LARGE_BYTES:
        return manifest.sha256(path)
    key = (at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns)
    if key not in _digests:
        _digests[key] = manifest.sha256(path)
    return _digests[key]
