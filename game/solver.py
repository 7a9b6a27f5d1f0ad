"""Exact answers about one puzzle of 1 to 6 numbers: the easiest solution, its level, how many there are."""

from __future__ import annotations

from collections.abc import Iterator

from . import search
from .forms import Forms, Kind, Parts, Value, combine, forms_over, pattern, splits
from .puzzle import Puzzle

_LISTED_NUMBERS = 5
"""Up to here every form is listed and tried, so that ties fall as they do in ``batch.py``."""


def easiest_solution(puzzle: Puzzle) -> str | None:
    """An expression that solves the puzzle, None when there is none.

    Easiest: the lowest level, then the fewest ``*`` and ``/``; up to 5 numbers then the fewest parentheses
    and the order of ``forms.py``. It is the same for every order of the numbers.

    >>> easiest_solution(Puzzle((19, 36, 55, 7), 65))
    '55 + 36 - 19 - 7'
    """
    found = _easiest(puzzle)
    return found[1] if found else None


def level(puzzle: Puzzle) -> int | None:
    """Level of the easiest solution, None when there is none.

    0: + and - suffice; 1: needs ``*``; 2: needs ``/``, every intermediate value whole; 3: needs a fraction.

    >>> level(Puzzle((3, 3, 8, 8), 24))
    3
    """
    found = _easiest(puzzle)
    return found[0] if found else None


def count_solutions(puzzle: Puzzle) -> int:
    """How many really different expressions solve the puzzle.

    Different means different canonical forms: sums and products of any number of parts, whatever the order of
    the parts, the brackets, and which of two factors carries a minus. Where numbers repeat, expressions that
    read the same count once; what is equal only in value counts apart (``6 * 1`` and ``6 / 1``). Six numbers
    take a few seconds, fewer take milliseconds.

    >>> count_solutions(Puzzle((2, 2, 3), 12)), count_solutions(Puzzle((1, 6), 6))
    (2, 2)
    """
    if len(puzzle.nums) > _LISTED_NUMBERS:
        return _count_unlisted(puzzle)
    forms, values, _ = _listed(puzzle)
    return sum(_solves(forms, index, values, puzzle.target) for index in forms.roots)


def _easiest(puzzle: Puzzle) -> tuple[int, str] | None:
    if puzzle.target < 0 or len(puzzle.nums) > _LISTED_NUMBERS:
        return search.easiest(puzzle.nums, puzzle.target)
    forms, values, numbers = _listed(puzzle)
    hits = [index for index in forms.roots if _solves(forms, index, values, puzzle.target)]
    if not hits:
        return None
    easiest = min(hits, key=lambda index: forms.level(index, values))  # roots are in order of ease
    return forms.level(easiest, values), forms.text(easiest, numbers)


def _listed(puzzle: Puzzle) -> tuple[Forms, list[Value], tuple[int, ...]]:
    labels, numbers = pattern(puzzle.nums)
    forms = forms_over(labels)
    return forms, forms.values(numbers), numbers


def _solves(forms: Forms, index: int, values: list[Value], target: int) -> bool:
    """Whether the form or, where it can be written, its negative has the value ``target``."""
    numerator, denominator = values[index]
    if not denominator or abs(numerator) != abs(target * denominator):
        return False
    return target >= 0 or forms.forms[index].negatable


def _count_unlisted(puzzle: Puzzle) -> int:
    """The count without a list of all forms: only the parts are listed, and only hits are kept."""
    labels, numbers = pattern(puzzle.nums)
    forms, found = Forms(labels), set[tuple[Kind, Parts]]()
    values: list[Value] = []
    kinds: tuple[Kind, Kind] = ("sum", "product")
    for kind in kinds:
        for block, rest in splits(labels):
            tails = list(forms.tails(rest, kind))
            heads = forms.children(block, kind)
            values = forms.values(numbers, values)
            reached = [combine(kind, tail, values) for tail in tails]
            for head, flag, place in _matches(kind, heads, reached, values, abs(puzzle.target)):
                parts = tuple(sorted(((head, flag), *tails[place])))
                if kind == "sum":
                    found.add((kind, forms.upright(parts)))
                elif any(above for _, above in parts):
                    found.add((kind, parts))
    return len(found) if puzzle.target >= 0 else sum(_negatable(forms, kind, parts) for kind, parts in found)


def _matches(
    kind: Kind, heads: list[int], tails: list[Value], values: list[Value], size: int
) -> Iterator[tuple[int, bool, int]]:
    """Heads, their flags and places of tails that together have the absolute value ``size``."""
    for head in heads:
        a, b = values[head]
        if not b:
            continue
        if kind == "sum":
            for place, (c, d) in enumerate(tails):
                if d and abs(a * d + c * b) == abs(size * b * d):
                    yield head, True, place
            continue
        for place, (c, d) in enumerate(tails):
            if d and abs(a * c) == abs(size * b * d):
                yield head, True, place
            if d and a and abs(b * c) == abs(size * a * d):
                yield head, False, place


def _negatable(forms: Forms, kind: Kind, parts: Parts) -> bool:
    if kind == "sum" and not all(plus for _, plus in parts):
        return True
    return any(forms.forms[child].negatable for child, _ in parts)
