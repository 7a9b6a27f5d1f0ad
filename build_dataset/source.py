"""Puzzles that exist already: a Hub id, or a parquet, JSON or CSV file with ``nums`` and ``target``.

Every row is proven with the solver. What cannot be used is left out and reported with its row number: rows
count from 1, a CSV header is not one, and in JSON lines a row's number is its line's.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import HubError, InputError
from ..game.labels import Label, label_all
from ..game.puzzle import MAX_NUMBERS, Puzzle
from ..game.split import split_of
from .generate import Rows

SUFFIXES = (".parquet", ".json", ".jsonl", ".ndjson", ".csv")
HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
_WHOLE = re.compile(r"\s*(-?[0-9]{1,15})(?:\.0*)?\s*", re.ASCII)
_MAX_LINE_CHARS = 1_000_000
_MAX_NUMS_CHARS = 200
_LABELLED_AT_ONCE = 100_000


@dataclass(frozen=True)
class Rejected:
    """A row that was left out: ``reason`` is one of a few, ``detail`` says what exactly."""

    row: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Source:
    """Rows that were proven, in the order of the source, and those that were left out of the ``read`` ones."""

    rows: Rows
    rejected: list[Rejected]
    read: int

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows were left out for which reason, the most frequent first."""
        return dict(Counter(one.reason for one in self.rejected).most_common())


