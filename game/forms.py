"""Canonical forms: every really different way to combine the numbers of a puzzle, once.

A form is a number, a sum of two or more signed parts that are not sums, or a product of two or more parts
that are not products, each part above or below the line. Order and brackets that change nothing are gone
by construction: ``a - (b - c)`` and ``c + a - b`` are one form, so are ``a / (b / c)`` and ``a * c / b``.
A form and its negative are one form too (``(a - b) * (c - d)`` = ``(b - a) * (d - c)``). Where numbers
repeat, forms that read the same are one form. Over distinct numbers there are 1, 5, 47, 733 forms of 1 to
4 numbers; counting the negatives that can be written gives 1, 6, 68, 1,170, 27,142, as in OEIS A140606.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import combinations
from typing import Literal, NamedTuple

Kind = Literal["number", "sum", "product"]
Labels = tuple[int, ...]
Parts = tuple[tuple[int, bool], ...]
Value = tuple[int, int]
"""A rational as (numerator, denominator), not reduced; denominator 0 marks a division by zero."""


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
        self._sums: dict[Labels, list[int]] = {}
        self._products: dict[Labels, list[int]] = {}
        self._numbers = {(label,): self._add("number", ((label, True),)) for label in sorted(set(labels))}

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
            self._sums[labels] = [self._add("sum", parts) for parts in sorted(found)]
        return self._sums[labels]

    def products(self, labels: Labels) -> list[int]:
        """Every product over exactly these labels with at least one part above the line."""
        if labels not in self._products:
            found = {parts for parts in self._groups(labels, "product") if any(above for _, above in parts)}
            self._products[labels] = [self._add("product", parts) for parts in sorted(found)]
        return self._products[labels]

    def children(self, labels: Labels, kind: Kind) -> list[int]:
        """What may stand inside a form of ``kind``: the number, or the forms of the other kind."""
        if len(labels) == 1:
            return [self._numbers[labels]]
        return self.products(labels) if kind == "sum" else self.sums(labels)

    def tails(self, labels: Labels, kind: Kind) -> Iterator[Parts]:
        """Ways to go on with a form of ``kind`` over the labels that are left, with every sign."""
        for child in self.children(labels, kind):
            for flag in self.flags(child, kind):
                yield ((child, flag),)
        yield from self._groups(labels, kind)

    def flags(self, child: int, kind: Kind) -> tuple[bool, ...]:
        """Both signs, but for a part of a sum whose negative reads the same."""
        return (True,) if kind == "sum" and self.forms[child].symmetric else (True, False)

    def upright(self, parts: Parts) -> Parts:
        """Of a sum and its negative, the one that stands for both."""
        return max(parts, self._flipped(parts))

    def _flipped(self, parts: Parts) -> Parts:
        return tuple(sorted((child, self.forms[child].symmetric or not plus) for child, plus in parts))

    def _groups(self, labels: Labels, kind: Kind) -> Iterator[Parts]:
        for block, rest in splits(labels):
            for tail in list(self.tails(rest, kind)):
                for child in self.children(block, kind):
                    for flag in self.flags(child, kind):
                        yield tuple(sorted(((child, flag), *tail)))

    def _add(self, kind: Kind, parts: Parts) -> int:
        if kind == "number":
            self.forms.append(Form(kind, parts, 0, 0, False, False, False))
            return len(self.forms) - 1
        inside = [self.forms[child] for child, _ in parts]
        flags = [flag for _, flag in parts]
        is_sum = kind == "sum"
        operators = sum(form.operators for form in inside) + (0 if is_sum else len(parts) - 1)
        parentheses = sum(form.parentheses + (form.kind == "sum") for form in inside)
        divides = any(form.divides for form in inside) or (not is_sum and not all(flags))
        negatable = any(form.negatable for form in inside) or (is_sum and not all(flags))
        symmetric = self._flipped(parts) == parts if is_sum else any(form.symmetric for form in inside)
        self.forms.append(Form(kind, parts, operators, parentheses, divides, negatable, symmetric))
        return len(self.forms) - 1

    def level(self, index: int, values: Sequence[Value]) -> int:
        """Level of a form: 0 for + and - alone, 1 with ``*``, 2 with ``/`` over whole values, 3 with a fraction."""
        form = self.forms[index]
        if not form.divides:
            return 1 if form.operators else 0
        return 2 if self._whole(index, values) else 3

    def _whole(self, index: int, values: Sequence[Value]) -> bool:
        form, (numerator, denominator) = self.forms[index], values[index]
        if not form.divides:
            return True
        return numerator % denominator == 0 and all(self._whole(child, values) for child, _ in form.parts)

    def values(self, numbers: Sequence[int], known: Sequence[Value] = ()) -> list[Value]:
        """Exact value of every form listed so far, label ``i`` standing for ``numbers[i]``.

        ``known`` holds those that were asked for before, when fewer forms were listed.
        """
        found = list(known)
        for form in self.forms[len(found) :]:
            if form.kind == "number":
                found.append((numbers[form.parts[0][0]], 1))
            else:
                found.append(combine(form.kind, form.parts, found))
        return found

    def text(self, index: int, numbers: Sequence[int]) -> str:
        """The form as an expression with a value of at least 0, and no intermediate value below 0."""
        return self._write(index, numbers)[1]

    def _write(self, index: int, numbers: Sequence[int]) -> tuple[Value, str]:
        """Value as the form is stored, which may be negative, and the text of its absolute value."""
        form = self.forms[index]
        if form.kind == "number":
            number = numbers[form.parts[0][0]]
            return (number, 1), str(number)
        written = [self._write(child, numbers) for child, _ in form.parts]
        values = [value for value, _ in written]
        total = combine(form.kind, [(place, flag) for place, (_, flag) in enumerate(form.parts)], values)
        flags = [flag for _, flag in form.parts]
        texts = [text for _, text in written]
        if form.kind == "sum":
            upright = _is_positive(total)
            flags = [
                not value[0] or (plus == _is_positive(value)) == upright
                for plus, value in zip(flags, values, strict=True)
            ]
        else:
            texts = [
                f"({text})" if self.forms[child].kind == "sum" else text
                for (child, _), text in zip(form.parts, texts, strict=True)
            ]
        return total, _joined(form.kind, flags, values, texts)


def _joined(kind: Kind, flags: Sequence[bool], values: Sequence[Value], texts: Sequence[str]) -> str:
    """Parts with a set flag first, big before small: ``55 + 36 - 19 - 7``, ``6 * 5 / 3``."""
    first, then = (" + ", " - ") if kind == "sum" else (" * ", " / ")
    parts = sorted(
        zip(flags, values, texts, strict=True), key=lambda part: (-abs(part[1][0] / part[1][1]), len(part[2]), part[2])
    )
    return then.join(
        [first.join(text for flag, _, text in parts if flag), *(text for flag, _, text in parts if not flag)]
    )


def _is_positive(value: Value) -> bool:
    return value[0] == 0 or (value[0] > 0) == (value[1] > 0)


def combine(kind: Kind, parts: Sequence[tuple[int, bool]], values: Sequence[Value]) -> Value:
    """Exact value of a sum or product of ``parts``; (0, 0) after a division by zero."""
    if kind == "sum":
        numerator, denominator = 0, 1
        for index, plus in parts:
            part, below = values[index]
            numerator = numerator * below + (part if plus else -part) * denominator
            denominator *= below
    else:
        numerator, denominator = 1, 1
        for index, above in parts:
            part, below = values[index] if above else values[index][::-1]
            numerator *= part
            denominator *= below
            if not above and not part:
                return 0, 0
    return (numerator, denominator) if denominator else (0, 0)


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
