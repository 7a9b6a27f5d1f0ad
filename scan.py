"""Look for what must not become public in a folder that is about to be uploaded.

Secrets (access tokens, private keys, passwords) are looked for in every file; personal traces (e-mail
addresses, paths of one computer) in text, in parquet columns and in TensorBoard events. The Hub has a scanner of its
own, but it speaks after the push, when a secret has to be counted as leaked. What is looked for: ``scan_rules``.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .errors import HubError
from .scan_rules import EMAIL, SECRETS, Rule, literal_rule, personal_rules

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 1 << 20
OVERLAP_BYTES = 4096  # longer than anything a rule can match
MAX_BINARY_BYTES = 16 << 20
SHOWN_FINDINGS = 5
MAX_NESTED_ARCHIVES = 3
_clean: dict[tuple[int, int, int, int, str], frozenset[Rule]] = {}
_EVENTS = "tfevents"  # binary, and made of texts
# A tokenizer's vocabulary is made of fragments of other people's text: only whole secrets are meant there.
_VOCABULARY = ("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt")


@dataclass(frozen=True)
class Finding:
    """``path`` relative to the scanned folder, ``line`` (row in a parquet file, 0 in a binary one) and what
    was found: its ``kind`` and ``shown``, the first four characters and the length, never the text itself."""

    path: str
    line: int
    kind: str
    shown: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind} ({self.shown})"


@dataclass(frozen=True)
class _Rules:
    """``secrets`` are looked for in every file, ``personal`` where people write texts."""

    secrets: tuple[Rule, ...]
    personal: tuple[Rule, ...]

    @property
    def all(self) -> tuple[Rule, ...]:
        return (*self.secrets, *self.personal)


def scan(
    folder: Path,
    private: Mapping[str, str] | None = None,
    names: Collection[str] | None = None,
    allowed: Collection[str] = (),
) -> list[Finding]:
    """Everything under ``folder`` that must not be published, in the order of paths.

    ``private`` names further texts that must not occur (the kind -> the text), such as the token in use; with
    ``names`` (relative posix paths) only those files are looked at. ``allowed`` are e-mail addresses that may be
    published; nothing else can be allowed.
    Text is read in blocks, so a file's size does not matter; of other files the first 16 MiB are looked at
    for secrets, of safetensors the header, of archives each member, of parquet every text column.
    """
    own = tuple(literal_rule(kind, text) for kind, text in (private or {}).items() if text)
    rules = _Rules((*SECRETS, *own), personal_rules(allowed))
    found: list[Finding] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if names is None or name in names:
            found += _scan_unless_clean(path, name, rules)
    return found


def _scan_unless_clean(path: Path, name: str, rules: _Rules) -> list[Finding]:
    """Findings of a file; one that these rules found clean is not read again in this process while it stays the same,
    links to it included."""
    at = path.stat()
    key = (at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, path.name)
    if _clean.get(key, frozenset()).issuperset(rules.all):
        return []
    found = list(_scan_file(path, name, rules))
    if not found:
        _clean[key] = frozenset(rules.all)
    return found


def refuse(findings: list[Finding], allow: str = "") -> None:
    """Raise ``HubError`` naming the first findings, masked, unless there are none. ``allow`` is the option by which the
    caller lets an e-mail address through."""
    if findings:
        shown = "; ".join(map(str, findings[:SHOWN_FINDINGS]))
        more = len(findings) - SHOWN_FINDINGS
        rest = f"; and {more} more" if more > 0 else ""
        fix = "remove it and retry"
        if allow and all(finding.kind == EMAIL.kind for finding in findings):
            fix += f", or pass {allow} if whoever it belongs to wants it there"
        raise HubError(f"nothing was uploaded, because it would make this public: {shown}{rest}; {fix}")


def mask(text: str) -> str:
    """The first four characters and the length.

    >>> mask("abcdefgh")
    'abcd..., 8 characters'
    """
    return f"{text[:4]}..., {len(text)} characters"


def _scan_file(path: Path, name: str, rules: _Rules) -> Iterator[Finding]:
    if path.suffix == ".parquet":
        yield from _scan_parquet(path, name, rules.all)
        return
    with path.open("rb") as file:
        yield from _scan_stream(file, name, rules)
    if zipfile.is_zipfile(path):  # by its end; what stands before the archive was looked at as well
        yield from _scan_archive(path, name, rules)


def _scan_stream(file: IO[bytes], name: str, rules: _Rules) -> Iterator[Finding]:
    """Findings of a file by its content: text in full, anything else in part and for secrets alone."""
    start = file.read(8192)
    utf16 = start.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" not in start or utf16:
        fitting = rules.secrets if Path(name).name in _VOCABULARY else rules.all
        yield from _scan_blocks(_blocks(file, start), name, fitting)
        return
    limit = MAX_BINARY_BYTES
    if name.endswith(".safetensors"):  # 8 bytes: length of the JSON header (safetensors format)
        limit = min(limit, 8 + int.from_bytes(start[:8], "little"))
    data = (start + file.read(max(0, limit - len(start))))[:limit]
    fitting = rules.all if _EVENTS in name else rules.secrets
    found = [one for form in (data, data.replace(b"\0", b"")) for one in _scan_blocks([form], name, fitting)]
    yield from dict.fromkeys(Finding(name, 0, one.kind, one.shown) for one in found)  # the second form is UTF-16's


def _blocks(file: IO[bytes], start: bytes) -> Iterator[bytes]:
    """The file in blocks; the NULs of UTF-16 are dropped, so that its ASCII reads as such."""
    yield start.replace(b"\0", b"")
    while block := file.read(BLOCK_BYTES):
        yield block.replace(b"\0", b"")


def _scan_blocks(blocks: Iterable[bytes], name: str, rules: tuple[Rule, ...]) -> list[Finding]:
    """Findings in a text that comes in blocks; what straddles two of them is seen in the overlap."""
    found: dict[tuple[str, int], Finding] = {}
    tail, offset, line = b"", 0, 1
    for block in chain(blocks, (b"",)):
        window = tail + block
        for kind, start, end, text in _matches(window, rules):
            # What touches an edge inside the file may be part of something longer, which another window shows whole.
            if not (offset and start == 0) and not (block and end == len(window)):
                where = line + window.count(b"\n", 0, start)
                found[kind, offset + start] = Finding(name, where, kind, mask(text.decode("utf-8", "replace")))
        keep = max(0, len(window) - OVERLAP_BYTES)
        line += window.count(b"\n", 0, keep)
        offset += keep
        tail = window[keep:]
    return [found[key] for key in sorted(found, key=lambda key: key[1])]


def _matches(window: bytes, rules: tuple[Rule, ...]) -> Iterator[tuple[str, int, int, bytes]]:
    """Kind, start, end and text of what the rules find in a window."""
    for rule in rules:
        if any(needle in window for needle in rule.needles):
            for match in rule.pattern.finditer(window):
                text = match[match.lastindex or 0]
                if not (rule.harmless and rule.harmless.fullmatch(text)):
                    yield rule.kind, *match.span(), text


def _scan_archive(file: Path | IO[bytes], name: str, rules: _Rules, depth: int = 0) -> Iterator[Finding]:
    """Each member of a zip file (a wheel is one) as if it lay in the folder, archives in archives too."""
    with zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            content, inside = archive.read(member), f"{name}!{member}"
            yield from _scan_stream(io.BytesIO(content), inside, rules)
            if depth < MAX_NESTED_ARCHIVES and zipfile.is_zipfile(io.BytesIO(content)):
                yield from _scan_archive(io.BytesIO(content), inside, rules, depth + 1)


def _scan_parquet(path: Path, name: str, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    """Text of every column, nested ones included, and of the schema; a finding's line is the row, counted from 1."""
    import pyarrow.parquet as pq

    file, first_row = pq.ParquetFile(path), 1
    schema = file.schema_arrow.to_string(truncate_metadata=False, show_schema_metadata=True).encode()
    told = [*(file.schema_arrow.metadata or {}).values(), *(file.metadata.metadata or {}).values()]
    for finding in _scan_blocks([b"\n".join((schema, *told))], name, rules):
        yield Finding(f"{name}#schema", 0, finding.kind, finding.shown)
    for batch in file.iter_batches(batch_size=10_000):
        for column, values in zip(batch.schema.names, batch.columns, strict=True):
            for text in _texts(values):
                for kind, _, _, value in _matches(text, rules):
                    row = first_row + _row(values, value)
                    yield Finding(f"{name}#{column}", row, kind, mask(value.decode("utf-8", "replace")))
        first_row += batch.num_rows


def _texts(values: pa.Array) -> Iterator[bytes]:
    """The texts of an Arrow array joined by line ends, those inside lists and structs too."""
    import pyarrow as pa

    if isinstance(values, pa.DictionaryArray):
        yield from _texts(values.dictionary)
    elif isinstance(values, pa.MapArray):
        yield from _texts(values.keys)
        yield from _texts(values.items)
    elif isinstance(values, pa.StructArray):
        for field in values.flatten():
            yield from _texts(field)
    elif isinstance(values, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        yield from _texts(values.flatten())
    elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        yield "\n".join(text for text in values.to_pylist() if text).encode()
    elif pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        yield b"\n".join(content for content in values.to_pylist() if content)


def _row(values: pa.Array, text: bytes) -> int:
    """Index of the first row that holds a text."""
    wanted = text.decode("utf-8", "replace")
    return next((row for row, value in enumerate(values.to_pylist()) if wanted in str(value)), 0)
