"""Four behaviours of a thought, as rules that anyone can rerun.

The taxonomy is that of Gandhi et al., "Cognitive Behaviors that Enable Self-Improving Reasoners" (arXiv 2503.01307,
2025), who let a language model find them in Countdown thoughts. Rules see less, but see the same in every run:

- verification: words that check a result, or a candidate written down again; the target held against one (``≠ 65``)
- backtracking: a line of attack that did not come to the target, left with a phrase for another one
- sub-goals: words of aiming (need to get, 凑出) before a number that is not the target
- backward chaining: words for it (倒推), or a calculation with the target itself
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..game.puzzle import Puzzle
from .lexicon import find_marks
from .thought import Thought
from .truth import false_claims

NAMES = ("verification", "backtracking", "subgoals", "backward_chaining")
_AIM = re.compile(r"[^0-9\n]{0,12}([0-9]{1,9})(?![0-9]*\.[0-9])")


@dataclass(frozen=True)
class Behaviours:
    """What one thought shows, each counted; ``attempts`` are its different candidates, ``characters`` its length."""

    verification: int
    backtracking: int
    subgoals: int
    backward_chaining: int
    claims: int
    true_claims: int
    attempts: int
    characters: int


def behaviours(thought: Thought, puzzle: Puzzle | None) -> Behaviours:
    """Count what a thought shows; without its puzzle what needs the target is not counted."""
    claims = thought.steps.claims
    return Behaviours(
        verification=_verification(thought, puzzle),
        backtracking=_backtracking(thought, puzzle),
        subgoals=_subgoals(thought, puzzle),
        backward_chaining=_backward_chaining(thought, puzzle),
        claims=len(claims),
        true_claims=len(claims) - len(false_claims(thought.text, claims)),
        attempts=len({(one.combination, one.first) for one in thought.steps.candidates}),
        characters=len(thought.text),
    )


def _verification(thought: Thought, puzzle: Puzzle | None) -> int:
    said = len(find_marks(thought.text, "verification"))
    target = puzzle.target if puzzle else None
    compared = sum(one.relation == "≠" and one.right.value == target for one in thought.steps.claims)
    candidates = thought.steps.candidates
    again = sum(late.written and early.combination == late.combination for early, late in pairwise(candidates))
    return max(said, again) + compared  # a check in words usually writes down again what it checks


def _backtracking(thought: Thought, puzzle: Puzzle | None) -> int:
    target = puzzle.target if puzzle else None
    failed = [line.worked and all(one.value != target for one in line.candidates) for line in thought.lines]
    return sum(before and line.phrased for before, line in zip(failed, thought.lines[1:], strict=False))


def _subgoals(thought: Thought, puzzle: Puzzle | None) -> int:
    aims = (_AIM.match(thought.text, mark.end) for mark in find_marks(thought.text, "subgoal"))
    return sum(aim is not None and puzzle is not None and int(aim[1]) != puzzle.target for aim in aims)


def _backward_chaining(thought: Thought, puzzle: Puzzle | None) -> int:
    said = len(find_marks(thought.text, "backward"))
    target = puzzle.target if puzzle else None
    return said + sum(stranger.number == target for stranger in thought.steps.strangers)


def summarise_behaviours(shown: Sequence[Behaviours]) -> dict[str, dict[str, float] | float | int | None]:
    """Of each behaviour the ``share`` of thoughts that show it and the ``mean`` count in a thought; then the rest.

    ``true_share`` is of all claims together, None when there are none; ``attempts`` and ``characters`` are means.
    """
    counted = {name: [getattr(one, name) for one in shown] for name in NAMES}
    claims = sum(one.claims for one in shown)
    n = max(len(shown), 1)
    return {name: {"share": _share(counts), "mean": round(sum(counts) / n, 4)} for name, counts in counted.items()} | {
        "claims": claims,
        "true_share": round(sum(one.true_claims for one in shown) / claims, 4) if claims else None,
        "attempts": round(sum(one.attempts for one in shown) / n, 4),
        "characters": round(sum(one.characters for one in shown) / n, 1),
    }


def _share(counts: Sequence[int]) -> float:
    return round(sum(count > 0 for count in counts) / max(len(counts), 1), 4)
