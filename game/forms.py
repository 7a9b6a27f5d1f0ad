"""Canonical forms: every really different way to combine the numbers of a puzzle, once.

A form is a number, a sum of two or more signed parts that are not sums, or a product of two or more parts
that are not products, each part above or below the line. Order and brackets that change nothing are gone
by construction: ``a - (b - c)`` and ``c + a - b`` are one form, so are ``a / (b / c)`` and ``a * c / b``.
A form and its negative are one form too (``(a - b) * (c - d)`` = ``(b - a) * (d - c)``). Where numbers
repeat, forms that read the same are one form, and none divides by what reads ``a - a``. Over distinct numbers
there are 1, 5, 47, 733, 15,907 forms of 1 to 5 numbers; counting the negatives that can be written gives
1, 6, 68, 1,170, 27,142, as in OEIS A140606.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import combinations
from typing import Any, Literal, NamedTuple

Kind = Literal["number", "sum", "product"]
Labels = tuple[int, ...]
Parts = tuple[tuple[int, bool], ...]
Value = tuple[Any, Any]
"""(numerator, denominator), not reduced, of one number set (int) or of many (arrays); (0, 0) after a division by 0."""


class Form(NamedTuple):
    """One form. ``parts`` are (index of a form, added or above the line); for a number (label, True)."""

    kind: Kind
    parts: Parts
    operators: int  # how many * and / it takes
    parentheses: int  # how many pairs
    divides: bool
    negatable: bool  # it subtracts somewhere, so its negative can be written too
    symmetric: bool  # its negative reads the same, as in 5 - 5

    @property
    def cost(self) -> tuple[int, int]:
        return self.operators, self.parentheses


class Forms:
    """The forms over sorted ``labels``: small integers that stand for numbers, equal for equal numbers.

    ``forms`` grows as sub-multisets are asked for; parts come before the forms that hold them.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.forms: list[Form] = []
        self._places: dict[tuple[Kind, Parts], int] = {}
        self._sums: dict[Labels, list[int]] = {}
        self._products: dict[Labels, list[int]] = {}
        self._numbers = {(label,): self.add("number", ((label, True),)) for label in sorted(set(labels))}

    @cached_property
    def roots(self) -> list[int]:
        """Forms that use every label, easiest first: fewest ``*`` and ``/``, then fewest parentheses."""
        found = self.sums(self.labels) + self.products(self.labels) if len(self.labels) > 1 else [0]
        return sorted(found, key=lambda index: (self.forms[index].cost, index))

    def sums(self, labels: Labels) -> list[int]:
        """Every sum over exactly these labels, one of each pair of opposite signs."""
        if labels not in self._sums:
            self._sums[labels] = []
            found = {self.upright(parts) for parts in self._groups(labels, "sum")}
            self._sums[labels] = [self.add("sum", parts) for parts in sorted(found)]
        return self._sums[labels]

    def products(self, labels: Labels) -> list[int]:
        """Every product over exactly these labels with at least one part above the line."""
        if labels not in self._products:
            found = {parts for parts in self._groups(labels, "product") if any(above for _, above in parts)}
            self._products[labels] = [self.add("product", parts) for parts in sorted(found)]
        return self._products[labels]

    def upright(self, parts: Parts) -> Parts:
        """Of the sorted parts of a sum and of its negative, the ones that stand for both."""
        return max(parts, self._flipped(parts))

    def add(self, kind: Kind, parts: Parts) -> int:
        """Index of the form with these parts, sorted and for a sum upright; listed if it is new."""
        if (kind, parts) not in self._places:
            self._places[kind, parts] = len(self.forms)
            self.forms.append(self._form(kind, parts) if kind != "number" else Form(kind, parts, 0, 0, *[False] * 3))
        return self._places[kind, parts]

    def fractions(self, index: int) -> tuple[int, ...]:
        """Forms inside one with a whole value that have to be whole too for level 2.

        A sum's only part that divides is whole with it.
        """
        form = self.forms[index]
        inside = tuple(dict.fromkeys(child for child, _ in form.parts if form.divides and self.forms[child].divides))
        implied = form.kind == "sum" and [self.forms[child].divides for child, _ in form.parts].count(True) == 1
        return sum((self.fractions(child) for child in inside), () if implied else inside)

    def level(self, index: int, numbers: Sequence[int]) -> int:
        """Level of a form with a whole value: 0 + and - alone, 1 with ``*``, 2 with ``/``, 3 with a fraction inside."""
        form = self.forms[index]
        if not form.divides:
            return min(form.operators, 1)
        values = (self.value(inside, numbers) for inside in self.fractions(index))
        return 2 if all(numerator % denominator == 0 for numerator, denominator in values) else 3

    def value(self, index: int, numbers: Sequence[Any]) -> Value:
        """Exact value of a form, label ``i`` standing for ``numbers[i]``: a number or an array of them."""
        form = self.forms[index]
        if form.kind == "number":
            return numbers[form.parts[0][0]], 1
        values = [(self.value(child, numbers), flag) for child, flag in form.parts]
        return _total(values) if form.kind == "sum" else _product(values)

    def labels_in(self, index: int) -> list[int]:
        """Labels of the numbers in a form, as often as it uses them."""
        form = self.forms[index]
        if form.kind == "number":
            return [form.parts[0][0]]
        return [label for child, _ in form.parts for label in self.labels_in(child)]

    def _form(self, kind: Kind, parts: Parts) -> Form:
        is_sum, forms = kind == "sum", self.forms
        operators, parentheses = 0 if is_sum else len(parts) - 1, 0
        divides = negatable = symmetric = False
        for child, flag in parts:
            form = forms[child]
            operators += form.operators
            parentheses += form.parentheses + (form.kind == "sum")
            divides |= form.divides or not (is_sum or flag)
            negatable |= form.negatable or (is_sum and not flag)
            symmetric |= form.symmetric
        if is_sum:
            symmetric = negatable and self._flipped(parts) == parts
        return Form(kind, parts, operators, parentheses, divides, negatable, symmetric)

    def _flipped(self, parts: Parts) -> Parts:
        return tuple(sorted((child, self.forms[child].symmetric or not plus) for child, plus in parts))

    def _children(self, labels: Labels, kind: Kind) -> list[int]:
        """What may stand inside a form of ``kind``: the number, or the forms of the other kind."""
        if len(labels) == 1:
            return [self._numbers[labels]]
        return self.products(labels) if kind == "sum" else self.sums(labels)

    def _signed(self, labels: Labels, kind: Kind) -> list[Parts]:
        """Children with both signs; one whose negative reads the same is 0, so added or above the line."""
        children = [(child, self.forms[child].symmetric) for child in self._children(labels, kind)]
        return [((child, flag),) for child, symmetric in children for flag in (True, False) if flag or not symmetric]

    def _groups(self, labels: Labels, kind: Kind) -> Iterator[Parts]:
        for block, rest in splits(labels):
            tails = self._signed(rest, kind) + list(self._groups(rest, kind))
            for head in self._signed(block, kind):
                for tail in tails:
                    yield tuple(sorted(head + tail))


