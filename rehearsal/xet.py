"""Xet on the rehearsal Hub: chunks go to a folder of the store, as hf_xet writes them, and come back out of it.

huggingface_hub uploads through Xet where hf_xet is installed: it asks for a write token, whose ``casUrl`` may be a
local folder (``local:///...``, hf_xet 1.8), and names the files by SHA-256 in the commit. Here every token has a
folder of its own, since hf_xet keeps the folder's index locked for as long as its process lives. A commit puts each
file together again and keeps it as a blob like any other, so that plain downloads work; downloads through Xet read a
copy of the folder's index beside links to its chunks.

Format of a shard (``xorbs/shards/*.mdb``): 48 bytes of header; then for each file its hash (32 bytes), u32 flags, u32
n, 8 bytes of padding, n segments of 48 bytes (the u32 at 36 is the length), as many again with flag bit 31, and with
bit 30 another 48 bytes that start with the SHA-256; a hash of 0xFF bytes ends the list. Hashes are written with each
group of 8 bytes reversed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .store import Refused

if TYPE_CHECKING:
    from .store import Store

TOKEN_SECONDS = 3600
_RECORD, _NO_HASH = 48, b"\xff" * 32


@dataclass(frozen=True)
class Chunked:
    """A file that lies in chunks: the folder that its token named, its Xet hash and its size in bytes."""

    folder: str
    hash: str
    size: int


def write_folder(store: Store) -> Path:
    """A new folder for one upload."""
    folder = store.root / "xet" / secrets.token_hex(8)
    folder.mkdir(parents=True)
    return folder


def read_folder(store: Store, name: str) -> Path:
    """What was uploaded to the folder ``name``, in a place whose index nobody else has locked."""
    source = store.root / "xet" / name / "xet" / "xorbs"
    if not re.fullmatch("[0-9a-f]{16}", name) or not source.is_dir():
        raise Refused(404, "No such folder of chunks")
    folder = store.temporary()
    for part in ("xorbs", "shards"):
        (folder / "xet" / "xorbs" / part).mkdir(parents=True)
        for path in (source / part).iterdir():
            os.link(path, folder / "xet" / "xorbs" / part / path.name)
    for path in source.glob("*.redb"):
        shutil.copyfile(path, folder / "xet" / "xorbs" / path.name)
    return folder


def token(folder: Path) -> dict[str, Any]:
    """What a client is told: where the chunks go or come from, and until when."""
    return {"casUrl": f"local://{folder.resolve()}", "exp": int(time.time()) + TOKEN_SECONDS, "accessToken": "local"}


def known(store: Store, sha256: str) -> Chunked | None:
    """Where a committed file came through Xet, None when it did not."""
    record = store.root / "xet" / "files" / f"{sha256}.json"
    return Chunked(**json.loads(record.read_text("utf-8"))) if record.is_file() else None


def _find(store: Store, sha256: str) -> Chunked | None:
    """The same for a file about to be committed: shards are read, the newest first, until one names it."""
    shards = (store.root / "xet").glob("*/xet/xorbs/shards/*.mdb")
    for shard in sorted(shards, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        folder = shard.relative_to(store.root / "xet").parts[0]
        files = {digest: Chunked(folder, xet_hash, size) for digest, xet_hash, size in _files(shard.read_bytes())}
        if sha256 in files:
            for digest, found in files.items():
                store.write_json(store.root / "xet" / "files" / f"{digest}.json", asdict(found))
            return files[sha256]
    return None


def put_together(store: Store, sha256: str) -> bool:
    """Make a blob of a file that lies in chunks; False when there are none or they are not that file."""
    found = known(store, sha256) or _find(store, sha256)
    if found is None:
        return False
    folder, partial = read_folder(store, found.folder), store.temporary()
    try:
        _download(folder, found, partial)
        with partial.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == sha256
        if same:
            store.adopt(partial, sha256)
        return same
    finally:
        partial.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _download(folder: Path, found: Chunked, partial: Path) -> None:
    import hf_xet as xet_library

    hf_xet: Any = xet_library  # it has no types

    place: dict[str, Any] = {"endpoint": f"local://{folder.resolve()}", "token": "local"}
    until = int(time.time()) + TOKEN_SECONDS
    with hf_xet.XetSession().new_file_download_group(**place, token_expiry_unix_secs=until) as group:
        group.start_download_file(hf_xet.XetFileInfo(found.hash, found.size), str(partial.resolve()))


def _files(shard: bytes) -> Iterator[tuple[str, str, int]]:
    """SHA-256, Xet hash and size of every file in a shard that names its SHA-256."""
    at = _RECORD
    while (name := shard[at : at + 32]) != _NO_HASH and len(name) == 32:
        flags, count = (int.from_bytes(shard[at + k : at + k + 4], "little") for k in (32, 36))
        first = at + _RECORD
        lengths = (shard[first + _RECORD * k + 36 : first + _RECORD * k + 40] for k in range(count))
        size = sum(int.from_bytes(length, "little") for length in lengths)
        at = first + _RECORD * count * (2 if flags >> 31 & 1 else 1)
        if flags >> 30 & 1:
            yield _hex(shard[at : at + 32]), _hex(name), size
            at += _RECORD


def _hex(value: bytes) -> str:
    return b"".join(value[k : k + 8][::-1] for k in range(0, 32, 8)).hex()
