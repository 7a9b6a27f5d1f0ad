"""How many really different expressions make each target, for one puzzle of up to six numbers, in milliseconds.

What counts as different is defined in ``forms.py``. Every form is a run of parts, or one run joined with the inverse
of another: parts added less parts subtracted, parts above the line over parts below. So outer sums and products of
arrays, one for each way to split the places of the numbers in two, make every form over the places once. Sets of as
many places are calculated side by side; forms over all places, by far the most (443,825 for six), are held against
the targets as they come and never kept.

Where numbers repeat, several forms over the places read the same. Which, depends only on how often numbers repeat,
so one of each is marked once and remembered. To find them, the same sums and products are formed of names in place
of values: a structural hash that adds up what the parts contribute, so that their order is forgotten (multiset
hashing: Clarke et al., "Incremental multiset hash functions", ASIACRYPT 2003), mixed by the finaliser of SplitMix64
(Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). Some two of n forms share a
64-bit name with a probability of about n^2 / 2^65, 10^-8 for six numbers. None do: for each of the 29 ways in which
up to six numbers can repeat, a list of all forms was found to be as long as there are names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations
from math import prod
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .forms import splits
from .puzzle import Puzzle

Kind = Literal["sum", "product"]
KINDS: tuple[Kind, Kind] = ("sum", "product")
Pairs = npt.NDArray[Any]
"""Shape (2, sets of places, forms): two whole numbers for each form over each set of places."""
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def count_targets(nums: Sequence[int], low: int, high: int) -> Int64s:
    """How many really different expressions over ``nums`` make each target from ``low`` to ``high``.

    ``nums`` are 1 to 6 numbers, each used exactly once; the result has shape (high - low + 1,). Exact for every
    ``Puzzle``: where 64 bits could overflow, Python's integers take over, some 12 times as slow. Raises ``InputError``
    when numbers or targets are out of range.

    >>> count_targets((2, 2, 3), 10, 12).tolist()
    [1, 0, 2]
    """
    for target in (low, high):
        _ = Puzzle(tuple(nums), target)
    if low > high:
        raise InputError(f"the lowest target, {low}, is above the highest, {high}")
    counts = [_count_sizes(nums, max(low, 0), high)] if high >= 0 else []
    if low < 0:
        # A form that subtracts can be turned into its negative, so it makes -5 wherever it makes 5.
        sizes = max(1, -high), -low
        counts.insert(0, (_count_sizes(nums, *sizes) - _count_sizes(nums, *sizes, subtracts=False))[::-1])
    return np.concatenate(counts)


def solvable_targets(nums: Sequence[int], low: int, high: int) -> Bools:
    """Whether each target from ``low`` to ``high`` can be made; as ``count_targets``."""
    return count_targets(nums, low, high) > 0


def _count_sizes(nums: Sequence[int], low: int, high: int, subtracts: bool = True) -> Int64s:
    """How many forms have an absolute value of ``low`` (at least 0) to ``high``; shape (high - low + 1,)."""
    often = Counter(nums)
    ordered = sorted(nums, key=lambda number: (-often[number], number))
    one_of_each = _one_of_each(tuple(sorted(often.values(), reverse=True)), subtracts)
    number = np.array(ordered, np.int64 if _fits(nums, high) else np.object_)[:, None]
    targets, start = list[Int64s](), 0
    for run in roots(Values(), np.stack([number, np.ones_like(number)]), subtracts):
        form, target = _hits(run, low, high)
        targets.append(target if one_of_each is None else target[one_of_each[start + form]])
        start += run[0].size
    return np.bincount(np.concatenate(targets) - low, minlength=high - low + 1)


def _hits(run: Pairs, low: int, high: int) -> tuple[Int64s, Int64s]:
    """Where the absolute value is a whole number from ``low`` to ``high``, and that number."""
    top, below = np.abs(run[0].ravel()), np.abs(run[1].ravel())
    form = np.flatnonzero((top >= low * below) & (top <= high * below) & (below > 0))
    top, below = top[form], below[form]
    target = top // below
    whole = target * below == top
    return form[whole], target[whole].astype(np.int64)


def _fits(nums: Sequence[int], size: int) -> bool:
    """Whether int64 can hold all that is calculated for absolute values up to ``size``.

    Above and below the line stand sums of at most 2^(k-1) products of some of the k numbers, each once; below the
    line, where the target is multiplied, at least one number is missing.
    """
    return 2 ** (len(nums) - 1) * (prod(nums) // min(nums)) * max(min(nums), size) < 2**63


@cache
def _one_of_each(often: tuple[int, ...], subtracts: bool) -> Bools | None:
    """Marks one of the ``roots`` that read the same when the first ``often[0]`` numbers are equal, and so on."""
    if max(often) == 1:
        return None
    label = np.repeat(np.arange(len(often), dtype=np.int64), often)[:, None]
    algebra = Names()
    runs = roots(algebra, np.stack([label, np.ones_like(label)]), subtracts)
    names = np.concatenate([algebra.form(run).ravel() for run in runs])
    marks = np.zeros(len(names), np.bool_)
    marks[np.unique(names, return_index=True)[1]] = True
    return marks


class Algebra(Protocol):
    """Two numbers to calculate of every form, from those of its parts."""

    def part(self, kind: Kind, run: Pairs) -> Pairs:
        """A number, or a form of the other kind that a run makes, as a part of a form of ``kind``."""
        ...

    def joined(self, kind: Kind, left: Pairs, right: Pairs) -> Pairs:
        """Two runs in one; the arrays are broadcast."""
        ...

    def inverse(self, kind: Kind, run: Pairs) -> Pairs:
        """A run subtracted, or below the line."""
        ...


class Values:
    """Numerator and denominator, not reduced; (0, 0) after a division by zero."""

    def part(self, kind: Kind, run: Pairs) -> Pairs:
        return run

    def joined(self, kind: Kind, left: Pairs, right: Pairs) -> Pairs:
        if kind == "product":
            return left * right
        return np.stack([left[0] * right[1] + right[0] * left[1], left[1] * right[1]])

    def inverse(self, kind: Kind, run: Pairs) -> Pairs:
        top, below = run
        return np.stack([-top, below]) if kind == "sum" else np.stack([below * (top != 0), top])


class Names:
    """Name and sign: a form and its negative share the name and have opposite signs, 0 when they read the same.

    In a run names add up. So do signs in a sum, as hashes with a sign; in a product they are 1, 0, -1 and multiply.
    """

    def part(self, kind: Kind, run: Pairs) -> Pairs:
        name, sign = _mixed(self.form(run) + KINDS.index(kind)), np.sign(run[1])
        return np.stack([name, sign * _mixed(name) if kind == "sum" else sign])

    def joined(self, kind: Kind, left: Pairs, right: Pairs) -> Pairs:
        return np.stack([left[0] + right[0], left[1] + right[1] if kind == "sum" else left[1] * right[1]])

    def inverse(self, kind: Kind, run: Pairs) -> Pairs:
        name, sign = run
        return np.stack([name, -sign] if kind == "sum" else [_mixed(name), sign])

    def form(self, run: Pairs) -> Int64s:
        """The name of the form that a run makes, the same for its negative."""
        return _mixed(run[0] ^ _mixed(np.abs(run[1])))


def _mixed(values: Int64s) -> Int64s:
    """The finaliser of SplitMix64: every bit of the result depends on every bit of the value."""
    bits = values.view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (bits ^ (bits >> np.uint64(31))).view(np.int64)


def roots(algebra: Algebra, numbers: Pairs, subtracts: bool = True) -> Iterator[Pairs]:
    """The runs, joined or alone, that make the forms over all places, one of each and its negative.

    ``numbers``, of shape (2, places, 1), are the forms over one place. The order depends on the number of places
    alone. Without ``subtracts`` only the forms of ``+ * /``.
    """
    count = numbers.shape[1]
    if count == 1:
        yield numbers
        return
    table = _Table(algebra, numbers, subtracts)
    for size in range(2, count):
        table.add(size)
    for kind in KINDS:
        yield from table.together(kind, count)
        yield from table.opposed(kind, count)


class _Side(NamedTuple):
    """One side of a split of every set of places: which of the sets of ``size`` places it is, shape (sets,)."""

    size: int
    sets: Int64s

    def of(self, known: dict[tuple[Kind, int], Pairs], kind: Kind) -> Pairs:
        return known[kind, self.size][:, self.sets]


class _Table:
    """Parts of forms, runs of such parts and their inverses, by kind and by how many places they are over."""

    def __init__(self, algebra: Algebra, numbers: Pairs, subtracts: bool) -> None:
        self.algebra, self.count, self.subtracts = algebra, numbers.shape[1], subtracts
        self.parts: dict[tuple[Kind, int], Pairs] = {}
        self.runs: dict[tuple[Kind, int], Pairs] = {}
        self.inverses: dict[tuple[Kind, int], Pairs] = {}
        for kind in KINDS:
            self._keep(kind, 1, [], numbers)

    def add(self, size: int) -> None:
        """What there is over ``size`` places, when that over fewer is known."""
        together = {kind: list(self.together(kind, size)) for kind in KINDS}
        whole = {kind: np.concatenate([*together[kind], *self.opposed(kind, size)], axis=2) for kind in KINDS}
        self._keep("sum", size, together["sum"], whole["product"])
        self._keep("product", size, together["product"], whole["sum"])

    def _keep(self, kind: Kind, size: int, together: list[Pairs], inside: Pairs) -> None:
        part = self.algebra.part(kind, inside)
        run = np.concatenate([part, *together], axis=2)
        self.parts[kind, size], self.runs[kind, size] = part, run
        self.inverses[kind, size] = self.algebra.inverse(kind, run)

    def together(self, kind: Kind, size: int) -> Iterator[Pairs]:
        """Runs of two parts or more: the part that holds the first place, and a run over the rest."""
        for block, rest in _splits(self.count, size):
            yield self._outer(kind, block.of(self.parts, kind), rest.of(self.runs, kind))

    def opposed(self, kind: Kind, size: int) -> Iterator[Pairs]:
        """Runs joined with inverses. Of a sum and its negative one is enough; a product is not its reciprocal."""
        for block, rest in _splits(self.count, size):
            if kind == "product":
                yield self._outer(kind, rest.of(self.runs, kind), block.of(self.inverses, kind))
            if kind == "product" or self.subtracts:
                yield self._outer(kind, block.of(self.runs, kind), rest.of(self.inverses, kind))

    def _outer(self, kind: Kind, left: Pairs, right: Pairs) -> Pairs:
        """Each run on the left joined with each on the right."""
        joined = self.algebra.joined(kind, left[..., None], right[..., None, :])
        return joined.reshape(2, joined.shape[1], -1)


@cache
def _splits(count: int, size: int) -> list[tuple[_Side, _Side]]:
    """Each way to split a set of ``size`` of ``count`` places, its first on the left, for all such sets at once."""
    return [(_side(count, size, block), _side(count, size, rest)) for block, rest in splits(tuple(range(size)))]


def _side(count: int, size: int, members: tuple[int, ...]) -> _Side:
    """The side that holds these members of every set."""
    known = {places: index for index, places in enumerate(combinations(range(count), len(members)))}
    sets = [known[tuple(places[i] for i in members)] for places in combinations(range(count), size)]
    return _Side(len(members), np.array(sets))
