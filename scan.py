"""Look for what must not become public in a folder that is about to be uploaded.

Secrets (access tokens, private keys, passwords) are looked for in every file and in its name; personal traces (e-mail
addresses, paths of one computer) where people write texts, in parquet columns and in TensorBoard events. The Hub has a
scanner of its own, but it speaks after the push, when a secret has to be counted as leaked. What is looked for:
``scan_rules``; where: ``scan_contents``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import HubError
from .scan_contents import BLOCK_BYTES, OVERLAP_BYTES, Unreadable, pieces
from .scan_rules import EMAIL, SECRETS, Rule, literal_rule, personal_rules

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["BLOCK_BYTES", "Finding", "mask", "refuse", "scan"]
SHOWN_FINDINGS = 5
_clean: dict[tuple[int, int, int, int, str], frozenset[Rule]] = {}
# A tokenizer's vocabulary is made of fragments of other people's text: only whole secrets are meant there.
_VOCABULARY = ("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt")
# Characters written as an escape of JSON, of C, of a URL or of HTML; only those that a secret may hold.
_ESCAPE = re.compile(
    rb"\\\\?u00([2-7][0-9A-Fa-f])|\\\\?x([2-7][0-9A-Fa-f])|%([2-7][0-9A-Fa-f])|&#x([2-7][0-9A-Fa-f]);"
    rb"|&#([3-9]\d|1[01]\d);"
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{32,}")
_MAX_BASE64 = 1 << 16
_LONG_WORDS = re.compile(rb"[A-Za-z0-9_.\-/+=~%$:@?&\\]{16,}")  # no secret with a form of its own is shorter
ROWS_AT_ONCE = 1_000
_HOLDS_TEXT = re.compile("str|binary|dictionary|extension|union|json|large|map")  # in the name of an Arrow type
_SPAN = tuple[int, int]


@dataclass(frozen=True)
class Finding:
    """``path`` relative to the scanned folder, ``line`` (row in a parquet file, 0 in a binary one) and what
    was found: its ``kind`` and ``shown``, the first four characters and the length, never the text itself."""

    path: str
    line: int
    kind: str
    shown: str

    digest: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind} ({self.shown})"

    @property
    def key(self) -> str:
        """How this finding, and no other text at its place, is let through: ``FILE:LINE#HASH``."""
        return f"{self.path}:{self.line}#{self.digest}"


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
    published, and keys of findings that are false alarms; what is ``private`` cannot be allowed.
    Text is read in blocks, so a file's size does not matter; of other files the first 16 MiB are looked at
    for secrets, of safetensors the header, of archives each member, of parquet every text column.
    """
    own = tuple(literal_rule(kind, text) for kind, text in (private or {}).items() if text)
    rules = _Rules((*own, *SECRETS), personal_rules(allowed))
    found: list[Finding] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if names is None or name in names:
            found += _scan_unless_clean(path, name, rules)
    return [one for one in found if one.kind in (private or {}) or one.key not in allowed]


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


def refuse(findings: list[Finding], allow: bool = False) -> None:
    """Raise ``HubError`` naming the first findings, masked, unless there are none. ``allow``: the caller has options by
    which an e-mail address, or what is no secret after all, is let through."""
    if findings:
        shown = "; ".join(map(str, findings[:SHOWN_FINDINGS]))
        more = len(findings) - SHOWN_FINDINGS
        rest = f"; and {more} more" if more > 0 else ""
        fix = f"remove it and retry{_ways(findings) if allow else ''}"
        raise HubError(f"nothing was uploaded, because it would make this public: {shown}{rest}; {fix}")


def _ways(findings: list[Finding]) -> str:
    """The options that let the findings shown through."""
    if all(finding.kind == EMAIL.kind for finding in findings):
        return ", or pass --allow-email ADDRESS if whoever it belongs to wants it there"
    keys = " ".join(f"--allow-finding '{finding.key}'" for finding in findings[:SHOWN_FINDINGS])
    return f", or, where it is no secret, pass {keys}"


def mask(text: str) -> str:
    """The first four characters and the length.

    >>> mask("abcdefgh")
    'abcd..., 8 characters'
    """
    return f"{text[:4]}..., {len(text)} characters"


def _scan_file(path: Path, name: str, rules: _Rules) -> Iterator[Finding]:
    """Findings of a file by its name and content: text in full, of anything else what can be read in it."""
    for one in _scan_blocks([name.encode("utf-8", "replace")], name, rules.secrets):
        yield Finding(name[:4] + "...", 0, f"{one.kind} in a file's name", one.shown, one.digest)
    if path.suffix == ".parquet":
        yield from _scan_parquet(path, name, rules.all)
        return
    try:
        for piece in pieces(path, name):
            people = piece.is_text and Path(name).name not in _VOCABULARY
            found = _scan_blocks(piece.blocks, piece.name, rules.all if people else rules.secrets)
            binary = not piece.is_text or "tfevents" in name
            yield from dict.fromkeys(replace(one, line=0) for one in found) if binary else found
    except Unreadable as error:
        yield Finding(name, 0, "what cannot be looked into", str(error), _digest(str(error).encode()))


def _finding(name: str, line: int, kind: str, text: bytes) -> Finding:
    return Finding(name, line, kind, mask(text.decode("utf-8", "replace")), _digest(text))


def _digest(text: bytes) -> str:
    """Enough to tell a text from another, too little to guess it from: 12 hexadecimal digits."""
    return hashlib.sha256(b"countdown-r1 finding\0" + text).hexdigest()[:12]


def _scan_blocks(blocks: Iterable[bytes], name: str, rules: tuple[Rule, ...]) -> list[Finding]:
    """Findings in a text that comes in blocks; what straddles two of them is seen in the overlap."""
    found: dict[_SPAN, Finding] = {}
    written: dict[tuple[str, str], Finding] = {}  # in another writing, whose places are only about right
    tail, offset, line = b"", 0, 1
    for block in chain(blocks, (b"",)):
        window = tail + block
        for kind, (start, end), text in _matches(window, rules):
            # What touches an edge inside the file may be part of something longer, which another window shows whole.
            if not (offset and start == 0) and not (block and end == len(window)):
                where = line + window.count(b"\n", 0, start)
                found[offset + start, offset + end] = _finding(name, where, kind, text)
        for plain in _other_writings(window):
            for kind, (start, _), text in _matches(plain, rules):
                one = _finding(name, line + plain.count(b"\n", 0, start), kind, text)
                written.setdefault((one.kind, one.digest), one)
        keep = max(0, len(window) - OVERLAP_BYTES)
        line += window.count(b"\n", 0, keep)
        offset += keep
        tail = window[keep:]
    plain_ones = [found[span] for span in sorted(found)]
    known = {(one.kind, one.digest) for one in plain_ones}
    return plain_ones + [one for key, one in written.items() if key not in known]


def _other_writings(window: bytes) -> Iterator[bytes]:
    """The same text without escapes, and what its base64 says; each only where there is any."""
    unescaped = _ESCAPE.sub(_character, window) if re.search(rb"\\[ux]|%[2-7]|&#", window) else window
    if unescaped != window:
        yield unescaped
    said = [text for run in _BASE64.finditer(unescaped) if (text := _decoded(run.group()[:_MAX_BASE64]))]
    if said:
        yield b"\n".join(said)


def _character(found: re.Match[bytes]) -> bytes:
    hexadecimal = next((found[group] for group in range(1, 5) if found[group]), None)
    return bytes([int(hexadecimal, 16) if hexadecimal else int(found[5])])


def _decoded(run: bytes) -> bytes | None:
    """What a run of base64 says when that is text, else None."""
    head = base64.b64decode(run[:32].translate(_URL_SAFE))
    if sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head) < len(head):
        return None
    return base64.b64decode(run[: len(run) // 4 * 4].translate(_URL_SAFE)).replace(b"\0", b"")


_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _matches(window: bytes, rules: tuple[Rule, ...]) -> Iterator[tuple[str, _SPAN, bytes]]:
    """Kind, place and text of what the rules find in a window; of two that overlap the earlier rule's."""
    runs = [(run.start(), run.group()) for run in _LONG_WORDS.finditer(window)]
    words = b"\n".join(word for _, word in runs)
    begins = list(accumulate((len(word) + 1 for _, word in runs), initial=0))
    folded, folded_words = window.lower(), words.lower()
    taken: list[_SPAN] = []
    for rule in rules:
        for at, until, text in rule.find(*(words, folded_words) if rule.token else (window, folded)):
            run = bisect_right(begins, at) - 1
            shift = runs[run][0] - begins[run] if rule.token else 0
            span = start, end = at + shift, until + shift
            if not any(start < stop and begin < end for begin, stop in taken):
                taken.append(span)
                yield rule.kind, span, text


