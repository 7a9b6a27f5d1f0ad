"""Synthetic thoughts for the cold start: a truthful search, written down as a person tries things.

Every arithmetic claim in a trace is right, every turn is one the search really took, and a trace only claims success
when the answer is exact. The same search can be written in English or Chinese, with reflective words or without.

The searcher works on three numbers at a time: it combines two, then the result and the third, and holds the nearest
outcome against the target. From more numbers it first makes three, by combining two of them ("Try 80 - 48 = 32") or
by setting one aside and aiming for what is missing ("Working backwards, 72 - 7 = 65"). What it tries first is drawn
at random with a hint: a move that can still lead to the target is so many times likelier. A model cannot see the
hint, only which moves it favours, and so learns to guess well where to look (compare arXiv 2404.03683, whose traces
search by fixed heuristics). Between two traces the hint differs, so that short and long searches are both seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import itemgetter
from random import Random
from typing import NamedTuple

from ..game.puzzle import Puzzle

OPERATORS = {"+": 1.0, "-": 1.0, "*": 0.7, "/": 1.0}  # how readily the searcher reaches for each
AIM_WEIGHT = 1.5  # as compared to combining two numbers
MAX_AIM = 10_000  # a sub-goal beyond it is not worth writing down


@dataclass(frozen=True)
class Habits:
    """How the searcher behaves.

    ``hint``: bounds between which each trace draws how many times likelier a promising move is tried than another.
    ``patience``: chance of another attempt at three numbers after a failed one that cannot be mended; where it can,
    the searcher goes on until it is. ``stop_chance``: chance of giving up after a failed first move.
    ``reflect_chance``: chance that a turn to another first move is announced with a reflective cue. ``reflective``:
    whether outcomes are held against the target in words and the answer is checked once more.
    """

    hint: tuple[float, float] = (1.5, 12.0)
    patience: float = 0.55
    stop_chance: float = 0.0
    reflect_chance: float = 0.15
    reflective: bool = True


class Item(NamedTuple):
    """A number on the table and how it was made: two items and an operator, larger first, or None when given."""

    value: int
    parts: tuple[Item, str, Item] | None = None

    @property
    def expression(self) -> str:
        if self.parts is None:
            return str(self.value)
        left, operator, right = self.parts
        return f"{left.operand} {operator} {right.operand}"

    @property
    def operand(self) -> str:
        return self.expression if self.parts is None else f"({self.expression})"

    @property
    def claim(self) -> str:
        """How it came about, from the values of its two parts."""
        assert self.parts is not None
        left, operator, right = self.parts
        return f"{left.value} {operator} {right.value} = {self.value}"


class Step(NamedTuple):
    """One written step.

    ``open``: two numbers were combined, ``left`` is on the table. ``aim``: ``claim`` gives the sub-goal ``aim``, to
    be made of ``left``. ``try``: the claims of one attempt; ``made`` is held against ``aim``, and ``item`` is what
    comes out for the puzzle as a whole (None when that is not whole). ``stop``: giving up with the closest ``item``.
    ``turn`` marks a step that leaves a failed first move for another one with a cue.
    """

    kind: str
    item: Item | None = None
    claim: str = ""
    left: tuple[int, ...] = ()
    aim: int = 0
    made: int = 0
    turn: bool = False


@dataclass(frozen=True)
class Trace:
    """A completion (everything after ``<think>``) and whether it ends in the right answer."""

    completion: str
    solved: bool
    language: str


class _Ending(NamedTuple):
    """What is done last: ``operator`` between an item and a number set aside, which comes ``first`` in ``88 - x``."""

    number: Item
    operator: str
    first: bool = False

    def applied(self, item: Item) -> Item | None:
        """The whole item; None when its value is not whole and positive."""
        left, right = (self.number, item) if self.first else (item, self.number)
        value = _value(left.value, self.operator, right.value)
        return None if value is None else Item(value, (left, self.operator, right))


class _Move(NamedTuple):
    """A step to try next, what it leaves, the aim and the endings then; ``promising`` when the target is in reach."""

    promising: bool
    weight: float
    step: Step
    items: tuple[Item, ...] = ()
    aim: int = 0
    endings: tuple[_Ending, ...] = ()


_WORDS = {
    "en": {
        "goal": "\nWe need {target} from {nums}.\n",
        "open": "Try {claim}. Left: {left}.\n",
        "open turn": "Wait, what about {claim}. Left: {left}.\n",
        "aim": "Working backwards, {claim}. Aim for {aim} with {left}.\n",
        "aim turn": "Hmm, working backwards, {claim}. Aim for {aim} with {left}.\n",
        "try": "- {claim}",
        "try turn": "Wait, what about {claim}",
        "miss": ", not {aim}.\n",
        "plain miss": ".\n",
        "found": ". Yes!\nCheck: {expression} = {target}, every number used once.</think>\n",
        "plain found": ". Done.</think>\n",
        "stop": "I stop here. The closest is {value}, not {target}.</think>\n",
        "plain stop": "I stop here.</think>\n",
    },
    "zh": {
        "goal": "\n目标是{target},数字是{nums}。\n",
        "open": "试试 {claim}。剩下:{left}。\n",
        "open turn": "突然想到,可以用 {claim}。剩下:{left}。\n",
        "aim": "倒推:{claim}。先凑出{aim},用{left}。\n",
        "aim turn": "等等,倒推:{claim}。先凑出{aim},用{left}。\n",
        "try": "- {claim}",
        "try turn": "突然想到,可以用 {claim}",
        "miss": ",不是{aim}。\n",
        "plain miss": "。\n",
        "found": "。找到了!\n检查:{expression} = {target},每个数字都用了一次。</think>\n",
        "plain found": "。完成。</think>\n",
        "stop": "我就试到这里。最接近的是{value},不是{target}。</think>\n",
        "plain stop": "我就试到这里。</think>\n",
    },
}


def write_trace(puzzle: Puzzle, language: str, rng: Random, habits: Habits) -> Trace:
    """Search ``puzzle`` and write the search down in ``language`` (``en`` or ``zh``).

    Raises ``ValueError`` for a single number, with which nothing can be tried.
    """
    return render(puzzle, list(search(puzzle, rng, habits)), language, reflective=habits.reflective)


def search(puzzle: Puzzle, rng: Random, habits: Habits) -> Iterator[Step]:
    """The steps of one search; the last one is a ``try`` that makes the target, or ``stop``."""
    items = tuple(Item(number) for number in puzzle.nums)
    if len(items) < 2:
        raise ValueError(f"nothing to try for {puzzle}")
    hint = math.exp(rng.uniform(*map(math.log, habits.hint)))
    made: list[Item] = []
    for step in _explore(items, puzzle.target, (), _Chance(rng, habits, hint, made), top=True):
        yield step
        if step.kind != "try" or step.item is None:
            continue
        if step.item.value == puzzle.target:
            return
        made.append(step.item)
    yield Step("stop", min(made, key=lambda item: abs(item.value - puzzle.target)))


class _Chance(NamedTuple):
    """What decides a search: random numbers, habits, this trace's hint, and what whole outcomes there were so far."""

    rng: Random
    habits: Habits
    hint: float
    made: list[Item]

    def ordered(self, moves: Sequence[_Move]) -> list[_Move]:
        """``moves`` in a random order in which heavier ones tend to come first (Efraimidis and Spirakis, 2006)."""
        draw, hint = self.rng.random, self.hint
        keyed = [(-math.log(1.0 - draw()) / (move.weight * (hint if move.promising else 1.0)), move) for move in moves]
        return [move for _, move in sorted(keyed, key=itemgetter(0))]


