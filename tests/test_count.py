"""Counts of many targets at once, against one puzzle at a time, the batch solver and lists of all forms."""

from __future__ import annotations

import random
import time
import tracemalloc
from fractions import Fraction
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countdown_r1.errors import InputError
from countdown_r1.game.batch import solve_rows
from countdown_r1.game.count import Names, count_targets, roots, solvable_targets
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.game.solver import count_solutions

Series = list[Fraction]
SIZES = 7
FORMS_WITH_REPEATS = {
    (2,): 4,
    (3,): 15,
    (2, 1): 30,
    (4,): 69,
    (3, 1): 179,
    (2, 2): 250,
    (2, 1, 1): 420,
    (5,): 335,
    (4, 1): 1_141,
    (3, 2): 1_960,
    (3, 1, 1): 3_477,
    (2, 2, 1): 4_856,
    (2, 1, 1, 1): 8_748,
    (6,): 1_786,
    (5, 1): 7_383,
    (4, 2): 15_392,
    (4, 1, 1): 28_005,
    (3, 3): 19_258,
    (3, 2, 1): 49_578,
    (3, 1, 1, 1): 91_323,
    (2, 2, 2): 69_934,
    (2, 2, 1, 1): 128_890,
    (2, 1, 1, 1, 1): 238_776,
}
"""How many forms there are over numbers that repeat this often, from lists of all forms as nested tuples."""
SIX = {
    (3, 17, 29, 50, 75, 91): {-24: 31, -1: 9, 0: 0, 1: 9, 2: 27, 24: 31, 100: 9, 952: 0, 10000: 3},
    (1, 2, 3, 4, 5, 6): {-24: 1545, -1: 7762, 0: 3881, 1: 8116, 2: 6138, 24: 1778, 100: 295, 952: 0},
    (25, 25, 50, 7, 7, 3): {-24: 61, -1: 234, 0: 1613, 1: 254, 2: 181, 24: 66, 100: 124, 952: 1, 10000: 6},
    (8, 8, 8, 3, 3, 1): {-24: 283, -1: 670, 0: 1477, 1: 703, 2: 368, 24: 323, 100: 8, 952: 2, 10000: 0},
    (1, 1, 1, 1, 1, 1): {-24: 0, -1: 376, 0: 305, 1: 411, 2: 246, 24: 0},
    (10000,) * 6: {-24: 0, -1: 53, 0: 155, 1: 61, 2: 18, 24: 0, 10000: 65},
    (10000, 9999, 9998, 9997, 9996, 9995): {-24: 2, -1: 966, 0: 247, 1: 998, 2: 324, 24: 2, 10000: 146},
}
"""Counts out of lists of all forms with their values as Python's integers."""

small = st.integers(1, 12) | st.integers(1, 100)
any_number = small | st.integers(1, 10_000) | st.sampled_from((1, 2, 10_000))


def names(often: tuple[int, ...], subtracts: bool = True) -> int:
    """How many different names the forms get over numbers that repeat this often."""
    label = np.repeat(np.arange(len(often), dtype=np.int64), often)[:, None]
    algebra = Names()
    found = roots(algebra, np.stack([label, np.ones_like(label)]), subtracts)
    return len(np.unique(np.concatenate([algebra.form(run).ravel() for run in found])))


def times(a: Series, b: Series) -> Series:
    return [sum((a[i] * b[n - i] for i in range(n + 1)), Fraction(0)) for n in range(SIZES)]


def exp(a: Series) -> Series:
    """e^a of a power series without a constant."""
    term = total = [Fraction(n == 0) for n in range(SIZES)]
    for k in range(1, SIZES):
        term = [x / k for x in times(term, a)]
        total = [x + y for x, y in zip(total, term, strict=True)]
    return total


def expected_forms(signs: int) -> list[int]:
    """Forms over 1 to 6 distinct numbers, from the equations of their exponential generating functions.

    With ``signs`` 2, S = (e^2N - 1 - 2N) / 2 for sums of N = x + P; with 1, without subtraction, S = e^N - 1 - N.
    P = e^M (e^M - 1) - M for products of M = x + S.
    """
    zero, x = [Fraction(0)] * SIZES, [Fraction(n == 1) for n in range(SIZES)]
    sums, products = zero, zero
    for _ in range(SIZES):
        part = [signs * (a + b) for a, b in zip(x, products, strict=True)]
        factor = [a + b for a, b in zip(x, sums, strict=True)]
        run = exp(factor)
        sums = [(a - b - (n == 0)) / signs for n, (a, b) in enumerate(zip(exp(part), part, strict=True))]
        products = [a - b - c for a, b, c in zip(times(run, run), run, factor, strict=True)]
    return [int(factorial(n) * (x[n] + sums[n] + products[n])) for n in range(1, SIZES)]


