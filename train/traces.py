"""Synthetic thoughts for the cold start: a truthful search, written down as a person tries things.

Every arithmetic claim in a trace is right, every turn is one the search really took, and a trace only
claims success when the answer is exact. The same search can be written in English or Chinese.

The searcher combines two numbers, looks at what is left, and tries the last pair every sensible way. How
long it keeps going is a habit (``Habits.stop_chance``): a searcher that stops early says so and hands in its
closest result, which is well formed and wrong. Persistence is what GRPO can then teach.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from ..game.puzzle import Puzzle

OPERATORS = {"+": 3.0, "-": 3.0, "*": 1.5, "/": 1.5}  # how readily the searcher reaches for each


@dataclass(frozen=True)
class Habits:
    """How the searcher behaves.

    ``stop_chance``: chance of stopping after a failed first move. ``reflect_chance``: chance that a turn to
    another first move is announced with a reflective cue. ``max_branches``: moves tried per level below the
    first, so that four numbers do not take thousands of tokens.
    """

    stop_chance: float = 0.5
    reflect_chance: float = 0.1
    max_branches: int = 5


@dataclass(frozen=True)
class Item:
    """A number on the table and the expression that made it."""

    value: int
    expression: str

    @property
    def operand(self) -> str:
        return self.expression if self.expression.isdigit() else f"({self.expression})"


@dataclass(frozen=True)
class Step:
    """One written step. ``kind``: open, turn (open after a reflective cue), try, miss, found or stop."""

    kind: str
    claim: str = ""
    item: Item | None = None
    left: tuple[int, ...] = ()
    depth: int = 0


@dataclass(frozen=True)
class Trace:
    """A completion (everything after ``<think>``) and whether it ends in the right answer."""

    completion: str
    solved: bool
    language: str


_WORDS = {
    "en": {
        "goal": "\nWe need {target} from {nums}.\n",
        "first": "Try ",
        "turn": "Wait, what about ",
        "deeper": "- ",
        "left": ". Left: ",
        "comma": ", ",
        "more": ".\n",
        "pair": ". ",
        "miss": ". No.\n",
        "found": ". Yes!\nCheck: {expression} = {target}, every number used once.</think>\n",
        "stop": "I stop here. The closest is {value}, not {target}.</think>\n",
    },
    "zh": {
        "goal": "\n目标是{target},数字是{nums}。\n",
        "first": "试试 ",
        "turn": "突然想到,可以用 ",
        "deeper": "- ",
        "left": "。剩下:",
        "comma": ", ",
        "more": "。\n",
        "pair": "。",
        "miss": "。不对。\n",
        "found": "。找到了!\n检查:{expression} = {target},每个数字都用了一次。</think>\n",
        "stop": "我就试到这里。最接近的是{value},不是{target}。</think>\n",
    },
}


def write_trace(puzzle: Puzzle, language: str, rng: Random, habits: Habits) -> Trace:
    """Search ``puzzle`` and write the search down in ``language`` (``en`` or ``zh``).

    Raises ``ValueError`` when nothing can be tried, which needs a single number or targets far out of reach.
    """
    return render(puzzle, list(search(puzzle, rng, habits)), language)


def search(puzzle: Puzzle, rng: Random, habits: Habits) -> Iterator[Step]:
    """The steps of one search, ending in ``found`` or ``stop``."""
    items = [Item(number, str(number)) for number in puzzle.nums]
    tries: list[Item] = []
    for step in _explore(items, puzzle.target, rng, habits, depth=0):
        yield step
        if step.kind == "found":
            return
        if step.kind == "try" and step.item is not None:
            tries.append(step.item)
    if not tries:
        raise ValueError(f"nothing to try for {puzzle}")
    yield Step("stop", item=min(tries, key=lambda item: abs(item.value - puzzle.target)))


def _explore(items: list[Item], target: int, rng: Random, habits: Habits, depth: int) -> Iterator[Step]:
    if len(items) == 2:
        yield from _last_pair(items, target, rng)
        return
    moves = _moves(items, target, rng)
    for number, (item, claim, rest) in enumerate(moves if depth == 0 else moves[: habits.max_branches]):
        turned = depth == 0 and number > 0 and rng.random() < habits.reflect_chance
        left = (item.value, *(other.value for other in rest))
        yield Step("turn" if turned else "open", claim, item, left, depth)
        for step in _explore([item, *rest], target, rng, habits, depth + 1):
            yield step
            if step.kind == "found":
                return
        if depth == 0 and rng.random() < habits.stop_chance:
            return


def _last_pair(items: list[Item], target: int, rng: Random) -> Iterator[Step]:
    """Try two numbers every way whose result is whole, positive and not far above the target."""
    for operator in "+-*/":
        combined = _combine(items[0], items[1], operator)
        if combined is None or (operator == "*" and combined[0].value > 2 * max(target, 50)):
            continue
        item, claim = combined
        if item.value == target:
            yield Step("try", claim, item)
            yield Step("found", item=item)
            return
        yield Step("try", claim, item)
    yield Step("miss")


def _moves(items: list[Item], target: int, rng: Random) -> list[tuple[Item, str, list[Item]]]:
    """Every first combination that can still lead to the target, in an order the searcher finds natural."""
    weighted = []
    for first in range(len(items)):
        for second in range(first + 1, len(items)):
            rest = [item for index, item in enumerate(items) if index not in (first, second)]
            reach = max(target, 1)
            for item in rest:
                reach *= max(item.value, 2)  # dividing by 1 + x takes more than dividing by x
            for operator, weight in OPERATORS.items():
                combined = _combine(items[first], items[second], operator)
                if combined and combined[0].value <= max(reach, 200):
                    weighted.append((rng.random() ** (1 / weight), (*combined, rest)))
    return [move for _, move in sorted(weighted, key=lambda pair: -pair[0])]


def _combine(left: Item, right: Item, operator: str) -> tuple[Item, str] | None:
    """The result and the claim as written, larger number first; None unless whole and positive."""
    if left.value < right.value:
        left, right = right, left
    a, b = left.value, right.value
    if (operator == "-" and a == b) or (operator == "/" and a % b):
        return None
    value = {"+": a + b, "-": a - b, "*": a * b, "/": a // b}[operator]
    return Item(value, f"{left.operand} {operator} {right.operand}"), f"{a} {operator} {b} = {value}"


def render(puzzle: Puzzle, steps: list[Step], language: str) -> Trace:
    """Put steps into words; the completion ends with the closing answer tag."""
    words = _WORDS[language]
    text = [words["goal"].format(target=puzzle.target, nums=", ".join(map(str, puzzle.nums)))]
    previous = ""
    for step in steps:
        text.append(_phrase(step, previous, words, puzzle))
        previous = step.kind
    last = steps[-1]
    expression = last.item.expression if last.item else ""
    return Trace(f"{''.join(text)}<answer> {expression} </answer>", last.kind == "found", language)


def _phrase(step: Step, previous: str, words: dict[str, str], puzzle: Puzzle) -> str:
    if step.kind == "try":
        return words["comma"] + step.claim if previous == "try" else step.claim
    if step.kind in ("open", "turn"):
        lead = words["deeper"] if step.depth else words["turn" if step.kind == "turn" else "first"]
        end = words["pair"] if len(step.left) == 2 else words["more"]
        return f"{lead}{step.claim}{words['left']}{', '.join(map(str, step.left))}{end}"
    item = step.item
    return words[step.kind].format(
        target=puzzle.target, value=item.value if item else "", expression=item.expression if item else ""
    )
