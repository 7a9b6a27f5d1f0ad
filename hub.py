"""The one door to the Hub, real or rehearsal: endpoint, token, push with retry, read back and compare.

``connect`` comes first in a process, before anything imports huggingface_hub or datasets: both read
``HF_ENDPOINT`` once, when they are imported. A loopback address gets a token of its own and an environment in
which the user's is nowhere to be found, for this process and for its children.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .errors import HubError
from .hub_errors import plain_errors, retried
from .manifest import sha256
from .rehearsal.client import TOKEN_VARIABLE, is_loopback, keep_in, recorded, start_or_join

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

DEFAULT_ENDPOINT = "https://huggingface.co"
REHEARSAL = "rehearsal"
_PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}
_KEPT = ".gitattributes"  # written by the Hub itself; says what goes to LFS


@dataclass(frozen=True)
class Hub:
    """Where to publish, and as whom."""

    endpoint: str
    token: str | None = field(repr=False)
    rehearsal: bool

    @property
    def api(self) -> HfApi:
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.token or False, library_name="countdown-r1")


def connect(target: str | None, *, data: Path = Path("outputs/rehearsal-hub"), write: bool = True) -> Hub:
    """The Hub that ``target`` names: None or ``hub`` (``HF_ENDPOINT`` or huggingface.co), ``rehearsal``, or a URL.

    ``rehearsal`` starts the loopback server on ``data``, which ends with this process, or joins the one that
    runs. With ``write`` the token is tried at once. Raises ``HubError`` for a missing or refused token, a Hub
    that does not answer, or libraries that were imported earlier and bound to another endpoint.
    """
    if target == REHEARSAL:
        server = start_or_join(data)
        hub = Hub(server.endpoint, server.token, rehearsal=True)
    else:
        endpoint = _endpoint(target)
        loopback = is_loopback(endpoint)
        hub = Hub(endpoint, _loopback_token(endpoint, data) if loopback else None, loopback)
    _refuse_late(hub)
    if hub.rehearsal:
        keep_in(hub.endpoint, hub.token or "", data)
    else:
        hub = Hub(hub.endpoint, _token_variable() or _user_token(hub.endpoint), rehearsal=False)
        os.environ["HF_ENDPOINT"] = hub.endpoint
    if write:
        user_name(hub)
    return hub


def _endpoint(target: str | None) -> str:
    if target in (None, "", "hub"):
        target = os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT
    if not re.fullmatch(r"https?://[^/\s?#@]+(/[^\s?#@]*)?", target):
        raise HubError(f"'{target}' is not a Hub: use 'hub', '{REHEARSAL}', or a URL such as {DEFAULT_ENDPOINT}")
    return target.rstrip("/")


def _loopback_token(endpoint: str, data: Path) -> str:
    """For a loopback address: from the environment or the rehearsal folder, never the user's own."""
    running = recorded(data)
    token = running.token if running and running.endpoint == endpoint else _token_variable()
    if not token:
        raise HubError(f"no token for {endpoint}, which {data} does not belong to: set {TOKEN_VARIABLE}")
    return token


def _token_variable() -> str | None:
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token.isascii() or not token.isprintable():
        raise HubError(f"{TOKEN_VARIABLE} is not a token: it holds characters that no token has")
    return token or None


def _user_token(endpoint: str) -> str | None:
    """The user's own token; never over a connection that others can read."""
    if endpoint.startswith("http://"):
        raise HubError(f"{endpoint} is not encrypted: your token is not sent there. Use https, or set {TOKEN_VARIABLE}")
    os.environ["HF_ENDPOINT"] = endpoint  # before the import, which reads it
    from huggingface_hub import get_token

    return get_token()


def _refuse_late(hub: Hub) -> None:
    """Libraries imported before hold on to the endpoint (and to Xet) they were imported with."""
    constants, config = sys.modules.get("huggingface_hub.constants"), sys.modules.get("datasets.config")
    bound = {getattr(constants, "ENDPOINT", hub.endpoint), getattr(config, "HF_ENDPOINT", hub.endpoint).rstrip("/")}
    xet = hub.rehearsal and not getattr(constants, "HF_HUB_DISABLE_XET", True)
    if xet or bound != {hub.endpoint}:
        other = ", ".join(sorted(bound - {hub.endpoint})) or "uploads through Xet"
        raise HubError(f"this process is bound to {other} already: connect to {hub.endpoint} in a new process")


def _plain_errors(hub: Hub, doing: str) -> AbstractContextManager[None]:
    fix = f"set {TOKEN_VARIABLE}" if hub.rehearsal else "run `hf auth login` with a token that may write"
    return plain_errors(hub.endpoint, doing, fix)


