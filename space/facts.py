"""What is possible with a puzzle, by exact search: how it is solved, in how many ways, and what else can be made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..game.count import solvable_targets
from ..game.puzzle import MAX_TARGET, Puzzle
from ..game.solver import label

SMALL, LARGE = (1, 100), (100, 999)  # the targets of this project's puzzles and of the television game
_NEAR = 1_000


@dataclass(frozen=True)
class Facts:
    """``easiest`` solution, its ``level`` and how many there are; 0 and None when there is none.

    ``nearest`` are the closest targets that can be made when this one cannot, ``reachable`` how many of the targets
    from ``low`` to ``high`` can.
    """

    n_solutions: int
    level: int | None
    easiest: str | None
    nearest: tuple[int, ...]
    reachable: int
    low: int
    high: int


@lru_cache(maxsize=256)
def facts(puzzle: Puzzle) -> Facts:
    """Everything at once: milliseconds, and up to a second for six numbers that repeat or are very large."""
    found = label(puzzle)
    low, high = LARGE if puzzle.target > SMALL[1] else SMALL
    reachable = int(solvable_targets(puzzle.nums, low, high).sum())
    if found is None:
        return Facts(0, None, None, _nearest(puzzle), reachable, low, high)
    return Facts(found.n_solutions, found.level, found.easiest_solution, (), reachable, low, high)


def _nearest(puzzle: Puzzle) -> tuple[int, ...]:
    """The closest targets that can be made, one or two; none when all are more than ``_NEAR`` away."""
    low, high = max(puzzle.target - _NEAR, -MAX_TARGET), min(puzzle.target + _NEAR, MAX_TARGET)
    made = np.flatnonzero(solvable_targets(puzzle.nums, low, high)) + low
    if not len(made):
        return ()
    gaps = np.abs(made - puzzle.target)
    return tuple(int(target) for target in made[gaps == gaps.min()])
