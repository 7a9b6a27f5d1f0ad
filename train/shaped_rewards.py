"""Optional penalties for how a thought is written, each for one failure people report; none is used unless named.

A recipe adds them by name (``rewards: {functions: [equation_reward, format_reward, truth_reward]}``) and so does
``train --reward truth_reward``. All pay from ``-MOST`` to 0: nothing can be earned by writing more, and the three
together stay below the 1.0 of a right answer. TRL's ``reward_weights`` makes them weigh less or more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import InputError
from ..game.answer import Parsed
from ..game.claims import claims
from .messages import words_of
from .reward_rows import Text
from .rewards import parsed

MOST = 0.2
LONG_CHARS, LONGEST_CHARS = 2_000, 4_000
READ_CHARS = 10_000
PER_FALSE_CLAIM = 0.05
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")


def language_reward(completions: Sequence[Text], prompts: Sequence[Text], **_: object) -> list[float]:
    """Against an English prompt that is answered in Chinese and the reverse, or in a mix of both.

    ``-MOST`` times the share of the thought that is in the other language, where a Chinese character counts as
    much as a word of Latin letters. Formulas, single letters and LaTeX commands are in no language. A prompt with
    Chinese characters is Chinese. The first ``READ_CHARS`` characters of the thought are looked at.

    >>> language_reward(["Try 86 - 3, 不对。</think>"], prompts=["Using the numbers [3, 68, 86]"])
    [-0.13333333333333333]
    """
    if len(prompts) != len(completions):
        raise InputError(f"a reward takes one prompt per completion, got {len(completions):,} and {len(prompts):,}")
    chinese = [bool(_HAN.search(words_of(prompt))) for prompt in prompts]
    return [_language(*pair) for pair in zip(parsed(completions), chinese, strict=True)]


def length_reward(completions: Sequence[Text], **_: object) -> list[float]:
    """Against thoughts that grow without end once length has paid, until generation is cut off.

    0 up to ``LONG_CHARS`` characters of thought, then falling in a straight line to ``-MOST`` at ``LONGEST_CHARS``,
    as DAPO's soft punishment does with tokens (arXiv 2503.14476, section 3.4). Thoughts on three and four numbers
    take 300 to 1,000 characters.

    >>> length_reward(["Try 86 - 3.</think>", "3" * 3_000])
    [0.0, -0.1]
    """
    return [_length(len(one.thought)) for one in parsed(completions)]


def truth_reward(completions: Sequence[Text], **_: object) -> list[float]:
    """Against thoughts that reach the target by wrong sums, such as ``11 + 77 - 80 + 6 = 8``.

    ``-PER_FALSE_CLAIM`` for every false claim (``game.claims``) in the first ``READ_CHARS`` characters of the
    thought, at most ``-MOST``. True claims earn nothing, so that padding with ``1 + 1 = 2`` does not pay. A result
    may be rounded (``80 / 6 = 13.33``); a rounded number inside an expression (``66 / 13.33``) is taken as it stands.

    >>> truth_reward(["7 + 8 = 15, 7 - 8 = 1</think>"])
    [-0.05]
    """
    return [_truth(one) for one in parsed(completions)]


def _language(one: Parsed, chinese: bool) -> float:
    thought = one.thought[:READ_CHARS]
    han = sum(run.end() - run.start() for run in _HAN.finditer(thought))
    words = sum(1 for _ in _WORD.finditer(thought))
    other = words if chinese else han
    return -MOST * (other / (han + words)) if other else 0.0


def _length(chars: int) -> float:
    excess = (chars - LONG_CHARS) / (LONGEST_CHARS - LONG_CHARS)
    return -MOST * min(1.0, excess) if excess > 0 else 0.0


def _truth(one: Parsed) -> float:
    loss = 0.0
    for claim in claims(one.thought[:READ_CHARS]):
        if not claim.true:
            loss = round(loss + PER_FALSE_CLAIM, 2)
        if loss >= MOST:
            break
    return -loss if loss else 0.0
