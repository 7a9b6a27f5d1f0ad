"""One data file: which kind its name says it is, and what people take for one and is none."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, TextIO

from ..errors import InputError
from ..lfs import refuse_pointer

SUFFIXES = (".parquet", ".arrow", ".json", ".jsonl", ".ndjson", ".csv")
TYPED = (".parquet", ".arrow")
READABLE = f"{', '.join(SUFFIXES)}, the last four also with .gz"
_GZIP = b"\x1f\x8b"
_STRANGERS = (
    (rb"PK\x03\x04", "a zip archive: unpack it and name a file in it"),
    (rb"\x28\xb5\x2f\xfd|BZh[1-9]1AY&SY|\xfd7zXZ", "compressed in another way than gzip: unpack it first"),
    (rb"(?:\xef\xbb\xbf)?\s*<", "a web page, not the file itself: download it again, for example with `hf download`"),
)
_OTHER_KINDS = {b"PAR1": ".parquet", b"ARROW1": ".arrow"}


def kind_of(path: PurePath) -> str:
    """The suffix that says how to read a file, '' for none of these.

    >>> kind_of(PurePath("data/Train.JSONL.gz")), kind_of(PurePath("a.parquet.gz")), kind_of(PurePath("a.txt"))
    ('.jsonl', '', '')
    """
    name = path.name.lower()
    kinds = [suffix for suffix in SUFFIXES if suffix not in TYPED] if name.endswith(".gz") else SUFFIXES
    return next((suffix for suffix in kinds if name.removesuffix(".gz").endswith(suffix)), "")


def stem_of(path: PurePath) -> str:
    """The name without what ``kind_of`` reads."""
    name = path.name[: -len(".gz")] if path.name.lower().endswith(".gz") else path.name
    return name[: -len(kind_of(path))] if kind_of(path) else name


def check_file(path: Path) -> None:
    """Raise ``InputError`` in words that help for a file that cannot hold rows, whatever its name says."""
    if not kind_of(path):
        raise InputError(f"{path} is not a file this can read; it reads {READABLE}")
    try:
        refuse_pointer(path)
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    if not start:
        raise InputError(f"{path} cannot be read: it is empty")
    for pattern, what in _STRANGERS:
        if re.match(pattern, start):
            raise InputError(f"{path} is {what}")
    for magic, suffix in _OTHER_KINDS.items():
        if start.startswith(magic) and kind_of(path) not in TYPED:
            raise InputError(f"{path} holds {suffix[1:]}: rename it to {stem_of(path)}{suffix}")


@contextmanager
def open_text(path: Path, what: str) -> Iterator[TextIO]:
    """The text of a file in UTF-8, unpacked where it is gzip; damage raises ``InputError`` (it is no ``what``)."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            plain: Any = gzip.GzipFile(fileobj=raw) if packed else raw
            with io.TextIOWrapper(plain, encoding="utf-8-sig", newline="") as file:
                yield file
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not {what} in UTF-8 ({error})") from error
    except (EOFError, zlib.error, OSError) as error:
        raise InputError(f"{path} cannot be read ({error})") from error
