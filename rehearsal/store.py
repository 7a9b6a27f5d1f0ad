"""Repositories of the rehearsal Hub on disk: blobs by their SHA-256, commits as JSON, one JSON of refs per repository.

    DIR/blobs/ab/abcd...             file contents, named by SHA-256
    DIR/repos/KIND/NS/NAME/repo.json visibility and refs; replacing it is what acknowledges a commit
    DIR/repos/KIND/NS/NAME/commits/  OID.json: parent, message and the whole tree

Every file is written under ``DIR/tmp`` and renamed, contents before the commit and the commit before the ref,
so a server killed at any moment comes back with every acknowledged commit intact.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..repo_names import ALLOWED, is_repo_id

KINDS = ("models", "datasets", "spaces")
RESERVED_NAMESPACES = {"api", "datasets", "spaces", "models"}
MAX_PATH_CHARS, MAX_SEGMENT_BYTES = 1024, 255
_KEEP_LOOSE_BLOBS_SECONDS = 24 * 3600
_LFS_SUFFIXES = (  # what the Hub's own .gitattributes sends to LFS, and images
    "7z arrow bin bz2 ckpt ftz gif gz h5 joblib jpeg jpg mlmodel model mp3 mp4 msgpack npy npz onnx ot parquet pb "
    "pickle pkl png pt pth rar safetensors tar tflite tgz wasm wav webp whl xz zip zst"
)
GITATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in _LFS_SUFFIXES.split())
SPACE_CARD = """---
title: {title}
emoji: 🏢
colorFrom: blue
colorTo: gray
sdk: {sdk}
pinned: false
---

Check out the configuration reference at https://huggingface.co/docs/hub/spaces-config-reference
"""


class Refused(Exception):
    """An answer other than success: HTTP status, message, the Hub's ``X-Error-Code``, headers, more JSON fields."""

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers or {}
        self.fields: dict[str, str] = {}


@dataclass(frozen=True)
class Entry:
    """One file of a tree. ``git_oid`` names the blob as git does (for LFS: the blob of the pointer)."""

    sha256: str
    size: int
    git_oid: str
    lfs: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_oid


@dataclass(frozen=True)
class Commit:
    """A commit with its whole tree: path -> entry."""

    oid: str
    parent: str | None
    title: str
    message: str
    date: str
    tree: dict[str, Entry] = field(repr=False)


@dataclass(frozen=True)
class Repo:
    """What ``repo.json`` holds. ``refs`` maps full names (``refs/heads/main``) to commits; ``space`` is a Space's
    runtime settings (hardware, variables, the names of its secrets and never their values)."""

    kind: str
    id: str
    private: bool
    created: str
    sdk: str | None = None
    refs: dict[str, str] = field(default_factory=dict)
    space: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """A commit to make: steps are (path, entry) to write and (path, None) to delete; a folder's path ends in ``/``."""

    title: str
    message: str
    parent: str | None
    steps: list[tuple[str, Entry | None]]


