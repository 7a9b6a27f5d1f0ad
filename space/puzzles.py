"""Puzzles for the demo: read from what a visitor typed, or drawn from the ``test`` split."""

from __future__ import annotations

import re
from random import Random

from ..build_dataset.generate import GENERATED_NUMBERS, Wish, generate
from ..errors import InputError
from ..game.puzzle import MAX_NUMBERS, Puzzle
from .trained_on import TrainedOn, spelled

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


def random_puzzle(rng: Random, trained: TrainedOn, level: int | None = None) -> Puzzle:
    """A solvable puzzle like those that the model was trained on, from the ``test`` split.

    No model of this project has trained on its numbers. ``level`` is the difficulty to draw (see ``solver.level``).
    It takes a tenth of a second. Raises ``InputError`` when such puzzles have no such difficulty.
    """
    sizes = [size for size in trained.numbers if size in GENERATED_NUMBERS]
    levels = None if level is None else {level: 1.0}
    for size in rng.sample(sizes, len(sizes)):
        wish = Wish((size,), trained.number_range, trained.target_range, levels, splits=("test",))
        try:
            drawn = generate(1, wish, seed=rng.getrandbits(31)).to_pylist()[0]
        except InputError:
            continue
        return Puzzle(tuple(drawn["nums"]), drawn["target"])
    kind = "" if level is None else f" of difficulty {level}"
    raise InputError(f"there is no held-out puzzle{kind} with {spelled(trained.numbers)}; ask for another difficulty")


def link(puzzle: Puzzle, seed: int | None = None) -> str:
    """The query of an address that opens the page with this puzzle, and with the thought of that seed.

    >>> link(Puzzle((55, 36), 19), 7)
    '?nums=55+36&target=19&seed=7'
    """
    query = f"?nums={'+'.join(map(str, puzzle.nums))}&target={puzzle.target}"
    return query if seed is None else f"{query}&seed={seed}"
