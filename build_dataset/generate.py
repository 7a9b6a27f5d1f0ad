"""Seeded puzzles that are solvable by construction: numbers are drawn, all they can make is listed, cells are picked.

Nothing is tried and thrown away: one drawn set of numbers yields every target it can reach, with its labels
(``game/batch.py``). Targets come out uniform, each puzzle once, splits by ``game/split.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..errors import InputError
from ..game.batch import Cells, easiest_texts, exact_dtype, solve_rows
from ..game.puzzle import MAX_NUMBER, MAX_TARGET
from ..game.split import SPLITS, split_of_rows

GENERATED_NUMBERS = (2, 3, 4, 5)
_LISTED_SETS = 5_000_000
"""Universes up to this size are listed and shuffled when much of them is needed; larger ones are sampled."""
_PIECE_SETS = 20_000
_FEWEST_SETS = {2: 5_000, 3: 2_000, 4: 1_000, 5: 50}
"""Sets drawn for even the smallest request, so that every target has cells to pick from."""

Ints = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Rows:
    """Labelled puzzles as columns of equal length; ``split`` holds names from ``SPLITS``."""

    nums: list[list[int]]
    target: list[int]
    n_solutions: list[int]
    level: list[int]
    easiest_solution: list[str]
    split: list[str]

    def __len__(self) -> int:
        return len(self.target)

    def take(self, places: Sequence[int]) -> Rows:
        """The rows at these places, in this order."""
        return Rows(
            nums=[self.nums[place] for place in places],
            target=[self.target[place] for place in places],
            n_solutions=[self.n_solutions[place] for place in places],
            level=[self.level[place] for place in places],
            easiest_solution=[self.easiest_solution[place] for place in places],
            split=[self.split[place] for place in places],
        )


def generate(
    rows: int,
    *,
    numbers: Sequence[int] = (3, 4),
    number_range: tuple[int, int] = (1, 99),
    target_range: tuple[int, int] = (10, 100),
    seed: int = 0,
    splits: Sequence[str] = SPLITS,
) -> Rows:
    """``rows`` different solvable puzzles in random order, the same for the same arguments.

    As many of each count in ``numbers`` as possible (the first counts get the remainder), targets spread evenly
    over ``target_range`` as far as they can be made. Raises ``InputError`` for ranges that cannot be used and
    when fewer puzzles exist than are asked for.
    """
    refuse(rows, numbers, number_range, target_range, splits)
    rng = np.random.Generator(np.random.PCG64(seed))
    share, extra = divmod(rows, len(numbers))
    parts = [
        _draw(rng, count, share + (place < extra), number_range, target_range, splits)
        for place, count in enumerate(numbers)
        if share + (place < extra)
    ]
    return _joined(parts).take(rng.permutation(rows).tolist())


def _joined(parts: Sequence[Rows]) -> Rows:
    return Rows(
        nums=[nums for part in parts for nums in part.nums],
        target=[target for part in parts for target in part.target],
        n_solutions=[count for part in parts for count in part.n_solutions],
        level=[level for part in parts for level in part.level],
        easiest_solution=[text for part in parts for text in part.easiest_solution],
        split=[split for part in parts for split in part.split],
    )


def refuse(
    rows: int,
    numbers: Sequence[int],
    number_range: tuple[int, int],
    target_range: tuple[int, int],
    splits: Sequence[str],
) -> None:
    """Raise ``InputError`` for arguments that no puzzle can follow."""
    (low, high), (first, last) = number_range, target_range
    if rows < 1:
        raise InputError(f"rows must be at least 1, got {rows}")
    if not numbers or len(set(numbers)) != len(numbers) or not set(numbers) <= set(GENERATED_NUMBERS):
        raise InputError(f"numbers per puzzle are different ones of 2, 3, 4, 5; got {', '.join(map(str, numbers))}")
    if not 1 <= low <= high <= MAX_NUMBER:
        raise InputError(f"number range must lie within 1 to {MAX_NUMBER:,} and go up, got {low} to {high}")
    if not 1 <= first <= last <= MAX_TARGET:
        raise InputError(f"target range must lie within 1 to {MAX_TARGET:,} and go up, got {first} to {last}")
    if not splits or not set(splits) <= set(SPLITS):
        raise InputError(f"splits are {', '.join(SPLITS)}; got {', '.join(splits)}")
    if exact_dtype(max(numbers), high, last) is None:
        raise InputError(
            f"{max(numbers)} numbers up to {high:,} with targets up to {last:,} are more than 64-bit arithmetic "
            "holds; choose a smaller range"
        )


def _draw(
    rng: np.random.Generator,
    count: int,
    rows: int,
    number_range: tuple[int, int],
    target_range: tuple[int, int],
    splits: Sequence[str],
) -> Rows:
    """``rows`` puzzles of ``count`` numbers."""
    wanted = max(rows, _FEWEST_SETS[count])
    while True:
        sets, is_all = _number_sets(rng, count, wanted, number_range, splits)
        cells = _solve_pieces(sets, target_range)
        if len(cells.row) >= rows:
            break
        if is_all:
            raise InputError(
                f"only {len(cells.row):,} puzzles of {count} numbers exist in these ranges and splits, "
                f"{rows:,} are needed; ask for fewer rows or widen a range"
            )
        wanted *= 4
    chosen = _even_targets(rng, cells.target, rows)
    cells = cells.take(chosen)
    nums = sets[cells.row]
    split = np.array(SPLITS)[split_of_rows(nums)].tolist()
    texts = easiest_texts(nums, cells.form)
    return Rows(
        nums=rng.permuted(nums, axis=1).tolist(),
        target=cells.target.tolist(),
        n_solutions=cells.n_solutions.tolist(),
        level=cells.level.tolist(),
        easiest_solution=texts,
        split=split,
    )


def _number_sets(
    rng: np.random.Generator, count: int, wanted: int, number_range: tuple[int, int], splits: Sequence[str]
) -> tuple[Ints, bool]:
    """About ``wanted`` different sorted number sets, shape (sets, count), and whether these are all there are."""
    low, high = number_range
    universe = comb(high - low + count, count)
    fraction = sum({"train": 0.9, "validation": 0.05, "test": 0.05}[split] for split in set(splits))
    drawn = min(int(wanted / fraction) + 100, universe)
    if 4 * drawn >= universe and universe <= _LISTED_SETS:
        flat = (number for numbers in combinations_with_replacement(range(low, high + 1), count) for number in numbers)
        sets = np.fromiter(flat, np.int64, universe * count).reshape(-1, count)
        if drawn < universe:
            sets = sets[rng.permutation(universe)[:drawn]]
    else:
        sets = np.sort(rng.integers(low, high + 1, (drawn, count)), axis=1)
        sets = np.unique(sets, axis=0)
    inside = np.isin(split_of_rows(sets), [SPLITS.index(split) for split in splits])
    return sets[inside], len(sets) == universe


def _solve_pieces(sets: Ints, target_range: tuple[int, int]) -> Cells:
    """``solve_rows`` with a progress bar, piece by piece."""
    pieces = []
    with tqdm(total=len(sets), desc="solving", unit=" sets", delay=2, leave=False) as bar:
        for start in range(0, max(len(sets), 1), _PIECE_SETS):
            cells = solve_rows(sets[start : start + _PIECE_SETS], *target_range)
            pieces.append((cells.row + start, cells.target, cells.n_solutions, cells.level, cells.form))
            bar.update(min(_PIECE_SETS, len(sets) - start))
    return Cells(*(np.concatenate(columns) for columns in zip(*pieces, strict=True)))


def _even_targets(rng: np.random.Generator, target: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.int64]:
    """``rows`` random places in ``target`` with every target equally often, rare ones as often as they occur."""
    shuffled = rng.permutation(len(target))
    ordered = shuffled[np.argsort(target[shuffled], kind="stable")]
    _, first, counts = np.unique(target[ordered], return_index=True, return_counts=True)
    turn = np.arange(len(target)) - np.repeat(first, counts)
    cap = _common_cap(counts, rows)
    chosen, spare = ordered[turn < cap], ordered[turn == cap]
    return np.concatenate([chosen, rng.permutation(spare)[: rows - len(chosen)]])


def _common_cap(counts: npt.NDArray[np.int64], rows: int) -> int:
    """The largest cap that, applied to every count, leaves at most ``rows`` in total.

    >>> _common_cap(np.array([1, 5, 9]), 8)
    3
    """
    low, high = 0, rows
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if int(np.minimum(counts, middle).sum()) <= rows else (low, middle - 1)
    return low
