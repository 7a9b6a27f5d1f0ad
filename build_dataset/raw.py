"""One puzzle out of raw values, which may be anything that a file holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np

from ..errors import InputError
from ..game.puzzle import MAX_NUMBERS, Puzzle

_WHOLE = re.compile(r"\s*(-?[0-9]{1,15})(?:\.0*)?\s*", re.ASCII)
_ARRAY = re.compile(
    r"(?:(?:np|numpy|torch|jnp)\.)?(?:array|tensor)\((.*?)(?:,\s*dtype=[\w.'\"<]+)?\)", re.ASCII | re.DOTALL
)
_SCALAR = re.compile(r"\b(?:(?:np|numpy)\.)?u?(?:int|float)[0-9]{1,2}\(([^()]*)\)", re.ASCII)
_QUOTED = re.compile(r"(['\"])\s*([^'\"\s]+)\s*\1", re.ASCII)
_MAX_NUMS_CHARS = 200


class Refused(Exception):
    """A row cannot be used, for ``reason`` with ``detail``; it never leaves ``source.py``."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail if len(detail) <= 200 else detail[:197] + "..."


def parse_puzzle(nums: object, target: object) -> Puzzle:
    """A puzzle out of raw values: whole numbers as int, float, numpy or text; ``nums`` a list or a text of one.

    Raises ``InputError`` for anything else.

    >>> parse_puzzle("[1, 2.0, 3]", "6"), parse_puzzle("array([np.int64(1), '2'])", 3)
    (Puzzle(nums=(1, 2, 3), target=6), Puzzle(nums=(1, 2), target=3))
    """
    try:
        return parse_or_refuse(nums, target)
    except Refused as refused:
        raise InputError(refused.detail) from None


def parse_or_refuse(nums: object, target: object) -> Puzzle:
    """The same, raising ``Refused`` with a reason that can be counted."""
    values, goal = parse_nums(nums), parse_target(target)
    try:
        return Puzzle(values, goal)
    except InputError as error:
        raise Refused("out of range", str(error)) from None


def parse_nums(nums: object) -> tuple[int, ...]:
    """The whole numbers of a list, or of the text of one as Python, JSON, numpy or a person writes it."""
    if isinstance(nums, np.ndarray):
        nums = nums.tolist()
    if isinstance(nums, str):
        nums = _items(nums)
    if not isinstance(nums, (list, tuple)):
        raise Refused("malformed", "nums is missing" if nums is None else f"nums is {shown(nums)}, not a list")
    if not 1 <= len(nums) <= MAX_NUMBERS:
        raise Refused("out of range", f"a puzzle has 1 to {MAX_NUMBERS} numbers, got {len(nums):,}")
    return tuple(_whole(value, "nums holds") for value in nums)


def parse_target(target: object) -> int:
    return _whole(target, "the target is")


def _items(text: str) -> Sequence[str]:
    text = text.strip()
    if len(text) > _MAX_NUMS_CHARS:
        raise Refused("malformed", f"nums is a text of {len(text):,} characters")
    if match := _ARRAY.fullmatch(text):
        text = match[1].strip()
    text = text[1:-1] if text[:1] + text[-1:] in {"[]", "()"} else text
    text = _QUOTED.sub(r"\2", _SCALAR.sub(r"\1", text)).strip()
    return re.split(r"\s*[,;]\s*|\s+", re.sub(r"\s*[,;]$", "", text)) if text else []


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


def shown(value: object) -> str:
    """A raw value for a message: on one line, without control characters, short."""
    text = repr(value[:60]) if isinstance(value, str) else f"a {type(value).__name__}"
    return text if isinstance(value, str) else repr(value) if isinstance(value, (bool, float)) else text
