"""What is quoted of a thought around a reflective cue: whole sentences, and the line that solves the puzzle, if any.

Every quote of an Aha, in a terminal, in the report and on the page, is cut here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

BEFORE, AFTER = 80, 160  # characters around the cue
LINE = 160  # characters of the solving line on either side of what solves
ELLIPSIS = "…"
_END = re.compile(r"\n+|(?<!\n[0-9])(?<!\n[0-9][0-9])[.!?][\"')]{0,2}(?=\s)|[。！？]")  # no number of a list
_GAP = re.compile(r"[\s,;，、；]+")


class Span(NamedTuple):
    """``text[start:end]``."""

    start: int
    end: int


def quote(text: str, cue: Span, solved: Span | None = None) -> str:
    """The words around ``cue`` and, when ``solved`` stands further on, its line; an ellipsis for all that is left out.

    >>> quote("No. 5 + 6 = 11. Wait, what about 5 * 6 = 30. Yes!", Span(16, 20))
    'No. 5 + 6 = 11. Wait, what about 5 * 6 = 30. Yes!'
    """
    spans = spans_of(text, cue, solved)
    parts = [text[span.start : span.end].strip() for span in spans]
    parts = [ELLIPSIS * (spans[0].start > 0), *parts[:1], *(part for one in parts[1:] for part in (ELLIPSIS, one))]
    return " ".join(filter(None, [*parts, ELLIPSIS * (spans[-1].end < len(text.rstrip()))]))


def spans_of(text: str, cue: Span, solved: Span | None = None, before: int = BEFORE, after: int = AFTER) -> list[Span]:
    """The stretches of a quote in order: from a sentence's beginning to a sentence's end, the cue in the first.

    The words of the cue stand in it once, or the cue comes first, so that it can be found again.
    """
    again = text.rfind(text[cue.start : cue.end], max(0, cue.start - before), cue.start)
    low = max(0, cue.start - before) if again < 0 else again + cue.end - cue.start
    first = Span(_start(text, low, cue.start), _stop(text, cue.end, cue.end + after))
    if solved is None:
        return [first]
    end = _stop(text, solved.end, solved.end + LINE, line=True)
    begin = _start(text, max(cue.end, solved.start - LINE), solved.start, line=True)
    if not text[first.end : begin].strip():
        return [Span(first.start, max(first.end, end))]
    return [first, Span(begin, end)]


def _start(text: str, low: int, high: int, line: bool = False) -> int:
    """The first sentence's beginning from ``low`` to ``high``, or the last line's; else a word's, else ``high``."""
    if not low:
        return 0
    ends = [end.end() for end in _END.finditer(text, low - 1, high)]
    if lines := [end for end in ends if line and text[end - 1] == "\n"]:
        return lines[-1]
    ends = ends or [gap.end() for gap in _GAP.finditer(text, low - 1, high)]
    return ends[0] if ends else high


def _stop(text: str, low: int, high: int, line: bool = False) -> int:
    """The last sentence's end from ``low`` to ``high``, or the first line's; else a word's, else ``high``."""
    if high >= len(text) and not line:
        return len(text)
    ends = [end.end() for end in _END.finditer(text, low, high + 1)]
    if lines := [end for end in ends if line and text[end - 1] == "\n"]:
        return lines[0]
    if ends or high >= len(text):
        return ends[0 if line else -1] if ends else len(text)
    gaps = [gap.start() for gap in _GAP.finditer(text, low, high + 1)]
    return gaps[-1] if gaps else high