def user_name(hub: Hub) -> str:
    """Whose token it is. Raises ``HubError`` when there is none or the Hub refuses it."""
    if not hub.token:
        raise HubError(f"no token for {hub.endpoint}: run `hf auth login`, or set HF_TOKEN")
    with _plain_errors(hub, "checking the token"):
        return retried(lambda: hub.api.whoami()["name"], attempts=3)


def web_url(hub: Hub, repo_id: str, repo_type: str, revision: str | None = None) -> str:
    """The page of a repository, at a branch, tag or commit."""
    page = f"{hub.endpoint}/{_prefix(repo_type)}{repo_id}"
    return f"{page}/tree/{quote(revision, safe='')}" if revision else page


def _prefix(repo_type: str) -> str:
    if repo_type not in _PREFIXES:
        raise HubError(f"'{repo_type}' is not a repository type: use {', '.join(_PREFIXES)}")
    return _PREFIXES[repo_type]


def ensure_repo(hub: Hub, repo_id: str, repo_type: str, *, private: bool = True, space_sdk: str | None = None) -> str:
    """Create a repository unless it exists; returns its page.

    An existing repository keeps its visibility, but a public one where a private one was asked for is an error.
    """
    page = web_url(hub, repo_id, repo_type)
    with _plain_errors(hub, f"creating {repo_id}"):
        make = hub.api.create_repo
        retried(lambda: make(repo_id, repo_type=repo_type, private=private, space_sdk=space_sdk, exist_ok=True))
        public = not retried(lambda: hub.api.repo_info(repo_id, repo_type=repo_type)).private
    if public and private:
        raise HubError(f"{page} exists and is public: ask for a public push, or make it private in its settings first")
    return page


def set_private(hub: Hub, repo_id: str, repo_type: str, private: bool) -> None:
    """Make a repository private or public."""
    with _plain_errors(hub, f"changing who can see {repo_id}"):
        retried(lambda: hub.api.update_repo_settings(repo_id, repo_type=repo_type, private=private))


def push_folder(
    hub: Hub,
    repo_id: str,
    repo_type: str,
    folder: Path,
    *,
    revision: str = "main",
    message: str,
    allow_patterns: list[str] | None = None,
) -> str:
    """Make a branch an exact mirror of a folder, in one commit; returns the commit's sha.

    The branch is created when it is missing, files that are gone are deleted, and no commit is made when
    nothing changed. The commit names the one it was compared with, so after a conflict, a busy Hub or a dropped
    connection it is compared anew: two writers never mix, and a commit whose answer was lost is not repeated.
    """
    files = _local_files(folder, allow_patterns)
    with _plain_errors(hub, f"pushing to {repo_id} at {revision}"):
        retried(lambda: _ensure_branch(hub, repo_id, repo_type, revision))
        return retried(lambda: _push_once(hub, repo_id, repo_type, files, revision, message))


def _local_files(folder: Path, allow_patterns: list[str] | None) -> dict[str, Path]:
    from huggingface_hub.utils import filter_repo_objects

    if not folder.is_dir():
        raise HubError(f"{folder} is not a folder: there is nothing to push")
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    names = [name for name in paths if not {".git", ".cache"} & set(name.split("/"))]
    files = {name: paths[name] for name in filter_repo_objects(names, allow_patterns=allow_patterns)}
    if any(name.rsplit("/", 1)[-1] == ".gitignore" for name in files):
        raise HubError(f"{folder} holds a .gitignore, and the Hub silently leaves out what it lists: remove it")
    if not files:
        raise HubError(f"{folder} holds no file to push")
    return files


def _ensure_branch(hub: Hub, repo_id: str, repo_type: str, revision: str) -> None:
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        hub.api.repo_info(repo_id, repo_type=repo_type, revision=revision)
    except RevisionNotFoundError:
        hub.api.create_branch(repo_id, repo_type=repo_type, branch=revision, exist_ok=True)


def _push_once(hub: Hub, repo_id: str, repo_type: str, files: dict[str, Path], revision: str, message: str) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    head = str(hub.api.repo_info(repo_id, repo_type=repo_type, revision=revision).sha)
    remote = _remote_files(hub, repo_id, repo_type, head)
    changed = [name for name, path in files.items() if name not in remote or not _is_same(path, remote[name])]
    gone = [name for name in remote if name not in files and name != _KEPT]
    if not changed and not gone:
        return head
    operations: list[Any] = [CommitOperationDelete(path_in_repo=name) for name in gone]
    operations += [CommitOperationAdd(path_in_repo=name, path_or_fileobj=files[name]) for name in changed]
    commit = hub.api.create_commit(
        repo_id,
        operations,
        commit_message=message,
        repo_type=repo_type,
        revision=revision,
        parent_commit=head,
    )
    return str(commit.oid)


