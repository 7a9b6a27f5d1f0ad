"""Intervals for solve rates: a figure without one says little."""

from __future__ import annotations

import math
from collections.abc import Sequence

Z_95 = 1.959963984540054


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95% score interval of a proportion (Wilson, 1927); (0, 1) when ``n`` is 0.

    >>> [round(bound, 3) for bound in wilson_interval(50, 100)]
    [0.404, 0.596]
    """
    if n == 0:
        return 0.0, 1.0
    p, spread = successes / n, Z_95 * Z_95 / n
    centre = (p + spread / 2) / (1 + spread)
    half = Z_95 / (1 + spread) * math.sqrt(p * (1 - p) / n + spread / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_difference(before: Sequence[float], after: Sequence[float]) -> tuple[float, float, float]:
    """Mean of ``after - before`` on the same puzzles with its 95% interval (difference, low, high).

    The standard error is that of the per-puzzle differences, as Miller, "Adding Error Bars to Evals"
    (arXiv 2411.00640, 2024) recommends for two models on one set of questions. Needs at least two puzzles.
    """
    differences = [b - a for a, b in zip(before, after, strict=True)]
    n = len(differences)
    mean = sum(differences) / n
    variance = sum((difference - mean) ** 2 for difference in differences) / (n - 1)
    half = Z_95 * math.sqrt(variance / n)
    return mean, mean - half, mean + half
