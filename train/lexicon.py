"""Words by which a thought shows what it is doing, read from ``lexicon.yaml``, and where they stand in a text."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import NamedTuple

import yaml

from ..errors import InputError

KINDS = ("cue", "restart", "verification", "subgoal", "backward")
_FLEXIBLE = {"'": "['’]", "-": "[-‑ ]?", " ": r"\s{1,3}"}


class Mark(NamedTuple):
    """A phrase of the lexicon, of ``kind``, at ``start:end`` of a text, as written there."""

    kind: str
    start: int
    end: int
    text: str


def find_marks(text: str, kind: str) -> list[Mark]:
    """Every phrase of ``kind`` in ``text``, in order; the longest one where several begin at one place.

    >>> [mark.text for mark in find_marks("Wait, let me recheck. 突然想到 we await", "cue")]
    ['Wait', 'let me recheck', '突然想到']
    """
    return [Mark(kind, found.start(), found.end(), found[0]) for found in _patterns()[kind].finditer(text)]


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    text = resources.files("countdown_r1.train").joinpath("lexicon.yaml").read_text(encoding="utf-8")
    return compile_lexicon(text)


def compile_lexicon(text: str) -> dict[str, re.Pattern[str]]:
    """A pattern per kind out of a lexicon file's text. Raises ``InputError`` that names what is wrong with it."""
    try:
        lexicon = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"the lexicon is not valid YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(lexicon, dict) or sorted(lexicon) != sorted(KINDS):
        raise InputError(f"the lexicon needs exactly these keys: {', '.join(KINDS)}")
    return {kind: _pattern(kind, lexicon[kind]) for kind in KINDS}


def _pattern(kind: str, languages: object) -> re.Pattern[str]:
    lists = list(languages.values()) if isinstance(languages, dict) else []
    phrases = [phrase for listed in lists if isinstance(listed, list) for phrase in listed]
    if not phrases or not all(isinstance(phrase, str) and phrase.strip() for phrase in phrases):
        raise InputError(f"the lexicon's '{kind}' needs a list of phrases for each language; quote yes, no and numbers")
    longest_first = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    return re.compile("|".join(map(_phrase, longest_first)), re.IGNORECASE)


def _phrase(phrase: str) -> str:
    """Letters match whole words, so that ``wait`` is not found in ``await``; Chinese has no words to tell apart."""
    escaped = "".join(_FLEXIBLE.get(letter, re.escape(letter)) for letter in phrase)
    before = r"(?<![A-Za-z])" if phrase[0].isascii() else ""
    return before + escaped + (r"(?![A-Za-z])" if phrase[-1].isascii() and phrase[-1].isalpha() else "")