class Store:
    """The repositories under one folder. Changes hold one lock; readers see a whole state at any time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()
        shutil.rmtree(root / "tmp", ignore_errors=True)
        for name in ("blobs", "repos", "tmp"):
            (root / name).mkdir(parents=True, exist_ok=True)

    def repo(self, kind: str, repo_id: str) -> Repo:
        """Raises ``Refused`` 404 when there is none."""
        try:
            check_repo_id(repo_id)
            return Repo(**json.loads((self._folder(kind, repo_id) / "repo.json").read_text("utf-8")))
        except (FileNotFoundError, Refused):
            raise Refused(404, "Repository not found", "RepoNotFound") from None

    def repos(self, kind: str) -> list[Repo]:
        ids = ["/".join(path.parts[-3:-1]) for path in (self.root / "repos" / kind).glob("*/*/repo.json")]
        return [self.repo(kind, repo_id) for repo_id in sorted(ids)]

    def collections(self) -> dict[str, dict[str, Any]]:
        """Every collection by its slug, as the API answers with it."""
        path = self.root / "collections.json"
        return json.loads(path.read_text("utf-8")) if path.exists() else {}

    def create(self, kind: str, repo_id: str, *, private: bool, sdk: str | None, space: dict[str, Any]) -> Repo:
        """A new repository with the Hub's first commit: a ``.gitattributes`` that says what goes to LFS, and the card
        of a Space."""
        check_repo_id(repo_id)
        with self.lock:
            if (self._folder(kind, repo_id) / "repo.json").exists():
                raise Refused(409, f"You already created this {kind[:-1]} repo: {repo_id}")
            repo = Repo(kind, repo_id, private, now(), sdk, space=space)
            files = {".gitattributes": GITATTRIBUTES}
            if kind == "spaces":
                files["README.md"] = SPACE_CARD.format(title=repo_id.partition("/")[2], sdk=sdk)
            steps: list[tuple[str, Entry | None]] = [(name, self.add_file(files[name].encode())) for name in files]
            return self._advance(repo, "refs/heads/main", Change("initial commit", "", None, steps), None)[0]

    def delete(self, repo: Repo) -> None:
        """Gone at once: the folder is moved away first, then removed."""
        with self.lock:
            grave = self.root / "tmp" / secrets.token_hex(8)
            self._folder(repo.kind, repo.id).rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def update(self, repo: Repo, **changes: Any) -> Repo:
        """Replace fields of ``repo.json`` as it stands now (``repo`` may be older)."""
        with self.lock:
            changed = replace(self.repo(repo.kind, repo.id), **changes)
            self.write_json(self._folder(repo.kind, repo.id) / "repo.json", asdict(changed))
            return changed

    def set_ref(self, repo: Repo, name: str, oid: str) -> None:
        """A new branch or tag; ``Refused`` 409 when it exists."""
        with self.lock:
            refs = self.repo(repo.kind, repo.id).refs
            if name in refs:
                raise Refused(409, f"Reference {name} already exists")
            self.update(repo, refs=refs | {name: oid})

    def drop_ref(self, repo: Repo, name: str) -> None:
        with self.lock:
            refs = self.repo(repo.kind, repo.id).refs
            if name not in refs:
                raise Refused(404, f"Reference {name} does not exist", "RevisionNotFound")
            self.update(repo, refs={other: oid for other, oid in refs.items() if other != name})

    def resolve(self, repo: Repo, revision: str) -> Commit:
        """The commit of a branch, a tag, a full ref name, or at least 7 digits of an oid."""
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if name in repo.refs:
                return self.commit(repo, repo.refs[name])
        if re.fullmatch("[0-9a-f]{7,40}", revision):
            found = list((self._folder(repo.kind, repo.id) / "commits").glob(f"{revision}*.json"))
            if len(found) == 1:
                return self.commit(repo, found[0].stem)
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def commit(self, repo: Repo, oid: str) -> Commit:
        values = json.loads((self._folder(repo.kind, repo.id) / "commits" / f"{oid}.json").read_text("utf-8"))
        tree = {path: Entry(**entry) for path, entry in values.pop("tree").items()}
        return Commit(**values, tree=tree)

    def history(self, repo: Repo, commit: Commit) -> Iterator[Commit]:
        """From ``commit`` back to the first."""
        step: Commit | None = commit
        while step is not None:
            yield step
            step = self.commit(repo, step.parent) if step.parent else None

    def apply(self, repo: Repo, revision: str, change: Change) -> Commit:
        """Put a commit on a branch. ``Refused`` 412 when ``change.parent`` is not its head."""
        with self.lock:
            repo = self.repo(repo.kind, repo.id)
            name = revision if revision.startswith("refs/pr/") else f"refs/heads/{revision}"
            if name not in repo.refs:
                raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
            head = self.commit(repo, repo.refs[name])
            if change.parent is not None and not head.oid.startswith(change.parent):
                raise Refused(412, "A commit has happened since. Please refresh and try again.")
            return self._advance(repo, name, change, head)[1]

    def open_pull_request(self, repo: Repo, change: Change) -> tuple[int, Commit]:
        """The change as a commit of its own on ``refs/pr/N``, on top of ``main``."""
        with self.lock:
            repo = self.repo(repo.kind, repo.id)
            number = 1 + sum(name.startswith("refs/pr/") for name in repo.refs)
            head = self.resolve(repo, "main")
            return number, self._advance(repo, f"refs/pr/{number}", change, head)[1]

    def _advance(self, repo: Repo, name: str, change: Change, head: Commit | None) -> tuple[Repo, Commit]:
        tree = _changed_tree(head.tree if head else {}, change.steps)
        body: dict[str, Any] = {"parent": head.oid if head else None, "title": change.title, "message": change.message}
        body |= {"date": now(), "tree": {path: asdict(tree[path]) for path in sorted(tree)}}
        oid = hashlib.sha1(json.dumps([repo.kind, repo.id, secrets.token_hex(8), body]).encode()).hexdigest()
        folder = self._folder(repo.kind, repo.id)
        self.write_json(folder / "commits" / f"{oid}.json", {"oid": oid} | body)
        changed = replace(repo, refs=repo.refs | {name: oid})
        self.write_json(folder / "repo.json", asdict(changed))
        return changed, self.commit(changed, oid)

    def blob(self, sha256: str) -> Path:
        return self.root / "blobs" / sha256[:2] / sha256

    def has_blob(self, sha256: str, size: int | None = None) -> bool:
        path = self.blob(sha256)
        return path.is_file() and (size is None or path.stat().st_size == size)

    def add_file(self, content: bytes) -> Entry:
        """Store a file that came inside a commit."""
        digest = hashlib.sha256(content).hexdigest()
        if not self.has_blob(digest):
            partial = self.temporary()
            _write_durably(partial, content)
            self.adopt(partial, digest)
        return Entry(digest, len(content), git_oid(content), lfs=False)

    def lfs_entry(self, sha256: str, size: int | None) -> Entry:
        """A file whose content was uploaded before; ``Refused`` 400 when it was not."""
        if not re.fullmatch("[0-9a-f]{64}", sha256) or not self.has_blob(sha256, size):
            raise Refused(400, f"LFS object {sha256[:64]} was not uploaded or has another size")
        length = self.blob(sha256).stat().st_size
        return Entry(sha256, length, git_oid(pointer(sha256, length)), lfs=True)

    def temporary(self) -> Path:
        return self.root / "tmp" / secrets.token_hex(16)

    def adopt(self, partial: Path, sha256: str) -> None:
        """Make a finished temporary file the blob of that hash."""
        target = self.blob(sha256)
        target.parent.mkdir(exist_ok=True)
        partial.replace(target)

    def write_json(self, path: Path, value: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.temporary()
        _write_durably(partial, json.dumps(value, ensure_ascii=False, indent=1).encode())
        partial.replace(path)

    def collect_garbage(self) -> int:
        """Remove blobs that no commit names and that are older than a day; returns how many."""
        commits = (self.root / "repos").glob("*/*/*/commits/*.json")
        used = {entry["sha256"] for path in commits for entry in json.loads(path.read_text("utf-8"))["tree"].values()}
        limit = time.time() - _KEEP_LOOSE_BLOBS_SECONDS
        loose = [p for p in (self.root / "blobs").glob("*/*") if p.name not in used and p.stat().st_mtime < limit]
        for path in loose:
            path.unlink(missing_ok=True)
        return len(loose)

    def _folder(self, kind: str, repo_id: str) -> Path:
        return self.root / "repos" / kind / repo_id


def _changed_tree(tree: dict[str, Entry], steps: list[tuple[str, Entry | None]]) -> dict[str, Entry]:
    """``tree`` after ``steps`` in order; ``Refused`` for a deletion of nothing or a file where a folder is."""
    tree = dict(tree)
    for path, entry in steps:
        if entry is not None:
            tree[path] = entry
            continue
        gone = [name for name in tree if name == path or (path.endswith("/") and name.startswith(path))]
        if not gone:
            raise Refused(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        for name in gone:
            del tree[name]
    folders = {"/".join(path.split("/")[:depth]) for path in tree for depth in range(1, path.count("/") + 1)}
    if clash := sorted(folders & tree.keys()):
        raise Refused(400, f"{clash[0]} would be a file and a folder")
    return tree


def check_repo_id(repo_id: str) -> None:
    """``NS/NAME`` as the Hub allows it; ``Refused`` 400 otherwise. Keeps every repository inside the data folder."""
    if not is_repo_id(repo_id) or repo_id.partition("/")[0] in RESERVED_NAMESPACES:
        raise Refused(400, f"'{repo_id[:200]}' is not a repository id: NAMESPACE/NAME of {ALLOWED}")


def check_path(path: str) -> str:
    """A path inside a repository, unchanged; ``Refused`` 400 when it could mean anything else."""
    segments = path.split("/")
    bad = any(part in ("", ".", "..", ".git") or len(part.encode()) > MAX_SEGMENT_BYTES for part in segments)
    if bad or len(path) > MAX_PATH_CHARS or re.search(r"[\x00-\x1f\x7f\\]", path):
        raise Refused(400, f"'{path[:200]}' is not a path inside a repository")
    return path


def check_ref(name: str) -> str:
    """A branch or tag name that git would take; ``Refused`` 400 otherwise."""
    plain = re.fullmatch(r"\w[\w./+-]{0,199}", name, re.ASCII) and not name.startswith("refs/")
    if not plain or re.search(r"\.\.|//|/\.|\.$|/$|\.lock(/|$)", name):
        raise Refused(400, f"Invalid reference for a branch or tag: '{name[:200]}'")
    return name


def git_oid(content: bytes) -> str:
    """The name git gives a blob: SHA-1 over ``blob SIZE\\0CONTENT``."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """The text that stands in git for an LFS file (git-lfs, docs/spec.md)."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
