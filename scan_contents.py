"""What stands in a file, whatever it is packed in: texts to look through, one after the other, in blocks.

Text is taken as it is, UTF-16 as the same text, of anything else the runs of printable characters. Archives and
compressed files are opened, in each other too, streamed, and up to a size that no honest file reaches; what cannot be
looked into is said, for it must not leave unseen. Of safetensors only the header is read: tensors are numbers.
"""

from __future__ import annotations

import bz2
import codecs
import errno
import gzip
import io
import lzma
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

BLOCK_BYTES = 1 << 20
START_BYTES = 8192
OVERLAP_BYTES = 4096  # longer than anything a rule can match
MAX_UNPACKED_BYTES = 1 << 30
MAX_DEPTH = 8
_COMPRESSED = {b"\x1f\x8b\x08": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_PNG = b"\x89PNG\r\n\x1a\n"
_RUNS = re.compile(rb"[\x20-\x7e\t]{6,}|(?:[\x20-\x7e\t]\0){6,}[\x20-\x7e]?")


class Unreadable(Exception):
    """Something in a file cannot be looked into; it never leaves the scan."""


@dataclass(frozen=True)
class Piece:
    """A text at ``name``, the file or a member of it. ``is_text``: people may have written it, in lines."""

    name: str
    blocks: Iterable[bytes]
    is_text: bool


def pieces(path: Path, name: str) -> Iterator[Piece]:
    """Every piece of a file, each to be read before the next. Raises ``Unreadable`` for what cannot be looked into."""
    with path.open("rb") as file:
        yield from _look(file, name, _Budget(), 0)


@dataclass
class _Budget:
    """What may still be unpacked out of one file, in bytes."""

    left: int = MAX_UNPACKED_BYTES


def _look(file: IO[bytes], name: str, budget: _Budget, depth: int) -> Iterator[Piece]:
    """The pieces of an open file, and of what is packed in it."""
    if depth > MAX_DEPTH:
        raise Unreadable(f"{name} lies in more than {MAX_DEPTH} archives")
    start = file.read(START_BYTES)
    encoding = _utf_16(start)
    if encoding:
        yield Piece(name, _recoded(_blocks(file, start), encoding), True)
    elif b"\0" not in start and not start.startswith(tuple(_COMPRESSED)):
        yield Piece(name, (block.replace(b"\0", b"") for block in _blocks(file, start)), True)
    elif name.endswith(".safetensors"):  # 8 bytes: length of the JSON header (safetensors format)
        yield Piece(name, _limited(_blocks(file, start[8:]), int.from_bytes(start[:8], "little")), False)
        return
    else:
        yield Piece(name, _printable(_blocks(file, start)), "tfevents" in name)
    if start.startswith(_PNG):
        yield Piece(f"{name}!text", _picture_texts(file), False)
    for magic, opened in _COMPRESSED.items():
        if start.startswith(magic):
            file.seek(0)
            with opened(file) as packed, _unpacked(packed, name, budget) as inner:
                yield from _look(inner, f"{name}!", budget, depth + 1)
    if zipfile.is_zipfile(file):  # by its end; what stands before the archive was looked at as well
        yield from _members(file, name, budget, depth)


def _blocks(file: IO[bytes], start: bytes) -> Iterator[bytes]:
    yield start
    while block := file.read(BLOCK_BYTES):
        yield block


def _limited(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The first ``size`` bytes."""
    for block in blocks:
        yield block[:size]
        size -= len(block)
        if size <= 0:
            return


def _utf_16(start: bytes) -> str | None:
    """The encoding of what begins as text in UTF-16 does, with a mark or without; None for anything else."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    pairs = max(1, len(start) // 2)
    even, odd = start[0::2].count(0) / pairs, start[1::2].count(0) / pairs
    if min(even, odd) > 0.02 or max(even, odd) < 0.6:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _recoded(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "replace")


def _printable(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The runs of printable characters of binary data, of one byte or two each, a line for each."""
    tail = b""
    for block in blocks:
        data = tail + block
        found = (run.group().replace(b"\0", b"") for run in _RUNS.finditer(data))
        yield b"\n".join(found) + b"\n"
        tail = data[-OVERLAP_BYTES:]


def _unpacked(packed: IO[bytes], name: str, budget: _Budget) -> IO[bytes]:
    """A copy of what a decompressor gives, up to where its data is damaged: nobody can read on from there."""
    copy = tempfile.SpooledTemporaryFile(max_size=16 * BLOCK_BYTES)  # noqa: SIM115, the caller closes it
    try:
        while block := packed.read(BLOCK_BYTES):
            budget.left -= len(block)
            if budget.left < 0:
                copy.close()
                raise Unreadable(f"{name} unpacks to more than {MAX_UNPACKED_BYTES >> 30} GiB")
            copy.write(block)
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
    copy.seek(0)
    return copy  # pyright: ignore[reportReturnType]


def _picture_texts(file: IO[bytes]) -> Iterator[bytes]:
    """The text chunks of a PNG file (PNG specification, 11.3.3), compressed ones too."""
    file.seek(len(_PNG))
    while len(head := file.read(8)) == 8:
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            file.seek(size + 4, io.SEEK_CUR)
            continue
        content = file.read(min(size, BLOCK_BYTES))
        file.seek(max(0, size - BLOCK_BYTES) + 4, io.SEEK_CUR)
        yield content.replace(b"\0", b"\n") + b"\n"
        for at in [found.end() for found in re.finditer(rb"\0", content)][:4]:  # where the compressed text may begin
            try:
                yield zlib.decompressobj().decompress(content[at:], BLOCK_BYTES) + b"\n"
            except zlib.error:
                continue


def _members(file: IO[bytes], name: str, budget: _Budget, depth: int) -> Iterator[Piece]:
    """Each member of a zip archive (a wheel is one) as if it lay in the folder."""
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                inside = f"{name}!{member.filename}"
                yield Piece(inside, (member.filename.encode("utf-8", "replace") + b"\n" + member.comment,), False)
                with archive.open(member) as packed, _unpacked(packed, name, budget) as copy:
                    yield from _look(copy, inside, budget, depth + 1)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise Unreadable(f"{name} is an archive that cannot be read ({reason})") from error
