"""Puzzles that stand in a dataset twice, and sets of numbers that stand in two of its splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from .proof import Keys, Proven
from .puzzles import distinct
from .report import LISTED, Findings


def repeats(keys: Keys) -> tuple[int, dict[int, int]]:
    """How many keys stand at an earlier place too, and the first 100 such places with the first place of their key.

    >>> repeats(np.array([5, 7, 5, 5], np.uint64))
    (2, {2: 0, 3: 0})
    """
    ordered = np.sort(keys)
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    owner: dict[int, int] = {}
    found: dict[int, int] = {}
    for place in _places_of(keys, again):
        first = owner.setdefault(int(keys[place]), place)
        if first != place:
            found[place] = first
        if len(found) == LISTED:
            break
    return len(again), found


def _places_of(keys: Keys, wanted: Keys) -> Iterator[int]:
    """Places of the keys that are among ``wanted``, which ascend, a million looked at in one go."""
    for start in range(0, len(keys) if len(wanted) else 0, 10**6):
        part = keys[start : start + 10**6]
        at = np.minimum(np.searchsorted(wanted, part), len(wanted) - 1)
        yield from (start + np.flatnonzero(wanted[at] == part)).tolist()


def add_repeats(its: Proven, findings: Findings) -> None:
    """A problem of each row whose puzzle, in whatever order, or whose id stands in an earlier row of its table."""
    for kind, keys, what in (
        ("duplicate", its.keys, "is the puzzle of row"),
        ("duplicate id", its.ids, "has the id of row"),
    ):
        count, found = repeats(keys)
        rows = [(its.row(place), its.row(first)) for place, first in found.items()]
        findings.add_counted(its.table.name, kind, count, [(row, f"{what} {first}") for row, first in rows])


def add_leaks(proven: Sequence[Proven], findings: Findings) -> int:
    """A problem of each row whose numbers stand in an earlier table too; how many sets of numbers do.

    ``proven`` are the splits of one config, the one to learn from first.
    """
    sets = [distinct(its.hashes) for its in proven]
    shared = np.zeros(0, np.uint64)
    for first, second in combinations(range(len(proven)), 2):
        common = np.intersect1d(sets[first], sets[second], assume_unique=True)
        if len(common):
            shared = distinct(np.concatenate([shared, common]))
            _add_leak(proven[first], proven[second], common, findings)
    return len(shared)


def _add_leak(first: Proven, second: Proven, common: Keys, findings: Findings) -> None:
    places = np.flatnonzero(np.isin(second.hashes, common))
    told: list[tuple[int, str]] = []
    for place in places[:LISTED].tolist():
        same = np.flatnonzero(first.keys == second.keys[place])
        other = same if len(same) else np.flatnonzero(first.hashes == second.hashes[place])
        where = f"{first.table.name} row {first.row(int(other[0]))}"
        told.append((second.row(place), f"is the puzzle of {where}" if len(same) else f"has the numbers of {where}"))
    findings.add_counted(second.table.name, "leak", len(places), told)


def add_shared_ids(proven: Sequence[Proven], findings: Findings) -> None:
    """A problem of each row whose id stands in an earlier table too."""
    for first, second in combinations(proven, 2):
        places = np.flatnonzero(np.isin(second.ids, first.ids))
        told = [
            (second.row(place), f"has the id of {first.table.name} row {first.row(int(other))}")
            for place in places[:LISTED].tolist()
            for other in np.flatnonzero(first.ids == second.ids[place])[:1]
        ]
        findings.add_counted(second.table.name, "duplicate id", len(places), told)
