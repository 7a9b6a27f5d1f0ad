"""The puzzle that a row itself states, under the names and in the places where datasets keep it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import InputError
from ..game.puzzle import Puzzle
from .messages import plain
from .sample_fields import spelt, whole

NUMBERS = ("nums", "numbers")
TARGETS = ("target",)
INSIDE = ("metadata", "reward_model", "ground_truth", "extra_info", "info", "doc", "puzzle")
_SPELT = re.compile(r"(?:(?:np|numpy)\.)?(?:u?int[0-9]*|float[0-9]*|array)\(|dtype=\w*|[\[\](){},;'\"\s]+")
MAX_SPELT_CHARS = 500


def stated_puzzle(row: Mapping[str, Any]) -> Puzzle | None:
    """The puzzle of a row's own numbers and target, or of those in its ``metadata``, ``reward_model.ground_truth`` and
    the like; None when they are missing or make none."""
    found = (_puzzle(*pair) for pair in _pairs(row, depth=2))
    return next((puzzle for puzzle in found if puzzle), None)


def _pairs(value: Any, depth: int) -> Iterator[tuple[Any, Any]]:
    """Numbers and target, of the row first."""
    value = spelt(value)
    if isinstance(value, list | tuple) and len(value) == 2:
        yield value[0], value[1]
    if not isinstance(value, Mapping):
        return
    nums, target = (
        next((value[name] for name in names if value.get(name) is not None), None) for names in (NUMBERS, TARGETS)
    )
    yield nums, target
    for name in INSIDE:
        if depth and value.get(name) is not None:
            yield from _pairs(value[name], depth - 1)


def _puzzle(nums: Any, target: Any) -> Puzzle | None:
    listed = plain(nums)
    if isinstance(listed, str) and len(listed) <= MAX_SPELT_CHARS:
        listed = _SPELT.sub(" ", listed).split()
    if not isinstance(listed, list | tuple):
        return None
    numbers, goal = [whole(number) for number in listed], whole(target)
    if goal is None or None in numbers:
        return None
    try:
        return Puzzle(tuple(number for number in numbers if number is not None), goal)
    except InputError:
        return None
