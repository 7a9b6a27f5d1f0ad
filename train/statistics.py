"""Intervals for solve rates: a figure without one says little."""

from __future__ import annotations

import math
from collections.abc import Sequence

Z_95 = 1.959963984540054


def wilson_interval(successes: float, n: float) -> tuple[float, float]:
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


def mean_interval(rates: Sequence[float], samples: int = 1) -> tuple[float, float]:
    """95% interval of the mean of per-puzzle ``rates``, each in [0, 1] and measured with ``samples`` completions.

    Completions of one puzzle resemble each other, so counting them all would promise too much. Wilson's interval
    is taken with the effective number of observations instead, the one whose binomial variance equals the observed
    variance of the mean (Franco et al., "Comparative study of confidence intervals for proportions in complex
    sample surveys", 2019): between the number of puzzles and that of completions. With one completion each it is
    Wilson's interval exactly.
    """
    n = len(rates)
    if n == 0:
        return wilson_interval(0, 0)
    mean = sum(rates) / n
    binomial, observed = mean * (1 - mean), sum((rate - mean) ** 2 for rate in rates) / n
    most = n if binomial <= 0 else n * samples  # all or none solved says nothing of how alike completions are
    effective = min(most, n * binomial / observed) if observed and binomial > 0 else most
    return wilson_interval(mean * effective, effective)


def pass_at_k(samples: int, solved: int, k: int) -> float:
    """Unbiased estimate of the chance that one of ``k`` completions solves a puzzle, of ``samples`` ones seen.

    1 - C(samples - solved, k) / C(samples, k), computed as a product of factors below 1, which never overflows:
    Chen et al., "Evaluating Large Language Models Trained on Code" (arXiv 2107.03374, 2021), section 2.1.

    >>> round(pass_at_k(samples=4, solved=1, k=2), 3)
    0.5
    """
    if not 0 <= solved <= samples or not 1 <= k <= samples:
        raise ValueError(f"pass@{k} cannot be told from {solved} of {samples} completions")
    return 1.0 - math.prod(max(0.0, 1.0 - k / i) for i in range(samples - solved + 1, samples + 1))


def paired_difference(before: Sequence[float], after: Sequence[float]) -> tuple[float, float, float]:
    """Mean of ``after - before`` over the same puzzles with its 95% interval (difference, low, high).

    The values are per-puzzle scores or, with several completions each, per-puzzle means, so the unit of the
    comparison is the puzzle, as Miller recommends ("Adding Error Bars to Evals", arXiv 2411.00640, 2024). The
    interval is the normal one after two made-up puzzles were added, half a puzzle for each combination of solved
    and not (Agresti and Min, "Simple improved confidence intervals for comparing matched proportions", 2005):
    the plain one has no width at all when no puzzle went another way, however few they are.
    """
    differences = [b - a for a, b in zip(before, after, strict=True)]
    n = len(differences)
    centre = sum(differences) / (n + 2)
    variance = (sum(difference**2 for difference in differences) + 1) / (n + 2) - centre**2
    half = Z_95 * math.sqrt(variance / (n + 2))
    return sum(differences) / n, max(-1.0, centre - half), min(1.0, centre + half)
