"""What the page says, in English and Chinese: ``texts/en.yaml`` and ``texts/zh.yaml``, the same keys in both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources

import yaml

from ..errors import InputError
from ..game.puzzle import Puzzle, Verdict, show

LANGUAGES = ("en", "zh")
_CHINESE, _WIDE = r"\u3400-\u9fff", r"\u3000-\u303f\uff00-\uffef"
_STRAY = re.compile(f"(?<=[{_WIDE}]) +| +(?=[{_WIDE}])|(?<=[{_CHINESE}]) +(?=[{_CHINESE}])")
Words = Mapping[str, str]


def _read(language: str) -> Words:
    text = resources.files("countdown_r1.space").joinpath(f"texts/{language}.yaml").read_text(encoding="utf-8")
    return {key: unspaced(value) for key, value in yaml.safe_load(text).items()}


def unspaced(text: str) -> str:
    """A text without spaces between Chinese characters or beside full-width signs, where YAML puts one for every line
    end of a folded text.

    >>> unspaced("边想边写， 精确的检查 程序 A 和 B， C")
    '边想边写，精确的检查程序 A 和 B，C'
    """
    return _STRAY.sub("", text)


WORDS: Mapping[str, Words] = {language: _read(language) for language in LANGUAGES}


def words_of(language: object) -> Words:
    """The page's texts. Raises ``InputError`` for a language that it does not speak."""
    if not isinstance(language, str) or language not in WORDS:
        raise InputError(f"the language is one of {', '.join(LANGUAGES)}")
    return WORDS[language]


def preferred(header: str | None) -> str:
    """The language that a browser's ``Accept-Language`` asks for first, of those that the page speaks.

    >>> preferred("zh-TW,zh;q=0.9,en;q=0.8"), preferred("fr,de;q=0.5"), preferred("en;q=0.2, zh;q=0.7")
    ('zh', 'en', 'zh')
    """
    wishes: list[tuple[float, str]] = []
    for part in (header or "")[:500].split(","):
        name, _, quality = part.strip().partition(";q=")
        try:
            wishes.append((-float(quality or 1), name.lower().split("-")[0]))
        except ValueError:
            continue
    wishes.sort(key=lambda wish: wish[0])
    return next((name for _, name in wishes if name in WORDS), LANGUAGES[0])


def reason(words: Words, verdict: Verdict, puzzle: Puzzle) -> str:
    """Why an answer is right or wrong, in the page's language; the verdict's own words where those say more."""
    sentence = words.get(f"reason.{verdict.status.value}")
    if sentence is None:
        return verdict.reason
    return sentence.format(target=puzzle.target, value=show(verdict.value) if verdict.value is not None else "")


def translated(words: Words, kind: str, text: str) -> str:
    """A text of the measurements in the page's language; as it is where there is no translation."""
    head = text.partition(":")[0]
    return words.get(f"{kind}.{text}") or words.get(f"{kind}.{head}") or text