@settings(deadline=None, max_examples=60)
@given(st.lists(small, min_size=1, max_size=5), st.integers(-30, 110), st.integers(0, 12))
def test_every_target_counts_as_it_does_alone(nums: list[int], low: int, width: int) -> None:
    expected = [count_solutions(Puzzle(tuple(nums), target)) for target in range(low, low + width + 1)]
    assert count_targets(nums, low, low + width).tolist() == expected
    assert solvable_targets(nums, low, low + width).tolist() == [count > 0 for count in expected]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(any_number, min_size=1, max_size=5),
    st.sampled_from((0, 1, 7, 9_999, 10_000, 10**8, 10**9)),
    st.integers(-1, 1),
)
def test_large_numbers_and_targets_count_as_they_do_alone(nums: list[int], size: int, sign: int) -> None:
    target = size * sign
    assert count_targets(nums, target, target).tolist() == [count_solutions(Puzzle(tuple(nums), target))]


@settings(deadline=None, max_examples=40)
@given(st.lists(small, min_size=1, max_size=5))
def test_all_targets_that_numbers_can_make_agree_with_the_batch_solver(nums: list[int]) -> None:
    cells = solve_rows(np.array([nums]), 0, 5_000)
    counts = count_targets(nums, 0, 5_000)
    assert np.flatnonzero(counts).tolist() == cells.target.tolist()
    assert counts[counts > 0].tolist() == cells.n_solutions.tolist()


@settings(deadline=None, max_examples=20)
@given(st.lists(small, min_size=1, max_size=6).flatmap(lambda nums: st.tuples(st.just(nums), st.permutations(nums))))
def test_the_order_of_the_numbers_changes_nothing(pair: tuple[list[int], list[int]]) -> None:
    assert np.array_equal(count_targets(pair[0], -20, 200), count_targets(pair[1], -20, 200))


@pytest.mark.parametrize("nums", SIX)
def test_six_numbers_agree_with_a_list_of_all_forms(nums: tuple[int, ...]) -> None:
    counts = count_targets(nums, -24, 10_000)
    assert {target: int(counts[target + 24]) for target in SIX[nums]} == SIX[nums]
    assert [int(count_targets(nums, target, target)[0]) for target in SIX[nums]] == list(SIX[nums].values())


def test_six_numbers_count_as_they_do_alone() -> None:
    for nums, target in (((3, 17, 29, 50, 75, 91), 100), ((6, 6, 9, 9, 9, 2), 31)):
        assert count_targets(nums, target, target).tolist() == [count_solutions(Puzzle(nums, target))]


def test_forms_of_distinct_numbers_are_as_many_as_their_equations_say() -> None:
    found = [names((1,) * count) for count in range(1, 7)]
    assert found == expected_forms(2) == [1, 5, 47, 733, 15_907, 443_825]


def test_expressions_are_as_many_as_in_oeis_a140606() -> None:
    """Its terms count a form and the negative that can be written apart."""
    forms = [(names((1,) * count), names((1,) * count, subtracts=False)) for count in range(1, 7)]
    assert [plain for _, plain in forms] == expected_forms(1)
    assert [2 * every - plain for every, plain in forms] == [1, 6, 68, 1_170, 27_142, 793_002]


@pytest.mark.parametrize("often", FORMS_WITH_REPEATS)
def test_no_two_forms_of_repeated_numbers_share_a_name(often: tuple[int, ...]) -> None:
    assert names(often) == FORMS_WITH_REPEATS[often]


@pytest.mark.parametrize("nums", [(65,), (1,), (10_000,)])
def test_one_number_makes_itself_once(nums: tuple[int, ...]) -> None:
    counts = count_targets(nums, -10_000, 10_000)
    assert np.flatnonzero(counts).tolist() == [nums[0] + 10_000]
    assert counts.sum() == 1


def test_a_range_without_solutions_is_all_zeros() -> None:
    assert count_targets((1, 1), 50, 60).tolist() == [0] * 11
    assert count_targets((10_000,) * 6, 10**9, 10**9).tolist() == [0]


def test_counts_on_both_sides_of_64_bits_are_the_same() -> None:
    """For such numbers Python's integers take over when the highest target is somewhere between 990 and 1,710."""
    rng = random.Random(0)
    for _ in range(5):
        nums = [rng.randint(700, 780) for _ in range(6)]
        counts = count_targets(nums, 0, 990)
        assert counts.any()
        assert np.array_equal(counts, count_targets(nums, 0, 2_000)[:991])


@pytest.mark.parametrize(
    ("nums", "low", "high", "problem"),
    [
        ((), 0, 1, "1 to 6 numbers"),
        ((1,) * 7, 0, 1, "1 to 6 numbers"),
        ((0, 1), 0, 1, "between 1 and 10,000"),
        ((10_001, 1), 0, 1, "between 1 and 10,000"),
        ((2.0, 1), 0, 1, "whole"),
        ((2, 1), 0, 10**9 + 1, "the target"),
        ((2, 1), 5, 4, "above the highest"),
    ],
)
def test_what_is_out_of_range_is_refused_in_words(nums: tuple[int, ...], low: int, high: int, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        count_targets(nums, low, high)


def test_six_numbers_take_little_time_and_memory() -> None:
    count_targets((1, 2, 3, 4, 5, 6), 10, 100)
    seconds = []
    for seed in range(10):
        nums = random.Random(seed).sample(range(1, 101), 6)
        start = time.perf_counter()
        count_targets(nums, 10, 100)
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    count_targets((2, 3, 5, 7, 11, 13), 10, 100)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sorted(seconds)[5] < 0.2
    assert peak_bytes < 50e6
