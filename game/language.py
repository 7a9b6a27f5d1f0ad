"""Which language a prompt is in, and whether what a model wrote to it stays there.

Only letters speak. A *word* is a run of two or more letters of one script; Chinese, Japanese and Korean are counted by
the character, each of which is about a word. No word is: a number, a formula, a single letter (``x``, ``π``), a LaTeX
command (``\\frac``; what ``\\text{...}`` holds is one), a tag, or one of the ``NEUTRAL`` names of functions, units and
tags, which every language leaves as they are. Full-width and other styled letters are what they stand for (NFKC).

One word of another language makes a mix: the demo's mixed thoughts shade off from whole sentences to a single ``Try``,
with no gap at which to draw a line, while its base writes none (docs/what-grpo-taught.md).

A language is known by its script. So English, French and German are one here, and Chinese and Japanese are told
apart by kana alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain, groupby
from typing import Any

from .answer import ANSWER, END_ANSWER, END_THINK

READ_CHARS = 10_000
"""Characters of a completion that are looked at, which bounds the time for one that never ends."""
_NAMES = (
    "think answer ok mod div sqrt gcd lcm abs exp ln log sin cos tan min max ii iii iv vi vii viii ix xi xii "
    "nm mm cm dm km mg kg ml cl dl ms ns hz khz mhz ghz kb mb gb tb kw kwh pa hpa kpa db ev rad mol kcal"
)
NEUTRAL = frozenset(_NAMES.split())
_LATIN, _HAN = frozenset({"LATIN"}), frozenset({"CJK", "BOPOMOFO"})
_KANA = frozenset({"HIRAGANA", "KATAKANA"})
# What tells a language by its script in a prompt, in this order, and all that it is written in.
_TOLD_BY = {"ja": _KANA, "ko": frozenset({"HANGUL"}), "zh": _HAN, "ru": frozenset({"CYRILLIC"})}
_WRITTEN_IN = _TOLD_BY | {"ja": _HAN | _KANA, "ko": _HAN | {"HANGUL"}, "en": _LATIN}
_BY_CHARACTER = _HAN | _KANA | {"HANGUL"}
_LETTERS = re.compile(r"[^\W\d_]+|[\U00020000-\U0003ffff]+")  # the latter: ideographs newer than Python's tables
_SILENT = re.compile(
    r"</?[A-Za-z][\w-]{0,30}\s?/?>|<\|\w{1,40}\|>"  # <think>, </s>, <|im_end|>
    r"|\\(?:begin|end)\s?\{\w{1,20}\*?\}|\\[A-Za-z]+"
)


def language_of(prompt: str | Sequence[Mapping[str, Any]]) -> str:
    """The language that a prompt is posed in; of chat messages, all roles are read.

    It is ``ja``, ``ko``, ``zh``, ``ru`` or the script's own name, by the first of them with a word in it; else ``en``.
    A prompt in any of them may hold English, as tags, roles and system prompts do; so Latin letters decide nothing.

    >>> language_of("使用[1, 2]这几个数字,把过程写在 <think> 和 </think> 之间"), language_of("Using the numbers [1, 2]")
    ('zh', 'en')
    """
    text = prompt if isinstance(prompt, str) else "\n".join(str(turn.get("content", "")) for turn in prompt)
    found = words(text)
    told = (language for language, scripts in _TOLD_BY.items() if any(found[script] for script in scripts))
    others = (script.lower() for script, _ in found.most_common() if script not in _LATIN)
    return next(chain(told, others), "en")


def mixed(completion: str, language: str) -> bool:
    """Whether any word of a completion is in another language than ``language``.

    The thought counts, and what stands around the answer: a mix does not hide behind an early ``</think>``.
    ``language`` is what ``language_of`` gives, or a dataset's code such as ``en`` or ``zh``.

    >>> mixed("目标是76。Try 57 - 19 = 38。Yes!</think><answer> 57 - 19 + 38 </answer>", "zh")
    True
    """
    return counted(completion, language)[0] > 0


def asked_in(record: Mapping[str, Any]) -> str | None:
    """The language a record's completion should be in: that of its ``prompt``, else its ``language``, else None."""
    prompt, language = record.get("prompt"), record.get("language")
    if isinstance(prompt, list) and not all(isinstance(turn, Mapping) for turn in prompt):
        prompt = None
    if isinstance(prompt, str | list) and prompt:
        return language_of(prompt)
    return language if isinstance(language, str) and language else None


def mixes(record: Mapping[str, Any]) -> bool | None:
    """Whether a record's ``generation`` is ``mixed``, whatever else the record says; None where that is not known."""
    language = asked_in(record)
    return None if language is None else mixed(str(record["generation"]), language)


def counted(completion: str, language: str) -> tuple[int, int]:
    """How many words of a completion's prose are in another language, and how many words it has."""
    found = words(prose(completion)[:READ_CHARS])
    own = _own(language)
    return sum(n for script, n in found.items() if script not in own), found.total()


def prose(completion: str) -> str:
    """A completion without its final answer, which is an expression."""
    closed = completion.rfind(END_ANSWER)
    opened = completion.rfind(ANSWER, max(0, completion.find(END_THINK)), max(0, closed))
    return completion if opened < 0 else completion[:opened] + completion[closed:]


def words(text: str) -> Counter[str]:
    """Words of a text by their script: ``LATIN``, ``CJK``, ``HIRAGANA``, as Unicode's names of letters begin."""
    found: Counter[str] = Counter()
    for run in _LETTERS.findall(_SILENT.sub(" ", text)):
        for script, letters in [("LATIN", run)] if run.isascii() else groupby(run, _script):
            word = unicodedata.normalize("NFKC", "".join(letters))
            if script in _BY_CHARACTER:
                found[script] += len(word)
            elif script and len(word) > 1 and word.lower() not in NEUTRAL:
                found[script] += 1
    return found


def _own(language: str) -> frozenset[str]:
    code = language.partition("-")[0].lower()
    return _WRITTEN_IN.get(code) or (frozenset({code.upper()}) if len(code) > 3 else _LATIN)


@lru_cache(maxsize=8_192)
def _script(letter: str) -> str:
    """The first word of its name in Unicode; '' for what is no letter, such as ``Ⅳ`` and ``²``."""
    if not letter.isalpha():
        return "CJK" if letter >= "\U00020000" else ""
    name = unicodedata.name(unicodedata.normalize("NFKC", letter)[0], "")
    return "CJK" if name.startswith("IDEOGRAPHIC") else re.split("[ -]", name, maxsplit=1)[0]
