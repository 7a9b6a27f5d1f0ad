"""What making a branch equal to a folder means: what is new, what changes, what goes, and what of that others wrote.

Everything here asks the Hub and tells it nothing. A file is one's own when the commit that last touched it ends in
``SIGNATURE`` or is known to the caller (a run's ledger), when the Hub wrote it itself in the first commit, and on a
branch other than ``main`` when ``main`` holds the same. Anything else somebody else wrote: a stranger, a Trainer, or
the owner who changed a card on the Hub's page. A squashed history says nothing, so all of it counts as others'.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import manifest
from .errors import HubError
from .hub import Hub, plain
from .hub_errors import retried

if TYPE_CHECKING:
    from huggingface_hub.hf_api import GitCommitInfo, RepoFile

SIGNATURE = "Published-by: countdown-r1"  # the last line of every commit that this program makes
FIRST_TITLE = "initial commit"  # of the commit with which the Hub makes a repository
KEPT = ".gitattributes"  # written by the Hub itself; says what goes to LFS
FIRST_FILES = {KEPT, "README.md"}  # all that the Hub puts into it
LARGE_BYTES = 2**20
SHOWN_FILES, SHOWN_TITLES = 5, 3
_ASKED_AT_ONCE = 100  # the Hub looks the last commit of each path up in the history
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

    def at(self, revision: str) -> Branch:
        return Branch(self.repo_id, self.repo_type, revision)


@dataclass(frozen=True)
class Changes:
    """What a push would do to a branch whose head is ``head``, None for one that is not there; ``foreign`` are those
    of ``changed`` and ``deleted`` that others wrote."""

    branch: Branch
    head: str | None
    added: tuple[str, ...]
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        return bool(self.added or self.changed or self.deleted)

    @property
    def sent(self) -> list[str]:
        return [*self.added, *self.changed]

    @property
    def lost(self) -> str:
        """What others wrote and this push would take away, in a few words."""
        gone = [name for name in self.foreign if name in self.deleted]
        other = [name for name in self.foreign if name not in self.deleted]
        found = [f"delete {_some(gone)}"] * bool(gone) + [f"overwrite {_some(other)}"] * bool(other)
        return f"{' and '.join(found)} in {self.branch}"


def compare(hub: Hub, branch: Branch, head: str, files: Mapping[str, Path], own: Collection[str] = ()) -> Changes:
    """What making ``branch``, now at ``head``, equal to ``files`` means. ``own`` are commits that are known as ours."""
    remote = remote_files(hub, branch.at(head))
    added = tuple(name for name in files if name not in remote)
    changed = tuple(name for name, path in files.items() if name in remote and not is_same(path, remote[name]))
    deleted = tuple(name for name in remote if name not in files and name != KEPT)
    foreign = foreign_files(hub, branch, head, remote, [*changed, *deleted], own)
    return Changes(branch, head, added, changed, deleted, tuple(foreign))


def refuse_foreign(found: Iterable[Changes]) -> None:
    """Raise ``HubError`` naming what others wrote and a push would take away, unless there is nothing."""
    lost = [one.lost for one in found if one.foreign]
    if lost:
        more = f"; and so on in {len(lost) - 3} more branches" if len(lost) > 3 else ""
        fix = "choose another name, or pass --replace to do it (their history stays on the Hub)"
        raise HubError(f"not pushed: it would {'; '.join(lost[:3])}{more}, which others wrote; {fix}")


def refuse_taken(hub: Hub, repo_id: str, repo_type: str, own: Collection[str] = ()) -> None:
    """Raise ``HubError`` when ``main`` or a branch ``step-N`` of a repository holds what others wrote.

    For the beginning of something long, when it is not known yet what will be pushed.
    """
    with plain(hub, f"looking at {repo_id}"):
        heads = refs_of(hub, repo_id, repo_type)
        found: list[Changes] = []
        for name, head in (heads or {}).items():
            if not re.fullmatch(r"heads/(?:main|step-\d+)", name):
                continue
            branch = Branch(repo_id, repo_type, name.removeprefix("heads/"))
            remote = {} if head in own else remote_files(hub, branch.at(head))
            names = [name for name in remote if name != KEPT]
            foreign = foreign_files(hub, branch, head, remote, names, own)
            found.append(Changes(branch, head, (), deleted=tuple(foreign), foreign=tuple(foreign)))
    refuse_foreign(found)


def refs_of(hub: Hub, repo_id: str, repo_type: str, attempts: int = 12) -> dict[str, str] | None:
    """Commits by ``heads/BRANCH``, ``tags/TAG`` and ``pr/N``; None when there is no such repository."""
    from huggingface_hub.errors import RepositoryNotFoundError

    ask = hub.api.list_repo_refs
    try:
        refs = retried(lambda: ask(repo_id, repo_type=repo_type, include_pull_requests=True), attempts)
    except RepositoryNotFoundError:
        return None
    every = [*refs.branches, *refs.tags, *(refs.pull_requests or ())]
    return {one.ref.removeprefix("refs/"): one.target_commit for one in every}


def foreign_files(
    hub: Hub,
    branch: Branch,
    head: str,
    remote: Mapping[str, RepoFile],
    names: Collection[str],
    own: Collection[str] = (),
) -> list[str]:
    """Those of ``names``, files of ``branch`` at ``head``, that others wrote. Asks nothing when there are none, and one
    list of commits where every one of them is ours."""
    if not names or head in own:
        return []
    at = branch.at(head)
    ours, others = signed(hub, at, own)
    if not others:
        return []
    last = _last_commits(hub, at, names)
    found = [name for name in names if last.get(name) not in ours]
    if found and branch.revision != "main":
        main = remote_files(hub, branch.at("main"))
        found = [name for name in found if name not in main or main[name].blob_id != remote[name].blob_id]
    return found


def signed(hub: Hub, at: Branch, own: Collection[str] = ()) -> tuple[set[str], list[GitCommitInfo]]:
    """Ours (the Hub's own first one included) and others' commits that lead to a commit."""
    commits = retried(lambda: hub.api.list_repo_commits(**at.where))
    others = [one for one in commits if one.commit_id not in own and not _is_signed(one)]
    if others and others[-1] == commits[-1] and _is_first(hub, at, commits[-1]):
        others.pop()
    return {one.commit_id for one in commits} - {one.commit_id for one in others}, others


def others_titles(hub: Hub, repo_id: str, repo_type: str, refs: Mapping[str, str], own: Collection[str]) -> str:
    """The titles of the commits of others that lead to any branch, tag or pull request, '' when there are none."""
    branches = [Branch(repo_id, repo_type, head) for head in sorted(set(refs.values()))]
    found = {one.commit_id: one.title for at in branches for one in signed(hub, at, own)[1]}
    shown = list(found.values())[:SHOWN_TITLES]
    return "; ".join([*shown, *["..."] * (len(found) > len(shown))])


def _is_signed(commit: GitCommitInfo) -> bool:
    return SIGNATURE in (line.strip() for line in (commit.message or "").splitlines())


def _is_first(hub: Hub, at: Branch, root: GitCommitInfo) -> bool:
    """Whether the first commit is the one with which the Hub makes a repository: by its title and by its files."""
    return root.title == FIRST_TITLE and remote_files(hub, at.at(root.commit_id)).keys() <= FIRST_FILES


def _last_commits(hub: Hub, at: Branch, names: Collection[str]) -> dict[str, str | None]:
    """The commit that last touched each file."""
    listed, found = list(names), {}
    for start in range(0, len(listed), _ASKED_AT_ONCE):
        asked = {"paths": listed[start : start + _ASKED_AT_ONCE], "expand": True} | at.where
        for entry in retried(partial(hub.api.get_paths_info, **asked)):
            found[entry.path] = entry.last_commit.oid if entry.last_commit else None
    return found


def _some(names: Collection[str]) -> str:
    """The first few names, and how many there are."""
    shown, more = ", ".join(list(names)[:SHOWN_FILES]), len(names) - SHOWN_FILES
    return shown + (f" and {more} more files" if more > 0 else "")


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


def head_of(hub: Hub, branch: Branch) -> str:
    """The commit that a revision means now."""
    return str(retried(lambda: hub.api.repo_info(**branch.where)).sha)


def remote_files(hub: Hub, branch: Branch) -> dict[str, RepoFile]:
    """Every file of a revision as the Hub lists it, by path."""
    from huggingface_hub.hf_api import RepoFile

    tree = retried(lambda: list(hub.api.list_repo_tree(**branch.where, recursive=True)))
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def is_same(path: Path, entry: RepoFile) -> bool:
    """By SHA-256 for a file in LFS, by git's own name for it otherwise."""
    size = path.stat().st_size
    if size != entry.size:
        return False
    if entry.lfs is not None:
        return entry.lfs.sha256 == sha256_of(path)
    return entry.blob_id == git_name(path.read_bytes())


def git_name(content: bytes) -> str:
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
