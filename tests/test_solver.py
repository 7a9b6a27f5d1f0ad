"""The solver against an independent brute force: every way to combine the numbers, on Fractions, written anew."""

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, permutations
from operator import add, mul, sub, truediv
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countdown_r1.errors import InputError
from countdown_r1.game import batch
from countdown_r1.game.batch import easiest_texts, exact_dtype, solve_rows
from countdown_r1.game.blocks import shape_over
from countdown_r1.game.forms import forms_over, pattern
from countdown_r1.game.labels import label_columns
from countdown_r1.game.program import program_over
from countdown_r1.game.puzzle import Puzzle, check
from countdown_r1.game.search import Search
from countdown_r1.game.solver import Label, count_solutions, easiest_solution, label, level

Shape = tuple[Any, ...]


class Way(NamedTuple):
    """One way to combine numbers: sign and normal form, exact value, level so far, * and / used."""

    sign: int
    shape: Shape
    value: Fraction
    level: int
    operators: int


def every_way(nums: Sequence[int]) -> frozenset[Way]:
    """All binary trees over ``nums``, with what only looks different made equal."""
    return _every_way(tuple(sorted(nums)))


@lru_cache(maxsize=200)
def _every_way(nums: tuple[int, ...]) -> frozenset[Way]:
    if len(nums) == 1:
        return frozenset({Way(1, ("number", nums[0]), Fraction(nums[0]), 0, 0)})
    pairs = ((a, b) for left, right in every_split(nums) for a in _every_way(left) for b in _every_way(right))
    return frozenset(way for a, b in pairs for way in joined(a, b))


def every_split(nums: tuple[int, ...]) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    places = range(len(nums))
    chosen = [some for size in range(1, len(nums)) for some in combinations(places, size)]
    return {(tuple(nums[i] for i in some), tuple(nums[i] for i in places if i not in some)) for some in chosen}


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


def truth(ways: frozenset[Way], target: int) -> Truth:
    """What the solver must find. A form and its negative count once, which only a target of 0 shows."""
    hits = [way for way in ways if way.value == target]
    costs = [(way.level, way.operators) for way in hits]
    shapes = {way.shape for way in hits}
    return Truth(len(shapes), *(min(costs) if costs else (None, None)))


def operators_in(expression: str) -> int:
    return expression.count("*") + expression.count("/")


def assert_right(puzzle: Puzzle, found: Label | None, expected: Truth) -> None:
    if found is None:
        assert expected.solutions == 0, puzzle
        return
    assert found[:2] == expected[:2], (puzzle, found)
    assert check(puzzle, found.easiest_solution).solved, (puzzle, found)
    assert operators_in(found.easiest_solution) == expected.operators, (puzzle, found)
    if puzzle.target >= 0:
        assert min(values_in(found.easiest_solution)) >= 0, (puzzle, found)


def values_in(expression: str) -> list[Fraction]:
    """Every value on the way, worked out from left to right as a reader does."""
    tokens = expression.replace("(", "( ").replace(")", " )").split()
    seen: list[Fraction] = []

    def number() -> Fraction:
        token = tokens.pop(0)
        if token != "(":
            return Fraction(token)
        value = sum_of()
        assert tokens.pop(0) == ")"
        return value

    def chain(part: Any, first: str, then: str) -> Fraction:
        value = part()
        while tokens and tokens[0] in (first, then):
            symbol, right = tokens.pop(0), part()
            value = {"+": add, "-": sub, "*": mul, "/": truediv}[symbol](value, right)
            seen.append(value)
        return value

    def product_of() -> Fraction:
        return chain(number, "*", "/")

    def sum_of() -> Fraction:
        return chain(product_of, "+", "-")

    return [sum_of(), *seen]


