"""Thought and answer out of a completion, in one pass over the text.

The prompt ends in ``<think>``, so a completion starts inside the thought; it may still repeat the opening
tag. The thought ends at the first ``</think>``; the answer is the last complete ``<answer>`` after it.
Searching for fixed strings keeps the time linear whatever a model writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from .puzzle import Puzzle, Status, Verdict, check

THINK, END_THINK, ANSWER, END_ANSWER = "<think>", "</think>", "<answer>", "</answer>"


@dataclass(frozen=True)
class Parsed:
    """``thought`` without its tags, the complete ``answers`` after it in order, ``finished``: ``</think>`` was seen."""

    thought: str
    answers: tuple[str, ...]
    finished: bool
    well_formed: bool

    @property
    def answer(self) -> str | None:
        return self.answers[-1] if self.answers else None


def parse(completion: str) -> Parsed:
    """Split a completion into thought and answers.

    ``well_formed`` is the format the reward pays for: one thought, then one answer, and nothing else but
    white space around them.

    >>> parse("3 * 5 = 15.</think>\\n<answer> 3 * 5 </answer>").answer
    ' 3 * 5 '
    """
    body = completion.lstrip()
    body = body[len(THINK) :] if body.startswith(THINK) else completion
    thought, closed, rest = body.partition(END_THINK)
    if not closed:
        return Parsed(thought, (), finished=False, well_formed=False)
    answers, outside = _answers(rest)
    clean = THINK not in thought and ANSWER not in thought and not outside.strip()
    return Parsed(thought, answers, finished=True, well_formed=clean and len(answers) == 1)


def _answers(rest: str) -> tuple[tuple[str, ...], str]:
    """Complete answers in order, and the text that stands outside them."""
    answers: list[str] = []
    outside: list[str] = []
    pieces = rest.split(END_ANSWER)
    for piece in pieces[:-1]:
        before, opened, inside = piece.rpartition(ANSWER)
        if opened:
            answers.append(inside)
        outside.append(before if opened else piece + END_ANSWER)
    outside.append(pieces[-1])
    return tuple(answers), "".join(outside)


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
    for other in parsed.answers[:-1]:
        if other.strip() != parsed.answer.strip() and check(puzzle, other).value != verdict.value:
            return Verdict(Status.AMBIGUOUS, "several answers with different values")
    return verdict
