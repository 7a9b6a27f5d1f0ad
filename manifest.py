"""What a stage leaves for the next: a folder that is complete or absent, with a ``manifest.json`` in it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from .errors import StageError

SCHEMA_VERSION = 1
FILE_NAME = "manifest.json"
PARTIAL = ".partial"
ORPHAN_SECONDS = 8.0  # a killed process's data loaders end within 5 and hold its locks until then
PASSING = (".writing", ".whole")  # ends of names of folders that are gone when a stage has ended
_REPORTED = ("countdown-r1", "datasets", "huggingface_hub", "transformers", "trl", "torch", "gradio", "numpy")


@dataclass
class Manifest:
    """The record of one stage's run.

    ``files`` maps each path inside the folder (posix, relative) to its SHA-256 in hex; ``read`` is the
    SHA-256 of the manifest this stage started from; ``results`` holds the stage's own measurements.
    """

    stage: str
    command: str
    seed: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    read: str | None = None
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    git_commit: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


@contextmanager
def stage_folder(out: Path, overwrite: bool, keep_partial: bool = False, suffix: str = PARTIAL) -> Iterator[Path]:
    """A temporary folder beside ``out``, OUT + ``suffix``, that takes its name once the body has ended well.

    With ``keep_partial`` what an interrupted run wrote stays there and is handed to the next
    run; otherwise it is removed. Raises ``StageError`` when ``out`` exists and ``overwrite`` is false, and while
    another run writes there.
    """
    refuse_existing(out, overwrite)
    partial = out.with_name(out.name + suffix)
    _make(partial)
    with _alone_in(partial):
        if not keep_partial:
            empty(partial)
        try:
            yield partial
        except BaseException:
            if not keep_partial:
                shutil.rmtree(partial, ignore_errors=True)
            raise
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)


def _make(folder: Path) -> None:
    """Make a folder to write to. Raises ``StageError`` where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StageError(f"{folder} cannot be made ({error.strerror}); choose another folder") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StageError(f"{folder} cannot be written to; choose another folder, or change its rights")


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Holds a lock on ``folder``, which ends with this process at the latest; none on a disk that knows no locks."""
    handle, deadline = os.open(folder, os.O_RDONLY), time.monotonic() + ORPHAN_SECONDS
    try:
        while not (_locked(handle) and folder.exists()):  # the other run may have ended, and renamed it
            if time.monotonic() > deadline:
                raise StageError(f"another run writes to {folder}; wait for its end, or choose another --out")
            time.sleep(0.2)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # as some network disks answer
        return True
    return True


def empty(folder: Path) -> None:
    """Remove everything in ``folder``."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def refuse_existing(out: Path, overwrite: bool) -> None:
    """Raise ``StageError`` when ``out`` is not for a stage to write."""
    if out.exists() and not overwrite:
        raise StageError(f"{out} exists already; pass --overwrite to replace it, or choose another folder")
    refuse_foreign(out, FILE_NAME)


def refuse_foreign(folder: Path, mark: str) -> None:
    """Raise ``StageError`` when ``folder`` holds something and not the file that marks it as ours to replace."""
    if folder.exists() and not (folder / mark).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise StageError(f"{folder} holds no {mark}, so it is not this program's to replace; choose another folder")


def write(folder: Path, manifest: Manifest) -> None:
    """Fill in versions, commit and the hash of every file under ``folder``, and write the manifest there."""
    manifest.versions = {"python": platform.python_version()} | _versions()
    manifest.git_commit = _git_commit()
    manifest.files = hashes(folder)
    write_json(folder / FILE_NAME, asdict(manifest))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that is complete or as it was before."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file that is complete or as it was before: under another name first."""
    writing = path.with_name(f"{path.name}.writing")
    writing.write_text(text, encoding="utf-8")
    writing.replace(path)


def link(source: Path, target: Path) -> None:
    """The same file under another name: a hard link where the file system allows it, which takes no space."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def read(folder: Path) -> Manifest:
    """The manifest of a finished stage. Raises ``StageError`` when it is missing or from another version."""
    path = folder / FILE_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StageError(f"{path} is missing: this folder was not written by a finished stage") from None
    except ValueError as error:
        raise StageError(f"{path} is not valid JSON ({error}); rerun the stage with --overwrite") from error
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != SCHEMA_VERSION:
        raise StageError(f"{path} has schema version {version}, this program reads {SCHEMA_VERSION}; rerun the stage")
    return Manifest(**values)


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under ``folder`` but the manifest, by relative posix path; without what is ``PASSING``."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    lasting = {name: path for name, path in paths.items() if not name.partition("/")[0].endswith(PASSING)}
    return {name: sha256(path) for name, path in lasting.items() if name != FILE_NAME}


def sha256(path: Path) -> str:
    """SHA-256 of a file in hex, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damaged_files(folder: Path) -> list[str]:
    """Paths that the manifest lists and that are missing or differ."""
    listed = read(folder).files
    return [name for name, digest in listed.items() if not (folder / name).is_file() or sha256(folder / name) != digest]


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _REPORTED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """The commit of this code: what ``COUNTDOWN_R1_COMMIT`` says, else the checkout's; None for an installed wheel."""
    given, here = os.environ.get("COUNTDOWN_R1_COMMIT"), Path(__file__).resolve().parent
    if given or not (here / ".git").exists():
        return given
    done = subprocess.run(["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
