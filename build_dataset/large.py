"""Puzzles of six numbers: a set has so many forms that sets are taken one at a time.

As with fewer numbers all targets of a set come with their counts (``game/count.py``); one of them is picked at random
and only its easiest solution is searched for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from ..game.batch import Ints
from ..game.count import count_targets
from ..game.puzzle import Puzzle
from ..game.solver import easiest
from .chance import Chance
from .puzzles import Numbers, puzzle_table

LARGE_NUMBERS = 6
_TARGETS_TRIED = 4
"""Targets of one set that are looked at when the first have a level of which there are enough."""


class Found(NamedTuple):
    """A labelled puzzle; ``nums`` has shape (6,)."""

    nums: Ints
    target: int
    n_solutions: int
    level: int
    easiest_solution: str


def draw_large(
    chance: Chance, quota: dict[int, int], sets: Iterable[Ints], target_range: tuple[int, int], any_level: int
) -> pa.Table:
    """Puzzles from ``sets``, of each level in ``quota`` as many as it says or as were found.

    The key ``any_level`` stands for every level.
    """
    lacking = dict(quota)
    rows: list[Found] = []
    with tqdm(total=sum(quota.values()), desc="searching", unit=" puzzles", delay=2, leave=False) as bar:
        for nums in (nums for some in sets for nums in some):
            for row in _puzzles(chance, nums, target_range):
                bucket = any_level if any_level in lacking else row.level
                if lacking.get(bucket):
                    lacking[bucket] -= 1
                    rows.append(row)
                    bar.update()
                    break
            if not any(lacking.values()):
                break
    return _table(chance, rows)


def _puzzles(chance: Chance, nums: Ints, target_range: tuple[int, int]) -> Iterator[Found]:
    """Some random targets of a set."""
    counts = count_targets(nums.tolist(), *target_range)
    solvable = np.flatnonzero(counts)
    for place in solvable[chance.order(len(solvable))[:_TARGETS_TRIED]].tolist():
        target = target_range[0] + place
        found = easiest(Puzzle(tuple(nums.tolist()), target))
        if found is not None:
            yield Found(nums, target, int(counts[place]), *found)


def _table(chance: Chance, rows: list[Found]) -> pa.Table:
    mixed = np.array([row.nums[chance.order(len(row.nums))] for row in rows], np.int64)
    return puzzle_table(
        Numbers(mixed.reshape(-1), np.arange(0, mixed.size + 1, LARGE_NUMBERS)),
        np.array([row.target for row in rows], np.int64),
        np.array([row.n_solutions for row in rows], np.int64),
        np.array([row.level for row in rows], np.int64),
        pa.array([row.easiest_solution for row in rows], pa.string()),
    )