def _scan_parquet(path: Path, name: str, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    """Text of every column, nested ones included, and of the schema; a finding's line is the row, counted from 1."""
    import pyarrow.parquet as pq

    file, first_row = pq.ParquetFile(path), 1
    schema = file.schema_arrow.to_string(truncate_metadata=False, show_schema_metadata=True).encode()
    told = [*(file.schema_arrow.metadata or {}).values(), *(file.metadata.metadata or {}).values()]
    for finding in _scan_blocks([b"\n".join((schema, *told))], name, rules):
        yield replace(finding, path=f"{name}#schema", line=0)
    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
        for column, values in zip(batch.schema.names, batch.columns, strict=True):
            if _HOLDS_TEXT.search(str(values.type)):
                for row, one in _scan_column(values, f"{name}#{column}", rules):
                    yield replace(one, line=first_row + row)
        first_row += batch.num_rows


def _scan_column(values: pa.Array, name: str, rules: tuple[Rule, ...]) -> Iterator[tuple[int, Finding]]:
    """Findings with their rows; the rows are looked at one by one only when there is something to find in them all."""
    rows = [b"\n".join(_texts(value)) for value in values.to_pylist()]
    everything = [*rows, *_texts(values.dictionary.to_pylist())] if hasattr(values, "dictionary") else rows
    unplaced = {one.digest: one for one in _scan_blocks([b"\n".join(everything)], name, rules)}
    for row, text in enumerate(rows if unplaced else ()):
        for one in _scan_blocks([text], name, rules):
            unplaced.pop(one.digest, None)
            yield row, one
    yield from ((0, one) for one in unplaced.values())  # in a dictionary's unused value, or across rows


def _texts(value: Any) -> Iterator[bytes]:
    """Every text in a value of a row, whatever it is nested in; keys of structs are in the schema."""
    if isinstance(value, str):
        yield value.encode("utf-8", "replace")
    elif isinstance(value, bytes):
        yield value.replace(b"\0", b"")
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(_texts(inner) for inner in value.values())
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(map(_texts, value))
