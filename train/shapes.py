"""The shape of an expression: what makes one way to combine numbers another way.

Two expressions have the same combination when they do the same with every number, whatever the order and the
parentheses: ``(80 - 77 + 6) + 11`` and ``11 + 80 - (77 - 6)``. The first step is what is worked out first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from ..game.puzzle import normalise

MAX_DEPTH = 20
_CROSS = re.compile(r"(?<=[\s0-9)])[xX](?=[\s0-9(])")
_TOKEN = re.compile(r"\s*(?:([0-9]+)|([-+*/()]))")
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
Combination = tuple[Any, ...]
"""``(sign, form)``: a form is ``(number,)``, or ``+`` or ``*`` and its sorted parts, each with its sign or exponent."""


class Operation(NamedTuple):
    """``operator`` between two parts, or a minus before one."""

    operator: str
    parts: tuple[Tree, ...]


Tree = int | Operation


def parse_tree(expression: str) -> Tree | None:
    """The tree of an expression of whole numbers; None when it is none, or nests deeper than ``MAX_DEPTH``.

    >>> parse_tree("11 - (6 × 2)")
    Operation(operator='-', parts=(11, Operation(operator='*', parts=(6, 2))))
    """
    plain = normalise(_CROSS.sub("*", _THOUSANDS.sub("", expression)))
    tokens: list[str] = []
    position = 0
    while position < len(plain.rstrip()):
        token = _TOKEN.match(plain, position)
        if token is None:
            return None
        tokens.append(token[1] or token[2])
        position = token.end()
    reader = _Reader(tokens[::-1])
    try:
        tree = reader.sum(0)
    except ValueError:
        return None
    return None if reader.left else tree


class _Reader:
    """Reads tokens, the next one last in ``left``. Raises ``ValueError`` where no expression goes on."""

    def __init__(self, left: list[str]) -> None:
        self.left = left

    def sum(self, depth: int) -> Tree:
        minus = self.left[-1:] == ["-"] and self.left.pop()
        tree = self.product(depth)
        tree = Operation("-", (tree,)) if minus else tree
        while self.left and self.left[-1] in "+-":
            tree = Operation(self.left.pop(), (tree, self.product(depth)))
        return tree

    def product(self, depth: int) -> Tree:
        tree = self.operand(depth)
        while self.left and self.left[-1] in "*/":
            tree = Operation(self.left.pop(), (tree, self.operand(depth)))
        return tree

    def operand(self, depth: int) -> Tree:
        token = self.left.pop() if self.left else ""
        if token.isdigit() and len(token) <= 12:
            return int(token)
        if token != "(" or depth >= MAX_DEPTH:
            raise ValueError(token)
        tree = self.sum(depth + 1)
        if self.left[-1:] != [")"]:
            raise ValueError(token)
        self.left.pop()
        return tree


def leaves(tree: Tree) -> list[int]:
    """The numbers of a tree from left to right."""
    return [tree] if isinstance(tree, int) else [number for part in tree.parts for number in leaves(part)]


def replace_leaves(tree: Tree, replacement: Callable[[], Tree]) -> Tree:
    """The tree with ``replacement()`` in place of each number, called from left to right."""
    if isinstance(tree, int):
        return replacement()
    return Operation(tree.operator, tuple(replace_leaves(part, replacement) for part in tree.parts))


def value_of(tree: Tree) -> Fraction | None:
    """Exact value; None after a division by zero."""
    if isinstance(tree, int):
        return Fraction(tree)
    values = [value_of(part) for part in tree.parts]
    left, right = values[0], values[-1]
    if left is None or right is None or (tree.operator == "/" and not right):
        return None
    if tree.operator in "+-":
        return (left if len(values) > 1 else 0) + (right if tree.operator == "+" else -right)
    return left * right if tree.operator == "*" else left / right


def combination(tree: Tree) -> Combination:
    """The same for two trees that do the same with every number.

    >>> same = [combination(parse_tree(text) or 0) for text in ("(80 - 77 + 6) + 11", "11 + 80 - (77 - 6)")]
    >>> same[0] == same[1]
    True
    """
    if isinstance(tree, int):
        return 1, (tree,)
    if len(tree.parts) == 1:
        sign, form = combination(tree.parts[0])
        return -sign, form
    return _sum(tree) if tree.operator in "+-" else _product(tree)


def _sum(tree: Operation) -> Combination:
    terms: list[tuple[int, Any]] = []
    for place, part in enumerate(tree.parts):
        sign, form = combination(part)
        sign = -sign if place and tree.operator == "-" else sign
        inside = form[1] if form[0] == "+" else ((1, form),)
        terms += [(sign * own, term) for own, term in inside]
    terms.sort(key=_order)
    lead = terms[0][0]
    return lead, ("+", tuple(sorted(((sign * lead, term) for sign, term in terms), key=_order)))


def _product(tree: Operation) -> Combination:
    factors: list[tuple[int, Any]] = []
    signs = 1
    for place, part in enumerate(tree.parts):
        sign, form = combination(part)
        signs *= sign
        exponent = -1 if place and tree.operator == "/" else 1
        inside = form[1] if form[0] == "*" else ((1, form),)
        factors += [(exponent * own, factor) for own, factor in inside]
    return signs, ("*", tuple(sorted(factors, key=_order)))


def _order(part: tuple[int, Any]) -> tuple[str, int]:
    return repr(part[1]), -part[0]


def first_step(tree: Tree) -> tuple[Any, ...] | None:
    """The operation worked out first, with its numbers; None for a single number.

    >>> first_step(parse_tree("80 - (77 + 11 - 6)") or 0)
    ('+', 11, 77)
    """
    if isinstance(tree, int):
        return None
    for part in tree.parts:
        inner = first_step(part)
        if inner:
            return inner
    numbers = [part for part in tree.parts if isinstance(part, int)]
    return (tree.operator, *(sorted(numbers) if tree.operator in "+*" else numbers))


def show(tree: Tree) -> str:
    """The tree as it is written, parentheses where they are needed.

    >>> show(parse_tree("(80 - 77 + 6) + 11 * (2 - 1)") or 0)
    '80 - 77 + 6 + 11 * (2 - 1)'
    """
    if isinstance(tree, int):
        return str(tree)
    if len(tree.parts) == 1:
        return f"-{_shown(tree.parts[0], '*', right=True)}"
    left, right = tree.parts
    return f"{_shown(left, tree.operator)} {tree.operator} {_shown(right, tree.operator, right=True)}"


def _shown(part: Tree, operator: str, right: bool = False) -> str:
    text = show(part)
    if isinstance(part, int):
        return text
    looser = part.operator in "+-" and operator in "*/"
    same = right and (part.operator in "+-") == (operator in "+-") and operator in "-/"
    return f"({text})" if looser or same or (right and len(part.parts) == 1) else text
