"""Rows of JSON and CSV files, one by one, nothing believed about them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from ..errors import InputError
from .files import kind_of, open_text
from .keys import has_puzzle, require_names, role_of
from .raw import Refused, shown

Record = tuple[int, Mapping[str, Any] | Refused]
_MAX_LINE_CHARS = 1_000_000
_DELIMITERS = ",;\t"
_SPACE = re.compile(r"\s*")
_SPLIT = re.compile(r"train(?:ing)?|val(?:id|idation)?|dev|test(?:ing)?|eval(?:uation)?", re.IGNORECASE)


def csv_records(path: Path) -> Iterator[Record]:
    """Rows of a CSV file by the names in its first line, counted from 1 without that."""
    with open_text(path, "a CSV file") as file:
        try:
            reader = _csv_reader(file)
            require_names(reader.fieldnames or (), str(path))
        except csv.Error as error:
            raise InputError(f"{path} is not a CSV file in UTF-8 ({error})") from error
        number = 0
        while True:
            number += 1
            try:
                record = next(reader, None)
            except csv.Error as error:
                yield number, Refused("malformed", f"not a CSV row: {error}")
                continue
            if record is None:
                return
            if None in record:
                yield number, Refused("malformed", "more fields than the header; a list needs quotes around it")
            else:
                yield number, record


def _csv_reader(file: TextIO) -> csv.DictReader[str]:
    """A reader whose header holds a wanted name: fields may be separated by commas, semicolons or tabs."""
    line = file.readline()
    file.seek(0)
    for delimiter in _DELIMITERS:
        if any(role_of(name) for name in next(csv.reader([line], delimiter=delimiter), [])):
            return csv.DictReader(file, delimiter=delimiter)
    return csv.DictReader(file)


def json_records(path: Path) -> Iterator[Record]:
    """Rows of a file of JSON lines, numbered by line, or of a JSON document, numbered in their order."""
    with open_text(path, "JSON") as file:
        by_line = _is_lines(file, kind_of(path) in (".jsonl", ".ndjson"))
        file.seek(0)
        yield from _json_lines(file) if by_line else _json_document(file.read(), path)


def _is_lines(file: TextIO, told: bool) -> bool:
    """Whether each line is a value by itself: by the first two, and by what the file's name has ``told``."""
    first, second = [*islice((line for line in file if line.strip()), 2), "", ""][:2]
    if first.lstrip().startswith("["):
        return False
    if not second:
        return told and _is_row_or_broken(first)
    return _is_object(first) or (first.rstrip()[-1:] not in "{[,:" and (told or _is_object(second)))


def _is_row_or_broken(only: str) -> bool:
    """Whether the only line of a file is one row, or nothing that rows could be found in."""
    value = _value(only)
    try:
        return isinstance(value, Refused) or _rows_in(value) == [value]
    except Refused:
        return True


def _is_object(line: str) -> bool:
    return isinstance(_value(line), dict)


def _json_lines(lines: Iterable[str]) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            value = _value(line)
            yield number, value if isinstance(value, Refused) else _json_record(value)


def _value(line: str) -> object:
    """What a line says, ``Refused`` where that is nothing."""
    if len(line) > _MAX_LINE_CHARS:
        return Refused("malformed", f"the line has {len(line):,} characters")
    try:
        return _DECODER.decode(line)
    except (ValueError, RecursionError) as error:
        return Refused("malformed", f"not valid JSON: {error}")


def _json_int(digits: str) -> int | str:
    """Python refuses to read more than 4,300 digits; such a number stays a text and fails as one row."""
    return int(digits) if len(digits) <= 40 else digits


def _json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {shown(next(name for name in names if names.count(name) > 1))} is there twice")
    return found


_DECODER = json.JSONDecoder(parse_int=_json_int, object_pairs_hook=_json_object)


def _json_record(value: object) -> Mapping[str, Any] | Refused:
    if not isinstance(value, dict):
        return Refused("malformed", f"a row is an object with 'nums' and 'target', got {shown(value)}")
    return value


