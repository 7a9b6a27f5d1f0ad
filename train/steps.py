"""The steps of a thought: arithmetic claims, and candidates, which are complete expressions over the puzzle's numbers.

A candidate stands in the text in one piece (``55 + 36 - 7 - 19``), or is put together from claims that use each
other's results (``55 + 36 = 91. 91 - 7 = 84. 84 - 19 = 65``), as people and the shipped model write. A number that
was given and also came out as a result is read both ways; the reading that uses most of the puzzle is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from ..game import latex
from ..game.claims import Claim, Side, claims
from .shapes import Combination, Tree, combination, first_step, leaves, parse_tree, replace_leaves, value_of

MAX_READINGS = 6  # of one expression whose numbers were given and also came out before
MAX_RESULTS = 3  # ways to have come to one number that are remembered, the newest first
MAX_TRIES = 200
# An expression that stands in the prose; claims read those beside an equals sign.
_SIGNS = "*/×·÷⋅∗＊∕／−–－＋"
_RUN = re.compile(rf"(?<![0-9.])[(（]{{0,9}}[0-9０-９](?:[-+()（）0-9０-９ \t{_SIGNS}]|\\{latex.NAMES}){{2,200}}")
_OPERATOR = re.compile(rf"[0-9０-９)）]\s*(?:[-+{_SIGNS}]|\\{latex.NAMES})\s*[(（]*[0-9０-９]")


class Candidate(NamedTuple):
    """A complete expression over the numbers, at ``start:end`` of the text; of one in steps that is the last step.

    ``value`` is exact (None after a division by zero), ``stated`` what the text says it makes, if it does.
    ``steps`` are where the expressions it is put together from stand, ``written`` whether it is in one piece.
    """

    start: int
    end: int
    tree: Tree
    combination: Combination
    first: tuple[Any, ...]
    value: Fraction | None
    stated: Fraction | None
    steps: tuple[int, ...]
    written: bool

    @property
    def began(self) -> int:
        """Where its first step stands."""
        return self.steps[0]


class Stranger(NamedTuple):
    """A number that the expression at ``start:end`` uses, and that was neither given nor came out before."""

    start: int
    end: int
    number: int


@dataclass(frozen=True)
class Steps:
    """What a text works out, each list in order of the text."""

    claims: list[Claim]
    candidates: list[Candidate]
    strangers: list[Stranger]


class _Part(NamedTuple):
    """A reading of an expression: its tree over given numbers, those numbers, its first step, where its steps stand."""

    tree: Tree
    used: tuple[int, ...]
    first: tuple[Any, ...]
    steps: tuple[int, ...]


def read_steps(text: str, nums: Sequence[int]) -> Steps:
    """Every step of ``text``; no candidates and no strangers when ``nums`` is empty, which is an unknown puzzle.

    >>> [str(one.value) for one in read_steps("3 + 5 = 8, 8 * 2 = 16. Or (3 + 5) / 2?", (2, 3, 5)).candidates]
    ['16', '4']
    """
    found = list(claims(text))
    if not nums:
        return Steps(found, [], [])
    table, candidates, strangers = _Table(nums), [], []
    for chain in _chains(found, text):
        strangers += table.strangers(chain.sides)
        candidates += table.candidates(chain)
    candidates.sort(key=lambda candidate: candidate.start)
    return Steps(found, candidates, sorted(strangers, key=lambda stranger: stranger.start))


@dataclass(frozen=True)
class _Chain:
    """Expressions joined by equals signs, ``text[start:end]`` each; one alone when nothing is said about it."""

    text: str
    sides: list[Side]
    relations: list[str]

    def stated(self) -> list[Fraction | None]:
        """For each side the number that it is said to equal: the next one on its right, else on its left."""
        after = self._nearest(range(len(self.sides) - 1, -1, -1))
        before = self._nearest(range(len(self.sides)))
        return [right if right is not None else left for right, left in zip(after, before, strict=True)]

    def _nearest(self, order: range) -> list[Fraction | None]:
        found: list[Fraction | None] = [None] * len(self.sides)
        nearest: Fraction | None = None
        for place in order:
            behind = place - order.step
            if behind in order and self.relations[min(place, behind)] == "≠":
                nearest = None
            found[place] = nearest
            nearest = self.sides[place].value if self.sides[place].decimals is not None else nearest
        return found


def _chains(found: Iterable[Claim], text: str) -> list[_Chain]:
    chains: list[_Chain] = []
    for claim in found:
        if chains and chains[-1].sides[-1].end == claim.left.end:
            chains[-1].sides.append(claim.right)
            chains[-1].relations.append(claim.relation)
        else:
            chains.append(_Chain(text, [claim.left, claim.right], [claim.relation]))
    alone = [_Chain(text, [side], []) for side in _expressions(text, chains)]
    return sorted(chains + alone, key=lambda chain: chain.sides[0].start)


def _expressions(text: str, chains: Sequence[_Chain]) -> Iterator[Side]:
    """Expressions in the prose between chains."""
    ends = [0, *(chain.sides[-1].end for chain in chains)]
    starts = [*(chain.sides[0].start for chain in chains), len(text)]
    for begin, end in zip(ends, starts, strict=True):
        for run in _RUN.finditer(text, begin, max(begin, end)):
            start, stop = _trimmed(text, *run.span())
            if _OPERATOR.search(text, start, stop) and not re.match(r"\.[0-9]", text[stop : stop + 2]):
                tree = parse_tree(text[start:stop])
                if tree is not None:
                    yield Side(start, stop, value_of(tree), tuple(leaves(tree)), None)


def _trimmed(text: str, start: int, stop: int) -> tuple[int, int]:
    """A run without dangling operators and parentheses that belong to the prose."""
    numbered = re.compile(r"[(（]?[0-9]{1,2}[)）]\s+").match(text, start, stop)
    start = numbered.end() if numbered else start
    while stop > start and not (text[stop - 1].isdigit() or text[stop - 1] in ")）"):
        stop -= 1
    written = text[start:stop]
    surplus = sum(written.count(sign) for sign in "(（") - sum(written.count(sign) for sign in ")）")
    while surplus > 0 and text[start] in "(（":
        start, surplus = start + 1, surplus - 1
    while surplus < 0 and text[stop - 1] in ")）":
        stop, surplus = stop - 1, surplus + 1
    return start, stop


class _Table:
    """The numbers on the table: those given, and results with the ways they came about."""

    def __init__(self, nums: Sequence[int]) -> None:
        self.nums = tuple(sorted(nums))
        self.results: dict[Fraction | int, list[_Part]] = {}

    def strangers(self, sides: Sequence[Side]) -> Iterator[Stranger]:
        """Of the first expression of a chain: what follows an equals sign may be its parts worked out."""
        first = next(side for side in sides if side.decimals is None)
        for number in dict.fromkeys(first.numbers):
            if number not in self.nums and number not in self.results:
                yield Stranger(first.start, first.end, number)

    def candidates(self, chain: _Chain) -> Iterator[Candidate]:
        """Candidates of a chain, each combination once; its results go on the table."""
        seen: set[Combination] = set()
        for side, stated in zip(chain.sides, chain.stated(), strict=True):
            tree = parse_tree(chain.text[side.start : side.end]) if side.decimals is None else None
            if tree is None or isinstance(tree, int):
                continue
            readings = self._readings(tree, side.start)
            complete = next((part for part in readings if part.used == self.nums), None)
            if complete and combination(complete.tree) not in seen:
                seen.add(combination(complete.tree))
                yield _candidate(side, complete, stated, written=len(leaves(tree)) == len(self.nums))
            if stated is not None:
                self._remember(stated, readings)

    def _remember(self, result: Fraction, readings: Sequence[_Part]) -> None:
        partial = [part for part in readings if part.used != self.nums]
        known = self.results.setdefault(result, [])
        known[:] = [*partial, *(part for part in known if part.used not in {new.used for new in partial})][:MAX_RESULTS]

    def _readings(self, tree: Tree, at: int) -> list[_Part]:
        """Ways to read an expression, those that use most numbers first; none when it takes other numbers."""
        numbers = leaves(tree)
        if len(numbers) > len(self.nums):
            return []
        given = {number: _Part(number, (number,), (), ()) for number in numbers if number in self.nums}
        options = [([given[number]] if number in given else []) + self.results.get(number, []) for number in numbers]
        chosen = _choices(options, self.nums)
        return sorted((_joined(tree, parts, at) for parts in chosen), key=lambda part: -len(part.used))


def _choices(options: Sequence[Sequence[_Part]], nums: tuple[int, ...]) -> list[list[_Part]]:
    """Ways to take one option in each place and use no number of ``nums`` more often than it is there."""
    found: list[list[_Part]] = []
    waiting: list[tuple[list[_Part], list[int]]] = [([], list(nums))]
    for _ in range(MAX_TRIES):
        if not waiting or len(found) == MAX_READINGS:
            break
        taken, left = waiting.pop()
        if len(taken) == len(options):
            found.append(taken)
            continue
        for part in reversed(options[len(taken)]):
            rest = _without(left, part.used)
            if rest is not None:
                waiting.append(([*taken, part], rest))
    return found


def _without(left: Sequence[int], used: Sequence[int]) -> list[int] | None:
    rest = list(left)
    for number in used:
        if number not in rest:
            return None
        rest.remove(number)
    return rest


def _joined(tree: Tree, parts: Sequence[_Part], at: int) -> _Part:
    replacements = iter(parts)
    whole = replace_leaves(tree, lambda: next(replacements).tree)
    steps = tuple(sorted({at, *(place for part in parts for place in part.steps)}))
    first = next((part.first for part in parts if part.steps and part.steps[0] == steps[0]), first_step(whole) or ())
    return _Part(whole, tuple(sorted(number for part in parts for number in part.used)), first, steps)


def _candidate(side: Side, part: _Part, stated: Fraction | None, written: bool) -> Candidate:
    value = value_of(part.tree)
    combined = combination(part.tree)
    return Candidate(side.start, side.end, part.tree, combined, part.first, value, stated, part.steps, written)
