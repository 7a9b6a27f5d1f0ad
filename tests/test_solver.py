"""The solver against an independent brute force: every way to combine the numbers, on Fractions, written anew."""

import random
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pytest

from countdown_r1.errors import InputError
from countdown_r1.game.batch import solve_rows
from countdown_r1.game.forms import forms_over
from countdown_r1.game.labels import label, label_all
from countdown_r1.game.puzzle import Puzzle, check
from countdown_r1.game.search import easiest
from countdown_r1.game.solver import count_solutions, easiest_solution, level

Shape = tuple[Any, ...]


class Way(NamedTuple):
    """One way to combine numbers: sign and normal form, exact value, level so far, * and / used."""

    sign: int
    shape: Shape
    value: Fraction
    level: int
    operators: int


def every_way(nums: Sequence[int]) -> set[Way]:
    """All binary trees over ``nums``, with what only looks different made equal."""
    if len(nums) == 1:
        return {Way(1, ("number", nums[0]), Fraction(nums[0]), 0, 0)}
    found: set[Way] = set()
    for left, right in every_split(nums):
        for a in every_way(left):
            for b in every_way(right):
                found |= set(joined(a, b))
    return found


def every_split(nums: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    places = range(len(nums))
    for size in range(1, len(nums)):
        for chosen in combinations(places, size):
            yield [nums[i] for i in chosen], [nums[i] for i in places if i not in chosen]


def joined(a: Way, b: Way) -> Iterator[Way]:
    easy, operators = max(a.level, b.level), a.operators + b.operators
    for value, right in ((a.value + b.value, b.sign), (a.value - b.value, -b.sign)):
        yield made(("sum", terms(a.sign, a.shape) + terms(right, b.shape)), value, easy, operators)
    product = ("product", factors(a.shape, False) + factors(b.shape, False))
    yield made(product, a.value * b.value, max(easy, 1), operators + 1, a.sign * b.sign)
    if b.value:
        quotient = ("product", factors(a.shape, False) + factors(b.shape, True))
        value = a.value / b.value
        easy = 3 if value.denominator > 1 else max(easy, 2)
        yield made(quotient, value, easy, operators + 1, a.sign * b.sign)


def terms(sign: int, shape: Shape) -> tuple[tuple[Shape, int], ...]:
    if shape[0] == "sum":
        return tuple((part, 1 if reads_the_same_negated(part) else sign * its) for part, its in shape[1])
    return ((shape, 1 if reads_the_same_negated(shape) else sign),)


def factors(shape: Shape, below: bool) -> tuple[tuple[Shape, bool], ...]:
    if shape[0] == "product":
        return tuple((part, its != below) for part, its in shape[1])
    return ((shape, below),)


def made(shape: Shape, value: Fraction, easy: int, operators: int, sign: int = 1) -> Way:
    """The way in normal form: parts sorted, a sum's first part positive, its sign outside."""
    kind, parts = shape[0], tuple(sorted(shape[1], key=repr))
    if kind == "sum":
        negated = negative(parts)
        if repr(negated) < repr(parts):
            parts, sign = negated, -sign
    shape = (kind, parts)
    return Way(1 if reads_the_same_negated(shape) else sign, shape, value, easy, operators)


def negative(parts: Sequence[tuple[Shape, int]]) -> tuple[tuple[Shape, int], ...]:
    flipped = ((part, 1 if reads_the_same_negated(part) else -sign) for part, sign in parts)
    return tuple(sorted(flipped, key=repr))


def reads_the_same_negated(shape: Shape) -> bool:
    """Like 5 - 5, and products with such a factor."""
    if shape[0] == "number":
        return False
    if shape[0] == "sum":
        return negative(shape[1]) == shape[1]
    return any(reads_the_same_negated(part) for part, _ in shape[1])


class Truth(NamedTuple):
    solutions: int
    level: int | None
    operators: int | None


def truth(ways: set[Way], target: int) -> Truth:
    """What the solver must find. A form and its negative count once, which only a target of 0 shows."""
    hits = [way for way in ways if way.value == target]
    costs = [(way.level, way.operators) for way in hits]
    shapes = {way.shape for way in hits}
    return Truth(len(shapes), *(min(costs) if costs else (None, None)))


def operators_in(expression: str) -> int:
    return expression.count("*") + expression.count("/")


def assert_right(puzzle: Puzzle, expected: Truth) -> None:
    text = easiest_solution(puzzle)
    assert count_solutions(puzzle) == expected.solutions, puzzle
    assert level(puzzle) == expected.level, puzzle
    assert (text is None) == (expected.solutions == 0), puzzle
    if text is not None:
        assert check(puzzle, text).solved, (puzzle, text)
        assert operators_in(text) == expected.operators, (puzzle, text)


def some_puzzles(count: int, sets: int, targets: int, seed: int) -> Iterator[tuple[Puzzle, Truth]]:
    """Random numbers, mostly small so that many repeat, each with targets within reach and others."""
    rng = random.Random(seed)
    for _ in range(sets):
        nums = [rng.randint(1, rng.choice((4, 9, 99))) for _ in range(count)]
        ways = every_way(nums)
        whole = sorted({int(way.value) for way in ways if way.value.denominator == 1 and abs(way.value) <= 10**6})
        for target in [*rng.choices(whole, k=targets - 1), rng.randint(-100, 100)]:
            yield Puzzle(tuple(nums), target), truth(ways, target)


@pytest.mark.parametrize(("count", "sets", "targets"), [(1, 10, 3), (2, 60, 4), (3, 60, 6), (4, 6, 25)])
def test_count_level_and_easiest_agree_with_brute_force(count: int, sets: int, targets: int) -> None:
    for puzzle, expected in some_puzzles(count, sets, targets, seed=count):
        assert_right(puzzle, expected)


def test_five_numbers_with_a_repeat_agree_with_brute_force() -> None:
    ways = every_way((2, 2, 3, 3, 7))
    for target in (0, 1, 5, 24, 97, -5, 1000):
        assert_right(Puzzle((2, 3, 7, 3, 2), target), truth(ways, target))


@pytest.mark.parametrize(("count", "classes", "expressions"), [(1, 1, 1), (2, 5, 6), (3, 47, 68), (4, 733, 1170)])
def test_there_are_as_many_forms_as_oeis_a140606_says(count: int, classes: int, expressions: int) -> None:
    forms = forms_over(tuple(range(count)))
    negatives = sum(forms.forms[index].negatable for index in forms.roots)
    assert (len(forms.roots), len(forms.roots) + negatives) == (classes, expressions)


def test_five_numbers_have_27142_expressions() -> None:
    forms = forms_over((0, 1, 2, 3, 4))
    assert len(forms.roots) + sum(forms.forms[index].negatable for index in forms.roots) == 27142


@pytest.mark.parametrize(
    ("nums", "target", "count"),
    [
        ((2, 2, 3), 12, 2),  # 2 * 2 * 3 and (2 + 2) * 3
        ((1, 6), 6, 2),  # 6 * 1 and 6 / 1
        ((5, 5), 0, 1),
        ((5, 5), 1, 1),
        ((5, 5, 3), 3, 2),  # 3 + 5 - 5 and 3 * 5 / 5
        ((5, 5, 3), 0, 2),  # 3 * (5 - 5) and (5 - 5) / 3
        ((3, 5), -8, 0),  # no sign in front
        ((3, 5), -2, 1),
    ],
)
def test_what_counts_as_different(nums: tuple[int, ...], target: int, count: int) -> None:
    assert count_solutions(Puzzle(nums, target)) == truth(every_way(nums), target).solutions == count


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_batch_labels_as_the_single_solver_does(count: int) -> None:
    rng = random.Random(count)
    nums = [tuple(rng.randint(1, rng.choice((5, 12, 99))) for _ in range(count)) for _ in range(250)]
    puzzles = [Puzzle(row, rng.randint(0, 60)) for row in nums]
    puzzles += [Puzzle((10_000,) * count, 10**9), Puzzle((10_000,) * count, 10_000), Puzzle((7,) * count, -7)]
    assert label_all(puzzles) == [label(puzzle) for puzzle in puzzles]


def test_a_table_holds_every_target_in_range_and_nothing_else() -> None:
    rng = np.random.default_rng(5)
    sets = rng.integers(1, 30, (40, 3))
    cells = solve_rows(sets, 10, 100)
    found = {(row, target): n for row, target, n in zip(cells.row, cells.target, cells.n_solutions, strict=True)}
    for row, nums in enumerate(sets.tolist()):
        ways = every_way(nums)
        expected = {target: truth(ways, target).solutions for target in range(10, 101)}
        assert {target: found.get((row, target), 0) for target in expected} == expected


def test_the_whole_three_number_universe_has_558101_solvable_cells() -> None:
    low, middle, high = (axis.ravel() for axis in np.meshgrid(*[np.arange(1, 100)] * 3, indexing="ij"))
    sets = np.stack([low, middle, high], axis=1)[(low <= middle) & (middle <= high)]
    cells = solve_rows(sets, 10, 100)
    assert (len(sets), len(cells.row)) == (166_650, 558_101)
    assert not (cells.level == 3).any()


def test_numbers_too_large_for_64_bits_are_refused_by_the_batch_and_solved_alone() -> None:
    with pytest.raises(InputError, match="too large"):
        solve_rows(np.full((1, 5), 10_000), 10, 100)
    assert easiest_solution(Puzzle((10_000,) * 5, 10_000)) is not None
    assert count_solutions(Puzzle((9_999, 9_998, 9_997, 9_996, 9_995), 9_999 * 9_998 * 9)) == 0


def test_the_easiest_solution_does_not_depend_on_the_order_of_the_numbers() -> None:
    rng = random.Random(8)
    for count in (3, 4, 5, 6):
        nums = [rng.randint(1, 30) for _ in range(count)]
        texts = {easiest_solution(Puzzle(tuple(rng.sample(nums, count)), 24)) for _ in range(4)}
        assert len(texts) == 1


def test_search_and_forms_find_equally_easy_solutions() -> None:
    for puzzle, expected in some_puzzles(4, 3, 25, seed=9):
        found = easiest(puzzle.nums, puzzle.target)
        assert (found and found[0]) == expected.level
        assert found is None or operators_in(found[1]) == expected.operators


@pytest.mark.parametrize(
    ("nums", "target", "expected"),
    [
        ((25, 50, 75, 100, 3, 6), 952, 2),
        ((1, 1, 1, 1, 1, 1), 1000, None),
        ((3, 3, 8, 8), 24, 3),
        ((1, 5, 5, 5), 24, 3),
        ((6, 1, 3, 4), 24, 3),
        ((4, 4, 10, 10), 24, 2),
        ((1, 2, 3, 4), 24, 1),
    ],
)
def test_known_puzzles_have_the_level_people_know(nums: tuple[int, ...], target: int, expected: int | None) -> None:
    assert level(Puzzle(nums, target)) == expected


def test_six_numbers_are_answered_in_the_blink_of_an_eye() -> None:
    rng = random.Random(4)
    puzzles = [Puzzle(tuple(rng.randint(1, 99) for _ in range(6)), rng.randint(10, 5000)) for _ in range(15)]
    began = time.process_time()
    for puzzle in puzzles:
        text = easiest_solution(puzzle)
        assert text is None or check(puzzle, text).solved
    assert (time.process_time() - began) / len(puzzles) < 0.2


def test_six_numbers_can_be_counted() -> None:
    ones = {1: {Way(1, ("number", 1), Fraction(1), 0, 0)}}
    for size in range(2, 7):
        sides = [(a, b) for left in range(1, size) for a in ones[left] for b in ones[size - left]]
        ones[size] = {way for a, b in sides for way in joined(a, b)}
    for target in (6, 4, 1, 0, -2, 1000):
        assert count_solutions(Puzzle((1,) * 6, target)) == truth(ones[6], target).solutions