class _Refused(Exception):
    """Internal: a row cannot be used, for ``reason`` with ``detail``."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail if len(detail) <= 200 else detail[:197] + "..."


_Record = tuple[int, Mapping[str, Any] | _Refused]


def read_source(source: str, limit: int | None = None) -> Source:
    """Proven puzzles of a file or of a Hub dataset (``namespace/name`` or ``namespace/name@revision``).

    With ``limit`` reading ends after so many good rows. Raises ``InputError`` when the source cannot be read or
    no row of it can be used, ``HubError`` when the Hub does not give it.
    """
    rejected: list[Rejected] = []
    rows: list[tuple[int, Puzzle, Label]] = []
    for piece in _pieces(_puzzles(_records(source), rejected)):
        labels = label_all([puzzle for _, puzzle in piece])
        for (number, puzzle), label in zip(piece, labels, strict=True):
            if label is None:
                rejected.append(Rejected(number, "no solution", f"{_shown(puzzle)} cannot be made"))
            else:
                rows.append((number, puzzle, label))
        if limit is not None and len(rows) >= limit:
            rows = rows[:limit]
            rejected = [one for one in rejected if one.row < rows[-1][0]]
            break
    rejected = sorted(rejected, key=lambda one: one.row)
    if not rows:
        first = f"; row {rejected[0].row}: {rejected[0].detail}" if rejected else ""
        raise InputError(f"{source}: none of its {len(rejected)} rows can be used{first}")
    return Source(_columns([row[1:] for row in rows]), rejected, len(rows) + len(rejected))


def parse_puzzle(nums: object, target: object) -> Puzzle:
    """A puzzle out of raw values: whole numbers as int, float, numpy or text; ``nums`` a list or a text of one.

    Raises ``InputError`` for anything else.

    >>> parse_puzzle("[1, 2.0, 3]", "6")
    Puzzle(nums=(1, 2, 3), target=6)
    """
    try:
        return _parse(nums, target)
    except _Refused as refused:
        raise InputError(refused.detail) from None


def _parse(nums: object, target: object) -> Puzzle:
    values = tuple(_whole(value, "nums holds") for value in _listed(nums))
    goal = _whole(target, "the target is")
    try:
        return Puzzle(values, goal)
    except InputError as error:
        raise _Refused("out of range", str(error)) from None


def _listed(nums: object) -> Sequence[object]:
    if isinstance(nums, np.ndarray):
        nums = nums.tolist()
    if isinstance(nums, str):
        text = nums.strip()
        if len(text) > _MAX_NUMS_CHARS:
            raise _Refused("malformed", f"nums is a text of {len(text):,} characters")
        text = text[1:-1] if text[:1] + text[-1:] in {"[]", "()"} else text
        nums = [part for part in re.split(r"[\s,;]+", text) if part]
    if not isinstance(nums, (list, tuple)):
        raise _Refused("malformed", "nums is missing" if nums is None else f"nums is {_cut(nums)}, not a list")
    if not 1 <= len(nums) <= MAX_NUMBERS:
        raise _Refused("out of range", f"a puzzle has 1 to {MAX_NUMBERS} numbers, got {len(nums):,}")
    return nums


def _whole(value: object, what: str) -> int:
    """The whole number that ``value`` is or spells."""
    if isinstance(value, (bool, np.bool_)) or value is None:
        raise _Refused("malformed", f"{what} {_cut(value)}, which is not a whole number")
    if isinstance(value, Integral):
        return _within(int(value), what)
    if isinstance(value, Real) and math.isfinite(value) and float(value).is_integer():
        return _within(int(value), what)
    if isinstance(value, str) and (match := _WHOLE.fullmatch(value)):
        return int(match[1])
    raise _Refused("malformed", f"{what} {_cut(value)}, which is not a whole number")


def _within(number: int, what: str) -> int:
    if abs(number) >= 10**15:
        raise _Refused("out of range", f"{what} a number of more than 15 digits")
    return number


def _cut(value: object) -> str:
    """A raw value for a message: on one line, without control characters, short."""
    text = repr(value[:60]) if isinstance(value, str) else f"a {type(value).__name__}"
    return text if isinstance(value, str) else repr(value) if isinstance(value, (bool, float)) else text


def _shown(puzzle: Puzzle) -> str:
    return f"{puzzle.target} from {', '.join(map(str, puzzle.nums))}"


def _puzzles(records: Iterator[_Record], rejected: list[Rejected]) -> Iterator[tuple[int, Puzzle]]:
    """Row numbers and puzzles of well-formed rows, each puzzle once; the others go to ``rejected``."""
    seen: dict[tuple[tuple[int, ...], int], int] = {}
    for number, record in records:
        try:
            if isinstance(record, _Refused):
                raise record
            puzzle = _parse(record.get("nums"), record.get("target"))
            key = tuple(sorted(puzzle.nums)), puzzle.target
            if key in seen:
                raise _Refused("duplicate", f"{_shown(puzzle)} is the puzzle of row {seen[key]}")
        except _Refused as refused:
            rejected.append(Rejected(number, refused.reason, refused.detail))
        else:
            seen[key] = number
            yield number, puzzle


def _pieces(puzzles: Iterator[tuple[int, Puzzle]]) -> Iterator[list[tuple[int, Puzzle]]]:
    piece: list[tuple[int, Puzzle]] = []
    for one in puzzles:
        piece.append(one)
        if len(piece) == _LABELLED_AT_ONCE:
            yield piece
            piece = []
    yield piece


def _columns(rows: list[tuple[Puzzle, Label]]) -> Rows:
    return Rows(
        nums=[list(puzzle.nums) for puzzle, _ in rows],
        target=[puzzle.target for puzzle, _ in rows],
        n_solutions=[label.n_solutions for _, label in rows],
        level=[label.level for _, label in rows],
        easiest_solution=[label.easiest_solution for _, label in rows],
        split=[split_of(puzzle.nums) for puzzle, _ in rows],
    )


def _records(source: str) -> Iterator[_Record]:
    """Numbered raw rows of a file or a Hub dataset."""
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{source} is a folder; name one file in it ({', '.join(SUFFIXES)})")
    if path.is_file():
        return _file_records(path)
    match = HUB_ID.fullmatch(source)
    if path.suffix.lower() in SUFFIXES or match is None:
        raise InputError(f"{source} does not exist; give a file ({', '.join(SUFFIXES)}) or a Hub id (namespace/name)")
    return _hub_records(match[1], match[2])


def _file_records(path: Path) -> Iterator[_Record]:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path} is not a file this can read; it reads {', '.join(SUFFIXES)}")
    if not path.stat().st_size:
        raise InputError(f"{path} is empty")
    if suffix == ".parquet":
        return _parquet_records(path)
    return _csv_records(path) if suffix == ".csv" else _json_records(path)


def _parquet_records(path: Path) -> Iterator[_Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _require_columns(file.schema_arrow.names, str(path))
            number = 0
            for batch in file.iter_batches(columns=["nums", "target"]):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a readable parquet file ({str(error).splitlines()[0][:200]})") from error


def _csv_records(path: Path) -> Iterator[_Record]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.DictReader(file)
            _require_columns(reader.fieldnames or (), str(path))
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not a CSV file in UTF-8 ({error})") from error
        number = 0
        while True:
            number += 1
            try:
                record = next(reader, None)
            except UnicodeDecodeError as error:
                raise InputError(f"{path} is not a CSV file in UTF-8 ({error})") from error
            except csv.Error as error:
                yield number, _Refused("malformed", f"not a CSV row: {error}")
                continue
            if record is None:
                return
            if None in record:
                yield number, _Refused("malformed", "more fields than the header; a list needs quotes around it")
            else:
                yield number, record


def _json_records(path: Path) -> Iterator[_Record]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = next((line for line in file if line.strip()), "")
            file.seek(0)
            if first.lstrip().startswith("["):
                yield from _json_list(file.read(), path)
            else:
                yield from _json_lines(file)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not JSON in UTF-8 ({error})") from error


def _json_list(text: str, path: Path) -> Iterator[_Record]:
    try:
        values = json.loads(text, parse_int=_json_int)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error})") from error
    for number, value in enumerate(values, 1):
        yield number, _json_record(value)


def _json_lines(lines: Iterator[str]) -> Iterator[_Record]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if len(line) > _MAX_LINE_CHARS:
            yield number, _Refused("malformed", f"the line has {len(line):,} characters")
            continue
        try:
            value = json.loads(line, parse_int=_json_int)
        except (ValueError, RecursionError) as error:
            yield number, _Refused("malformed", f"not valid JSON: {error}")
        else:
            yield number, _json_record(value)


def _json_int(digits: str) -> int | str:
    """Python refuses to read more than 4,300 digits; such a number stays a text and fails as one row."""
    return int(digits) if len(digits) <= 40 else digits


def _json_record(value: object) -> Mapping[str, Any] | _Refused:
    if not isinstance(value, dict):
        return _Refused("malformed", f"a row is an object with 'nums' and 'target', got {_cut(value)}")
    return value


def _hub_records(repo_id: str, revision: str | None) -> Iterator[_Record]:
    """Rows of every split of the dataset's default config."""
    import datasets
    from huggingface_hub import constants

    from ..hub_errors import plain_errors

    if constants.ENDPOINT != "https://huggingface.co":
        datasets.config.USE_PARQUET_EXPORT = False  # it would be asked of the public Hub
    with plain_errors(constants.ENDPOINT, f"reading the dataset {repo_id}", "run `hf auth login`"):
        loaded = datasets.load_dataset(repo_id, revision=revision)
    if not isinstance(loaded, datasets.DatasetDict):
        raise HubError(f"{repo_id} has no splits to read")
    for name, split in loaded.items():
        _require_columns(split.column_names, f"{repo_id} ({name})")
    batches = (split.select_columns(["nums", "target"]).iter(batch_size=10_000) for split in loaded.values())
    number = 0
    for batch in chain.from_iterable(batches):
        columns: Mapping[str, list[Any]] = dict(batch)
        for nums, target in zip(columns["nums"], columns["target"], strict=True):
            number += 1
            yield number, {"nums": nums, "target": target}


def _require_columns(found: Sequence[str], where: str) -> None:
    missing = [name for name in ("nums", "target") if name not in found]
    if missing:
        raise InputError(
            f"{where} has no column {' and no column '.join(missing)}; it has {', '.join(found)[:200] or 'none'}"
        )
