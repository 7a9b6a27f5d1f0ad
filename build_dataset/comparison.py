"""A config's columns against what they must be: the prompts of a template, the puzzles of another config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from .prompt import Template, chatml_column, messages_column
from .raw import shown
from .report import Findings, Mask
from .schema import BARE, CHATML, schema
from .tables import Table, batches

pc: Any = compute  # its functions are made when it is imported, unseen by type checkers
_ROWS = 16_384
"""Rows compared at once: some 15 MB of prompts."""


@dataclass(frozen=True)
class Comparison:
    """Compare ``table`` with ``lead`` row by row (None: it is one) and its prompts with ``template`` (None: do not)."""

    table: Table
    lead: Table | None
    template: Template | None


@dataclass
class Compared:
    """What a comparison found; of the ``prompts`` that it compared ``equal`` are their template's."""

    comparison: Comparison
    findings: Findings = field(default_factory=Findings)
    prompts: int = 0
    equal: int = 0

    def add(self, start: int, kind: str, bad: Mask, what: Callable[[int], str]) -> None:
        """A problem of each row after ``start`` rows where ``bad`` is true."""
        rows = range(start + 1, start + 1 + len(bad))
        self.findings.add_where(self.comparison.table.name, kind, bad, rows, what)


def compare(comparison: Comparison, advance: Callable[[int], None]) -> Compared:
    """Every row of a table: its prompt against its template, its puzzle against the same row of the lead."""
    its, start = Compared(comparison), 0
    for mine, other in _in_step(comparison, its.findings):
        if comparison.template is not None:
            _compare_prompts(mine, comparison.template, its, start)
        if comparison.lead is not None and other is not None:
            _compare_puzzles(mine, other, comparison.lead.name, its, start)
        start += mine.num_rows
        advance(mine.num_rows)
    return its


def _in_step(comparison: Comparison, findings: Findings) -> Iterator[tuple[pa.Table, pa.Table | None]]:
    """The same rows of both, as far as both go."""
    table, lead = comparison.table, comparison.lead
    mine = [field.name for field in schema(table.config) if table.has(field.name, field.type)]
    if lead is None:
        return zip(batches(table, mine, _ROWS, Findings()), repeat(None))  # proving tells what cannot be read
    shared = [field.name for field in schema(BARE) if field.name in mine and lead.has(field.name, field.type)]
    return zip(batches(table, mine, _ROWS, findings), batches(lead, shared, _ROWS, Findings()), strict=False)


def _compare_prompts(mine: pa.Table, template: Template, its: Compared, start: int) -> None:
    nums, target = whole(mine["nums"]), whole(mine["target"])
    if its.comparison.table.config.endswith(CHATML):
        expected = {"prompt": chatml_column(template, nums, target)}
    else:
        prefix = pa.repeat(pa.scalar(template.assistant_prefix), len(nums))
        expected = {"prompt": messages_column(template, nums, target), "assistant_prefix": prefix}
    can = _can_be_rendered(nums, target)
    wrong = np.zeros(len(nums), np.bool_)
    for name in expected.keys() & set(mine.column_names):
        bad = differing(whole(mine[name]), expected[name]) & can
        wrong |= bad
        its.add(start, f"{name} differs", bad, _told_prompt(name, whole(mine[name]), expected[name]))
    its.prompts += int(can.sum())
    its.equal += int((can & ~wrong).sum())


def _told_prompt(name: str, given: pa.Array, expected: pa.Array) -> Callable[[int], str]:
    def what(place: int) -> str:
        left, right = one_text(given[place]), one_text(expected[place])
        pairs = zip(left, right, strict=False)
        at = next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(left), len(right)))
        parts = f"{shown(left[at : at + 40])} instead of {shown(right[at : at + 40])}"
        return f"{name} differs from its template at character {at + 1:,}: {parts}"

    return what


def _can_be_rendered(nums: pa.ListArray, target: pa.Array) -> Mask:
    """Rows without a null; the others are reported as malformed."""
    if not (nums.null_count or target.null_count or nums.flatten().null_count):
        return np.ones(len(nums), np.bool_)
    numbers = pa.ListArray.from_arrays(pc.subtract(nums.offsets, nums.offsets[0]), nums.flatten().cast(pa.string()))
    good = pc.and_(pc.and_(nums.is_valid(), target.is_valid()), pc.binary_join(numbers, ",").is_valid())
    return good.to_numpy(zero_copy_only=False)


def _compare_puzzles(mine: pa.Table, other: pa.Table, lead: str, its: Compared, start: int) -> None:
    rows = min(mine.num_rows, other.num_rows)
    in_place = np.ones(rows, np.bool_)
    for name in other.column_names:
        given, expected = whole(mine[name].slice(0, rows)), whole(other[name].slice(0, rows))
        bad = differing(given, expected) & in_place
        its.add(start, "configs differ", bad, _told_value(name, given, expected, lead))
        if name == "id":
            in_place = ~bad  # a row out of place differs in everything


def _told_value(name: str, given: pa.Array, expected: pa.Array, lead: str) -> Callable[[int], str]:
    return lambda place: f"{name} is {plain(given, place)}, in {lead} it is {plain(expected, place)}"


def differing(given: pa.Array, expected: pa.Array) -> Mask:
    """Rows in which two columns of the same type differ, nulls being equal to nulls."""
    if given.equals(expected):
        return np.zeros(len(given), np.bool_)
    given, expected = _comparable(given), _comparable(expected)
    unequal = pc.fill_null(pc.not_equal(given, expected), False).to_numpy(zero_copy_only=False)
    return unequal | (
        given.is_null().to_numpy(zero_copy_only=False) != expected.is_null().to_numpy(zero_copy_only=False)
    )


def _comparable(column: pa.Array) -> pa.Array:
    """Lists as texts that are equal when the lists are, anything else as it is."""
    if not isinstance(column, pa.ListArray):
        return column
    inner = column.flatten()
    if isinstance(inner, pa.StructArray):
        fields = [pc.fill_null(its.cast(pa.binary()), b"\x02") for its in inner.flatten()]
        texts = pc.binary_join_element_wise(*fields, b"\x00")
    else:
        texts = pc.fill_null(inner.cast(pa.string()), "null").cast(pa.binary())
    lists = pa.ListArray.from_arrays(pc.subtract(column.offsets, column.offsets[0]), texts)
    lengths = pc.list_value_length(column).cast(pa.string()).cast(pa.binary())
    return pc.binary_join_element_wise(lengths, pc.binary_join(lists, b"\x01"), b":")


def one_text(value: pa.Scalar) -> str:
    """A prompt, turns included, as one text."""
    if not value.is_valid:
        return ""
    if isinstance(value, pa.ListScalar):
        turns: Sequence[pa.Scalar] = list(value.values)
        return "\n".join(f"{one_text(turn['role'])}: {one_text(turn['content'])}" for turn in turns if turn.is_valid)
    return value.cast(pa.binary()).as_py().decode(errors="replace")


def plain(column: pa.Array, place: int) -> str:
    """A value for a message: on one line and short."""
    value = column[place]
    if not value.is_valid:
        return "null"
    if pa.types.is_string(value.type) or pa.types.is_large_string(value.type):
        return shown(one_text(value))
    return str(value.as_py())[:60]


def whole(column: pa.ChunkedArray) -> pa.Array:
    """A column of a table as one array."""
    return pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)
