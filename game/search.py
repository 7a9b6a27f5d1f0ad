"""The easiest expression of one puzzle, for up to 6 numbers in milliseconds.

Small sub-multisets get a table of every value they can make; above that the last operation is inverted: for
``a`` out of a small block and the target ``t`` the rest must make one of ``t - a, t + a, t / a, ...``, which is
looked up or searched for in turn. Levels are tried one after the other, so the first that answers is the lowest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import gcd
from typing import NamedTuple

from .forms import splits

Nums = tuple[int, ...]
Value = tuple[int, int]
"""A rational in lowest terms with a positive denominator."""
_BINDING = {"+": 1, "-": 1, "*": 2, "/": 2}


class Step(NamedTuple):
    """The best known way to a value: ``operators`` counts its * and /, ``symbol`` is empty for a number."""

    operators: int
    symbol: str
    left: tuple[Nums, Value] | None = None
    right: tuple[Nums, Value] | None = None


@dataclass(frozen=True)
class Search:
    """Best steps under a highest level; ``signed`` also allows values below 0.

    Sub-multisets of up to ``table_numbers`` get a table.
    """

    level: int
    signed: bool
    table_numbers: int
    tables: dict[Nums, dict[Value, Step]] = field(default_factory=dict)
    found: dict[tuple[Nums, Value], Step | None] = field(default_factory=dict)


def easiest(nums: tuple[int, ...], target: int) -> tuple[int, str] | None:
    """Lowest level and, at that level, an expression with the fewest * and /; None when there is none.

    The same for every order of ``nums``. Values below 0 are only needed for a target below 0.
    """
    ordered, goal = tuple(sorted(nums)), (target, 1)
    for level in range(4):
        search = Search(level, signed=target < 0, table_numbers=max(1, len(nums) - 2))
        if _find(search, ordered, goal) is not None:
            return level, _write(search, ordered, goal)[0]
    return None


def _find(search: Search, nums: Nums, goal: Value) -> Step | None:
    """The best step to ``goal`` with all of ``nums``."""
    if len(nums) <= search.table_numbers:
        return _table(search, nums).get(goal)
    key = nums, goal
    if key not in search.found:
        search.found[key] = None
        search.found[key] = min(_ways(search, nums, goal), key=lambda step: step.operators, default=None)
    return search.found[key]


def _ways(search: Search, nums: Nums, goal: Value) -> Iterator[Step]:
    for small, large in _unordered_splits(nums):
        for value, step in _table(search, small).items():
            for need, symbol, swapped in _inverses(search, value, goal, large):
                rest = _find(search, large, need)
                if rest is not None:
                    pair = (large, need), (small, value)
                    left, right = pair if swapped else pair[::-1]
                    yield Step(step.operators + rest.operators + (symbol in "*/"), symbol, left, right)


def _inverses(search: Search, value: Value, goal: Value, rest: Nums) -> list[tuple[Value, str, bool]]:
    """What the rest must make, and how it joins ``value``; True when the rest stands on the left."""
    (a, b), (t, u) = value, goal
    needs = [(t * b - a * u, u * b, "+", False), (t * b + a * u, u * b, "-", True), (a * u - t * b, u * b, "-", False)]
    if search.level >= 1:
        if a:
            needs.append((t * b, u * a, "*", False))
        elif not t:
            needs.append((sum(rest), 1, "*", False))
    if search.level >= 2 and a:
        needs.append((t * a, u * b, "/", True))
        if t:
            needs.append((a * u, b * t, "/", False))
    return [
        (found, symbol, swapped)
        for top, bottom, symbol, swapped in needs
        if (found := _allowed(search, top, bottom)) is not None
    ]


def _table(search: Search, nums: Nums) -> dict[Value, Step]:
    """Every allowed value of exactly these numbers, with its best step."""
    if nums not in search.tables:
        table: dict[Value, Step] = {(nums[0], 1): Step(0, "")} if len(nums) == 1 else {}
        for first, second in _unordered_splits(nums):
            for a, left in _table(search, first).items():
                for b, right in _table(search, second).items():
                    operators = left.operators + right.operators
                    for value, symbol, swapped in _results(search, a, b):
                        total = operators + (symbol in "*/")
                        if value not in table or total < table[value].operators:
                            pair = (first, a), (second, b)
                            table[value] = Step(total, symbol, *(pair[::-1] if swapped else pair))
        search.tables[nums] = table
    return search.tables[nums]


def _results(search: Search, left: Value, right: Value) -> list[tuple[Value, str, bool]]:
    """Allowed values of one operation; True when the right operand comes first."""
    (a, b), (c, d) = left, right
    up, down, below = a * d, c * b, b * d
    made = [(up + down, below, "+", False), (up - down, below, "-", False), (down - up, below, "-", True)]
    if search.level >= 1:
        made.append((a * c, below, "*", False))
    if search.level >= 2:
        made += [(up, down, "/", False), (down, up, "/", True)]
    return [
        (found, symbol, swapped)
        for top, bottom, symbol, swapped in made
        if (found := _allowed(search, top, bottom)) is not None
    ]


def _allowed(search: Search, top: int, bottom: int) -> Value | None:
    """The value in lowest terms; None when undefined, below 0 or broken where that is not allowed."""
    if bottom < 0:
        top, bottom = -top, -bottom
    if not bottom or (top < 0 and not search.signed):
        return None
    if bottom == 1:
        return top, 1
    shared = gcd(top, bottom)
    if bottom != shared and search.level < 3:
        return None
    return top // shared, bottom // shared


def _unordered_splits(nums: Nums) -> list[tuple[Nums, Nums]]:
    """Each split of ``nums`` into two, once, the smaller first."""
    return sorted(((a, b) if len(a) <= len(b) else (b, a) for a, b in splits(nums)), key=lambda pair: len(pair[0]))


def _write(search: Search, nums: Nums, value: Value) -> tuple[str, int]:
    """Text of the best way to ``value``, and how tightly its last operation binds (3: a number)."""
    step = _find(search, nums, value)
    if step is None or step.left is None or step.right is None:
        return str(value[0]), 3
    binding = _BINDING[step.symbol]
    (left, left_binding), (right, right_binding) = _write(search, *step.left), _write(search, *step.right)
    if left_binding < binding:
        left = f"({left})"
    if right_binding < binding or (right_binding == binding and step.symbol in "-/"):
        right = f"({right})"
    return f"{left} {step.symbol} {right}", binding