def _json_document(text: str, path: Path) -> Iterator[Record]:
    """Rows of one JSON value, or of several on end."""
    values: list[object] = []
    place = 0
    try:
        while (place := _after_space(text, place)) < len(text):
            value, place = _DECODER.raw_decode(text, place)
            values.append(value)
        rows = _rows_in(values[0]) if len(values) == 1 else values
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error})") from error
    except Refused as refused:
        raise InputError(f"{path} {refused.detail}") from None
    for number, row in enumerate(rows, 1):
        yield number, row if isinstance(row, Refused) else _json_record(row)


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _rows_in(value: object) -> Iterable[object]:
    """The rows of a document: a list, one row, columns by name, a W&B or pandas table, or lists by split.

    Raises ``Refused`` that names the keys of anything else.
    """
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise Refused("malformed", f"is {shown(value)}, not a list of rows with 'nums' and 'target'")
    for rows in (_table_rows, _column_rows, _own_row, _listed_rows):
        found = rows(value)
        if found is not None:
            return found
    names = ", ".join(name if name.isprintable() else repr(name) for name in value)[:80] or "none"
    wanted = "a list of rows is wanted, each with 'nums' and 'target'"
    raise Refused("malformed", f"is a JSON object with keys {names}; {wanted}")


def _table_rows(value: Mapping[str, Any]) -> Iterable[object] | None:
    """``{"columns": [names], "data": [[values]]}``, as W&B and pandas write tables."""
    names, rows = value.get("columns"), value.get("data")
    if not (isinstance(names, list) and isinstance(rows, list) and all(isinstance(name, str) for name in names)):
        return None
    if len(set(names)) < len(names):
        raise Refused("malformed", f"is a table with a column twice: {', '.join(names)}")
    wrong = Refused("malformed", f"a row has {len(names)} values, one for each column")
    return (
        dict(zip(names, row, strict=True)) if isinstance(row, list) and len(row) == len(names) else wrong
        for row in rows
    )


def _column_rows(value: Mapping[str, Any]) -> Iterable[object] | None:
    """``{"nums": [[...], ...], "target": [...]}``, or with an object by row number in place of each list."""
    columns = {name: _cells(column) for name, column in value.items() if isinstance(column, (list, dict))}
    if {"target", "nums"} - {role_of(name) for name in columns}:
        return None
    lengths = {len(column) for name, column in columns.items() if role_of(name)}
    if len(lengths) > 1 or len({tuple(its) for name, its in value.items() if role_of(name) and type(its) is dict}) > 1:
        raise Refused("malformed", f"has columns of different rows ({', '.join(map(str, sorted(lengths)))} of them)")
    whole = {name: column for name, column in columns.items() if len(column) in lengths}
    return (dict(zip(whole, cells, strict=True)) for cells in zip(*whole.values(), strict=True))


def _cells(column: list[Any] | dict[str, Any]) -> list[Any]:
    return column if isinstance(column, list) else list(column.values())


def _own_row(value: Mapping[str, Any]) -> Iterable[object] | None:
    return [value] if has_puzzle(value) else None


def _listed_rows(value: Mapping[str, Any]) -> Iterable[object] | None:
    """The one list of rows that it holds, or those of several splits; rows by number."""
    found = {name: rows for name, rows in ((name, _inner(its)) for name, its in value.items()) if rows is not None}
    whole = {name: rows for name, rows in found.items() if any(map(_is_puzzle, islice(rows, 100)))} or found
    if len(whole) == 1 or (whole and all(_SPLIT.fullmatch(name) for name in whole)):
        return chain.from_iterable(whole.values())
    return list(value.values()) if value and all(map(_is_puzzle, value.values())) else None


def _inner(value: object) -> list[Any] | None:
    if isinstance(value, list) and any(isinstance(row, dict) for row in value[:100]):
        return value
    if not isinstance(value, dict):
        return None
    rows = _table_rows(value) or _column_rows(value)
    return None if rows is None else list(rows)


def _is_puzzle(row: object) -> bool:
    return isinstance(row, dict) and has_puzzle(row)
