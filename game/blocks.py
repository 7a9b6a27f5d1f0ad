"""Forms of many numbers as a part joined with the form of the other numbers, all that look alike in one array."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .forms import Kind, Labels, pattern, splits
from .program import Ints, Places, program_over

LISTED_NUMBERS = 4
"""Up to here the forms come from ``forms.py``, which takes milliseconds; listing five takes a fifth of a second."""
_WAYS: dict[Kind, int] = {"sum": 2, "product": 3}
"""Ways to join a head and a rest: head + rest, head - rest; or head * rest, rest / head, head / rest."""

Facts = npt.NDArray[np.bool_ | np.int8]


class Values(NamedTuple):
    """Values of forms; (0, 0) after a division by 0."""

    numerator: Ints
    denominator: Ints

    def take(self, places: Places) -> Values:
        return Values(self.numerator[places], self.denominator[places])


class Shape(NamedTuple):
    """What is known of forms before the numbers are: arrays with an entry for each, of small integers or truths."""

    is_sum: Facts
    is_product: Facts
    undivided: Facts  # not a product with a part below the line
    again: Facts  # the same as another form, so left out
    negatable: Facts
    divides: Facts
    operators: Facts
    parentheses: Facts

    def take(self, places: Places) -> Shape:
        return Shape(*(column[places] for column in self))


class Block(NamedTuple):
    """Forms whose part with the first label is over ``head``, and whose other parts are over ``rest``.

    Each is one of the ways to join one of ``heads``, the forms over ``head`` that can be a part, with one of the
    forms over ``rest``, which is the other part or is of the same kind and holds the other parts.
    """

    kind: Kind
    head: Labels
    rest: Labels
    heads: Places
    size: tuple[int, int, int]  # ways, heads, forms over the rest

    def over(self, labels: Sequence[int]) -> Block:
        """The block with ``labels[i]`` for label ``i``."""
        head, rest = (tuple(labels[label] for label in side) for side in (self.head, self.rest))
        return self._replace(head=head, rest=rest)


def join(kind: Kind, heads: Values, rests: Values) -> Values:
    """Values of every head joined with every rest in every way, shape (ways, heads, rests), up to their signs.

    0 / 0 comes out as it is, other divisions by 0 with a numerator.
    """
    (a, b), (c, d), outer = heads, rests, np.multiply.outer
    ad, bc, bd = outer(a, d), outer(b, c), outer(b, d)
    if kind == "sum":
        return Values(_stacked(ad + bc, ad - bc), _stacked(bd, bd))
    return Values(_stacked(outer(a, c), bc, ad), _stacked(bd, ad, bc))


def _stacked(*layers: Ints) -> Ints:
    """What ``np.stack`` does, in a fraction of its time for small arrays."""
    stacked = np.empty((len(layers), *layers[0].shape), layers[0].dtype)
    for place, layer in enumerate(layers):
        stacked[place] = layer
    return stacked


def join_shapes(kind: Kind, way: Places, head: Shape, rest: Shape) -> Shape:
    """The shape of heads joined with rests in a way each; the arguments' arrays broadcast."""
    is_sum, is_product = kind == "sum", kind == "product"
    made = Shape(
        is_sum=np.array(is_sum),
        is_product=np.array(is_product),
        undivided=is_sum | (way == 0) & rest.undivided,
        # c / d below the line is d / c above it.
        again=head.again | rest.again | is_product & (way == 2) & ~rest.undivided,
        negatable=head.negatable | rest.negatable | is_sum & (way == 1),
        divides=head.divides | rest.divides | is_product & (way > 0),
        operators=head.operators + rest.operators + is_product,
        parentheses=head.parentheses + rest.parentheses + is_product * (head.is_sum + rest.is_sum),
    )
    return Shape(*np.broadcast_arrays(*made))


@lru_cache(maxsize=64)
def blocks_over(labels: Labels) -> tuple[Block, ...]:
    """The blocks of an equality pattern of 2 or more labels; together they have every form."""
    blocks: list[Block] = []
    for head, rest in splits(labels):
        shape, forms = shape_over(pattern(head)[0]), len(shape_over(pattern(rest)[0]).is_sum)
        for kind, ways in _WAYS.items():
            heads = np.flatnonzero(~(shape.is_sum if kind == "sum" else shape.is_product))
            blocks.append(Block(kind, head, rest, heads, (ways, len(heads), forms)))
    return tuple(blocks)


def find_in_blocks(labels: Labels, place: int) -> tuple[Block, int, int, int]:
    """Block, way, head and rest of a form that is at ``place`` in ``shape_over(labels)``."""
    blocks = blocks_over(labels)
    ends = np.cumsum([prod(block.size) for block in blocks])
    number = int(np.searchsorted(ends, place, side="right"))
    block = blocks[number]
    way, head, rest = np.unravel_index(place - ends[number] + prod(block.size), block.size)
    return block, int(way), int(block.heads[head]), int(rest)


@lru_cache(maxsize=64)
def shape_over(labels: Labels) -> Shape:
    """The shape of all forms over an equality pattern: those of ``forms.py`` in order, or those of the blocks."""
    if len(labels) > LISTED_NUMBERS:
        made = [_shape_of(block) for block in blocks_over(labels)]
        return Shape(*(np.concatenate([part.ravel() for part in parts]) for parts in zip(*made, strict=True)))
    forms = program_over(labels).forms
    listed = [forms.forms[root] for root in forms.roots]
    return Shape(
        is_sum=np.array([form.kind == "sum" for form in listed]),
        is_product=np.array([form.kind == "product" for form in listed]),
        undivided=np.array([form.kind != "product" or all(above for _, above in form.parts) for form in listed]),
        again=np.zeros(len(listed), np.bool_),
        negatable=np.array([form.negatable for form in listed]),
        divides=np.array([form.divides for form in listed]),
        operators=np.array([form.operators for form in listed], np.int8),
        parentheses=np.array([form.parentheses for form in listed], np.int8),
    )


def _shape_of(block: Block) -> Shape:
    head, rest = (shape_over(pattern(side)[0]) for side in (block.head, block.rest))
    columns = Shape(*(column[block.heads, None] for column in head))
    return join_shapes(block.kind, np.arange(block.size[0])[:, None, None], columns, rest)
