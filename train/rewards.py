"""Rewards of the Countdown task, in the signature TRL calls: one float per completion.

Mini-R1's two rewards: 1 for the format (one thought, then one answer) and 1 for an equation that uses every
number exactly once and makes the target; and the latter for those alone that keep to the prompt's language, since the
plain one can teach a small model to mix languages (docs/what-grpo-taught.md). All judge by the exact parser in
``game``; a completion that is nonsense scores 0, a dataset row that is nonsense is an error. The article's own, looser
rules are in ``article_rewards``, optional penalties in ``shaped_rewards``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..game.answer import Parsed, parse, right
from ..game.language import mixed
from .reward_rows import Text, read_languages, read_puzzles, read_texts


def equation_reward(
    completions: Sequence[Text], nums: Sequence[Any], target: Sequence[Any], **_: object
) -> list[float]:
    """1.0 for each completion whose final answer solves its puzzle, else 0.0.

    ``completions``, ``nums`` and ``target`` run in parallel; completions are strings or chat messages,
    numbers are anything that is a whole number exactly. Raises ``InputError`` naming the row that is no puzzle.

    >>> equation_reward(["x</think><answer>1 + 2</answer>"], nums=[[1, 2]], target=[3])
    [1.0]
    """
    answers = parsed(completions)
    puzzles = read_puzzles(completions, nums, target)
    return [1.0 if right(puzzle, answer) else 0.0 for puzzle, answer in zip(puzzles, answers, strict=True)]


def consistent_equation_reward(
    completions: Sequence[Text], prompts: Sequence[Text], nums: Sequence[Any], target: Sequence[Any], **_: object
) -> list[float]:
    """``equation_reward`` of each completion that keeps to the language of its prompt, else 0.0.

    A penalty can be outweighed by what a mix earns; here a mix earns nothing. What makes one: ``game.language.mixed``.

    >>> asked = {"prompts": ["使用[1, 2]这几个数字"] * 2, "nums": [[1, 2]] * 2, "target": [3, 3]}
    >>> consistent_equation_reward(
    ...     ["找到了。</think><answer>1 + 2</answer>", "找到了, that is it.</think><answer>1 + 2</answer>"], **asked
    ... )
    [1.0, 0.0]
    """
    languages = read_languages(completions, prompts)
    earned = equation_reward(completions, nums, target)
    asked = zip(earned, read_texts(completions), languages, strict=True)
    return [0.0 if score and mixed(text, language) else score for score, text, language in asked]


def format_reward(completions: Sequence[Text], **_: object) -> list[float]:
    """1.0 for each completion that is one thought followed by one answer and nothing else, else 0.0."""
    return [1.0 if one.well_formed else 0.0 for one in parsed(completions)]


def parsed(completions: Sequence[Text]) -> tuple[Parsed, ...]:
    """Every completion parsed; all rewards of a batch share one pass, since the last batch is remembered."""
    return _parsed(read_texts(completions))


@lru_cache(maxsize=1)
def _parsed(texts: tuple[str, ...]) -> tuple[Parsed, ...]:
    return tuple(map(parse, texts))
