"""Git LFS: what lies in a clone where ``git lfs pull`` was not run."""

from __future__ import annotations

from pathlib import Path

from .errors import InputError

_START = b"version https://git-lfs.github.com/spec/"


def refuse_pointer(path: Path) -> None:
    """Raise ``InputError`` when ``path`` is a Git LFS pointer (github.com/git-lfs, docs/spec.md) and not the file."""
    with path.open("rb") as file:
        if file.read(len(_START)) == _START:
            raise InputError(f"{path} is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder")
