"""Intervals against known values, numpy, and their own promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from countdown_r1.train.statistics import paired_difference, wilson_interval

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


@given(pairs=SCORES)
def test_a_paired_difference_is_that_of_numpy(pairs: list[tuple[int, int]]) -> None:
    before, after = zip(*pairs, strict=True)
    differences = np.subtract(after, before)
    half = 1.959963984540054 * differences.std(ddof=1) / np.sqrt(len(pairs))
    expected = (differences.mean(), differences.mean() - half, differences.mean() + half)
    assert paired_difference(before, after) == pytest.approx(expected, abs=1e-12)


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
