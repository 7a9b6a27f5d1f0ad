"""The rule: which turn of a thought is an Aha, and what the others lack.

A turn is a line of attack that begins after something was tried. It ends in the right answer when a candidate in it
is new, that is, differs from every earlier one in its operators, its grouping or its first step, when that candidate
is the answer, and when the answer is right. Nothing of it depends on words, so turns with a cue and turns without
one are measured alike.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..game.puzzle import Puzzle, Verdict, left_side
from .shapes import Combination, combination, parse_tree
from .steps import Candidate
from .thought import Line, Thought


class Turn(NamedTuple):
    """A line of attack after the first thing tried; ``line.cue`` is None where no reflective phrase began it.

    ``why`` says what it lacks to end in the right answer, '' when it lacks nothing. ``found`` is the candidate in it
    that makes the target, None when none does; ``notes`` say what about that candidate was new, or was not.
    """

    line: Line
    why: str
    found: Candidate | None = None
    notes: tuple[str, ...] = ()

    @property
    def solved(self) -> bool:
        return not self.why


def judge_turns(thought: Thought, puzzle: Puzzle | None, verdict: Verdict | None, answer: str) -> Iterator[Turn]:
    """Every turn of a thought, judged; ``verdict`` is None when the puzzle is not known."""
    tree = parse_tree(left_side(answer)) if verdict and verdict.solved else None
    right = combination(tree) if tree is not None else None
    past = _Past(thought.text, puzzle)
    for line in thought.lines:
        if past.worked:
            yield _judged(line, verdict, right, past)
        past.add(line)


class _Past:
    """What was tried before a line of attack."""

    def __init__(self, text: str, puzzle: Puzzle | None) -> None:
        self.text = text
        self.target = puzzle.target if puzzle else None
        self.worked = self.found = self.parentheses = False
        self.tried: set[tuple[Combination, tuple[Any, ...]]] = set()
        self.combinations: set[Combination] = set()
        self.first_steps: set[tuple[Any, ...]] = set()
        self.last_at = -1
        self.worked_at: list[int] = []  # where each claim stands that does not only work out the one before it

    def add(self, line: Line) -> None:
        self.worked = self.worked or line.worked
        ends = [claim.right.end for claim in line.claims]
        heads = zip(line.claims, [-1, *ends], strict=False)
        self.worked_at += [claim.left.start for claim, end in heads if claim.left.end != end]
        for one in line.candidates:
            self.tried.add((one.combination, one.first))
            self.combinations.add(one.combination)
            self.first_steps.add(one.first)
            self.last_at = one.start
            self.found = self.found or (one.value == self.target and one.stated in (None, one.value))
            self.parentheses = self.parentheses or self.in_parentheses(one)

    def in_parentheses(self, candidate: Candidate) -> bool:
        written = self.text[candidate.start : candidate.end]
        return "(" in written or "（" in written

    def lacks(self, line: Line, one: Candidate) -> str:
        """What keeps a right candidate from being a new one."""
        if self.found:
            return "the answer had been found before"
        if (one.combination, one.first) in self.tried:
            return "it repeats an earlier attempt"
        return "it goes on with what was begun before" if self._goes_on(line, one) else ""

    def _goes_on(self, line: Line, one: Candidate) -> bool:
        """Whether a candidate was begun before the turn, and nothing worked out since then was given up."""
        if not self.last_at < one.began < line.start:
            return False
        return all(at in one.steps for at in self.worked_at[bisect_left(self.worked_at, one.began) :])

    def notes(self, one: Candidate) -> Iterator[str]:
        """What about a candidate is not new, or is."""
        if one.combination in self.combinations:
            yield "the same combination was tried before in another order"
        elif one.first in self.first_steps:
            yield "its first step was tried before"
        if one.written and self.in_parentheses(one):
            yield (
                "parentheses were not new: attempts before it have them" if self.parentheses else "parentheses are new"
            )


def _judged(line: Line, verdict: Verdict | None, answer: Combination | None, past: _Past) -> Turn:
    if verdict is None:
        return Turn(line, "the puzzle is not known")
    reaching = [one for one in line.candidates if one.value == past.target]
    found = next((one for one in reaching if one.combination == answer), reaching[0] if reaching else None)
    notes = tuple(past.notes(found)) if found else ()
    if not verdict.solved:
        return Turn(line, f"the answer is not right: {verdict.reason}", found, notes)
    if found is None:
        return Turn(line, "this line of attack does not come to the answer")
    why = past.lacks(line, found) or ("" if found.combination == answer else "the answer is another expression")
    return Turn(line, why, found, notes)
