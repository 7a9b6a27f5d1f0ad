"""Aha moments, found without wishful thinking.

Both articles look for reflective words in the completions (突然意识到, 突然想到, "wait"), and one warns that such
answers are often wrong. A word alone proves nothing: an Aha here is a cue whose line of attack ends in the right
answer by the rule of ``turns``. Every other cue is only claimed to be one, and is reported with what it lacks.

Two controls stand beside every count: the same rule applied to turns without a cue, and the same measure on the
base model. A cold start that wrote such words plants them, so a count alone says nothing about training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..game.answer import ANSWER, END_ANSWER, judge, parse
from ..game.puzzle import Puzzle, Verdict, left_side, show
from .behaviours import Behaviours, behaviours, summarise_behaviours
from .messages import words_of
from .quote import Span, quote
from .row_puzzle import stated_puzzle
from .samples import read_records
from .shapes import Tree, leaves, parse_tree, value_of
from .thought import Thought, closed, read_thought
from .truth import FalseClaim, false_claims
from .turns import Turn, judge_turns

MAX_LISTED = 20  # false claims and numbers that are named for one thought
MAX_ANSWER_CHARS = 200  # of an answer that is quoted

__all__ = ["Aha", "Analysis", "analyse", "find_ahas", "moment", "read_records", "summarise", "summarise_analyses"]


@dataclass(frozen=True)
class Aha:
    """A reflective turn: the cue, the words around it, and ``solved``: whether it is a true Aha.

    ``why`` says what a claimed one lacks; ``answer`` is the answer as given, ``makes`` its value. ``false_claims``
    are of the whole thought, each with what it makes in truth. ``not_given`` are numbers of the turn and of the
    answer that were neither given nor worked out before, ``left_out`` given ones that the answer does without.
    """

    test_id: int
    cue: str
    excerpt: str
    solved: bool
    why: str = ""
    answer: str = ""
    makes: str = ""
    notes: tuple[str, ...] = ()
    false_claims: tuple[str, ...] = ()
    not_given: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()


@dataclass(frozen=True)
class Analysis:
    """One completion taken apart. ``puzzle`` and ``verdict`` are None when its puzzle is not known.

    ``never_closed`` is one without ``</think>``, which is never right; ``untagged`` one whose prompt asks for none.
    """

    record: Mapping[str, Any]
    puzzle: Puzzle | None
    verdict: Verdict | None
    answer: str
    thought: Thought
    turns: Sequence[Turn]
    shown: Behaviours
    never_closed: bool
    untagged: bool

    @property
    def aha(self) -> Turn | None:
        """The turn that speaks for the completion: a true Aha, else the last one with a cue."""
        cued = [turn for turn in self.turns if turn.line.cue]
        return next((turn for turn in cued if turn.solved), cued[-1] if cued else None)

    @property
    def false_claims(self) -> list[FalseClaim]:
        return false_claims(self.thought.text, self.thought.steps.claims)


def find_ahas(records: Iterable[Mapping[str, Any]]) -> list[Aha]:
    """For every completion with a reflective turn the one that speaks for it; ``solved`` marks the true Ahas.

    ``records`` are evaluation records; see ``analyse`` for the fields that are read.
    """
    found = (moment(analysis) for analysis in map(analyse, records))
    return [aha for aha in found if aha is not None]


def summarise(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """``n``: completions with a reflective turn; ``solved``: those with a true Aha; ``claimed``: the others.

    ``turns`` counts the turns ``with_cue`` and ``without_cue``, and how many of each end in the right answer by the
    same rule. ``unknown_puzzles`` are completions that could not be judged, ``cut`` those too long to be read whole,
    ``never_closed`` those without ``</think>``, none of which can count, ``untagged`` those whose prompt asks for none;
    ``behaviours`` are described in ``summarise_behaviours``.
    """
    return summarise_analyses([analyse(record) for record in records])


def summarise_analyses(analyses: Sequence[Analysis]) -> dict[str, Any]:
    """``summarise`` of what ``analyse`` gave."""
    spoken = [turn for analysis in analyses if (turn := analysis.aha)]
    solved = sum(turn.solved for turn in spoken)
    turns = [turn for analysis in analyses for turn in analysis.turns]
    return {
        "n": len(spoken),
        "solved": solved,
        "claimed": len(spoken) - solved,
        "completions": len(analyses),
        "unknown_puzzles": sum(analysis.puzzle is None for analysis in analyses),
        "cut": sum(analysis.thought.cut for analysis in analyses),
        "never_closed": sum(analysis.never_closed for analysis in analyses),
        "untagged": sum(analysis.untagged for analysis in analyses),
        "turns": {
            "with_cue": _counted([turn for turn in turns if turn.line.cue]),
            "without_cue": _counted([turn for turn in turns if not turn.line.cue]),
        },
        "behaviours": summarise_behaviours([analysis.shown for analysis in analyses]),
    }


def _counted(turns: Sequence[Turn]) -> dict[str, int]:
    return {"n": len(turns), "solved": sum(turn.solved for turn in turns)}


def analyse(record: Mapping[str, Any]) -> Analysis:
    """Take a record apart: its ``generation``, and ``nums`` and ``target`` where they are known.

    The answer is judged here, whatever the record's own score says.
    """
    written = str(record["generation"])
    completion = closed(written, words_of(record.get("prompt")))
    puzzle = stated_puzzle(record)
    thought = read_thought(completion, puzzle.nums if puzzle else ())
    verdict = judge(puzzle, completion) if puzzle else None
    answer = given_answer(completion)
    turns = tuple(judge_turns(thought, puzzle, verdict, answer))
    never_closed, untagged = not parse(completion).finished, completion != written
    shown = behaviours(thought, puzzle)
    return Analysis(record, puzzle, verdict, answer, thought, turns, shown, never_closed, untagged)


def given_answer(completion: str) -> str:
    """The answer as given; of an unfinished thought the last one inside it, which is never right but worth quoting."""
    answer = parse(completion).answer
    if answer is None:
        closed = completion.rfind(END_ANSWER)
        opened = completion.rfind(ANSWER, 0, max(closed, 0))
        answer = completion[opened + len(ANSWER) : closed] if opened >= 0 else ""
    return answer.strip()


def moment(analysis: Analysis) -> Aha | None:
    """The reflective turn that speaks for a completion, with what there is to say about it; None without one."""
    turn = analysis.aha
    if turn is None or turn.line.cue is None:
        return None
    cue = turn.line.cue
    test_id = analysis.record.get("test_id")
    return Aha(
        test_id=test_id if isinstance(test_id, int) else 0,
        cue=cue.text,
        excerpt=quote(analysis.thought.text, *places_of(turn)),
        solved=turn.solved,
        why=turn.why,
        answer=analysis.answer[:MAX_ANSWER_CHARS],
        makes=_value(analysis.answer),
        notes=turn.notes,
        false_claims=tuple(one.said for one in analysis.false_claims[:MAX_LISTED]),
        not_given=_not_given(analysis, turn)[:MAX_LISTED],
        left_out=_left_out(analysis),
    )


def places_of(turn: Turn) -> tuple[Span, Span | None]:
    """Where the cue of a turn stands, and what solves the puzzle if the turn is a true Aha."""
    cue, found = turn.line.cue, turn.found
    start, end = (cue.start, cue.end) if cue else (turn.line.start, turn.line.start)
    return Span(start, end), Span(found.start, found.end) if found and turn.solved else None


def _not_given(analysis: Analysis, turn: Turn) -> tuple[int, ...]:
    """Numbers out of nowhere in the turn, and those of the answer that were not given."""
    if analysis.puzzle is None:
        return ()
    strangers = analysis.thought.steps.strangers
    inside = [one.number for one in strangers if turn.line.start <= one.start < turn.line.end]
    own = [number for number in inside if number != analysis.puzzle.target]  # reckoning back from it is fair
    used = [number for number in _answered(analysis.answer) if number not in analysis.puzzle.nums]
    return tuple(dict.fromkeys([*own, *used]))


def _left_out(analysis: Analysis) -> tuple[int, ...]:
    used = _answered(analysis.answer)
    left = list(analysis.puzzle.nums) if analysis.puzzle and used else []
    for number in used:
        if number in left:
            left.remove(number)
    return tuple(left)


def _answered(answer: str) -> list[int]:
    """The numbers in an answer, none when it is no expression."""
    tree = _tree(answer)
    return leaves(tree) if tree is not None else []


def _value(answer: str) -> str:
    tree = _tree(answer)
    value = value_of(tree) if tree is not None else None
    return show(value) if value is not None else ""


def _tree(answer: str) -> Tree | None:
    return parse_tree(left_side(answer))
