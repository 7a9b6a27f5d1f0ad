"""Expressions as text: one template for every form and every way its sums can come out above or below 0.

No intermediate value is below 0: what is added comes first, what is subtracted follows, and a sum that comes out
below 0 is written the other way round. In sums products stand before numbers, big numbers before small.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from .forms import Forms, Kind, Labels, Parts, Value, forms_over

FIRST_LETTER = ord("a")
"""In a template ``a`` stands for the number with label 0, ``b`` for label 1, ..."""
_JOINED_BY = {"sum": (" + ", " - "), "product": (" * ", " / ")}


class Writer:
    """Templates of ``forms``, made when first asked for."""

    def __init__(self, forms: Forms) -> None:
        self.forms = forms
        self._turning: dict[int, tuple[int, ...]] = {}
        self._templates: dict[tuple[int, int, bool], str] = {}

    def text(self, index: int, numbers: Sequence[int], negative: bool = False) -> str:
        """A form's absolute value as an expression; or the negative of that, with values below 0 on the way.

        Label ``i`` stands for ``numbers[i]``.
        """
        letters = {FIRST_LETTER + label: str(number) for label, number in enumerate(numbers)}
        return self.template(index, self.signs(index, numbers), negative).translate(letters)

    def signs(self, index: int, numbers: Sequence[Any]) -> Any:
        """Which sums of ``turning`` are below 0, as bits in that order; an array where the numbers are arrays."""
        values = [self.forms.value(turn, numbers) for turn in self.turning(index)]
        return sum(_is_below_zero(value) * 2**bit for bit, value in enumerate(values))

    def turning(self, index: int) -> tuple[int, ...]:
        """Sums in a form, itself included, that are below 0 with some numbers and not with others."""
        if index not in self._turning:
            form = self.forms.forms[index]
            inside = [turn for child, _ in form.parts if form.kind != "number" for turn in self.turning(child)]
            itself = form.kind == "sum" and form.negatable and not self._is_difference(form.parts)
            self._turning[index] = tuple(dict.fromkeys([*inside, index] if itself else inside))
        return self._turning[index]

    def template(self, index: int, signs: int, negative: bool = False) -> str:
        """The expression with letters for the numbers."""
        key = index, signs, negative
        if key not in self._templates:
            below = frozenset(turn for bit, turn in enumerate(self.turning(index)) if signs >> bit & 1)
            self._templates[key] = self._negative(index, below) if negative else self._absolute(index, below)
        return self._templates[key]

    def _absolute(self, index: int, below: frozenset[int]) -> str:
        form = self.forms.forms[index]
        if form.kind == "number":
            return chr(FIRST_LETTER + form.parts[0][0])
        front, back = self._sides(index, below)
        return _joined(form.kind, *([self._part(form.kind, child, below) for child in side] for side in (front, back)))

    def _negative(self, index: int, below: frozenset[int]) -> str:
        """The negative of what ``_absolute`` writes: the sides of a difference swapped, inside if need be."""
        kind, (front, back) = self.forms.forms[index].kind, self._sides(index, below)
        parts = front + back
        texts = [self._part(kind, child, below) for child in parts]
        if kind == "sum" and back:
            return _joined(kind, texts[len(front) :], texts[: len(front)])
        turned = next(place for place, child in enumerate(parts) if self.forms.forms[child].negatable)
        texts[turned] = self._part(kind, parts[turned], below, negative=True)
        if kind == "sum":
            return _joined(kind, [texts.pop(turned)], texts)
        return _joined(kind, texts[: len(front)], texts[len(front) :])

    def _part(self, kind: Kind, child: int, below: frozenset[int], negative: bool = False) -> str:
        text = self._negative(child, below) if negative else self._absolute(child, below)
        return f"({text})" if kind == "product" and self.forms.forms[child].kind == "sum" else text

    def _sides(self, index: int, below: frozenset[int]) -> tuple[list[int], list[int]]:
        """Parts of a sum or product that come first, and those that follow a ``-`` or ``/``, both in order."""
        form, turned = self.forms.forms[index], self._is_below(index, below)
        sides: tuple[list[int], list[int]] = [], []
        for child, flag in form.parts:
            is_first = flag if form.kind == "product" else flag == (self._is_below(child, below) == turned)
            sides[not is_first].append(child)
        for side in sides:
            side.sort(key=lambda child: self._order(form.kind, child), reverse=True)
        return sides

    def _order(self, kind: Kind, child: int) -> tuple[bool, list[int]]:
        """Highest first: in a sum products, in a product numbers; then by the largest numbers in them."""
        form, labels = self.forms.forms[child], sorted(self.forms.labels_in(child), reverse=True)
        return (form.kind == "number") == (kind == "product"), labels

    def _is_below(self, index: int, below: frozenset[int]) -> bool:
        form = self.forms.forms[index]
        if form.kind == "product":
            return sum(self._is_below(child, below) for child, _ in form.parts) % 2 == 1
        if form.kind == "sum" and form.negatable and self._is_difference(form.parts):
            return form.parts[0][1]  # the smaller number is added, the larger one is not
        return index in below

    def _is_difference(self, parts: Parts) -> bool:
        """Whether a sum with a minus is one of two numbers, whose labels ascend with them."""
        return len(parts) == 2 and all(self.forms.forms[child].kind == "number" for child, _ in parts)


@lru_cache(maxsize=64)
def writer_over(labels: Labels) -> Writer:
    """The writer of an equality pattern's forms, kept with its templates."""
    return Writer(forms_over(labels))


def _joined(kind: Kind, front: Sequence[str], back: Sequence[str]) -> str:
    first, then = _JOINED_BY[kind]
    return then.join([first.join(front), *back])


def _is_below_zero(value: Value) -> Any:
    numerator, denominator = value
    return (numerator != 0) & ((numerator < 0) != (denominator < 0))
