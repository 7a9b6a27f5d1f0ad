"""Puzzles for the demo: read from what a visitor typed, or drawn from the ``test`` split."""

from __future__ import annotations

import re
from random import Random

from ..errors import InputError
from ..game.puzzle import MAX_NUMBERS, Puzzle
from ..game.solver import easiest
from ..game.split import split_of

_MAX_CHARS = 200
_NUMBER = re.compile(r"-?\d{1,15}")
_SEPARATOR = re.compile(r"[\s,;，、；]+")


def read_puzzle(numbers: object, target: object) -> Puzzle:
    """The puzzle that a visitor or an API caller gave.

    ``numbers`` is a text such as ``55 36 7 19`` (commas and brackets are fine) or a list, ``target`` a whole
    number or its text. Nothing is assumed about either. Raises ``InputError`` saying what to type instead.

    >>> read_puzzle("[55, 36, 7, 19]", "65")
    Puzzle(nums=(55, 36, 7, 19), target=65)
    """
    text = " ".join(map(str, numbers[:50])) if isinstance(numbers, list) else str(numbers or "")
    parts = [part for part in _SEPARATOR.split(text[: _MAX_CHARS + 1].strip(" \t\r\n[]()")) if part]
    if not parts:
        raise InputError("type the numbers, separated by spaces, for example 55 36 7 19")
    if len(parts) > MAX_NUMBERS or len(text) > _MAX_CHARS:
        raise InputError(f"a puzzle has 1 to {MAX_NUMBERS} numbers, these are {len(text.split())}")
    return Puzzle(tuple(_whole(part, "number") for part in parts), _read_target(target))


def _read_target(target: object) -> int:
    if isinstance(target, float) and target.is_integer():
        target = int(target)
    text = "" if target is None else str(target).strip()
    if not text:
        raise InputError("type the target, a whole number, for example 65")
    return _whole(text, "target")


def _whole(text: str, what: str) -> int:
    if not _NUMBER.fullmatch(text):
        shown = text if len(text) <= 20 else text[:20] + "..."
        raise InputError(f"the {what} '{shown}' is not a whole number of at most 15 digits")
    return int(text)


def random_puzzle(rng: Random, level: int | None = None) -> Puzzle:
    """A solvable puzzle of 3 or 4 numbers from 1 to 99 with a target from 10 to 100, from the ``test`` split.

    No model of this project has trained on its numbers. ``level`` is the difficulty to draw (see ``solver.level``).
    One draw in 250 will do, which takes milliseconds; one in 20,000, a tenth of a second, when it needs a fraction.
    """
    sizes = (4,) if level == 3 else (3, 4)
    while True:
        puzzle = Puzzle(tuple(rng.randint(1, 99) for _ in range(rng.choice(sizes))), rng.randint(10, 100))
        if split_of(puzzle.nums) == "test" and _wanted(puzzle, level):
            return puzzle


def _wanted(puzzle: Puzzle, level: int | None) -> bool:
    found = easiest(puzzle)
    return found is not None and level in (None, found[0])


def link(puzzle: Puzzle, seed: int | None = None) -> str:
    """The query of an address that opens the page with this puzzle, and with the thought of that seed.

    >>> link(Puzzle((55, 36), 19), 7)
    '?nums=55+36&target=19&seed=7'
    """
    query = f"?nums={'+'.join(map(str, puzzle.nums))}&target={puzzle.target}"
    return query if seed is None else f"{query}&seed={seed}"
