"""What a trainer hands to a reward function, read strictly: texts of completions, puzzles of dataset rows.

Numbers come as Python, numpy or torch values, Arrow scalars or strings, completions as strings or as chat
messages. Whatever cannot be read is an ``InputError`` that names the row, so that a broken dataset is never
taken for a model that earns nothing.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError
from ..game.language import language_of
from ..game.puzzle import Puzzle

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
    """The words of the model in each completion: a string as it is, of chat messages those of the assistant.

    Raises ``InputError`` naming the row that is neither.
    """
    if isinstance(completions, str | bytes | Mapping):
        raise InputError(f"completions is one {type(completions).__name__}; pass a list of completions")
    return tuple(one if type(one) is str else _text(row, one) for row, one in enumerate(completions))


def read_languages(completions: Sequence[Text], prompts: Sequence[Text]) -> list[str]:
    """The language of each completion's prompt. Raises ``InputError`` when there is not one prompt for each."""
    if len(prompts) != len(completions):
        raise InputError(f"a reward takes one prompt per completion, got {len(completions):,} and {len(prompts):,}")
    return [language_of(prompt) for prompt in prompts]


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
    nums = _plain(nums)
    if isinstance(nums, str) and (spelt := _LIST.fullmatch(nums)):
        return [part.strip(" \t\r\n'\"") for part in spelt[1].split(",")]
    if not isinstance(nums, list | tuple):
        raise ValueError("nums is not a list of numbers")
    return nums


def _whole(number: Any) -> int:
    """An integer from anything that is one exactly."""
    number = _plain(number)
    if isinstance(number, str) and _DIGITS.fullmatch(number):
        return int(number)
    if isinstance(number, bool | str | bytes) or number is None or int(number) != number:
        raise ValueError(f"{_short(number)} is not a whole number")
    return int(number)


def _plain(value: Any) -> Any:
    """A numpy, torch or Arrow value as the plain Python one."""
    for convert in ("as_py", "tolist"):
        if hasattr(value, convert):
            return getattr(value, convert)()
    return value


def _text(row: int, completion: Any) -> str:
    completion = _plain(completion)
    if isinstance(completion, str):
        return str(completion)
    turns = [completion] if isinstance(completion, Mapping) else completion
    if not isinstance(turns, list | tuple) or not all(isinstance(turn, Mapping) for turn in turns):
        raise InputError(f"completion {row} is neither a text nor a list of chat messages: {_short(completion)}")
    spoken = [turn for turn in turns if turn.get("role", "assistant") == "assistant"]
    if not spoken:
        raise InputError(f"completion {row} has no message with the role 'assistant': {_short(completion)}")
    return "".join(_content(row, turn) for turn in spoken)


def _content(row: int, turn: Mapping[str, Any]) -> str:
    """A message's words; the content is a string, a list of typed parts, or None beside a call of tools."""
    content = turn.get("content")
    if isinstance(content, str):
        return content
    if content is None and turn.get("tool_calls"):
        return ""
    if isinstance(content, list | tuple) and all(isinstance(part, Mapping) for part in content):
        parts = [part.get("text") for part in content if part.get("type", "text") == "text"]
        if all(isinstance(part, str) for part in parts):
            return "".join(map(str, parts))
    raise InputError(f"completion {row} has a message whose 'content' is not a text: {_short(content)}")


def _short(value: Any) -> str:
    try:
        return _line(reprlib.repr(value))
    except ValueError:  # an integer of more than 4,300 digits has no repr
        return f"a {type(value).__name__} too long to print"


def _line(value: object) -> str:
    return " ".join(str(value).split())
