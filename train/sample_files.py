"""Rows out of the files that completions are kept in: JSON lines, JSON, CSV and Parquet, each packed by gzip perhaps.

Every container gives the same rows: mappings, whatever their keys, and None for what is damaged.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from .messages import is_turn
from .row_puzzle import NUMBERS
from .sample_fields import has_context, spelt

Row = Mapping[str, Any]
MAX_DEPTH = 4  # of objects around a list of rows


def rows_of(path: Path, notes: Counter[str]) -> Iterator[Row | None]:
    """The rows of a file that is no plain text. Raises ``OSError`` or ``ValueError`` when it cannot be read."""
    kind = kind_of(path)
    if kind == "parquet":
        yield from _parquet(path)
    elif kind in ("csv", "tsv"):
        yield from _table(text_of(path, notes), "\t" if kind == "tsv" else ",")
    else:
        yield from _json_rows(text_of(path, notes), whole_first=kind == "json")


def kind_of(path: Path) -> str:
    """The suffix that says what is in a file, that of gzip aside."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower().lstrip(".")


def text_of(path: Path, notes: Counter[str]) -> str:
    """The text of a file; bytes that are no UTF-8 are replaced and counted."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error) as error:
            raise ValueError(f"gzip cannot unpack it: {error}") from error
    text = data.decode("utf-8-sig", errors="replace")
    replaced = text.count("\ufffd") - data.count("\ufffd".encode())
    notes.update(+Counter({"characters that are not UTF-8 and were replaced": max(replaced, 0)}))
    return text


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(batch_size=1_000):
        yield from batch.to_pylist()


def _table(text: str, delimiter: str) -> Iterator[Row]:
    limit = csv.field_size_limit(max(len(text), csv.field_size_limit()))
    try:
        for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter):
            yield {name: spelt(value) for name, value in row.items() if isinstance(name, str)}
    except csv.Error as error:
        raise ValueError(str(error)) from error
    finally:
        csv.field_size_limit(limit)


def _json_rows(text: str, whole_first: bool) -> Iterator[Row | None]:
    """The rows of one JSON value, which may stand on several lines, or of a line each."""
    lines = (line for line in text.split("\n") if line.strip())
    first = next(lines, "")
    whole = _json(text) if first and (whole_first or _json(first) is None) else None
    if whole is not None:
        yield from _rows_in(whole, MAX_DEPTH)
        return
    for value in (_json(line) for line in chain([first], lines) if line):
        yield from [value] if isinstance(value, Mapping) and has_context(value) else _rows_in(value, MAX_DEPTH - 1)


def _json(text: str) -> Any:
    """The value, None when there is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _rows_in(value: Any, depth: int) -> Iterator[Row | None]:
    """The rows of a value: of a list, of a table of ``columns`` and ``data``, of columns by name, of an object that
    holds lists of rows, or the one row that it is itself."""
    if isinstance(value, list):
        for one in value:
            yield one if isinstance(one, Mapping) else None
        return
    if not isinstance(value, Mapping):
        yield None
        return
    columns, data = value.get("columns"), value.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        yield from (dict(zip(map(str, columns), row, strict=False)) for row in data if isinstance(row, list))
    elif depth == MAX_DEPTH and _are_columns(value):
        yield from (dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True))
    elif depth and not has_context(value) and (inner := [one for one in value.values() if _are_rows(one)]):
        yield from (found for rows in inner for row in rows for found in _rows_in(row, depth - 1))
    else:
        yield value


def _are_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping) and not is_turn(value[0])


def _are_columns(value: Row) -> bool:
    """Whether an object is a table by columns: lists of one length that are no chat, rows or puzzle's numbers."""
    lists = [one for one in value.values() if isinstance(one, list) and one]
    if not lists or len(lists) < len(value) or len(set(map(len, lists))) > 1 or all(map(_are_rows, lists)):
        return False
    numbers = any(isinstance(one, int | float) for name in NUMBERS for one in value.get(name, [])[:1])
    return not numbers and not any(is_turn(one[0]) for one in lists)
