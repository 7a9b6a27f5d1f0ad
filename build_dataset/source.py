"""Puzzles that exist already: a Hub id, a folder as the Hub or ``datasets`` lays it out, or a file.

Every row is proven with the solver and keeps its place and, where there is one, its ``id``. What cannot be used is
left out, counted and reported with its row number: rows count from 1 through all files, a CSV header is not one, and
in JSON lines a row's number is its line's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from ..errors import InputError
from ..game.labels import label_columns
from ..game.puzzle import MAX_NUMBER, MAX_NUMBERS, MAX_TARGET
from .location import locate
from .puzzles import Int64s, Numbers, distinct, puzzle_keys, puzzle_table
from .raw import Refused, parse_or_refuse
from .records import Batch, read_file

pc: Any = pyarrow.compute  # its functions are made at import, out of a type checker's sight
_LISTED = 10_000
"""So many rejected rows are told one by one; more are only counted."""


@dataclass(frozen=True)
class Rejected:
    """A row that was left out: ``reason`` is one of a few, ``detail`` says what exactly."""

    row: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Source:
    """Proven rows (``puzzles.py``) in the order of the source, and what was left out of the ``read`` ones.

    ``rejected`` are the first 10,000 of these by row, ``reasons`` counts all of them, the most frequent first.
    """

    puzzles: pa.Table
    rejected: list[Rejected]
    reasons: dict[str, int]
    read: int


@dataclass(frozen=True)
class Parsed:
    """Well-formed rows of one batch: row numbers, numbers, targets, and their places in the batch."""

    row: Int64s
    numbers: Numbers
    target: Int64s
    place: Int64s

    def take(self, places: Int64s) -> Parsed:
        starts, counts = self.numbers.offsets[places], self.numbers.counts[places]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
        values = self.numbers.values[np.repeat(starts, counts) + within]
        return Parsed(self.row[places], Numbers(values, offsets), self.target[places], self.place[places])

    def text(self, place: int) -> str:
        """The puzzle at ``place`` in words."""
        start, stop = self.numbers.offsets[place : place + 2]
        return f"{self.target[place]} from {', '.join(map(str, self.numbers.values[start:stop].tolist()))}"


@dataclass
class Losses:
    """What is left out: all of it counted, the first of each reason told."""

    listed: list[Rejected] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, row: int, reason: str, detail: str) -> None:
        self.reasons[reason] += 1
        if self.reasons[reason] <= _LISTED:
            self.listed.append(Rejected(int(row), reason, detail))


def read_source(source: str, limit: int | None = None) -> Source:
    """Proven puzzles of every split of a file, a folder or a Hub dataset (``namespace/name@revision``).

    Raises as ``locate`` and ``read_files`` do.
    """
    place = locate(source)
    return read_files(source, place.layout().default_files(source), limit)


def read_files(name: str, files: Iterable[Path], limit: int | None = None) -> Source:
    """Proven puzzles of some files, which messages call ``name``.

    With ``limit`` reading ends soon after so many good rows. Raises ``InputError`` when a file cannot be read or no
    row can be used.
    """
    losses, read = Losses(), 0
    pieces: list[pa.Table] = []
    for batch in _batches(files):
        read = batch.rows[-1]
        pieces.append(_proven(parse_batch(batch, losses), batch.others["id"], losses))
        if limit is not None and _distinct(pieces) >= limit:
            break
    return _collected(name, pieces, losses, read, limit)


def _batches(files: Iterable[Path]) -> Iterator[Batch]:
    """Batches of all files, whose rows are numbered on and on, with ids as texts."""
    before = 0
    for path in files:
        last = before
        for batch in read_file(path, ("id",)):
            rows = [number + before for number in batch.rows] if before else batch.rows
            ids = batch.others["id"] if "id" in batch.others else pa.nulls(len(rows))
            yield replace(batch, rows=rows, others={"id": _id_texts(ids, str(path))})
            last = rows[-1]
        before = last


def _id_texts(ids: pa.Array, where: str) -> pa.Array:
    """Ids as texts, null where they are missing or empty."""
    kind = ids.type
    if not (pa.types.is_null(kind) or pa.types.is_integer(kind) or is_text(kind)):
        raise InputError(f"{where}: column 'id' is {kind}, not text or whole numbers; rename it or leave it out")
    texts = ids.cast(pa.string())
    return pc.if_else(pc.equal(texts, ""), None, texts)


def is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _distinct(pieces: Sequence[pa.Table]) -> int:
    return len(distinct(np.concatenate([table["key"].to_numpy() for table in pieces])))


def _collected(source: str, pieces: Sequence[pa.Table], losses: Losses, read: int, limit: int | None) -> Source:
    """All pieces together without duplicates, cut at ``limit``."""
    table = pa.concat_tables(pieces).combine_chunks() if pieces else None
    if table is not None:
        table = _without_repeats(table, "key", "duplicate", "the same puzzle as row", losses)
        table = _without_repeats(table, "id", "duplicate id", "its id is that of row", losses)
        if limit is not None and table.num_rows > limit:
            table = table.slice(0, limit)
            read = int(table["row"][-1].as_py())
            losses = _up_to(losses, read)
    listed = sorted(losses.listed, key=lambda one: one.row)[:_LISTED]
    if table is None or not table.num_rows:
        first = f"; row {listed[0].row}: {listed[0].detail}" if listed else ""
        raise InputError(f"{source}: none of its {losses.reasons.total():,} rows can be used{first}")
    return Source(table.drop_columns(["key", "row"]), listed, dict(losses.reasons.most_common()), read)


def _up_to(losses: Losses, row: int) -> Losses:
    """The losses before ``row``, beyond which nothing was asked for."""
    kept = Losses()
    for one in losses.listed:
        if one.row < row:
            kept.add(one.row, one.reason, one.detail)
    return kept


def _without_repeats(table: pa.Table, column: str, reason: str, what: str, losses: Losses) -> pa.Table:
    """Rows whose value in ``column`` stands in no earlier row."""
    values = table[column].combine_chunks()
    codes = values.to_numpy() if column == "key" else pc.dictionary_encode(values).indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    is_first = np.append(True, codes[order][1:] != codes[order][:-1])[: len(codes)]
    owner = np.empty(len(codes), np.int64)  # the first row with the same value
    owner[order] = order[np.flatnonzero(is_first)][np.cumsum(is_first) - 1]
    rows, own = table["row"].to_numpy(), owner == np.arange(len(codes))
    for place in np.flatnonzero(~own).tolist():
        losses.add(rows[place], reason, f"{what} {rows[owner[place]]}")
    return table if own.all() else table.take(np.flatnonzero(own))


def _proven(parsed: Parsed, ids: pa.Array, losses: Losses) -> pa.Table:
    """The table of the solvable ones of ``parsed``, with their keys and row numbers; ``ids`` of the whole batch."""
    labels = label_columns(parsed.numbers.values, parsed.numbers.offsets, parsed.target)
    for place in np.flatnonzero(labels.n_solutions == 0).tolist():
        losses.add(parsed.row[place], "no solution", f"{parsed.text(place)} cannot be made")
    good = np.flatnonzero(labels.n_solutions)
    kept = parsed.take(good)
    table = puzzle_table(
        kept.numbers, kept.target, labels.n_solutions[good], labels.level[good], labels.easiest_solution.take(good)
    )
    ids = pc.coalesce(ids.take(pa.array(kept.place)), table["id"].combine_chunks())
    keys = puzzle_keys(kept.numbers.hashes(), kept.target)
    return table.set_column(0, "id", ids).append_column("key", pa.array(keys)).append_column("row", pa.array(kept.row))


def parse_batch(batch: Batch, losses: Losses) -> Parsed:
    """The well-formed rows of a batch: whole columns at a time where their types allow, else row by row."""
    columns = _clean_columns(batch)
    if columns is None:
        return _parsed_one_by_one(batch, range(len(batch.rows)), losses)
    numbers, target = columns
    good = _within_rules(numbers, target)
    whole = Parsed(np.asarray(batch.rows, np.int64), numbers, target, np.arange(len(batch.rows)))
    if good.all():
        return whole
    _parsed_one_by_one(batch, np.flatnonzero(~good).tolist(), losses)  # says what is wrong with each
    return whole.take(np.flatnonzero(good))


def _clean_columns(batch: Batch) -> tuple[Numbers, Int64s] | None:
    """Both columns, None unless they are stored as whole numbers; a null becomes what no puzzle may hold."""
    if not isinstance(batch.nums, pa.Array) or not isinstance(batch.target, pa.Array):
        return None
    nums: Any = batch.nums
    target: Any = batch.target
    kind = nums.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not pa.types.is_integer(kind.value_type) or not pa.types.is_integer(target.type):
        return None
    try:
        nums, target = nums.cast(pa.list_(pa.int64())), target.cast(pa.int64())
    except pa.ArrowInvalid:  # an unsigned number beyond int64
        return None
    offsets = nums.offsets.to_numpy().astype(np.int64)
    values = pc.fill_null(nums.values.slice(offsets[0], offsets[-1] - offsets[0]), 0).to_numpy()
    goal = pc.fill_null(target, MAX_TARGET + 1).to_numpy()
    goal = np.where(nums.is_valid().to_numpy(zero_copy_only=False), goal, MAX_TARGET + 1)
    return Numbers(values, offsets - offsets[0]), goal


def _within_rules(numbers: Numbers, target: Int64s) -> npt.NDArray[np.bool_]:
    """Rows that ``Puzzle`` would accept, shape (rows,)."""
    outside = np.concatenate([[0], np.cumsum((numbers.values < 1) | (numbers.values > MAX_NUMBER))])
    clean = outside[numbers.offsets[1:]] == outside[numbers.offsets[:-1]]
    counts = numbers.counts
    return clean & (counts >= 1) & (counts <= MAX_NUMBERS) & (target >= -MAX_TARGET) & (target <= MAX_TARGET)


def _parsed_one_by_one(batch: Batch, places: Sequence[int], losses: Losses) -> Parsed:
    puzzles, kept = [], []
    for place in places:
        try:
            refused = batch.refused.get(place)
            if refused is not None:
                raise refused
            puzzles.append(parse_or_refuse(_raw(batch.nums, place), _raw(batch.target, place)))
            kept.append(place)
        except Refused as refused:
            losses.add(batch.rows[place], refused.reason, refused.detail)
    values = np.array([number for puzzle in puzzles for number in puzzle.nums], np.int64)
    offsets = np.cumsum([0, *(len(puzzle.nums) for puzzle in puzzles)])
    target = np.array([puzzle.target for puzzle in puzzles], np.int64)
    rows = np.array([batch.rows[place] for place in kept], np.int64)
    return Parsed(rows, Numbers(values, offsets), target, np.array(kept, np.int64))


def _raw(column: pa.Array | Sequence[object], place: int) -> object:
    value: Any = column[place]
    return value.as_py() if isinstance(value, pa.Scalar) else value
