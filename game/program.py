"""Forms as a straight-line program on whole numbers: what all their values share is computed once.

Every value is a numerator over a denominator, and both are nodes: sums, differences and products of earlier nodes.
Equal nodes are one, so the 733 forms over four different numbers need 274 nodes, the 15,907 over five 4,968.
Signs are kept out of the nodes (``b - a`` is the negative of ``a - b``) and tracked while the program is built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .forms import Forms, Labels, Parts, forms_over

Ints = npt.NDArray[np.integer]
Places = npt.NDArray[np.int64]
_ONE = 0
"""The node that is the number 1, the denominator of whole values."""


class Node(NamedTuple):
    """An operation on two earlier nodes; ``depth`` 0 and no operation for 1 and the numbers."""

    depth: int
    operation: str
    left: int
    right: int
    may_vanish: bool


class Fraction(NamedTuple):
    """The nodes of a form's value, which is ``sign * numerator / denominator``."""

    numerator: int
    denominator: int
    sign: int


class Step(NamedTuple):
    """Nodes ``start`` to ``stop``, made by one operation from the nodes ``left`` and ``right``."""

    operation: Callable[..., Ints]
    start: int
    stop: int
    left: Places
    right: Places


@dataclass(frozen=True)
class Program:
    """The program of the roots of ``forms``, in their order; arrays have shape (roots,) and hold nodes.

    ``level`` is 0, 1 or 2, and 2 may turn out to be 3 where one of the fractions named in ``inside``, of shape
    (roots, most, 2), is not whole. Missing ones are 1 / 1.
    """

    forms: Forms
    size: int
    steps: tuple[Step, ...]
    numerator: Places
    denominator: Places
    sign: npt.NDArray[np.int64]
    level: npt.NDArray[np.int64]
    inside: Places
    negatable: npt.NDArray[np.bool_]

    def evaluate(self, numbers: Ints) -> Ints:
        """All nodes, shape (nodes, ...), for ``numbers`` of shape (labels, ...), in their type. Overflow wraps."""
        values = np.empty((self.size, *numbers.shape[1:]), numbers.dtype)
        values[_ONE] = 1
        values[1 : len(numbers) + 1] = numbers
        one = numbers.ndim == 1  # where indexing takes half as long as ``take``, which is faster for rows
        for operation, start, stop, left, right in self.steps:
            sides = (values[left], values[right]) if one else (values.take(left, axis=0), values.take(right, axis=0))
            operation(*sides, out=values[start:stop])
        return values

    @cached_property
    def whole(self) -> Places:
        """Ranks of the roots that have no denominator."""
        return np.flatnonzero(self.denominator == _ONE)

    @cached_property
    def broken(self) -> Places:
        """Ranks of the roots that have one, equal denominators together."""
        return np.argsort(self.denominator, kind="stable")[len(self.whole) :]

    @cached_property
    def below(self) -> Places:
        """The different denominators of ``broken``, as nodes."""
        return np.unique(self.denominator[self.broken])

    @cached_property
    def below_of(self) -> Places:
        """Place in ``below`` of each of ``broken``."""
        return np.searchsorted(self.below, self.denominator[self.broken])


def _mask(values: Ints, keep: Ints, out: Ints) -> Ints:
    return np.multiply(values, keep != 0, out=out)


_OPERATIONS: dict[str, Callable[..., Ints]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "mask": _mask,
}


