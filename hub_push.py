"""A folder and a branch of a repository made equal; ``hub_verify`` proves it by reading everything back.

A push compares the folder with the branch as it is, sends what differs in as few commits as the Hub's limits allow,
and names the commit it was compared with. So a rerun resumes, equal folders make no commit, and when a conflict, a
refusal or a lost answer leaves it open what has happened, the branch is looked at anew instead of asked again. What
others wrote is neither overwritten nor deleted unless that was asked for (``hub_changes``).
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .hub import Hub, plain, quiet_bars
from .hub_changes import (
    SIGNATURE,
    Branch,
    compare,
    foreign_files,
    git_name,
    head_of,
    local_files,
    refuse_foreign,
    remote_files,
)
from .hub_errors import retried
from .scan import refuse, scan

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

# One commit takes the Hub longer with every file, and text travels inside it; commits themselves are rationed.
MAX_COMMIT_FILES, MAX_COMMIT_TEXT_BYTES, MAX_TEXT_BYTES = 2_000, 100 * 2**20, 10 * 2**20
LAST = ("README.md", "manifest.json")  # a branch whose card is there is complete


def push_folder(  # noqa: PLR0913 - what to push, where, and the two things that a caller may allow
    hub: Hub,
    repo_id: str,
    repo_type: str,
    folder: Path,
    *,
    revision: str = "main",
    message: str,
    allowed: Collection[str] = (),
    own: Collection[str] = (),
    replace: bool = False,
) -> str:
    """Make a branch an exact mirror of a folder; returns the commit's sha.

    The branch is created when it is missing, files that are gone are deleted, and no commit is made when nothing
    changed. ``allowed`` are e-mail addresses and findings that may be in it, ``own`` commits known as ours; with
    ``replace`` what others wrote goes too, which is said. Raises ``HubError`` when a file holds a secret or others'
    work would be lost (both before anything is sent), or the Hub refuses.
    """
    files = local_files(folder)
    refuse(scan(folder, {"access token in use": hub.token or ""}, files, allowed))
    branch = Branch(repo_id, repo_type, revision)
    with plain(hub, f"pushing to {branch}"), quiet_bars(path.stat().st_size for path in files.values()):
        _ensure_branch(hub, branch)
        return retried(lambda: _push_once(hub, branch, files, message, own, replace))


def push_text(hub: Hub, branch: Branch, name: str, text: str, *, message: str, own: Collection[str] = ()) -> str:
    """Make one small file of a branch this text, in a commit unless it is; returns the branch's commit.

    A file that others changed stays theirs: the commit is not signed.
    """
    from huggingface_hub import CommitOperationAdd

    content = text.encode()

    def once() -> str:
        head = head_of(hub, branch)
        remote = remote_files(hub, branch.at(head))
        if name in remote and remote[name].blob_id == git_name(content):
            return head
        theirs = foreign_files(hub, branch, head, remote, [name] if name in remote else [], own)
        operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)]
        return _commit(hub, branch, operations, message, head, "" if theirs else SIGNATURE)

    with plain(hub, f"changing {name} of {branch}"):
        return retried(once)


def _ensure_branch(hub: Hub, branch: Branch) -> None:
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        head_of(hub, branch)
    except RevisionNotFoundError:
        place = {"repo_type": branch.repo_type, "branch": branch.revision}
        retried(lambda: hub.api.create_branch(branch.repo_id, **place, exist_ok=True))


def _push_once(
    hub: Hub, branch: Branch, files: Mapping[str, Path], message: str, own: Collection[str], replace: bool
) -> str:
    """Compare, upload and commit. What fails in a commit goes through, so that the caller compares anew."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    head = head_of(hub, branch)
    changes = compare(hub, branch, head, files, own)
    if not replace:
        refuse_foreign([changes])
    elif changes.foreign:
        print(f"--replace: {changes.lost}, which others wrote", file=sys.stderr, flush=True)
    deletions: list[Any] = [CommitOperationDelete(path_in_repo=name) for name in changes.deleted]
    for number, names in enumerate(_batches(changes.sent, files)):
        additions = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=files[name]) for name in names]
        _upload(hub, branch, additions)
        title = f"{message} (part {number + 1})" if number else message
        head = _commit(hub, branch, [*([] if number else deletions), *additions], title, head)
    return head if changes.sent or not deletions else _commit(hub, branch, deletions, message, head)


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


def _commit(hub: Hub, branch: Branch, operations: list[Any], title: str, parent: str, end: str = SIGNATURE) -> str:
    commit = hub.api.create_commit(
        branch.repo_id,
        operations,
        commit_message=title,
        commit_description=end,
        repo_type=branch.repo_type,
        revision=branch.revision,
        parent_commit=parent,
    )
    return str(commit.oid)