def _explore(
    items: tuple[Item, ...], aim: int, endings: tuple[_Ending, ...], chance: _Chance, *, top: bool
) -> Iterator[Step]:
    """Steps that try to make ``aim`` of ``items``; ``endings`` make the puzzle's target of it."""
    rng, habits = chance.rng, chance.habits
    moves = chance.ordered(_attempts(items, aim, endings) if len(items) <= 3 else _openings(items, aim, endings))
    mendable = top or any(move.promising for move in moves)
    for number, move in enumerate(moves):
        if number and not mendable and rng.random() >= habits.patience:
            return
        if number and top and rng.random() < habits.stop_chance and chance.made:
            return
        turn = number > 0 and top and rng.random() < habits.reflect_chance
        yield move.step._replace(turn=True) if turn else move.step
        if move.items:
            yield from _explore(move.items, move.aim, move.endings, chance, top=False)


def _attempts(items: tuple[Item, ...], aim: int, endings: tuple[_Ending, ...]) -> list[_Move]:
    """Every way to combine two of three numbers, each with the outcome nearest to ``aim``; or that of a pair."""
    if len(items) == 2:
        outcome = _nearest(items[0], items[1], aim)
        return [_attempt(outcome, outcome.claim, aim, endings, 1.0)]
    moves = []
    for first, second, third in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        rest = items[third]
        reach = max(200, aim * max(rest.value, 2))
        for made in _combined(items[first], items[second]):
            if made.value <= reach:
                outcome = _nearest(made, rest, aim)
                moves.append(_attempt(outcome, f"{made.claim}, {outcome.claim}", aim, endings, _weight(made)))
    return moves


def _attempt(outcome: Item, claim: str, aim: int, endings: tuple[_Ending, ...], weight: float) -> _Move:
    whole: Item | None = outcome
    for ending in reversed(endings):
        whole = ending.applied(whole) if whole else None
    return _Move(outcome.value == aim, weight, Step("try", whole, claim, aim=aim, made=outcome.value))


