"""Exact answers about one puzzle of 1 to 6 numbers: the easiest solution, its level, how many there are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .batch import MAX_BATCH_NUMBERS, exact_dtype
from .forms import pattern
from .program import Places, program_over
from .puzzle import Puzzle
from .search import Search
from .writing import writer_over


class Label(NamedTuple):
    """What the solver knows about a solvable puzzle."""

    n_solutions: int
    level: int
    easiest_solution: str


def easiest_solution(puzzle: Puzzle) -> str | None:
    """An expression that solves the puzzle, None when there is none.

    Easiest: the lowest level, then the fewest ``*`` and ``/``, then the fewest parentheses, then the order of the
    forms. It is the same for every order of the numbers. No intermediate value is below 0, but for targets below 0.

    >>> easiest_solution(Puzzle((19, 36, 55, 7), 65))
    '55 + 36 - 19 - 7'
    """
    found = easiest(puzzle)
    return found[1] if found else None


def level(puzzle: Puzzle) -> int | None:
    """Level of the easiest solution, None when there is none.

    0: + and - suffice; 1: needs ``*``; 2: needs ``/``, every intermediate value whole; 3: needs a fraction.

    >>> level(Puzzle((3, 3, 8, 8), 24))
    3
    """
    found = easiest(puzzle)
    return found[0] if found else None


def easiest(puzzle: Puzzle) -> tuple[int, str] | None:
    """``level`` and ``easiest_solution`` at once."""
    return _solutions(puzzle).easiest()


def count_solutions(puzzle: Puzzle) -> int:
    """How many really different expressions solve the puzzle.

    Different means different canonical forms: sums and products of any number of parts, whatever the order of
    the parts, the brackets, and which of two factors carries a minus. Where numbers repeat, expressions that
    read the same count once; what is equal only in value counts apart (``6 * 1`` and ``6 / 1``). Six numbers take
    about 10 ms, and up to 0.3 s where small ones repeat.

    >>> count_solutions(Puzzle((2, 2, 3), 12)), count_solutions(Puzzle((1, 6), 6))
    (2, 2)
    """
    return _solutions(puzzle).count()


def label(puzzle: Puzzle) -> Label | None:
    """Count, level and easiest solution at once, None when there is none."""
    solutions = _solutions(puzzle)
    found = solutions.easiest()
    return Label(solutions.count(), *found) if found else None


class _Listed:
    """The solutions of a puzzle of up to 5 numbers: every form is tried, so that ties fall as in ``batch.py``."""

    def __init__(self, puzzle: Puzzle) -> None:
        labels, self.numbers = pattern(puzzle.nums)
        self.target = puzzle.target
        self.program = program_over(labels)
        self.ranks = self._ranks(exact_dtype(len(labels), self.numbers[-1], abs(self.target)) is not None)

    def count(self) -> int:
        return len(self.ranks)

    def easiest(self) -> tuple[int, str] | None:
        """Level and text."""
        if not len(self.ranks):
            return None
        levels, forms = self.program.level[self.ranks], self.program.forms
        rank, its_level = int(self.ranks[levels.argmin()]), int(levels.min())
        if its_level == 2:  # or 3, which depends on the numbers
            roots = ((rank, forms.level(forms.roots[rank], self.numbers)) for rank in self.ranks.tolist())
            rank, its_level = next((found for found in roots if found[1] == 2), (rank, 3))
        writer = writer_over(forms.labels)
        return its_level, writer.text(forms.roots[rank], self.numbers, negative=self.target < 0)

    def _ranks(self, fits: bool) -> Places:
        """Forms that make the target, as places among the roots; easiest first but for levels 2 and 3."""
        size, program = abs(self.target), self.program
        nodes = program.evaluate(np.array(self.numbers))
        below = nodes[program.denominator]  # has at most 4 numbers, so it cannot overflow
        ranks = np.flatnonzero((np.abs(nodes[program.numerator]) == np.abs(below * size)) & (below != 0))
        if self.target < 0:
            ranks = ranks[program.negatable[ranks]]
        # Where 64 bits overflow, what is equal still looks equal, but so may other things.
        return ranks if fits else ranks[np.array([self._makes(rank, size) for rank in ranks.tolist()], np.bool_)]

    def _makes(self, rank: int, size: int) -> bool:
        forms = self.program.forms
        numerator, denominator = forms.value(forms.roots[rank], self.numbers)
        return abs(numerator) == size * abs(denominator)


def _solutions(puzzle: Puzzle) -> _Listed | Search:
    return _Listed(puzzle) if len(puzzle.nums) <= MAX_BATCH_NUMBERS else Search(puzzle.nums, puzzle.target)
