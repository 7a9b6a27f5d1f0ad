"""Git LFS pointers: three lines of text that stand where a large file belongs until ``git lfs pull`` fetches it."""

from __future__ import annotations

from pathlib import Path

from .errors import InputError

_FIRST_LINES = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
POINTER = "is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder"


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is a pointer, by its first line (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md)."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(64).startswith(_FIRST_LINES)


def refuse_pointer(path: Path) -> None:
    """Raise ``InputError`` with the fix when ``path`` is a pointer."""
    if is_lfs_pointer(path):
        raise InputError(f"{path} {POINTER}")
