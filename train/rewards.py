"""Rewards of the Countdown task, in the signature TRL calls: one float per completion.

Mini-R1's two rewards: 1 for the format (one thought, then one answer) and 1 for an equation that uses every
number exactly once and makes the target. Both judge by the exact parser in ``game``; a completion that is
nonsense scores 0, a dataset row that is nonsense is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import InputError
from ..game.answer import judge, parse
from ..game.puzzle import Puzzle

Text = str | list[dict[str, str]]


def equation_reward(
    completions: Sequence[Text], nums: Sequence[Sequence[Any]], target: Sequence[Any], **_: object
) -> list[float]:
    """1.0 for each completion whose final answer solves its puzzle, else 0.0.

    ``completions``, ``nums`` and ``target`` run in parallel; completions are strings or chat messages,
    numbers are anything that ``int`` takes exactly. Raises ``InputError`` naming the row that is no puzzle.

    >>> equation_reward(["x</think><answer>1 + 2</answer>"], nums=[[1, 2]], target=[3])
    [1.0]
    """
    rows = zip(completions, nums, target, strict=True)
    return [
        float(judge(_puzzle(row, numbers, goal), _text(completion)).solved)
        for row, (completion, numbers, goal) in enumerate(rows)
    ]


def format_reward(completions: Sequence[Text], **_: object) -> list[float]:
    """1.0 for each completion that is one thought followed by one answer and nothing else, else 0.0."""
    return [float(parse(_text(completion)).well_formed) for completion in completions]


def _text(completion: Text) -> str:
    return completion if isinstance(completion, str) else "".join(turn["content"] for turn in completion)


def _puzzle(row: int, nums: Sequence[Any], target: Any) -> Puzzle:
    try:
        if isinstance(nums, str | bytes):
            raise ValueError("nums is a text, not a list of numbers")
        numbers = tuple(_whole(number) for number in nums)
        return Puzzle(numbers, _whole(target))
    except (InputError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"row {row} is not a puzzle (nums={nums!r}, target={target!r}): {error}") from error


def _whole(number: Any) -> int:
    whole = int(number)
    if isinstance(number, bool) or (not isinstance(number, str) and whole != number):
        raise ValueError(f"{number!r} is not a whole number")
    return whole
