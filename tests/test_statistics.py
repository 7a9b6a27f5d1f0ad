"""Intervals and estimates against known values, exact sums, and their own promise."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from countdown_r1.train.statistics import mean_interval, paired_difference, pass_at_k, wilson_interval

SCORES = st.lists(st.tuples(st.sampled_from([0, 1]), st.sampled_from([0, 1])), min_size=2, max_size=200)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_the_published_ones(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_without_observations_nothing_is_known() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(n=st.integers(1, 5_000), share=st.floats(0, 1))
def test_a_wilson_interval_holds_its_proportion_inside_0_and_1_and_is_symmetric(n: int, share: float) -> None:
    successes = round(share * n)
    low, high = wilson_interval(successes, n)
    assert 0.0 <= low <= successes / n + 1e-12
    assert successes / n - 1e-12 <= high <= 1.0
    mirrored = wilson_interval(n - successes, n)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-12)


def test_a_wilson_interval_covers_the_truth_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for successes in rng.binomial(200, 0.37, 4_000):
        low, high = wilson_interval(int(successes), 200)
        covered += low <= 0.37 <= high
    assert 0.93 < covered / 4_000 < 0.97


@given(scores=st.lists(st.sampled_from([0, 1]), min_size=1, max_size=300))
def test_with_one_completion_each_the_interval_of_a_mean_is_wilsons(scores: list[int]) -> None:
    assert mean_interval(scores) == pytest.approx(wilson_interval(sum(scores), len(scores)), abs=1e-9)


@given(rates=st.lists(st.integers(0, 8).map(lambda solved: solved / 8), min_size=1, max_size=100))
def test_the_interval_of_means_lies_between_that_of_puzzles_and_that_of_completions(rates: list[float]) -> None:
    n, mean = len(rates), sum(rates) / len(rates)
    low, high = mean_interval(rates, 8)
    widest, narrowest = wilson_interval(mean * n, n), wilson_interval(mean * n * 8, n * 8)
    assert widest[0] - 1e-9 <= low <= narrowest[0] + 1e-9
    assert narrowest[1] - 1e-9 <= high <= widest[1] + 1e-9


def test_without_puzzles_the_interval_of_a_mean_is_everything() -> None:
    assert mean_interval([], 4) == (0.0, 1.0)


def test_the_interval_of_means_covers_the_truth_where_counting_completions_does_not() -> None:
    rng = np.random.default_rng(0)
    n, samples, rounds, truth = 60, 8, 1_500, 0.4
    covered = naive = 0
    for chances in rng.beta(0.4, 0.6, (rounds, n)):  # most puzzles are easy or hopeless
        rates = rng.binomial(samples, chances) / samples
        low, high = mean_interval(rates.tolist(), samples)
        covered += low <= truth <= high
        low, high = wilson_interval(float(rates.sum() * samples), n * samples)
        naive += low <= truth <= high
    assert 0.93 < covered / rounds < 0.97
    assert naive / rounds < 0.75


@pytest.mark.parametrize(("samples", "solved", "k"), [(1, 0, 1), (1, 1, 1), (5, 2, 1), (5, 2, 3), (6, 1, 6), (7, 3, 4)])
def test_pass_at_k_is_the_share_of_all_choices_of_k_that_hold_a_solution(samples: int, solved: int, k: int) -> None:
    choices = list(combinations([1] * solved + [0] * (samples - solved), k))
    assert pass_at_k(samples, solved, k) == pytest.approx(sum(map(any, choices)) / len(choices))


@given(data=st.data(), samples=st.integers(1, 400))
def test_pass_at_k_is_the_formula_of_binomials_and_grows_with_k(data: st.DataObject, samples: int) -> None:
    solved, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    exact = 1 - comb(samples - solved, k) / comb(samples, k)
    assert pass_at_k(samples, solved, k) == pytest.approx(exact, abs=1e-9)
    assert 0.0 <= pass_at_k(samples, solved, k) <= 1.0
    assert pass_at_k(samples, solved, k) <= pass_at_k(samples, solved, samples)


def test_pass_at_k_is_unbiased() -> None:
    rng = np.random.default_rng(1)
    estimates = [pass_at_k(10, int(solved), 4) for solved in rng.binomial(10, 0.2, 20_000)]
    assert np.mean(estimates) == pytest.approx(1 - 0.8**4, abs=0.01)


def test_pass_at_1_is_the_mean_and_pass_at_all_is_whether_any_solved() -> None:
    assert pass_at_k(8, 3, 1) == pytest.approx(3 / 8)
    assert [pass_at_k(8, solved, 8) for solved in (0, 1, 8)] == [0.0, 1.0, 1.0]
    assert pass_at_k(100_000, 1, 50_000) == pytest.approx(0.5)


@pytest.mark.parametrize(("samples", "solved", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0), (0, 0, 1)])
def test_pass_at_k_of_more_than_was_seen_is_no_number(samples: int, solved: int, k: int) -> None:
    with pytest.raises(ValueError, match="cannot be told"):
        pass_at_k(samples, solved, k)


@given(pairs=SCORES)
def test_a_paired_difference_is_the_normal_one_with_two_puzzles_added(pairs: list[tuple[int, int]]) -> None:
    before, after = zip(*pairs, strict=True)
    differences = np.subtract(after, before)
    weights = np.append(np.ones(len(pairs)), [0.5, 0.5, 0.5, 0.5])  # one half for each combination of solved and not
    added = np.append(differences, [0, 0, 1, -1])
    centre = np.average(added, weights=weights)
    half = 1.959963984540054 * np.sqrt(np.average((added - centre) ** 2, weights=weights) / weights.sum())
    found = paired_difference(before, after)
    assert found[0] == pytest.approx(differences.mean())
    assert found[1:] == pytest.approx((max(-1, centre - half), min(1, centre + half)), abs=1e-12)
    assert found[1] <= found[0] <= found[2]


def test_puzzles_that_all_went_the_same_way_do_not_prove_that_the_models_are_equal() -> None:
    difference, low, high = paired_difference([0, 1] * 5, [0, 1] * 5)
    assert difference == 0.0
    assert low == pytest.approx(-high) and 0.1 < high < 0.3


@pytest.mark.parametrize(("n", "up", "down"), [(20, 0.035, 0.015), (50, 0.06, 0.04), (500, 0.15, 0.05)])
def test_a_paired_interval_covers_the_truth_at_least_94_times_in_100(n: int, up: float, down: float) -> None:
    rng = np.random.default_rng(2)
    covered, rounds = 0, 1_000
    for draws in rng.random((rounds, n)):
        gained = np.where(draws < up, 1, np.where(draws < up + down, -1, 0))
        _, low, high = paired_difference([0.0] * n, gained.tolist())
        covered += low <= up - down <= high
    assert covered / rounds > 0.94


def test_means_of_several_completions_are_compared_puzzle_by_puzzle() -> None:
    before, after = [0.25, 0.5, 0.0, 1.0], [0.5, 0.5, 0.25, 1.0]
    difference, low, high = paired_difference(before, after)
    assert difference == pytest.approx(0.125)
    assert low < difference < high


def test_pairing_is_tighter_than_two_separate_intervals() -> None:
    before = [0, 1] * 100
    after = [min(1, score + (place % 10 == 0)) for place, score in enumerate(before)]
    difference, low, high = paired_difference(before, after)
    separate = np.hypot(*(np.diff(wilson_interval(sum(scores), 200))[0] / 2 for scores in (before, after)))
    assert difference == pytest.approx(0.1)
    assert (high - low) / 2 < separate / 2


def test_swapping_the_models_turns_the_sign() -> None:
    before, after = [0, 0, 1, 1, 0], [1, 0, 1, 1, 1]
    difference, low, high = paired_difference(before, after)
    assert paired_difference(after, before) == pytest.approx((-difference, -high, -low))


def test_models_asked_different_puzzles_are_not_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([0, 1, 1], [1, 1])
