"""A thought as lines of attack: stretches that each begin with a turn and try something.

A line of attack begins with a phrase of the lexicon, a cue (突然意识到, wait) or a plain restart (try, 试试), once
something has been worked out since the last one. It also begins, without a phrase, where a list goes on with its
next item, or a written candidate stands on a new line, after another candidate. A thought that tries nothing new
has one line.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..game.answer import ANSWER, END_ANSWER, END_THINK, THINK, parse
from ..game.claims import Claim
from .lexicon import Mark, find_marks
from .steps import Candidate, Steps, read_steps

MAX_CHARS = 100_000
"""What is read of one thought, far more than a puzzle of six numbers takes; the rest is cut off and counted."""
_ITEM = re.compile(r"(?:^|\n)[ \t]*(?:([0-9]{1,4}[.)、．])|[-*•])[ \t]")


@dataclass(frozen=True)
class Line:
    """A line of attack, ``start:end`` of the thought. ``phrased``: a phrase began it; ``cue``: a reflective one."""

    start: int
    end: int
    phrased: bool
    cue: Mark | None
    claims: Sequence[Claim]
    candidates: Sequence[Candidate]

    @property
    def worked(self) -> bool:
        """Whether anything is worked out in it."""
        return bool(self.claims or self.candidates)


@dataclass(frozen=True)
class Thought:
    """``text`` is what is written before an answer, ``cut`` when it was longer than ``MAX_CHARS``."""

    text: str
    cut: bool
    steps: Steps
    lines: list[Line]


class _Start(NamedTuple):
    at: int
    phrased: bool
    cue: Mark | None


def read_thought(completion: str, nums: Sequence[int]) -> Thought:
    """The steps and lines of attack of a completion; ``nums`` is empty when the puzzle is not known.

    What follows a first ``</think>`` belongs to it up to an answer: many models go on thinking there.

    >>> [line.cue.text if line.cue else None for line in read_thought("2 + 3 = 5. Wait, 2 * 3 = 6.", (2, 3)).lines]
    [None, 'Wait']
    """
    whole = reasoning(completion)
    text = whole[:MAX_CHARS]
    steps = read_steps(text, nums)
    starts = list(_starts(text, steps))
    ends = [start.at for start in starts[1:]] + [len(text)]
    lines = [_line(start, end, steps) for start, end in zip(starts, ends, strict=True)]
    return Thought(text, len(whole) > MAX_CHARS, steps, lines)


def reasoning(completion: str) -> str:
    """What a completion says before its first answer that follows the thought; of an unfinished one, before any."""
    parsed = parse(completion)
    if not parsed.finished:
        return parsed.thought.partition(ANSWER)[0]
    begin = len(completion) - len(completion.lstrip().removeprefix(THINK))
    closed = completion.find(END_THINK, begin) + len(END_THINK)
    opened = completion.find(ANSWER, closed)
    answered = opened >= 0 and completion.find(END_ANSWER, opened) >= 0
    end = opened if answered else len(completion)
    return completion[begin:end] if completion[closed:end].strip() else parsed.thought


def closed(completion: str, prompt: str) -> str:
    """The completion, its thought closed before the first answer when neither it nor its prompt knows of thought tags.

    Asked for an answer in ``<answer>`` alone, a model closes no thought; what it writes before the answer is one all
    the same. Without a prompt nobody can say what was asked, and the completion stays as it is.
    """
    tagged = any(tag in text for text in (completion, prompt) for tag in (THINK, END_THINK))
    opened = completion.find(ANSWER)
    if tagged or not prompt.strip() or opened < 0 or completion.find(END_ANSWER, opened) < 0:
        return completion
    return f"{completion[:opened]}{END_THINK}\n{completion[opened:]}"


def _line(start: _Start, end: int, steps: Steps) -> Line:
    inside = slice(*(bisect_left(steps.claims, at, key=lambda claim: claim.left.start) for at in (start.at, end)))
    tried = slice(*(bisect_left(steps.candidates, at, key=lambda one: one.start) for at in (start.at, end)))
    return Line(start.at, end, start.phrased, start.cue, steps.claims[inside], steps.candidates[tried])


def _starts(text: str, steps: Steps) -> Iterator[_Start]:
    """Where each line of attack begins. Phrases that follow each other with nothing between them begin one.

    A numbered item is another attempt after any candidate, a dash only after a written one: under a first move, its
    second moves stand behind dashes, as in the traces of the shipped model.
    """
    start, worked = _Start(0, False, None), False
    last: Candidate | None = None
    for at, event in _events(text, steps):
        if isinstance(event, Claim):
            worked = True
            continue
        if isinstance(event, Candidate):
            begins = _new_line(text, last, event) if last else -1
            if begins >= 0:
                yield start
                start = _Start(begins, False, None)
            worked, last = True, event
            continue
        cue = event if isinstance(event, Mark) and event.kind == "cue" else None
        phrased = isinstance(event, Mark)
        if worked and (phrased or (last and (event or last.written))):
            yield start
            start, worked, last = _Start(at, phrased, cue), False, None
        elif phrased and not worked:
            start = _Start(start.at, True, cue or start.cue)
    yield start


def _new_line(text: str, last: Candidate, candidate: Candidate) -> int:
    """Where the line of a written candidate begins, when another one was written above; -1 when none was."""
    if not (last.written and candidate.written) or last.combination == candidate.combination:
        return -1
    return text.rfind("\n", last.end, candidate.start)


def _events(text: str, steps: Steps) -> list[tuple[int, Claim | Candidate | Mark | bool]]:
    """Claims, candidates, phrases and list items (whether numbered) with their places, in order; phrases first."""
    marks = [*find_marks(text, "cue"), *find_marks(text, "restart")]
    ordered: list[tuple[int, int, Claim | Candidate | Mark | bool]] = [
        *((mark.start, 0, mark) for mark in marks),
        *((item.end(), 1, item[1] is not None) for item in _ITEM.finditer(text)),
        *((claim.left.start, 2, claim) for claim in steps.claims),
        *((candidate.start, 3, candidate) for candidate in steps.candidates),
    ]
    ordered.sort(key=lambda event: event[:2])
    return [(at, event) for at, _, event in ordered]