def columns_of(puzzles: Sequence[Puzzle]) -> list[Label | None]:
    """What ``label_columns`` says, row by row."""
    values = np.array([number for puzzle in puzzles for number in puzzle.nums], np.int64)
    offsets = np.cumsum([0, *(len(puzzle.nums) for puzzle in puzzles)])
    found = label_columns(values, offsets, np.array([puzzle.target for puzzle in puzzles], np.int64))
    rows = zip(found.n_solutions.tolist(), found.level.tolist(), found.easiest_solution.to_pylist(), strict=True)
    assert all((n == 0) == (its_level == -1) == (text is None) for n, its_level, text in rows)
    rows = zip(found.n_solutions.tolist(), found.level.tolist(), found.easiest_solution.to_pylist(), strict=True)
    return [Label(*row) if row[0] else None for row in rows]


def whole_values(ways: frozenset[Way]) -> list[int]:
    return sorted({int(way.value) for way in ways if way.value.denominator == 1 and abs(way.value) <= 10**9})


SMALL, EVERYDAY, HUGE = st.integers(1, 4), st.integers(1, 99), st.sampled_from([9_999, 10_000, 8_192, 4_096, 9_973, 2])


def numbers(count: int) -> st.SearchStrategy[list[int]]:
    kinds = [st.lists(kind, min_size=count, max_size=count) for kind in (SMALL, EVERYDAY, SMALL | EVERYDAY, HUGE)]
    return st.one_of(kinds)


@given(st.data(), st.integers(2, 3).flatmap(numbers))
@settings(max_examples=300, deadline=None)
def test_two_and_three_numbers_agree_with_brute_force(data: st.DataObject, nums: list[int]) -> None:
    assert_agrees_with_brute_force(data, nums)


@given(st.data(), numbers(4))
@settings(max_examples=60, deadline=None)
def test_four_numbers_agree_with_brute_force(data: st.DataObject, nums: list[int]) -> None:
    assert_agrees_with_brute_force(data, nums)


@pytest.mark.parametrize("nums", [(2, 2, 3, 3, 7), (1, 1, 1, 5, 25), (4, 4, 4, 4, 4), (8_192, 8_192, 4_096, 2, 3)])
def test_five_numbers_with_repeats_agree_with_brute_force(nums: tuple[int, ...]) -> None:
    ways = every_way(nums)
    rng = random.Random(5)
    puzzles = [Puzzle(nums, target) for target in {0, 1, 2, 24, -5, *rng.choices(whole_values(ways), k=40)}]
    for puzzle, of_batch in zip(puzzles, columns_of(puzzles), strict=True):
        assert_right(puzzle, of_batch, truth(ways, puzzle.target))
        assert label(puzzle) == of_batch


def test_five_different_numbers_agree_with_brute_force() -> None:
    ways = every_way((3, 8, 25, 50, 7))
    puzzles = [Puzzle((50, 3, 7, 25, 8), target) for target in (*range(0, 130, 7), -3, 952, 100_000)]
    for puzzle, of_batch in zip(puzzles, columns_of(puzzles), strict=True):
        assert_right(puzzle, of_batch, truth(ways, puzzle.target))
        assert label(puzzle) == of_batch


def assert_agrees_with_brute_force(data: st.DataObject, nums: list[int]) -> None:
    """Alone and in columns of puzzles, in any order of the numbers."""
    ways = every_way(nums)
    within_reach = st.sampled_from(whole_values(ways))
    anywhere = st.integers(-20, 120) | st.integers(-(10**9), 10**9)
    targets = data.draw(st.lists(within_reach | anywhere, min_size=1, max_size=8))
    puzzles = [Puzzle(tuple(data.draw(st.permutations(nums))), target) for target in targets]
    for puzzle, of_batch in zip(puzzles, columns_of(puzzles), strict=True):
        assert_right(puzzle, of_batch, truth(ways, puzzle.target))
        assert label(puzzle) == of_batch
        assert count_solutions(puzzle) == (of_batch.n_solutions if of_batch else 0)
        assert (level(puzzle), easiest_solution(puzzle)) == (of_batch[1:] if of_batch else (None, None))


