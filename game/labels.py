"""Labels of many puzzles at once: how many solutions, the level, the easiest; the same as ``solver.py`` one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..errors import InputError
from .batch import MAX_BATCH_NUMBERS, easiest_texts, solve_rows, value_bounds
from .program import Places
from .puzzle import MAX_NUMBER, MAX_NUMBERS, MAX_TARGET, Puzzle
from .solver import label

if TYPE_CHECKING:
    import pyarrow as pa

Int64s = npt.NDArray[np.int64]
_BATCH_ROWS = {1: 200_000, 2: 200_000, 3: 200_000, 4: 200_000, 5: 10_000}
"""Rows solved between two moves of the progress bar, by how many numbers they have: about 0.2 seconds."""
_ROWS_ALONE = 20


@dataclass(frozen=True)
class LabelColumns:
    """Labels of puzzles in their order, all of shape (rows,).

    A puzzle without a solution has ``n_solutions`` 0, ``level`` -1 and no ``easiest_solution`` (null).
    """

    n_solutions: Int64s
    level: Int64s
    easiest_solution: pa.StringArray


def label_columns(values: Int64s, offsets: Int64s, target: Int64s) -> LabelColumns:
    """Labels of puzzles of 1 to 6 numbers up to 10,000, mixed as they come, with any targets up to 10^9 either way.

    Row ``i`` has the numbers ``values[offsets[i] : offsets[i + 1]]``; ``offsets`` has shape (rows + 1,). Targets
    below 0, six numbers, and numbers too large for 64-bit arithmetic are solved one by one, the rest in batches.
    Raises ``InputError`` naming the first row that is not a puzzle.
    """
    import pyarrow as pa

    _refuse(values, offsets, target)
    found: list[tuple[Places, LabelColumns]] = [(np.zeros(0, np.int64), _alone([]))]
    with tqdm(total=len(target), desc="solving", unit=" puzzles", delay=2, leave=False) as bar:
        for rows, labels in _labelled(values, offsets, target):
            found.append((rows, labels))
            bar.update(len(rows))
    order = np.argsort(np.concatenate([rows for rows, _ in found]))
    return LabelColumns(
        np.concatenate([labels.n_solutions for _, labels in found])[order],
        np.concatenate([labels.level for _, labels in found])[order],
        pa.concat_arrays([labels.easiest_solution for _, labels in found]).take(pa.array(order)),
    )


def _refuse(values: Int64s, offsets: Int64s, target: Int64s) -> None:
    counts = np.diff(offsets)
    wrong = (counts < 1) | (counts > MAX_NUMBERS) | (np.abs(target) > MAX_TARGET)
    odd = np.flatnonzero((values < 1) | (values > MAX_NUMBER))
    wrong[np.searchsorted(offsets, odd[(odd >= offsets[0]) & (odd < offsets[-1])], side="right") - 1] = True
    for row in np.flatnonzero(wrong)[:1].tolist():
        try:
            _puzzle(values, offsets, target, row)
        except InputError as error:
            raise InputError(f"row {row + 1}: {error}") from error


def _puzzle(values: Int64s, offsets: Int64s, target: Int64s, row: int) -> Puzzle:
    return Puzzle(tuple(values[offsets[row] : offsets[row + 1]].tolist()), int(target[row]))


def _labelled(values: Int64s, offsets: Int64s, target: Int64s) -> Iterator[tuple[Places, LabelColumns]]:
    """Every row once, some at a time, with their labels."""
    counts = np.diff(offsets)
    alone = counts > MAX_BATCH_NUMBERS
    for count in np.unique(counts[~alone]).tolist():
        rows = np.flatnonzero(counts == count)
        nums = values[offsets[rows, None] + np.arange(count)]
        bound = np.where(target[rows] < 0, np.inf, value_bounds(nums, target[rows]))
        # With a margin, because bounds are rounded. Rows that need 64 bits would slow the others down.
        fits = [bound < 2.0**31, (bound >= 2.0**31) & (bound < 2.0**62.9)]
        alone[rows[~(fits[0] | fits[1])]] = True
        for some in map(np.flatnonzero, fits):
            for start in range(0, len(some), _BATCH_ROWS[count]):
                piece = some[start : start + _BATCH_ROWS[count]]
                yield rows[piece], _batch(nums[piece], target[rows[piece]])
    left = np.flatnonzero(alone)
    for start in range(0, len(left), _ROWS_ALONE):
        rows = left[start : start + _ROWS_ALONE]
        yield rows, _alone([_puzzle(values, offsets, target, row) for row in rows.tolist()])


def _batch(nums: Int64s, target: Int64s) -> LabelColumns:
    import pyarrow as pa

    cells = solve_rows(nums, target, target)
    n_solutions, level, place = np.zeros(len(nums), np.int64), np.full(len(nums), -1), np.full(len(nums), -1)
    n_solutions[cells.row], level[cells.row] = cells.n_solutions, cells.level
    place[cells.row] = np.arange(len(cells.row))
    texts = easiest_texts(nums[cells.row], cells.form)
    return LabelColumns(n_solutions, level, texts.take(pa.array(place, mask=place < 0)))


def _alone(puzzles: list[Puzzle]) -> LabelColumns:
    import pyarrow as pa

    labels = [label(puzzle) for puzzle in puzzles]
    return LabelColumns(
        np.array([found.n_solutions if found else 0 for found in labels], np.int64),
        np.array([found.level if found else -1 for found in labels], np.int64),
        pa.array([found.easiest_solution if found else None for found in labels], pa.string()),
    )
