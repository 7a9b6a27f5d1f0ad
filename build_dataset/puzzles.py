"""Labelled puzzles as one Arrow table: what generating, importing and verifying pass to each other.

Columns: ``id``, ``nums``, ``target``, ``n_solutions``, ``level``, ``easiest_solution`` as in the dataset, and
``split``, an index into ``SPLITS``. Everything here works on whole columns; a puzzle's numbers stand in one flat
array with offsets, since puzzles of different sizes share a table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..game.puzzle import Puzzle
from ..game.split import SPLITS, absorb, hash_rows, split_of_hashes

Int64s = npt.NDArray[np.int64]
LABELS = ("n_solutions", "level", "easiest_solution")
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


@dataclass(frozen=True)
class Numbers:
    """The numbers of many puzzles: ``values`` of all of them in a row, ``offsets`` of shape (puzzles + 1,)."""

    values: Int64s
    offsets: Int64s

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> Int64s:
        """How many numbers each puzzle has, shape (puzzles,)."""
        return np.diff(self.offsets)

    def by_count(self) -> Iterator[tuple[Int64s, Int64s]]:
        """For each size: the places of the puzzles that have it, and their numbers of shape (places, size)."""
        counts = self.counts
        for count in np.unique(counts).tolist():
            places = np.flatnonzero(counts == count)
            yield places, self.values[self.offsets[places][:, None] + np.arange(count)]

    def hashes(self) -> npt.NDArray[np.uint64]:
        """The hash of each puzzle's sorted numbers that decides its split, shape (puzzles,)."""
        found = np.zeros(len(self), np.uint64)
        for places, rows in self.by_count():
            found[places] = hash_rows(rows)
        return found


def numbers_of(nums: pa.ChunkedArray | pa.Array) -> Numbers:
    """The numbers of a list column without nulls."""
    whole = nums.combine_chunks() if isinstance(nums, pa.ChunkedArray) else nums
    if isinstance(whole, pa.ChunkedArray):  # no chunk at all
        whole = pa.array([], whole.type)
    offsets = whole.offsets.to_numpy().astype(np.int64)
    values = whole.values.slice(offsets[0], offsets[-1] - offsets[0]).to_numpy().astype(np.int64)
    return Numbers(values, offsets - offsets[0])


def number_column(numbers: Numbers) -> pa.Array:
    """The other way: a column of lists."""
    return pa.ListArray.from_arrays(pa.array(numbers.offsets, pa.int32()), pa.array(numbers.values))


def puzzle_keys(hashes: npt.NDArray[np.uint64], target: Int64s) -> npt.NDArray[np.uint64]:
    """64 bits for each puzzle, whatever the order of its numbers: its numbers' hash goes on to absorb the target."""
    return absorb(hashes, target.astype(np.uint64))


def distinct(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The different keys in ascending order; sorting is many times faster than ``np.unique``, which hashes.

    >>> distinct(np.array([5, 7, 5], np.uint64)).tolist()
    [5, 7]
    """
    ordered = np.sort(keys)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def ids_of(keys: npt.NDArray[np.uint64]) -> pa.Array:
    """The ``id`` column: each key as 16 hex digits."""
    octets = keys.astype(">u8").view(np.uint8)
    digits = np.empty(2 * len(octets), np.uint8)
    digits[0::2], digits[1::2] = _HEX[octets >> 4], _HEX[octets & 15]
    offsets = np.arange(0, len(digits) + 1, 16, dtype=np.int32)
    return pa.StringArray.from_buffers(len(keys), pa.py_buffer(offsets), pa.py_buffer(digits))


def puzzle_id(nums: Sequence[int], target: int) -> str:
    """The ``id`` of one puzzle: 16 hex digits, the same for every order of its numbers.

    It is the 64-bit hash of ``game/split.py`` over the sorted numbers and then the target.

    >>> puzzle_id([19, 36, 55, 7], 65) == puzzle_id([7, 19, 36, 55], 65)
    True
    """
    return ids_of(puzzle_keys(hash_rows(np.array([nums])), np.array([target])))[0].as_py()


def puzzle_table(
    numbers: Numbers, target: Int64s, n_solutions: Int64s, level: Int64s, easiest: pa.Array, ids: pa.Array | None = None
) -> pa.Table:
    """The table of puzzles and labels; ``ids`` are content hashes unless given."""
    hashes = numbers.hashes()
    columns = {
        "id": ids_of(puzzle_keys(hashes, target)) if ids is None else ids,
        "nums": number_column(numbers),
        "target": target,
        "n_solutions": n_solutions,
        "level": level,
        "easiest_solution": easiest,
        "split": split_of_hashes(hashes),
    }
    return pa.table(columns)


def of_split(puzzles: pa.Table, split: str) -> pa.Table:
    """The rows of one split, in their order."""
    return puzzles.filter(puzzles["split"].to_numpy() == SPLITS.index(split))


def as_puzzles(puzzles: pa.Table) -> list[Puzzle]:
    """The rows one by one."""
    pairs = zip(puzzles["nums"].to_pylist(), puzzles["target"].to_pylist(), strict=True)
    return [Puzzle(tuple(nums), target) for nums, target in pairs]


def rows_sha256(puzzles: pa.Table) -> str:
    """SHA-256 of the rows in their order, whatever the file format.

    It covers, as little-endian int64, the counts of numbers, the numbers, targets, solution counts and levels, and
    then the easiest solutions joined by line breaks, in UTF-8.
    """
    numbers = numbers_of(puzzles["nums"])
    digest = hashlib.sha256()
    whole = (puzzles[name].to_numpy() for name in ("target", "n_solutions", "level"))
    for column in (numbers.counts, numbers.values, *whole):
        digest.update(np.ascontiguousarray(column, "<i8").tobytes())
    digest.update("\n".join(puzzles["easiest_solution"].to_pylist()).encode())
    return digest.hexdigest()