@given(st.lists(numbers(3), min_size=1, max_size=4), st.integers(0, 60), st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_a_range_of_targets_agrees_with_brute_force(sets: list[list[int]], low: int, span: int) -> None:
    cells = solve_rows(np.array(sets), low, low + span)
    found = dict(zip(zip(cells.row.tolist(), cells.target.tolist(), strict=True), labels_of(cells, sets), strict=True))
    for row, nums in enumerate(sets):
        ways = every_way(nums)
        for target in {int(way.value) for way in ways if way.value.denominator == 1 and low <= way.value <= low + span}:
            assert_right(Puzzle(tuple(nums), target), found.pop((row, target)), truth(ways, target))
    assert not found


def labels_of(cells: batch.Cells, sets: Sequence[Sequence[int]]) -> list[Label]:
    texts = easiest_texts(np.array(sets)[cells.row], cells.form).to_pylist()
    return [Label(*row) for row in zip(cells.n_solutions.tolist(), cells.level.tolist(), texts, strict=True)]


@given(
    st.lists(numbers(4), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 90)), min_size=40, max_size=40),
)
@settings(max_examples=40, deadline=None)
def test_ranges_and_single_targets_find_the_same_cells(sets: list[list[int]], ranges: list[tuple[int, int]]) -> None:
    nums = np.array(sets)
    low, span = np.array(ranges[: len(sets)]).T
    high = low + span
    cells = solve_rows(nums, low, high)
    rows = np.repeat(np.arange(len(sets)), high - low + 1)
    targets = np.concatenate([np.arange(a, b + 1) for a, b in zip(low, high, strict=True)])
    one_by_one = solve_rows(nums[rows], targets, targets)
    assert np.array_equal(cells.row, rows[one_by_one.row]) and np.array_equal(cells.target, targets[one_by_one.row])
    for column in ("n_solutions", "level", "form"):
        assert np.array_equal(getattr(cells, column), getattr(one_by_one, column))


@pytest.mark.parametrize(
    ("count", "classes", "expressions"), [(1, 1, 1), (2, 5, 6), (3, 47, 68), (4, 733, 1_170), (5, 15_907, 27_142)]
)
def test_there_are_as_many_forms_as_oeis_a140606_says(count: int, classes: int, expressions: int) -> None:
    forms = forms_over(tuple(range(count)))
    negatives = sum(forms.forms[index].negatable for index in forms.roots)
    assert (len(forms.roots), len(forms.roots) + negatives) == (classes, expressions)


@pytest.mark.parametrize(("count", "expressions"), [(5, 27_142), (6, 793_002)])
def test_a_part_joined_with_the_form_of_the_rest_gives_as_many(count: int, expressions: int) -> None:
    shape = shape_over(tuple(range(count)))
    assert int((~shape.again).sum() + (shape.negatable & ~shape.again).sum()) == expressions


