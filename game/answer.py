"""Thought and answer out of a completion, in one pass over the text.

The prompt ends in ``<think>``, so a completion starts inside the thought; it may still repeat the opening
tag. The thought ends at the first ``</think>``; the answer is the last complete ``<answer>`` after it.
Searching for fixed strings keeps time and memory linear whatever a model writes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .puzzle import Puzzle, Status, Verdict, check, solves

THINK, END_THINK, ANSWER, END_ANSWER = "<think>", "</think>", "<answer>", "</answer>"
MAX_VERSIONS = 8
"""Answers with other words than the last one that are still compared with it; a completion with more is ambiguous."""
_OPENING = re.compile(rf"\s*{THINK}")


class Parsed(NamedTuple):
    """``thought`` without its tags, the complete ``answers`` after it in order, ``finished``: ``</think>`` was seen.

    ``well_formed`` is the format the reward pays for: one thought, then one answer, no other tag, and nothing but
    white space around the two.
    """

    thought: str
    answers: tuple[str, ...]
    finished: bool
    well_formed: bool

    @property
    def answer(self) -> str | None:
        return self.answers[-1] if self.answers else None


def parse(completion: str) -> Parsed:
    """Split a completion into thought and answers.

    >>> parse("3 * 5 = 15.</think>\\n<answer> 3 * 5 </answer>").answer
    ' 3 * 5 '
    """
    opening = _OPENING.match(completion)
    start = opening.end() if opening else 0
    end = completion.find(END_THINK, start)
    if end < 0:
        return Parsed(completion[start:], (), finished=False, well_formed=False)
    thought = completion[start:end]
    answers, clean = _answers(completion, end + len(END_THINK))
    clean = clean and len(answers) == 1 and not (_tagged(answers[0]) or _tagged(thought))
    return Parsed(thought, answers, finished=True, well_formed=clean)


def _tagged(text: str) -> bool:
    return "<" in text and any(tag in text for tag in (THINK, END_THINK, ANSWER, END_ANSWER))


def _answers(text: str, position: int) -> tuple[tuple[str, ...], bool]:
    """Complete answers from ``position`` on, in order, and whether only white space stands outside them."""
    answers: list[str] = []
    clean = True
    find, rfind, opening, closing = text.find, text.rfind, len(ANSWER), len(END_ANSWER)
    while (closed := find(END_ANSWER, position)) >= 0:
        begin = rfind(ANSWER, position, closed)  # an answer opened twice starts at its last opening
        if begin >= 0:
            answers.append(text[begin + opening : closed])
        if clean and begin != position:
            clean = begin > 0 and text[position:begin].isspace()
        position = closed + closing
    return tuple(answers), clean and (position == len(text) or text[position:].isspace())


def judge(puzzle: Puzzle, completion: str) -> Verdict:
    """Judge a whole completion: the last answer after the thought, refused when earlier ones disagree with it.

    >>> judge(Puzzle((3, 5), 15), "<answer>3*5</answer>").status.value
    'unfinished thought'
    """
    parsed = parse(completion)
    if not parsed.finished:
        return Verdict(Status.UNFINISHED, "the thought is never closed with </think>")
    if parsed.answer is None:
        return Verdict(Status.NO_ANSWER, "no complete <answer> follows the thought")
    verdict = check(puzzle, parsed.answer)
    if len(parsed.answers) > 1 and not _agree(puzzle, parsed.answers, verdict):
        return Verdict(Status.AMBIGUOUS, "several answers with different values")
    return verdict


def right(puzzle: Puzzle, parsed: Parsed) -> bool:
    """``judge(puzzle, completion).solved`` of a parsed completion, without a reason, which makes it faster.

    >>> right(Puzzle((3, 5), 15), parse("</think><answer>3*5</answer>"))
    True
    """
    answers = parsed.answers
    if not answers or not solves(puzzle, answers[-1]):
        return False
    return len(answers) == 1 or _agree(puzzle, answers, check(puzzle, answers[-1]))


def _agree(puzzle: Puzzle, answers: tuple[str, ...], last: Verdict) -> bool:
    """Whether every earlier answer has the value of the last; the values of ``MAX_VERSIONS`` others at most are asked.

    The bound keeps the time for thousands of answers linear in their length.
    """
    if answers.count(answers[-1]) == len(answers):
        return True
    versions = 0
    final = answers[-1].strip()
    for other in answers:
        if other == answers[-1] or other.strip() == final:
            continue
        versions += 1
        if versions > MAX_VERSIONS or check(puzzle, other).value != last.value:
            return False
    return True
