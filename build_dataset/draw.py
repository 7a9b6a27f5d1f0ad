"""One random solvable puzzle at a time, for a demo or a lesson."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..game.batch import Ints, solve_rows
from ..game.puzzle import Puzzle
from ..game.solver import easiest
from ..game.split import SPLITS, split_of_rows
from .generate import Wish, refuse

_DRAWN_BY_LIST = 4
_DRAWS, _SETS_A_DRAW = 300, 16


def draw_puzzle(
    rng: np.random.Generator,
    count: int,
    split: str,
    level: int | None = None,
    *,
    number_range: tuple[int, int] = (1, 99),
    target_range: tuple[int, int] = (10, 100),
) -> Puzzle:
    """One random solvable puzzle of ``count`` (2 to 6) numbers in ``split``, of the given level if one is named.

    Raises ``InputError`` when some hundred draws found none, which a rare level can bring about.
    """
    refuse(1, Wish((count,), number_range, target_range, splits=(split,)))
    draw = _draw_listed if count <= _DRAWN_BY_LIST else _draw_tried
    for _ in range(_DRAWS):
        sets = rng.integers(number_range[0], number_range[1] + 1, (20 * _SETS_A_DRAW, count))
        sets = sets[split_of_rows(sets) == SPLITS.index(split)][:_SETS_A_DRAW]
        puzzle = draw(rng, sets, target_range, level) if len(sets) else None
        if puzzle is not None:
            return puzzle
    wish = "" if level is None else f" of level {level}"
    raise InputError(f"found no puzzle of {count} numbers{wish} in '{split}'; ask for another count or level")


def _draw_listed(
    rng: np.random.Generator, sets: Ints, target_range: tuple[int, int], level: int | None
) -> Puzzle | None:
    """A puzzle from all that ``sets`` can make."""
    cells = solve_rows(sets, *target_range)
    if level is not None:
        cells = cells.take(cells.level == level)
    if not len(cells.row):
        return None
    chosen = int(rng.integers(len(cells.row)))
    return Puzzle(tuple(sets[cells.row[chosen]].tolist()), int(cells.target[chosen]))


def _draw_tried(
    rng: np.random.Generator, sets: Ints, target_range: tuple[int, int], level: int | None
) -> Puzzle | None:
    """A puzzle of one of ``sets`` with a random target; with 5 or 6 numbers most can be made."""
    puzzle = Puzzle(tuple(sets[0].tolist()), int(rng.integers(target_range[0], target_range[1] + 1)))
    found = easiest(puzzle)
    return puzzle if found is not None and level in (None, found[0]) else None