def _total(values: Sequence[tuple[Value, bool]]) -> Value:
    numerator, denominator = 0, 1
    for (part, below), plus in values:
        numerator = numerator * below + (part if plus else -part) * denominator
        denominator = denominator * below
    return numerator, denominator


def _product(values: Sequence[tuple[Value, bool]]) -> Value:
    numerator, denominator = 1, 1
    for (part, below), above in values:
        # Upside down, 0 becomes (0, 0), which stays what it is whatever is done with it.
        top, bottom = (part, below) if above else (below * (part != 0), part)
        numerator, denominator = numerator * top, denominator * bottom
    return numerator, denominator


def splits(labels: Labels) -> list[tuple[Labels, Labels]]:
    """Each way to take a block that holds the first label and leaves a rest, equal ones once.

    >>> splits((0, 1, 1))
    [((0,), (1, 1)), ((0, 1), (1,))]
    """
    found: dict[tuple[Labels, Labels], None] = {}
    others = range(1, len(labels))
    for size in range(len(labels) - 1):
        for chosen in combinations(others, size):
            rest = tuple(labels[i] for i in others if i not in chosen)
            found[(labels[0], *(labels[i] for i in chosen)), rest] = None
    return list(found)


def pattern(nums: Sequence[int]) -> tuple[Labels, tuple[int, ...]]:
    """Labels of sorted ``nums`` and the number each label stands for.

    >>> pattern((7, 3, 7))
    ((0, 1, 1), (3, 7))
    """
    distinct = sorted(set(nums))
    return tuple(distinct.index(number) for number in sorted(nums)), tuple(distinct)


@lru_cache(maxsize=64)
def forms_over(labels: Labels) -> Forms:
    """The forms of an equality pattern with every root listed; up to 5 labels, kept for the next puzzle."""
    forms = Forms(labels)
    _ = forms.roots
    return forms
