"""Puzzles that exist already: a Hub id, or a parquet, JSON or CSV file with ``nums`` and ``target``.

Every row is proven with the solver. What cannot be used is left out and reported with its row number: rows
count from 1, a CSV header is not one, and in JSON lines a row's number is its line's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from ..errors import InputError
from ..game.labels import Label, label_all
from ..game.puzzle import MAX_NUMBERS, Puzzle
from ..game.split import split_of
from .generate import Rows
from .records import Record, Refused, read_records, shown

_WHOLE = re.compile(r"\s*(-?[0-9]{1,15})(?:\.0*)?\s*", re.ASCII)
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


def read_source(source: str, limit: int | None = None) -> Source:
    """Proven puzzles of a file or of a Hub dataset (``namespace/name`` or ``namespace/name@revision``).

    With ``limit`` reading ends after so many good rows. Raises ``InputError`` when the source cannot be read or
    no row of it can be used, ``HubError`` when the Hub does not give it.
    """
    rejected: list[Rejected] = []
    rows: list[tuple[int, Puzzle, Label]] = []
    for piece in _pieces(_puzzles(read_records(source), rejected)):
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
    except Refused as refused:
        raise InputError(refused.detail) from None


def _parse(nums: object, target: object) -> Puzzle:
    values = tuple(_whole(value, "nums holds") for value in _listed(nums))
    goal = _whole(target, "the target is")
    try:
        return Puzzle(values, goal)
    except InputError as error:
        raise Refused("out of range", str(error)) from None


def _listed(nums: object) -> Sequence[object]:
    if isinstance(nums, np.ndarray):
        nums = nums.tolist()
    if isinstance(nums, str):
        text = nums.strip()
        if len(text) > _MAX_NUMS_CHARS:
            raise Refused("malformed", f"nums is a text of {len(text):,} characters")
        text = text[1:-1] if text[:1] + text[-1:] in {"[]", "()"} else text
        nums = [part for part in re.split(r"[\s,;]+", text) if part]
    if not isinstance(nums, (list, tuple)):
        raise Refused("malformed", "nums is missing" if nums is None else f"nums is {shown(nums)}, not a list")
    if not 1 <= len(nums) <= MAX_NUMBERS:
        raise Refused("out of range", f"a puzzle has 1 to {MAX_NUMBERS} numbers, got {len(nums):,}")
    return nums


def _whole(value: object, what: str) -> int:
    """The whole number that ``value`` is or spells."""
    if type(value) is int:
        return _within(value, what)
    if isinstance(value, (bool, np.bool_)) or value is None:
        raise Refused("malformed", f"{what} {shown(value)}, which is not a whole number")
    if isinstance(value, Integral):
        return _within(int(value), what)
    if isinstance(value, Real) and float(value).is_integer():
        return _within(int(float(value)), what)
    if isinstance(value, str) and (match := _WHOLE.fullmatch(value)):
        return int(match[1])
    raise Refused("malformed", f"{what} {shown(value)}, which is not a whole number")


def _within(number: int, what: str) -> int:
    if abs(number) >= 10**15:
        raise Refused("out of range", f"{what} a number of more than 15 digits")
    return number


def _shown(puzzle: Puzzle) -> str:
    return f"{puzzle.target} from {', '.join(map(str, puzzle.nums))}"


def _puzzles(records: Iterator[Record], rejected: list[Rejected]) -> Iterator[tuple[int, Puzzle]]:
    """Row numbers and puzzles of well-formed rows, each puzzle once; the others go to ``rejected``."""
    seen: dict[tuple[tuple[int, ...], int], int] = {}
    for number, record in records:
        try:
            if isinstance(record, Refused):
                raise record
            puzzle = _parse(record.get("nums"), record.get("target"))
            key = tuple(sorted(puzzle.nums)), puzzle.target
            if key in seen:
                raise Refused("duplicate", f"{_shown(puzzle)} is the puzzle of row {seen[key]}")
        except Refused as refused:
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
