"""What a trainer hands to a reward function, read strictly: texts of completions, puzzles of dataset rows.

Numbers come as Python, numpy or torch values, Arrow scalars or strings; a row that is no puzzle is an ``InputError``
that names it, so that a broken dataset is never taken for a model that earns nothing. A completion is whatever the
model came up with, so that none is an error: one without words, a call of tools or nothing at all, is an empty text.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError
from ..game.language import language_of
from ..game.puzzle import Puzzle
from .messages import plain, said, words_of

Text = str | Sequence[Mapping[str, Any]]
"""A completion or a prompt: a string, or chat messages with ``role`` and ``content``."""

_DIGITS = re.compile(r"\s*[-+]?[0-9]{1,12}\s*", re.ASCII)
_LIST = re.compile(r"\s*[\[(]([-+0-9.,'\"\s]{0,500})[\])]\s*", re.ASCII)


def read_puzzles(completions: Sequence[Text], nums: Sequence[Any], target: Sequence[Any]) -> list[Puzzle]:
    """One puzzle per completion. Raises ``InputError`` for columns of different lengths and for the first bad row."""
    lengths = {"completions": len(completions), "nums": len(nums), "target": len(target)}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{length:,} {name}" for name, length in lengths.items())
        raise InputError(f"a reward takes one row per completion, got {counts}; pass columns of the same length")
    return [_puzzle(row, numbers, goal) for row, (numbers, goal) in enumerate(zip(nums, target, strict=True))]


def read_texts(completions: Sequence[Text]) -> tuple[str, ...]:
    """The words of the model in each completion, '' where there are none.

    Raises ``InputError`` when that is no list of completions.
    """
    if completions is None or isinstance(completions, str | bytes | Mapping):
        raise InputError(f"completions is one {type(completions).__name__}; pass a list of completions")
    return tuple(one if type(one) is str else said(one) for one in completions)


def read_languages(completions: Sequence[Text], prompts: Sequence[Text]) -> list[str]:
    """The language of each completion's prompt. Raises ``InputError`` when there is not one prompt for each."""
    if len(prompts) != len(completions):
        raise InputError(f"a reward takes one prompt per completion, got {len(completions):,} and {len(prompts):,}")
    return [language_of(words_of(prompt)) for prompt in prompts]


def _puzzle(row: int, nums: Any, target: Any) -> Puzzle:
    if type(nums) is list and type(target) is int:  # the usual case first: Puzzle itself refuses all but plain integers
        try:
            return Puzzle(tuple(nums), target)
        except InputError:
            pass
    try:
        return Puzzle(tuple(_whole(number) for number in _numbers(nums)), _whole(target))
    except (InputError, TypeError, ValueError, OverflowError) as error:
        shown = f"nums={_short(nums)}, target={_short(target)}"
        raise InputError(f"row {row} is not a puzzle ({shown}): {_line(error)}; fix the dataset's row") from error


def _numbers(nums: Any) -> Sequence[Any]:
    """The list that ``nums`` is, holds (numpy, torch, Arrow), or spells, such as ``"[55, 36]"``."""
    nums = plain(nums)
    if isinstance(nums, str) and (spelt := _LIST.fullmatch(nums)):
        return [part.strip(" \t\r\n'\"") for part in spelt[1].split(",")]
    if not isinstance(nums, list | tuple):
        raise ValueError("nums is not a list of numbers")
    return nums


def _whole(number: Any) -> int:
    """An integer from anything that is one exactly."""
    number = plain(number)
    if isinstance(number, str) and _DIGITS.fullmatch(number):
        return int(number)
    if isinstance(number, bool | str | bytes) or number is None or int(number) != number:
        raise ValueError(f"{_short(number)} is not a whole number")
    return int(number)


def _short(value: Any) -> str:
    try:
        return _line(reprlib.repr(value))
    except ValueError:  # an integer of more than 4,300 digits has no repr
        return f"a {type(value).__name__} too long to print"


def _line(value: object) -> str:
    return " ".join(str(value).split())
