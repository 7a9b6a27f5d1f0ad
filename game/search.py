"""Six numbers, which have some 400,000 forms, too many to list: each is a part joined with the form of the others.

The values of all forms over up to 5 of the numbers fill arrays, and all that joins two of them is compared with the
target, many thousands in one call. Only what makes the target is put together as a form.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from .batch import exact_dtype
from .blocks import LISTED_NUMBERS, Block, Shape, Values, blocks_over, find_in_blocks, join, join_shapes, shape_over
from .forms import Forms, Kind, Labels, pattern
from .program import Places, program_over
from .writing import Writer


class Search:
    """The solutions of a puzzle of 2 to 6 numbers, the same for every order of ``nums``.

    Found ones are arrays of shape (3, solutions) for each block: way, and head and rest as places among all forms
    over their labels.
    """

    def __init__(self, nums: Sequence[int], target: int) -> None:
        self.labels, self.numbers = pattern(nums)
        self.target = target
        self._size = abs(target)
        self._forms = Forms(self.labels)
        self._values: dict[Labels, Values] = {}
        self._found = [(block, self._solutions(block)) for block in blocks_over(self.labels)]

    def count(self) -> int:
        """How many different forms make the target. Where numbers repeat, one may have been found more than once."""
        if len(self.numbers) == len(self.labels):
            return sum(found.shape[1] for _, found in self._found)
        return len({self._joined(block, *place)[0] for block, found in self._found for place in found.T.tolist()})

    def easiest(self) -> tuple[int, str] | None:
        """Level and text of the solution of lowest level, then with the fewest ``*`` and ``/``, then parentheses."""
        broken: int | None = None
        for form in self._by_cost():
            level = self._forms.level(form, self.numbers)
            if level < 3:
                return level, self._text(form)
            broken = form if broken is None else broken
        return None if broken is None else (3, self._text(broken))

    def _by_cost(self) -> Iterator[int]:
        """Solutions: first those that divide nothing, cheap ones before others."""
        shapes = [self._shape(block, found) for block, found in self._found]
        last_to_first = ("parentheses", "operators", "divides")
        costs = [np.concatenate([getattr(shape, cost) for shape in shapes]) for cost in last_to_first]
        places = [(block, place) for block, found in self._found for place in found.T.tolist()]
        for number in np.lexsort(costs).tolist():
            block, place = places[number]
            yield self._joined(block, *place)[0]

    def _text(self, form: int) -> str:
        return Writer(self._forms).text(form, self.numbers, negative=self.target < 0)

    def _solutions(self, block: Block) -> Places:
        heads, rests = self._over(block.head), self._over(block.rest)
        head, rest = block.heads[heads.denominator[block.heads] != 0], np.flatnonzero(rests.denominator)
        made = join(block.kind, heads.take(head), rests.take(rest))
        hit = np.flatnonzero(np.abs(made.numerator) == np.abs(made.denominator * self._size))
        if not len(hit):
            return np.zeros((3, 0), np.int64)
        way, row, column = np.unravel_index(hit, made.numerator.shape)
        found = np.stack((way, head[row], rest[column]))
        shape = self._shape(block, found)
        zero_by_zero = (block.kind == "product") & (way > 0)
        zero_by_zero &= (heads.numerator[found[1]] == 0) & (rests.numerator[found[2]] == 0)
        return self._exact(block, found[:, ~(shape.again | zero_by_zero) & (shape.negatable | (self.target >= 0))])

    def _shape(self, block: Block, found: Places) -> Shape:
        head, rest = shape_over(pattern(block.head)[0]), shape_over(pattern(block.rest)[0])
        return join_shapes(block.kind, found[0], head.take(found[1]), rest.take(found[2]))

    def _exact(self, block: Block, found: Places) -> Places:
        """``found`` without what only seems to make the target because 64 bits overflowed."""
        if exact_dtype(len(self.labels), max(self.numbers), self._size) is not None:
            return found
        values = [self._forms.value(self._joined(block, *place)[0], self.numbers) for place in found.T.tolist()]
        return found[:, np.array([d != 0 and abs(n) == self._size * abs(d) for n, d in values], np.bool_)]

    def _over(self, labels: Labels) -> Values:
        """Values of all forms over some of the labels. Numerators of five numbers may overflow, nothing else can."""
        if labels not in self._values:
            places, distinct = pattern(labels)
            if len(labels) <= LISTED_NUMBERS:
                program = program_over(places)
                nodes = program.evaluate(np.array([self.numbers[label] for label in distinct]))
                values = Values(nodes[program.numerator], nodes[program.denominator])
            else:
                blocks = [block.over(distinct) for block in blocks_over(places)]
                made = [join(its.kind, self._over(its.head).take(its.heads), self._over(its.rest)) for its in blocks]
                values = Values(*(np.concatenate([one.ravel() for one in parts]) for parts in zip(*made, strict=True)))
                values.denominator[shape_over(places).again] = 0
            values.numerator[values.denominator == 0] = 0
            self._values[labels] = values
        return self._values[labels]

    def _form(self, labels: Labels, place: int) -> tuple[int, int]:
        """The form whose value is at ``place`` in ``_over(labels)``, and the sign it has there."""
        places, distinct = pattern(labels)
        if len(labels) <= LISTED_NUMBERS:
            program = program_over(places)
            form, sign = self._copied(program.forms, program.forms.roots[place], distinct)
            return form, sign * int(program.sign[place])
        block, way, head, rest = find_in_blocks(places, place)
        return self._joined(block.over(distinct), way, head, rest)

    def _joined(self, block: Block, way: int, head: int, rest: int) -> tuple[int, int]:
        """The form of a head and a rest, and the sign that ``join`` gives its value."""
        (front, front_sign), (back, back_sign) = self._form(block.head, head), self._form(block.rest, rest)
        if block.kind == "sum":
            head_flag, rest_flag, sign = True, (way == 0) == (front_sign == back_sign), front_sign
        else:
            head_flag, rest_flag, sign = way != 1, way != 2, front_sign * back_sign
        form = self._forms.forms[back]
        others = form.parts if form.kind == block.kind else ((back, True),)
        parts = [(front, head_flag), *((child, flag == rest_flag) for child, flag in others)]
        return self._added(block.kind, parts, sign)

    def _copied(self, source: Forms, index: int, labels: Sequence[int]) -> tuple[int, int]:
        """A form of ``source`` with ``labels[i]`` for label ``i``, and -1 if it is the negative here."""
        form = source.forms[index]
        if form.kind == "number":
            return self._forms.add("number", ((labels[form.parts[0][0]], True),)), 1
        copies = [(*self._copied(source, child, labels), flag) for child, flag in form.parts]
        if form.kind == "sum":
            return self._added("sum", [(child, flag == (sign > 0)) for child, sign, flag in copies], 1)
        return self._added("product", [(child, flag) for child, _, flag in copies], prod(sign for _, sign, _ in copies))

    def _added(self, kind: Kind, parts: Sequence[tuple[int, bool]], sign: int) -> tuple[int, int]:
        if kind == "product":
            return self._forms.add(kind, tuple(sorted(parts))), sign
        signed = tuple(sorted((child, flag or self._forms.forms[child].symmetric) for child, flag in parts))
        upright = self._forms.upright(signed)
        return self._forms.add(kind, upright), sign if upright == signed else -sign