class _Builder:
    """Nodes and fractions of every form listed in ``forms``."""

    def __init__(self, forms: Forms) -> None:
        self.nodes = [Node(0, "", place, place, False) for place in range(1 + len(set(forms.labels)))]
        self.places: dict[tuple[str, int, int], int] = {}
        self.fractions: list[Fraction] = []
        for form in forms.forms:
            make = {"number": self._number, "sum": self._sum, "product": self._product}[form.kind]
            self.fractions.append(make(form.parts))

    def _number(self, parts: Parts) -> Fraction:
        return Fraction(parts[0][0] + 1, _ONE, 1)

    def _sum(self, parts: Parts) -> Fraction:
        (first, plus), *others = parts
        numerator, denominator, sign = self.fractions[first]
        sign = sign if plus else -sign
        for child, added in others:
            part, below, its_sign = self.fractions[child]
            left, right = self._times(numerator, below), self._times(part, denominator)
            if sign == (its_sign if added else -its_sign):
                numerator = self._node("add", *sorted((left, right)))
            else:
                numerator, sign = self._node("subtract", *sorted((left, right))), sign if left <= right else -sign
            denominator = self._times(denominator, below)
        return Fraction(numerator, denominator, sign)

    def _product(self, parts: Parts) -> Fraction:
        above, below, sign = [], [], 1
        for child, is_above in parts:
            numerator, denominator, its_sign = self.fractions[child]
            sign *= its_sign
            if not is_above and self.nodes[denominator].may_vanish:
                # A part that itself divides by zero must not come back to life upside down.
                numerator = self._node("mask", numerator, denominator)
            above.append(numerator if is_above else denominator)
            below.append(denominator if is_above else numerator)
        return Fraction(self._times(*above), self._times(*below), sign)

    def _times(self, *factors: int) -> int:
        product, *others = sorted(factors)
        for factor in others:
            product = factor if product == _ONE else self._node("multiply", *sorted((product, factor)))
        return product

    def _node(self, operation: str, left: int, right: int) -> int:
        key = operation, left, right
        if key not in self.places:
            a, b = self.nodes[left], self.nodes[right]
            vanishes = operation in ("subtract", "mask") or a.may_vanish or b.may_vanish
            self.places[key] = len(self.nodes)
            self.nodes.append(Node(max(a.depth, b.depth) + 1, operation, left, right, vanishes))
        return self.places[key]


@lru_cache(maxsize=64)
def program_over(labels: Labels) -> Program:
    """The program of the forms of an equality pattern, up to 5 labels; 0.1 s for five different ones, then kept."""
    forms = forms_over(labels)
    builder = _Builder(forms)
    # Nodes of one depth and operation side by side, so that one call makes them all.
    order = sorted(range(len(builder.nodes)), key=lambda place: (builder.nodes[place][:2], place))
    place_of = np.argsort(order)
    fractions = np.array([builder.fractions[root] for root in forms.roots])
    return Program(
        forms=forms,
        size=len(order),
        steps=tuple(_steps([builder.nodes[place] for place in order], place_of)),
        numerator=place_of[fractions[:, 0]],
        denominator=place_of[fractions[:, 1]],
        sign=fractions[:, 2],
        level=np.array([min(forms.forms[root].operators, 1) + forms.forms[root].divides for root in forms.roots]),
        inside=_inside(forms, builder, place_of),
        negatable=np.array([forms.forms[root].negatable for root in forms.roots]),
    )


def _steps(nodes: Sequence[Node], place_of: Places) -> list[Step]:
    steps: list[Step] = []
    for (depth, operation), group in groupby(enumerate(nodes), key=lambda item: item[1][:2]):
        places = [place for place, _ in group]
        start, stop = places[0], places[-1] + 1
        if depth:
            left = place_of[[node.left for node in nodes[start:stop]]]
            right = place_of[[node.right for node in nodes[start:stop]]]
            steps.append(Step(_OPERATIONS[operation], start, stop, left, right))
    return steps


def _inside(forms: Forms, builder: _Builder, place_of: Places) -> Places:
    inside = [forms.fractions(root) for root in forms.roots]
    nodes = np.full((len(inside), max(map(len, inside)), 2), _ONE)
    for rank, fractions in enumerate(inside):
        for place, fraction in enumerate(fractions):
            nodes[rank, place] = builder.fractions[fraction][:2]
    return place_of[nodes]
