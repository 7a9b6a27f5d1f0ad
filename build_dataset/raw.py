"""One puzzle out of raw values, which may be anything that a file holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np

from ..errors import InputError
from ..game.puzzle import MAX_NUMBERS, Puzzle
from .records import Refused, shown

_WHOLE = re.compile(r"\s*(-?[0-9]{1,15})(?:\.0*)?\s*", re.ASCII)
_MAX_NUMS_CHARS = 200


def parse_puzzle(nums: object, target: object) -> Puzzle:
    """A puzzle out of raw values: whole numbers as int, float, numpy or text; ``nums`` a list or a text of one.

    Raises ``InputError`` for anything else.

    >>> parse_puzzle("[1, 2.0, 3]", "6")
    Puzzle(nums=(1, 2, 3), target=6)
    """
    try:
        return parse_or_refuse(nums, target)
    except Refused as refused:
        raise InputError(refused.detail) from None


def parse_or_refuse(nums: object, target: object) -> Puzzle:
    """The same, raising ``Refused`` with a reason that can be counted."""
    values = tuple(_whole(value, "nums holds") for value in _listed(nums))
    goal = _whole(target, "the target is")
    try:
        return Puzzle(values, goal)
    except InputError as error:
        raise Refused("out of range", str(error)) from None


def _listed(nums: object) -> Sequence[object]:
    if isinstance(nums, np.ndarray):
        nums = nums.tolist()
    if isinstance(nums, str):
        text = nums.strip()
        if len(text) > _MAX_NUMS_CHARS:
            raise Refused("malformed", f"nums is a text of {len(text):,} characters")
        text = text[1:-1] if text[:1] + text[-1:] in {"[]", "()"} else text
        nums = [part for part in re.split(r"[\s,;]+", text) if part]
    if not isinstance(nums, (list, tuple)):
        raise Refused("malformed", "nums is missing" if nums is None else f"nums is {shown(nums)}, not a list")
    if not 1 <= len(nums) <= MAX_NUMBERS:
        raise Refused("out of range", f"a puzzle has 1 to {MAX_NUMBERS} numbers, got {len(nums):,}")
    return nums


def _whole(value: object, what: str) -> int:
    """The whole number that ``value`` is or spells."""
    if type(value) is int:
        return _within(value, what)
    if isinstance(value, (bool, np.bool_)) or value is None:
        raise Refused("malformed", f"{what} {shown(value)}, which is not a whole number")
    if isinstance(value, Integral):
        return _within(int(value), what)
    if isinstance(value, Real) and float(value).is_integer():
        return _within(int(float(value)), what)
    if isinstance(value, str) and (match := _WHOLE.fullmatch(value)):
        return int(match[1])
    raise Refused("malformed", f"{what} {shown(value)}, which is not a whole number")


def _within(number: int, what: str) -> int:
    if abs(number) >= 10**15:
        raise Refused("out of range", f"{what} a number of more than 15 digits")
    return number