def _remote_files(hub: Hub, repo_id: str, repo_type: str, revision: str) -> dict[str, RepoFile]:
    from huggingface_hub.hf_api import RepoFile

    tree = hub.api.list_repo_tree(repo_id, recursive=True, revision=revision, repo_type=repo_type)
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _is_same(path: Path, entry: RepoFile) -> bool:
    """By SHA-256 for a file in LFS, by git's own name for it otherwise."""
    size = path.stat().st_size
    if size != entry.size:
        return False
    if entry.lfs is not None:
        return entry.lfs.sha256 == sha256(path)
    return entry.blob_id == hashlib.sha1(b"blob %d\0" % size + path.read_bytes(), usedforsecurity=False).hexdigest()


def verify_folder(
    hub: Hub, repo_id: str, repo_type: str, folder: Path, *, revision: str, allow_patterns: list[str] | None = None
) -> dict[str, str]:
    """Download a revision into an empty folder and compare every file; returns path -> SHA-256 in hex.

    Raises ``HubError`` naming the first file that is missing, extra or different.
    """
    files = _local_files(folder, allow_patterns)
    with tempfile.TemporaryDirectory(prefix="countdown-r1-verify-") as name:
        got = Path(name) / "files"
        with _plain_errors(hub, f"reading {repo_id} at {revision} back"):
            retried(lambda: _download(hub, repo_id, repo_type, revision, got, Path(name) / "cache"))
        expected = {name: sha256(path) for name, path in files.items()}
        found = {name: sha256(path) for name, path in _downloaded(got, expected).items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            state = "is missing" if name not in found else "differs" if name in expected else "should not be there"
            raise HubError(f"{repo_id} at {revision}: {name} {state}; publish again, which sends only what differs")
    return expected


def _download(hub: Hub, repo_id: str, repo_type: str, revision: str, got: Path, cache: Path) -> None:
    hub.api.snapshot_download(
        repo_id,
        repo_type=repo_type,
        revision=revision,
        local_dir=got,
        cache_dir=cache,
    )


def _downloaded(folder: Path, expected: dict[str, str]) -> dict[str, Path]:
    """The files of a download, without huggingface_hub's own notes and the Hub's ``.gitattributes``."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    notes = ".cache/huggingface/"
    return {
        name: path for name, path in paths.items() if not name.startswith(notes) and (name != _KEPT or name in expected)
    }


def version_of(hub: Hub, repo_id: str, repo_type: str, revision: str = "main") -> str | None:
    """The version tag (``v1``, ``v2``, ...) on the commit that a branch or commit name means, None without one."""
    with _plain_errors(hub, f"reading the tags of {repo_id}"):
        head = retried(lambda: hub.api.repo_info(repo_id, repo_type=repo_type, revision=revision)).sha
        return next((name for name, commit in _versions(hub, repo_id, repo_type).items() if commit == head), None)


def tag_version(hub: Hub, repo_id: str, repo_type: str, revision: str) -> str:
    """Give a commit the next version tag, unless it has one; returns the tag."""
    known = version_of(hub, repo_id, repo_type, revision)
    if known:
        return known
    with _plain_errors(hub, f"tagging {repo_id}"):
        numbers = [int(name[1:]) for name in _versions(hub, repo_id, repo_type)]
        tag = f"v{max(numbers, default=0) + 1}"
        retried(lambda: hub.api.create_tag(repo_id, repo_type=repo_type, tag=tag, revision=revision, exist_ok=True))
    return tag


def _versions(hub: Hub, repo_id: str, repo_type: str) -> dict[str, str]:
    """Commits by version tag."""
    tags = retried(lambda: hub.api.list_repo_refs(repo_id, repo_type=repo_type)).tags
    return {tag.name: tag.target_commit for tag in tags if re.fullmatch(r"v\d+", tag.name)}


def read_text(hub: Hub, repo_id: str, repo_type: str, name: str, revision: str = "main") -> str | None:
    """One small file of a repository, None when it is not there."""
    from huggingface_hub.errors import EntryNotFoundError

    with tempfile.TemporaryDirectory(prefix="countdown-r1-read-") as folder:
        with _plain_errors(hub, f"reading {name} of {repo_id}"):
            get = hub.api.hf_hub_download
            try:
                path = retried(
                    lambda: get(
                        repo_id, name, repo_type=repo_type, revision=revision, cache_dir=folder, local_dir=folder
                    )
                )
            except EntryNotFoundError:
                return None
        return Path(path).read_text(encoding="utf-8")


def load_dataset(hub: Hub, repo_id: str, config: str, *, split: str, revision: str) -> Any:
    """``datasets.load_dataset`` from this Hub; from a rehearsal one without its look-ups of public hosts."""
    import datasets
    from datasets import config as datasets_config

    if hub.rehearsal:
        datasets_config.USE_PARQUET_EXPORT = False
    with _plain_errors(hub, f"loading {repo_id}"):
        return datasets.load_dataset(repo_id, config, split=split, revision=revision, token=hub.token)
