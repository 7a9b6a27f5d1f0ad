"""Many puzzles at once: every form of every row evaluated in numpy, exactly.

Rows are grouped by which of their numbers are equal, so each group shares one program (``program.py``). Integers are
32 or 64 bits wide, whichever provably cannot overflow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .forms import Labels, pattern
from .hits import Hits, find_hits, levels
from .program import Ints, Places, Program, program_over
from .puzzle import MAX_TARGET
from .writing import FIRST_LETTER, Writer, writer_over

if TYPE_CHECKING:
    import pyarrow as pa

MAX_BATCH_NUMBERS = 5
_NODE_BYTES = 2_000_000
"""What the nodes of one batch may take: more rows spread the cost of numpy's calls, fewer stay in the cache."""
_MOST_BATCH_ROWS = 2**16


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

    ``nums`` has shape (rows, 1 to 5 numbers), in any order. Where every row has ``low`` = ``high``, the test is
    three to four times as fast. Raises ``InputError`` when 64 bits could overflow.
    """
    rows = len(nums)
    low, high = (np.broadcast_to(np.asarray(bound, np.int64), rows) for bound in (low, high))
    if not rows:
        return Cells(*[np.zeros(0, np.int64)] * 5)
    nums, low, high = _in_exact_type(nums, low, high)
    columns, span = sorted_columns(nums), high - low
    found = [
        _solve_batch(program_over(labels), _distinct(columns[:, some], labels), low[some], span[some], some)
        for labels, group in patterns(columns)
        for some in _batches(group, program_over(labels), columns.itemsize)
    ]
    order = np.argsort(np.concatenate([names for names, *_ in found]), kind="stable")
    return Cells(*(np.concatenate(parts).take(order).astype(np.int64) for parts in zip(*found, strict=True)))


def exact_dtype(count: int, largest: int, target: int) -> type[np.int32] | type[np.int64] | None:
    """The narrowest integer type in which nothing overflows, None when 64 bits are not enough.

    Values are sums of at most 2^(count-1) products of ``count`` numbers; denominators have one number fewer,
    because something stands above the line, and are multiplied by a target.
    """
    bound = 2 ** (count - 1) * largest ** (count - 1) * max(largest, target, 1)
    return np.int32 if bound < 2**31 else np.int64 if bound < 2**63 else None


def value_bounds(nums: Ints, target: Ints) -> npt.NDArray[np.float64]:
    """What ``exact_dtype`` compares with the range of a type, for each row, rounded."""
    largest = nums.max(axis=1).astype(np.float64)
    return 2.0 ** (nums.shape[1] - 1) * largest ** (nums.shape[1] - 1) * np.maximum(largest, target)


def easiest_texts(nums: Ints, form: npt.NDArray[np.int64]) -> pa.StringArray:
    """The easiest expression of each row: ``nums`` of shape (rows, numbers), ``form`` as in ``Cells``.

    Numbers and forms of a row come from ``solve_rows``, so 64 bits hold every value.
    """
    columns = sorted_columns(nums.astype(np.int64))
    places: dict[str, int] = {}
    template = np.zeros(len(nums), np.int64)
    for labels, rows in patterns(columns):
        # In the templates of a pattern a letter is a label; across patterns it is a column.
        letters = {FIRST_LETTER + label: FIRST_LETTER + labels.index(label) for label in labels}
        for text, some in _templates(writer_over(labels), _distinct(columns, labels), form, rows):
            template[some] = places.setdefault(text.translate(letters), len(places))
    return _filled(list(places), template, columns)


def _in_exact_type(nums: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints, Ints]:
    """The arguments in the type that no row overflows. Raises ``InputError`` when there is none."""
    count, smallest = nums.shape[1], nums.min(initial=1)
    if nums.dtype.kind not in "iu" or not 1 <= count <= MAX_BATCH_NUMBERS or smallest < 1:
        what = f"{count} of type {nums.dtype} from {smallest} on"
        raise InputError(f"a batch takes 1 to {MAX_BATCH_NUMBERS} whole numbers of at least 1, got {what}")
    if low.min() < 0 or high.max() > MAX_TARGET or (low > high).any():
        raise InputError(f"targets go from low to high within 0 to {MAX_TARGET:,}, got {low.min():,} to {high.max():,}")
    worst = int(value_bounds(nums, high).argmax())
    largest, top = int(nums[worst].max()), int(high[worst])
    dtype = exact_dtype(count, largest, top)
    if dtype is None:
        raise InputError(f"{count} numbers up to {largest:,} with targets up to {top:,} are too large for int64")
    return nums.astype(dtype), low.astype(dtype), high.astype(dtype)


def sorted_columns(nums: Ints) -> Ints:
    """The numbers of each row in ascending order, as columns: shape (numbers, rows)."""
    columns = np.ascontiguousarray(nums.T)
    for turn in range(len(columns)):
        for place in range(turn % 2, len(columns) - 1, 2):
            pair = columns[place : place + 2]
            pair[:] = pair.min(axis=0), pair.max(axis=0)
    return columns


def patterns(columns: Ints) -> Iterator[tuple[Labels, Places]]:
    """Each equality pattern of ascending columns, as labels, and the rows that have it."""
    differs = (np.diff(columns, axis=0) != 0).T
    code = np.packbits(differs, axis=1)[:, 0] if len(columns) > 1 else np.zeros(columns.shape[1], np.uint8)
    for kind in np.unique(code):
        rows = np.flatnonzero(code == kind)
        yield pattern(columns[:, rows[0]].tolist())[0], rows


def _distinct(columns: Ints, labels: Labels) -> Ints:
    """Of ascending columns one for each label."""
    return columns[[labels.index(label) for label in sorted(set(labels))]]


def _batches(rows: Places, program: Program, itemsize: int) -> Iterator[Places]:
    """``rows`` in pieces whose nodes stay in the cache."""
    size = min(max(32, _NODE_BYTES // (itemsize * program.size)), _MOST_BATCH_ROWS)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _solve_batch(program: Program, numbers: Ints, low: Ints, span: Ints, names: Places) -> tuple[Ints, ...]:
    nodes = program.evaluate(numbers)
    np.abs(nodes, out=nodes)
    hits = find_hits(program, nodes, low, span)
    row, offset, *others = _cells(hits, levels(program, nodes, hits))
    return names[row].astype(np.int32), low[row] + offset.astype(low.dtype), *others


def _cells(hits: Hits, level: Places) -> tuple[Ints, ...]:
    """Row, offset, number of hits, and level and rank of the easiest hit of each row and offset that was hit."""
    # One sortable number a hit: row (17 bits at most), offset (30), level (2), rank of the form (14).
    keys = (hits.row << 46 | hits.offset.astype(np.int64) << 16 | level << 14) | hits.rank
    keys.sort()
    cell = keys >> 16
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    count, best = np.diff(first, append=len(keys)), keys[first]
    row, offset = cell[first] >> 30, cell[first] & 2**30 - 1
    return row, offset, count.astype(np.int16), (best >> 14 & 3).astype(np.int8), (best & 2**14 - 1).astype(np.int16)


def _templates(
    writer: Writer, numbers: Ints, form: npt.NDArray[np.int64], rows: Places
) -> Iterator[tuple[str, Places]]:
    """Templates, each with the rows it is for; ``rows`` share the writer's pattern."""
    ordered = rows[np.argsort(form[rows].astype(np.int16), kind="stable")]
    starts = np.flatnonzero(np.diff(form[ordered], prepend=-1))
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(ordered)], strict=True):
        some = ordered[start:stop]
        root = writer.forms.roots[form[some[0]]]
        if not writer.turning(root):
            yield writer.template(root, 0), some
            continue
        signs = writer.signs(root, list(numbers[:, some]))
        for way in np.flatnonzero(np.bincount(signs)).tolist():
            yield writer.template(root, way), some[signs == way]


def _filled(templates: list[str], template: Places, columns: Ints) -> pa.StringArray:
    """Each row's template with column ``i`` of numbers in place of the ``i``-th letter."""
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute  # whose functions are made when it is imported, unseen by type checkers
    if not templates:
        return pa.array([], pa.string())
    pieces = zip(*(re.split("[a-z]", text) for text in templates), strict=True)
    order = np.array([[ord(letter) - FIRST_LETTER for letter in re.findall("[a-z]", text)] for text in templates])
    parts = [pa.array(next(pieces)).take(template)]
    for column, after in zip(order.T, pieces, strict=True):
        numbers = columns[column[template], np.arange(columns.shape[1])]
        parts += [pa.array(numbers).cast(pa.string()), pa.array(after).take(template)]
    return pc.binary_join_element_wise(*parts, "")
