"""The inner loop of ``batch.py``: which forms make which target for the rows of one batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .program import Ints, Places, Program

_CELLS_AT_ONCE = 100_000
"""So many (form, row) pairs are tested by one call, to stay in a core's second-level cache."""


class Hits(NamedTuple):
    """Roots that make a target in range: their ranks, the rows, and how far above the row's lowest target."""

    rank: Places
    row: Places
    offset: Ints


def find_hits(program: Program, nodes: Ints, low: Ints, span: Ints) -> Hits:
    """Every root and row with a whole value from ``low`` to ``low + span``, both of shape (rows,) and at least 0.

    ``nodes`` are the absolute values of what ``Program.evaluate`` gives, and nothing may have overflowed.
    """
    parts = list(_whole_hits(program, nodes, low, span))
    parts += _hits_of_one_target(program, nodes, low) if not span.any() else _hits(program, nodes, low, span)
    return Hits(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def levels(program: Program, nodes: Ints, hits: Hits) -> Places:
    """Level of each hit: that of its form, or 3 where something inside is not whole."""
    level = program.level[hits.rank]
    if program.inside.shape[1]:
        some = np.flatnonzero(program.inside[:, 0, 0][hits.rank])
        inside, row = program.inside[hits.rank[some]], hits.row[some]
        for numerator, denominator in np.moveaxis(inside, 0, 2):
            level[some[nodes[numerator, row] % nodes[denominator, row] != 0]] = 3
    return level


def _whole_hits(program: Program, nodes: Ints, low: Ints, span: Ints) -> Iterator[Hits]:
    """Hits of the roots that divide by nothing."""
    for ranks, _ in _blocks(program.whole, program.whole, nodes):
        offset = nodes.take(program.numerator[ranks], axis=0)
        offset -= low
        # Below the lowest target the difference, read as unsigned, is more than any span.
        hit = np.flatnonzero(_unsigned(offset) <= _unsigned(span))
        root, row = np.divmod(hit, nodes.shape[1])
        yield Hits(ranks[root], row, offset.ravel()[hit])


def _hits_of_one_target(program: Program, nodes: Ints, target: Ints) -> Iterator[Hits]:
    """Hits of the roots that divide, where each row has one target: numerator = target * denominator."""
    below = nodes.take(program.below, axis=0)
    wanted = below * target
    for ranks, place in _blocks(program.broken, program.below_of, nodes):
        hit = np.flatnonzero(nodes.take(program.numerator[ranks], axis=0) == wanted.take(place, axis=0))
        root, row = np.divmod(hit, nodes.shape[1])
        defined = np.flatnonzero(below[place[root], row])
        yield Hits(ranks[root[defined]], row[defined], np.zeros(len(defined), nodes.dtype))


def _hits(program: Program, nodes: Ints, low: Ints, span: Ints) -> Iterator[Hits]:
    """Hits of the roots that divide, without a division.

    Let d = odd * 2^s be the denominator. If d divides the numerator n, then n / odd = n * inverse(odd) modulo
    2^bits is target * 2^s, which is compared with the range times 2^s. What passes by chance is tried exactly.
    """
    below = nodes.take(program.below, axis=0)
    power = below & -below
    # The exponent of a power of two can be read off a float. Of the power 0 (d = 0) nothing is right; it is dropped.
    shift = (power.astype(np.float32).view(np.int32) >> 23) - 127
    inverse = _inverse(_unsigned(below >> shift))
    lowest, spans = _unsigned(power * low), _unsigned(power * span)
    for ranks, place in _blocks(program.broken, program.below_of, nodes):
        numerator = nodes.take(program.numerator[ranks], axis=0)
        above = _unsigned(numerator) * inverse.take(place, axis=0)
        above -= lowest.take(place, axis=0)
        hit = np.flatnonzero(above <= spans.take(place, axis=0))
        root, row = np.divmod(hit, nodes.shape[1])
        there = place[root] * nodes.shape[1] + row
        divisor = below.ravel()[there]
        offset = above.ravel()[hit].view(nodes.dtype) >> shift.ravel()[there]
        exact = np.flatnonzero(((offset + low[row]) * divisor == numerator.ravel()[hit]) & (divisor != 0))
        yield Hits(ranks[root[exact]], row[exact], offset[exact])


def _blocks(ranks: Places, places: Places, nodes: Ints) -> Iterator[tuple[Places, Places]]:
    size = max(16, _CELLS_AT_ONCE // nodes.shape[1])
    for start in range(0, len(ranks), size):
        yield ranks[start : start + size], places[start : start + size]


def _unsigned(numbers: Ints) -> Ints:
    return numbers.view(f"u{numbers.itemsize}")


def _inverse(odd: Ints) -> Ints:
    """Inverse modulo 2^bits of odd unsigned numbers: Newton's iteration, which starts with 5 right bits."""
    inverse, right_bits = odd * 3 ^ 2, 5
    while right_bits < 8 * odd.itemsize:
        inverse *= 2 - odd * inverse
        right_bits *= 2
    return inverse
