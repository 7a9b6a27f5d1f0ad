"""Seeded puzzles that are solvable by construction: numbers are drawn, all they can make is listed, cells are picked.

A cell is a set of numbers with a target it can make. Nothing is tried and thrown away: one drawn set yields every
target it reaches, with its labels (``game/batch.py``). Picked cells have uniform targets unless asked otherwise, and
the shares of levels that are asked for. All chance comes from the raw 64-bit output of PCG64 (O'Neill, "PCG: a
family of simple fast space-efficient statistically good algorithms for random number generation", 2014), which numpy
promises never to change, so a seed means the same rows everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from math import comb

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tqdm import tqdm

from ..errors import InputError
from ..game.batch import Cells, easiest_texts, exact_dtype, solve_rows
from ..game.puzzle import MAX_NUMBER, MAX_TARGET
from ..game.split import SPLITS, hash_rows, split_of_rows
from .chance import Chance
from .large import LARGE_NUMBERS, draw_large
from .puzzles import Int64s, Numbers, puzzle_table

GENERATED_NUMBERS = (2, 3, 4, 5, 6)
LEVELS = (0, 1, 2, 3)
_FRACTION_NUMBERS = 4
"""Fewer numbers never need a fraction on the way to a whole target."""
_LISTED_SETS = 5_000_000
"""Universes up to this size are listed and shuffled when much of them is needed; larger ones are sampled."""
_MOST_SETS = 20_000_000
_FEWEST_SETS = {2: 5_000, 3: 2_000, 4: 1_000, 5: 50, 6: 10}
"""Sets drawn for even the smallest request, so that every target has cells to pick from."""
_SETS_PER_ROW = {2: 1, 3: 1, 4: 0.5, 5: 0.25, 6: 1}
"""A set of four numbers makes about 12 targets from 10 to 100, one of five makes most of them."""
_ANY_LEVEL = -1

Ints = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Wish:
    """What generated puzzles look like. Both ranges include their ends.

    ``levels`` maps a level to its share of the rows (the shares add up to 1), None takes levels as they come;
    ``uniform_targets`` makes every target equally frequent as far as it can be made, else targets come as often as
    drawn sets make them.
    """

    numbers: Sequence[int] = (3, 4)
    number_range: tuple[int, int] = (1, 99)
    target_range: tuple[int, int] = (10, 100)
    levels: Mapping[int, float] | None = None
    uniform_targets: bool = True
    splits: Sequence[str] = SPLITS


ANYTHING = Wish()


def generate(rows: int, wish: Wish = ANYTHING, *, seed: int = 0) -> pa.Table:
    """``rows`` different solvable puzzles in random order (``puzzles.py``), the same for the same wish and seed.

    As many of each count in ``wish.numbers`` as possible; the first counts get the remainder, and what one count
    cannot give (few sets of 2 numbers exist) the later ones do. Raises ``InputError`` for a wish that cannot be met:
    the message says which level has how many cells.
    """
    refuse(rows, wish)
    chance = Chance(seed)
    missing = _quotas(rows, wish)
    parts: list[pa.Table] = []
    counts = sorted(wish.numbers)
    for place, count in enumerate(counts):
        quota = {
            level: -(-lacking // len([later for later in counts[place:] if _can(later, level)]))
            for level, lacking in missing.items()
            if lacking and _can(count, level)
        }
        if quota:
            parts.append(_draw(chance, count, quota, wish))
            _account(missing, parts[-1], wish)
    if any(missing.values()):
        raise InputError(_shortage(missing, parts, wish))
    return pa.concat_tables(parts).combine_chunks().take(chance.order(rows))


def _can(count: int, level: int) -> bool:
    return count >= _FRACTION_NUMBERS or level < max(LEVELS)


def _quotas(rows: int, wish: Wish) -> dict[int, int]:
    """Rows wanted of each level, the largest remainders rounded up; one entry for all without a mix."""
    if wish.levels is None:
        return {_ANY_LEVEL: rows}
    exact = {level: rows * share for level, share in wish.levels.items() if share}
    quotas = {level: int(value) for level, value in exact.items()}
    by_rest = sorted(exact, key=lambda level: quotas[level] - exact[level])
    for level in by_rest[: rows - sum(quotas.values())]:
        quotas[level] += 1
    return quotas


def _account(missing: dict[int, int], part: pa.Table, wish: Wish) -> None:
    """Take the rows of ``part`` off what is missing."""
    if wish.levels is None:
        missing[_ANY_LEVEL] -= part.num_rows
        return
    for level, found in zip(*np.unique(part["level"].to_numpy(), return_counts=True), strict=True):
        missing[int(level)] -= int(found)


def _shortage(missing: Mapping[int, int], parts: Sequence[pa.Table], wish: Wish) -> str:
    numbers = ", ".join(map(str, sorted(wish.numbers)))
    fix = "ask for fewer rows, widen a range or change the mix"
    if wish.levels is None:
        found = sum(part.num_rows for part in parts)
        return f"only {found:,} puzzles of {numbers} numbers exist in these ranges and splits; {fix}"
    level = next(level for level, lacking in missing.items() if lacking)
    found = sum(int((part["level"].to_numpy() == level).sum()) for part in parts)
    return (
        f"level {level} has {found:,} cells with {numbers} numbers in these ranges and splits, "
        f"{found + missing[level]:,} are needed; {fix}"
    )


def refuse(rows: int, wish: Wish) -> None:
    """Raise ``InputError`` for arguments that no puzzle can follow."""
    (low, high), (first, last) = wish.number_range, wish.target_range
    counts = wish.numbers
    if rows < 1:
        raise InputError(f"rows must be at least 1, got {rows}")
    if not counts or len(set(counts)) != len(counts) or not set(counts) <= set(GENERATED_NUMBERS):
        known = ", ".join(map(str, GENERATED_NUMBERS))
        raise InputError(f"numbers per puzzle are different ones of {known}; got {', '.join(map(str, counts))}")
    if not 1 <= low <= high <= MAX_NUMBER:
        raise InputError(f"number range must lie within 1 to {MAX_NUMBER:,} and go up, got {low} to {high}")
    if not 1 <= first <= last <= MAX_TARGET:
        raise InputError(f"target range must lie within 1 to {MAX_TARGET:,} and go up, got {first} to {last}")
    if not wish.splits or not set(wish.splits) <= set(SPLITS):
        raise InputError(f"splits are {', '.join(SPLITS)}; got {', '.join(wish.splits)}")
    listed = max((count for count in counts if count < LARGE_NUMBERS), default=2)
    if exact_dtype(listed, high, last) is None:
        raise InputError(
            f"{listed} numbers up to {high:,} with targets up to {last:,} are more than 64-bit arithmetic "
            "holds; choose a smaller range"
        )
    _refuse_levels(wish)


def _refuse_levels(wish: Wish) -> None:
    if wish.levels is None:
        return
    shares = list(wish.levels.values())
    if not set(wish.levels) <= set(LEVELS) or not all(0 <= share <= 1 for share in shares):
        raise InputError(f"a level mix gives levels 0 to {max(LEVELS)} a share from 0 to 1, got {dict(wish.levels)}")
    if abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"the shares of a level mix add up to 1, not {sum(shares):g}")
    for level, share in wish.levels.items():
        if share and not any(_can(count, level) for count in wish.numbers):
            raise InputError(
                f"level {level} has 0 cells with {', '.join(map(str, sorted(wish.numbers)))} numbers: fractions need "
                f"{_FRACTION_NUMBERS} or more; leave it out of the mix or add such puzzles with --numbers"
            )


def _draw(chance: Chance, count: int, quota: Mapping[int, int], wish: Wish) -> pa.Table:
    """Puzzles of ``count`` numbers, of each level in ``quota`` as many as it says or as there are."""
    if count == LARGE_NUMBERS:
        sets = _number_sets(chance, count, sum(quota.values()), wish)
        return draw_large(chance, dict(quota), sets, wish.target_range, _ANY_LEVEL)
    pieces: list[tuple[Ints, Cells]] = []
    found, begin = dict.fromkeys(quota, 0), 0
    for sets in _number_sets(chance, count, sum(quota.values()), wish):
        cells = solve_rows(sets, *wish.target_range)
        if _ANY_LEVEL not in quota:
            cells = cells.take(np.isin(cells.level, [level for level in quota if found[level] < 4 * quota[level]]))
        pieces.append((sets.astype(np.int16), replace(cells, row=cells.row + begin)))
        begin += len(sets)
        for level in quota:
            found[level] += len(cells.row) if level == _ANY_LEVEL else int((cells.level == level).sum())
        if all(found[level] >= quota[level] for level in quota):
            break
    columns = zip(*(vars(its).values() for _, its in pieces), strict=True)
    cells = Cells(*map(np.concatenate, columns))
    cells = cells.take(np.concatenate([_pick(chance, cells, level, rows, wish) for level, rows in quota.items()]))
    nums = np.concatenate([sets for sets, _ in pieces])[cells.row]
    return _labelled(chance, nums.astype(np.int64), cells)


def _labelled(chance: Chance, nums: Ints, cells: Cells) -> pa.Table:
    """The table of chosen cells, the numbers of each in random order."""
    texts = easiest_texts(nums, cells.form)
    rows, count = nums.shape
    mixed = np.take_along_axis(nums, np.argsort(chance.raw(rows * count).reshape(rows, count), axis=1), axis=1)
    numbers = Numbers(mixed.astype(np.int64).reshape(-1), np.arange(0, rows * count + 1, count))
    return puzzle_table(numbers, cells.target, cells.n_solutions, cells.level, texts)


def _number_sets(chance: Chance, count: int, rows: int, wish: Wish) -> Iterator[Ints]:
    """Different sorted number sets of the wanted splits, piece after piece, all there are if need be.

    The first piece is about what ``rows`` take, later ones have as many sets as all before.
    """
    low, high = wish.number_range
    universe = comb(high - low + count, count)
    fraction = sum({"train": 0.9, "validation": 0.05, "test": 0.05}[split] for split in set(wish.splits))
    piece = int(max(rows * _SETS_PER_ROW[count], _FEWEST_SETS[count]) / fraction) + 100
    known = np.zeros(0, np.uint64)
    draws = _shuffled_sets(chance, count, piece, low, high) if _is_listed(universe, piece) else None
    hidden = count == LARGE_NUMBERS  # which shows puzzles instead
    with tqdm(desc=f"solving sets of {count} numbers", unit=" sets", delay=2, leave=False, disable=hidden) as bar:
        while len(known) < min(universe, _MOST_SETS):
            drawn = _random_sets(chance, count, piece, low, high) if draws is None else next(draws)
            sets = drawn if draws is not None else _new_ones(drawn, known)
            known = np.concatenate([known, hash_rows(sets)])
            yield sets[np.isin(split_of_rows(sets), [SPLITS.index(split) for split in wish.splits])]
            bar.update(len(sets))
            piece = len(known)


def _is_listed(universe: int, piece: int) -> bool:
    return universe <= _LISTED_SETS and 16 * piece >= universe


def _shuffled_sets(chance: Chance, count: int, piece: int, low: int, high: int) -> Iterator[Ints]:
    """Every set there is in random order, the first ``piece`` of them, then as many as before each time."""
    span = range(low, high + 1)
    flat = (number for numbers in combinations_with_replacement(span, count) for number in numbers)
    sets = np.fromiter(flat, np.int64, comb(len(span) + count - 1, count) * count).reshape(-1, count)
    sets = sets[chance.order(len(sets))]
    start = 0
    while start < len(sets):
        yield sets[start : start + piece]
        start, piece = start + piece, start + piece


def _random_sets(chance: Chance, count: int, piece: int, low: int, high: int) -> Ints:
    return np.sort(low + chance.below(high - low + 1, piece * count).reshape(piece, count), axis=1)


def _new_ones(drawn: Ints, known: npt.NDArray[np.uint64]) -> Ints:
    """Each set of ``drawn`` once, without those whose hash is in ``known``."""
    hashes, first = np.unique(hash_rows(drawn), return_index=True)
    return drawn[first[~np.isin(hashes, known)]]


def _pick(chance: Chance, cells: Cells, level: int, rows: int, wish: Wish) -> Int64s:
    """Random places of ``rows`` cells of a level, or of all there are."""
    places = np.arange(len(cells.row)) if level == _ANY_LEVEL else np.flatnonzero(cells.level == level)
    rows = min(rows, len(places))
    if not wish.uniform_targets:
        return places[chance.order(len(places))[:rows]]
    return places[_even_targets(chance, cells.target[places], rows)]


def _even_targets(chance: Chance, target: Int64s, rows: int) -> Int64s:
    """``rows`` random places in ``target`` with every target equally often, rare ones as often as they occur."""
    ordered = chance.order_within(target)
    first = np.flatnonzero(np.diff(target[ordered], prepend=-1))
    counts = np.diff(first, append=len(target))
    cap = _common_cap(counts, rows)
    turn = np.arange(len(target)) - np.repeat(first, counts)
    chosen, spare = ordered[turn < cap], ordered[turn == cap]
    return np.concatenate([chosen, spare[chance.order(len(spare))[: rows - len(chosen)]]])


def _common_cap(counts: Int64s, rows: int) -> int:
    """The largest cap that, applied to every count, leaves at most ``rows`` in total.

    >>> _common_cap(np.array([1, 5, 9]), 8)
    3
    """
    low, high = 0, rows
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if int(np.minimum(counts, middle).sum()) <= rows else (low, middle - 1)
    return low
