"""Labels of many puzzles: solution count, level and easiest solution, the same as ``solver.py`` gives one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from .batch import easiest_texts, solve_rows
from .puzzle import Puzzle
from .solver import count_solutions, easiest_solution, level

_SMALL_GROUP = 32
"""Below this one puzzle at a time is faster than setting up arrays for every form."""
_BATCH_TARGET = 10**6
_BATCH_NUMBER = {1: 10_000, 2: 10_000, 3: 10_000, 4: 10_000, 5: 800}
"""Targets and numbers up to which no mix of rows can overflow 64 bits (``batch.exact_dtype``)."""


@dataclass(frozen=True)
class Label:
    """What the solver knows about a solvable puzzle."""

    n_solutions: int
    level: int
    easiest_solution: str


def label(puzzle: Puzzle) -> Label | None:
    """The label of one puzzle, None when it has no solution."""
    easiest, its_level = easiest_solution(puzzle), level(puzzle)
    if easiest is None or its_level is None:
        return None
    return Label(count_solutions(puzzle), its_level, easiest)


def label_all(puzzles: Sequence[Puzzle]) -> list[Label | None]:
    """The label of each puzzle, in order; None for those without a solution."""
    labels: list[Label | None] = [None] * len(puzzles)
    alone: list[int] = []
    for count in sorted({len(puzzle.nums) for puzzle in puzzles}):
        places = [place for place, puzzle in enumerate(puzzles) if len(puzzle.nums) == count]
        fit = [place for place in places if _fits_a_batch(puzzles[place])]
        if len(fit) < _SMALL_GROUP:
            fit = []
        for place, found in zip(fit, _label_batch([puzzles[place] for place in fit]), strict=True):
            labels[place] = found
        alone += sorted(set(places) - set(fit))
    for place in tqdm(alone, desc="solving", unit=" puzzles", delay=2, leave=False):
        labels[place] = label(puzzles[place])
    return labels


def _fits_a_batch(puzzle: Puzzle) -> bool:
    return 0 <= puzzle.target <= _BATCH_TARGET and max(puzzle.nums) <= _BATCH_NUMBER.get(len(puzzle.nums), 0)


def _label_batch(puzzles: Sequence[Puzzle]) -> list[Label | None]:
    """Labels of puzzles with equally many numbers, all of which fit a batch."""
    if not puzzles:
        return []
    nums = np.array([puzzle.nums for puzzle in puzzles], np.int64)
    targets = np.array([puzzle.target for puzzle in puzzles], np.int64)
    cells = solve_rows(nums, targets, targets)
    texts = easiest_texts(nums[cells.row], cells.form)
    labels: list[Label | None] = [None] * len(puzzles)
    columns = (cells.row.tolist(), cells.n_solutions.tolist(), cells.level.tolist(), texts)
    for row, n_solutions, its_level, text in zip(*columns, strict=True):
        labels[row] = Label(n_solutions, its_level, text)
    return labels
