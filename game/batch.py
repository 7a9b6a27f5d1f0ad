"""Many puzzles at once: every form of every row evaluated in numpy, exactly, on (numerator, denominator).

Rows are grouped by which of their numbers are equal, so each group shares one set of canonical forms
(``forms.py``). Integers are 32 or 64 bits wide, whichever provably cannot overflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .forms import Form, Forms, forms_over, pattern

MAX_BATCH_NUMBERS = 5
_BATCH_ROWS = {1: 65536, 2: 65536, 3: 16384, 4: 8192, 5: 1024}
# A hit as one sortable int64: row (16 bits), target (30), level (2), rank of the form (14).
_ROW, _TARGET, _LEVEL = 46, 16, 14

Ints = npt.NDArray[np.integer]
Column = tuple[Ints, Ints | None]
"""Numerators and denominators of one form, shape (rows,); None for the denominators of whole values."""


@dataclass(frozen=True)
class Cells:
    """Solvable (row, target) pairs, one entry each, ordered by row and target; all of shape (cells,).

    ``form`` is the easiest form's place in ``Forms.roots`` of the row's pattern.
    """

    row: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    n_solutions: npt.NDArray[np.int64]
    level: npt.NDArray[np.int64]
    form: npt.NDArray[np.int64]

    def take(self, chosen: npt.NDArray[np.integer | np.bool_]) -> Cells:
        return Cells(*(column[chosen] for column in (self.row, self.target, self.n_solutions, self.level, self.form)))


def solve_rows(nums: Ints, low: int | Ints, high: int | Ints) -> Cells:
    """Every target from ``low`` to ``high`` (at least 0; numbers, or arrays with one per row) that rows can make.

    ``nums`` has shape (rows, 1 to 5 numbers). Raises ``InputError`` when 64 bits could overflow.
    """
    rows, count = nums.shape
    if not rows:
        empty = np.zeros(0, np.int64)
        return Cells(empty, empty, empty, empty, empty)
    largest, top = int(nums.max()), int(np.max(high))
    dtype = exact_dtype(count, largest, top)
    if dtype is None:
        raise InputError(f"{count} numbers up to {largest:,} with targets up to {top:,} are too large for int64")
    nums = np.sort(nums, axis=1).astype(dtype)
    low, high = np.asarray(low, dtype), np.asarray(high, dtype)
    found = [_solve_batch(nums[some], _some(low, some), _some(high, some), some) for some in _batches(nums)]
    cells = Cells(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    return cells.take(np.argsort(cells.row, kind="stable"))


def exact_dtype(count: int, largest: int, target: int) -> type[np.int32] | type[np.int64] | None:
    """The narrowest integer type in which nothing overflows, None when 64 bits are not enough.

    Values are sums of at most 2^(count-1) products of ``count`` numbers; denominators have one number fewer,
    because something stands above the line, and are multiplied by a target.
    """
    bound = 2 ** (count - 1) * largest ** (count - 1) * max(largest, target, 1)
    return np.int32 if bound < 2**31 else np.int64 if bound < 2**63 else None


def easiest_texts(nums: Ints, form: npt.NDArray[np.int64]) -> list[str]:
    """The easiest expression of each row: ``nums`` of shape (rows, numbers), ``form`` as in ``Cells``."""
    texts: list[str] = []
    for row, place in zip(nums.tolist(), form.tolist(), strict=True):
        labels, numbers = pattern(row)
        forms = forms_over(labels)
        texts.append(forms.text(forms.roots[place], numbers))
    return texts


def _batches(nums: Ints) -> Iterator[npt.NDArray[np.int64]]:
    """Row indices of batches in which the same places hold equal numbers; ``nums`` sorted along rows."""
    count = nums.shape[1]
    code = (nums[:, 1:] == nums[:, :-1]) @ (1 << np.arange(count - 1)) if count > 1 else np.zeros(len(nums), np.int64)
    for kind in np.unique(code):
        rows = np.flatnonzero(code == kind)
        for start in range(0, len(rows), _BATCH_ROWS[count]):
            yield rows[start : start + _BATCH_ROWS[count]]


def _some(bound: Ints, rows: npt.NDArray[np.int64]) -> Ints:
    return bound[rows] if bound.ndim else bound


def _solve_batch(nums: Ints, low: Ints, high: Ints, names: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
    """Row names, targets, solution counts, levels and easiest forms of the solvable cells of one batch."""
    labels, _ = pattern(nums[0].tolist())
    forms = forms_over(labels)
    columns: list[Column] = []
    whole: dict[int, npt.NDArray[np.bool_]] = {}
    keys: list[npt.NDArray[np.int64]] = []
    rank = {index: place for place, index in enumerate(forms.roots)}
    for index, form in enumerate(forms.forms):
        columns.append(_column(form, columns, nums, labels))
        if index in rank:
            row, target = _hits(form, columns[index], low, high)
            level = _levels(forms, index, columns, whole, row)
            keys.append((row << _ROW) | (target.astype(np.int64) << _TARGET) | (level << _LEVEL) | rank[index])
    return _first_of_each(np.sort(np.concatenate(keys)), names)


def _column(form: Form, columns: list[Column], nums: Ints, labels: Sequence[int]) -> Column:
    if form.kind == "number":
        return np.ascontiguousarray(nums[:, labels.index(form.parts[0][0])]), None
    if form.kind == "sum":
        return _sum_column(form, columns)
    return _product_column(form, columns)


def _sum_column(form: Form, columns: list[Column]) -> Column:
    (first, plus), *others = form.parts
    numerator, denominator = columns[first]
    if not plus:
        numerator = -numerator
    for index, added in others:
        part, below = columns[index]
        if below is not None:
            numerator = numerator * below
        if denominator is not None:
            part = part * denominator
        numerator = numerator + part if added else numerator - part
        denominator = _times(denominator, below)
    return numerator, denominator


def _product_column(form: Form, columns: list[Column]) -> Column:
    numerator: Ints | None = None
    denominator: Ints | None = None
    for index, above in form.parts:
        part, below = columns[index]
        if not above:
            # A part that itself divides by zero must not come back to life upside down.
            part, below = below, part if below is None else part * (below != 0)
        numerator, denominator = _times(numerator, part), _times(denominator, below)
    if numerator is None:
        numerator = np.ones_like(columns[form.parts[0][0]][0])
    return numerator, denominator


def _times(left: Ints | None, right: Ints | None) -> Ints | None:
    if left is None or right is None:
        return right if left is None else left
    return left * right


def _hits(form: Form, column: Column, low: Ints, high: Ints) -> tuple[npt.NDArray[np.int64], Ints]:
    """Rows where the absolute value is a whole number from ``low`` to ``high``, and that number."""
    numerator, below = column
    size = np.abs(numerator) if form.negatable else numerator
    if below is None:
        row = np.flatnonzero((size >= low) & (size <= high))
        return row, size[row]
    if form.negatable:
        below = np.abs(below)
    row = np.flatnonzero((size >= low * below) & (size <= high * below))
    row = row[below[row] > 0]
    target, rest = np.divmod(size[row], below[row])
    whole = rest == 0
    return row[whole], target[whole]


def _levels(
    forms: Forms,
    index: int,
    columns: list[Column],
    whole: dict[int, npt.NDArray[np.bool_]],
    row: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64] | np.int64:
    """Level of a form on ``row``, where its value is known to be whole."""
    form = forms.forms[index]
    if not form.divides:
        return np.int64(min(form.operators, 1))
    inside = [child for child, _ in form.parts if forms.forms[child].divides]
    level = np.int64(2)
    for child in inside:
        level = np.where(_whole(forms, child, columns, whole)[row], level, 3)
    return level


def _whole(
    forms: Forms, index: int, columns: list[Column], whole: dict[int, npt.NDArray[np.bool_]]
) -> npt.NDArray[np.bool_]:
    """Rows where every value inside a form that divides, and its own, is whole; remembered in ``whole``."""
    if index not in whole:
        numerator, denominator = columns[index]
        if denominator is None:
            return np.ones(len(numerator), np.bool_)
        found = numerator % np.where(denominator == 0, 1, denominator) == 0
        for child, _ in forms.forms[index].parts:
            if forms.forms[child].divides:
                found &= _whole(forms, child, columns, whole)
        whole[index] = found
    return whole[index]


def _first_of_each(key: npt.NDArray[np.int64], names: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
    """One entry per (row, target) of sorted hits: how many there are, and level and rank of the easiest."""
    cell = key >> _TARGET
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    n_solutions = np.diff(np.append(first, len(key)))
    best = key[first]
    level = (best >> _LEVEL) & 3
    return names[best >> _ROW], cell[first] & (2**30 - 1), n_solutions, level, best & (2**_LEVEL - 1)