@given(st.lists(st.integers(1, 50) | SMALL, min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_a_program_computes_what_its_forms_are_worth(nums: list[int]) -> None:
    labels, distinct = pattern(nums)
    program = program_over(labels)
    nodes = program.evaluate(np.array(distinct))
    columns = (nodes[program.numerator], nodes[program.denominator], program.sign)
    found = zip(*(column.tolist() for column in columns), strict=True)
    for root, (numerator, denominator, sign) in zip(program.forms.roots, found, strict=True):
        top, bottom = program.forms.value(root, distinct)
        assert (bottom == 0) == (denominator == 0)
        assert not bottom or Fraction(top, bottom) == sign * Fraction(numerator, denominator)


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


def test_the_whole_three_number_universe_has_558101_solvable_cells() -> None:
    low, middle, high = (axis.ravel() for axis in np.meshgrid(*[np.arange(1, 100)] * 3, indexing="ij"))
    sets = np.stack([low, middle, high], axis=1)[(low <= middle) & (middle <= high)]
    cells = solve_rows(sets, 10, 100)
    assert (len(sets), len(cells.row)) == (166_650, 558_101)
    assert not (cells.level == 3).any()
    assert (np.diff(cells.row * 101 + cells.target) > 0).all()


def test_columns_mix_every_count_of_numbers_and_every_kind_of_target() -> None:
    rng = random.Random(12)
    sets = [[rng.randint(1, rng.choice((4, 60))) for _ in range(rng.randint(1, 5))] for _ in range(400)]
    puzzles = [Puzzle(tuple(nums), rng.randint(-9, 70)) for nums in sets]
    puzzles += [Puzzle((10_000,) * count, target) for count in range(1, 6) for target in (10**9, 10_000, -(10**9), 0)]
    puzzles += [Puzzle((25, 50, 75, 100, 3, 6), 952), Puzzle((1,) * 6, 1000), Puzzle((9_999, 9_998, 3, 3, 7, 5), -1)]
    rng.shuffle(puzzles)
    assert columns_of(puzzles) == [label(puzzle) for puzzle in puzzles]


def test_columns_of_nothing_are_empty() -> None:
    assert columns_of([]) == []


@pytest.mark.parametrize(
    ("values", "offsets", "target", "message"),
    [
        ([5, 6, 0, 3], [0, 2, 4], [1, 1], "row 2: numbers are whole and between 1 and 10,000, got 0"),
        ([5, 6, 10_001], [0, 2, 3], [1, 1], "row 2: .* got 10001"),
        ([5, 6], [0, 2, 2], [1, 1], "row 2: a puzzle has 1 to 6 numbers, got 0"),
        ([5] * 9, [0, 2, 9], [1, 1], "row 2: a puzzle has 1 to 6 numbers, got 7"),
        ([5, 6], [0, 1, 2], [1, 10**9 + 1], "row 2: the target"),
    ],
)
def test_columns_name_the_row_that_is_no_puzzle(
    values: list[int], offsets: list[int], target: list[int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        label_columns(np.array(values), np.array(offsets), np.array(target))


def test_columns_may_be_a_slice_of_longer_ones() -> None:
    found = label_columns(np.array([0, 7, 3, 4, 0]), np.array([1, 2, 4]), np.array([7, 12]))
    assert found.easiest_solution.to_pylist() == ["7", "4 * 3"]


@pytest.mark.parametrize(
    ("nums", "low", "high", "message"),
    [
        ([[10_000] * 5], 10, 100, "5 numbers up to 10,000 with targets up to 100 are too large for int64"),
        ([[1, 2, 3, 4, 5, 6]], 1, 2, "takes 1 to 5 whole numbers of at least 1, got 6"),
        ([[0, 2]], 1, 2, "at least 1, got 2 of type int64 from 0 on"),
        ([[1.5, 2.0]], 1, 2, "of type float64"),
        ([[1, 2]], -1, 2, "from low to high within 0 to 1,000,000,000, got -1 to 2"),
        ([[1, 2]], 3, 2, "from low to high"),
        ([[1, 2]], 1, 10**9 + 1, "from low to high"),
    ],
)
def test_a_batch_refuses_what_it_cannot_solve_exactly(nums: list[Any], low: int, high: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        solve_rows(np.array(nums), low, high)


def test_numbers_too_large_for_a_batch_are_solved_alone() -> None:
    assert easiest_solution(Puzzle((10_000,) * 5, 10_000)) is not None
    assert count_solutions(Puzzle((9_999, 9_998, 9_997, 9_996, 9_995), 9_999 * 9_998 * 9)) == 0


def test_a_batch_is_exact_up_to_the_last_number_that_fits() -> None:
    for count, target in ((2, 10**9), (3, 10**6), (4, 100), (4, 10**6), (5, 100)):
        largest = max(n for n in range(2, 10_001) if exact_dtype(count, n, target))
        narrow = max(n for n in range(2, 10_001) if exact_dtype(count, n, target) is exact_dtype(count, 2, target))
        for top in (largest, narrow, min(narrow + 1, largest)):
            nums = np.array([[top, top - 1, top, 1, 2][:count]])
            found = [solve_rows(nums, goal, goal) for goal in range(target - 3, target + 1)]
            alone = [count_solutions(Puzzle(tuple(nums[0].tolist()), goal)) for goal in range(target - 3, target + 1)]
            assert [int(cells.n_solutions.sum()) for cells in found] == alone


def test_every_order_of_the_numbers_gives_the_same_text() -> None:
    rng = random.Random(8)
    for count in (3, 4, 5):
        nums = [rng.randint(1, 30) for _ in range(count)]
        orders = [Puzzle(order, 24) for order in permutations(nums)]
        assert len({found and found.easiest_solution for found in columns_of(orders)}) == 1
    texts = {easiest_solution(Puzzle(tuple(rng.sample([7, 9, 9, 40, 2, 5], 6)), 321)) for _ in range(6)}
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("nums", "target", "text"),
    [
        ((19, 36, 55, 7), 65, "55 + 36 - 19 - 7"),
        ((1, 2, 3), 1, "3 * 1 - 2"),
        ((3, 5), -2, "3 - 5"),
        ((3, 3, 8, 8), 24, "8 / (3 - 8 / 3)"),
        ((2, 3, 50), 250, "50 * (3 + 2)"),
        ((2, 9, 50), 68, "9 * 2 + 50"),
        ((10, 20, 30), -300, "30 * (10 - 20)"),
    ],
)
def test_expressions_read_as_people_write_them(nums: tuple[int, ...], target: int, text: str) -> None:
    assert easiest_solution(Puzzle(nums, target)) == text


def test_in_sums_of_numbers_the_big_ones_come_first() -> None:
    rng = np.random.default_rng(3)
    nums = rng.integers(1, 99, (4_000, 4))
    cells = solve_rows(nums, 10, 100)
    easy = cells.take(cells.level == 0)
    for text in set(easiest_texts(nums[easy.row], easy.form).to_pylist()):
        added, *taken = text.split(" - ")
        both = [[int(number) for number in added.split(" + ")], [int(number) for number in taken]]
        assert all(side == sorted(side, reverse=True) for side in both)


@given(st.data(), st.integers(2, 5).flatmap(numbers))
@settings(max_examples=60, deadline=None)
def test_the_search_for_six_numbers_finds_the_same_with_fewer(data: st.DataObject, nums: list[int]) -> None:
    reached = nums[0]
    for number in nums[1:]:
        reached = data.draw(st.sampled_from([reached + number, reached - number, number - reached]))
    puzzle = Puzzle(tuple(nums), data.draw(st.just(reached) | st.integers(-20, 120)))
    found, search = label(puzzle), Search(puzzle.nums, puzzle.target)
    assert search.count() == (found.n_solutions if found else 0)
    easiest = search.easiest()
    assert (easiest is None) == (found is None)
    if found and easiest:
        assert easiest[0] == found.level and check(puzzle, easiest[1]).solved
        assert operators_in(easiest[1]) == operators_in(found.easiest_solution)


@pytest.mark.parametrize("nums", [(1,) * 6, (1, 1, 1, 1, 1, 2), (3, 3, 3, 3, 3, 10_000)])
def test_six_numbers_agree_with_brute_force(nums: tuple[int, ...]) -> None:
    ways = every_way(nums)
    rng = random.Random(6)
    for target in {6, 4, 1, 0, -2, 1000, *rng.choices(whole_values(ways), k=12)}:
        assert_right(Puzzle(nums, target), label(Puzzle(nums, target)), truth(ways, target))


def test_six_different_numbers_have_solutions_for_each_of_five() -> None:
    """Every solution with five numbers gives one by adding a sixth and raising the target."""
    for five, sixth in (((3, 8, 25, 50, 7), 60), ((9_999, 10_000, 8_192, 9_973, 2), 5_000)):
        for target in (952, 24, 9_999 - 10_000 + 8_192 + 9_973 - 2):
            fewer = count_solutions(Puzzle(five, target))
            puzzle = Puzzle((*five, sixth), target + sixth)
            assert count_solutions(puzzle) >= fewer
            text = easiest_solution(puzzle)
            assert (text is None) <= (fewer == 0)
            assert text is None or check(puzzle, text).solved


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


def test_six_numbers_get_expressions_that_hold() -> None:
    rng = random.Random(4)
    puzzles = [Puzzle(tuple(rng.randint(1, 100) for _ in range(6)), rng.randint(100, 999)) for _ in range(40)]
    texts = [easiest_solution(puzzle) for puzzle in puzzles]
    assert sum(text is not None for text in texts) > 30
    assert all(text is None or check(puzzle, text).solved for puzzle, text in zip(puzzles, texts, strict=True))