def _openings(items: tuple[Item, ...], aim: int, endings: tuple[_Ending, ...]) -> list[_Move]:
    """Every way to get from more than three numbers to one fewer."""
    moves = []
    for first, second in combinations(range(len(items)), 2):
        rest = tuple(item for place, item in enumerate(items) if place not in (first, second))
        reach = max(200, aim * math.prod(max(item.value, 2) for item in rest))
        for made in _combined(items[first], items[second]):
            if made.value <= reach:
                left = (*rest, made)
                values = tuple(item.value for item in left)
                step = Step("open", made, made.claim, values)
                moves.append(_Move(can_make(values, aim), _weight(made), step, left, aim, endings))
    return moves + list(_aims(items, aim, endings))


def _aims(items: tuple[Item, ...], aim: int, endings: tuple[_Ending, ...]) -> Iterator[_Move]:
    """Every way to set one number aside and aim for what the others have to make."""
    for place, item in enumerate(items):
        n = item.value
        left = items[:place] + items[place + 1 :]
        values = tuple(other.value for other in left)
        ways = (
            (aim, "-", n, _Ending(item, "+")),
            (aim, "+", n, _Ending(item, "-")),
            (n, "-", aim, _Ending(item, "-", first=True)),
            (aim, "/", n, _Ending(item, "*")),
            (aim, "*", n, _Ending(item, "/")),
            (n, "/", aim, _Ending(item, "/", first=True)),
        )
        for a, operator, b, ending in ways:
            goal = _value(a, operator, b)
            if goal is not None and goal <= MAX_AIM and (n > 1 or operator != "*"):
                step = Step("aim", None, f"{a} {operator} {b} = {goal}", values, goal)
                yield _Move(can_make(values, goal), AIM_WEIGHT, step, left, goal, (*endings, ending))


def can_make(values: tuple[int, ...], target: int) -> bool:
    """Whether two or more numbers make ``target`` with whole positive numbers on the way.

    >>> can_make((56, 80, 48), 72), can_make((1, 1, 1), 72)
    (True, False)
    """
    if len(values) == 2:
        return _makes(values[0], values[1], target)
    for first, second in combinations(range(len(values)), 2):
        rest = values[:first] + values[first + 1 : second] + values[second + 1 :]
        a, b = values[first], values[second]
        a, b = (a, b) if a >= b else (b, a)
        made = [a + b, a * b]
        if a > b:
            made.append(a - b)
        if a % b == 0:
            made.append(a // b)
        if len(rest) == 1:
            third = rest[0]
            if any(_makes(value, third, target) for value in made):
                return True
        elif any(can_make((*rest, value), target) for value in made):
            return True
    return False


def _makes(a: int, b: int, target: int) -> bool:
    return a + b == target or a * b == target or abs(a - b) == target or a == b * target or b == a * target


def _value(a: int, operator: str, b: int) -> int | None:
    """``a operator b`` when it is whole and positive."""
    if operator == "+":
        return a + b
    if operator == "-":
        return a - b if a > b else None
    if operator == "*":
        return a * b
    return a // b if a % b == 0 else None


def _combined(left: Item, right: Item) -> Iterator[Item]:
    """What two items make, larger number first."""
    if left.value < right.value:
        left, right = right, left
    for operator in OPERATORS:
        value = _value(left.value, operator, right.value)
        if value is not None:
            yield Item(value, (left, operator, right))


def _nearest(left: Item, right: Item, aim: int) -> Item:
    """Of what two items make the one nearest to ``aim``."""
    return min(_combined(left, right), key=lambda item: abs(item.value - aim))


def _weight(item: Item) -> float:
    return OPERATORS[item.parts[1]] if item.parts else 1.0


def render(puzzle: Puzzle, steps: Sequence[Step], language: str, *, reflective: bool = True) -> Trace:
    """Put steps into words; the completion ends with the closing answer tag."""
    words = _WORDS[language]
    text = [words["goal"].format(target=puzzle.target, nums=", ".join(map(str, puzzle.nums)))]
    plain = "" if reflective else "plain "
    for step in steps:
        if step.kind != "stop":
            text.append(words[f"{step.kind} turn" if step.turn else step.kind].format_map(_said(step)))
        if step.kind == "try" and step.made != step.aim:
            text.append(words[f"{plain}miss"].format(aim=step.aim))
    last = steps[-1]
    assert last.item is not None
    answer = {"expression": last.item.expression, "value": last.item.value, "target": puzzle.target}
    text.append(words[f"{plain}stop" if last.kind == "stop" else f"{plain}found"].format_map(answer))
    return Trace(f"{''.join(text)}<answer> {last.item.expression} </answer>", last.kind == "try", language)


def _said(step: Step) -> dict[str, object]:
    return {"claim": step.claim, "aim": step.aim, "left": ", ".join(map(str, step.left))}
