"""What evaluation records come to: rates with intervals, slices, the best model, paired differences.

Everything is counted puzzle by puzzle: with several completions for each, a puzzle's score is their mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from ..game.answer import judge
from ..game.language import mixes
from ..game.puzzle import Puzzle, Status
from .aha import summarise
from .statistics import mean_interval, paired_difference, pass_at_k, wilson_interval

Record = Mapping[str, Any]
_RULES_KEPT = (Status.SOLVED, Status.WRONG_VALUE)


def summarise_records(
    label: str, records: Sequence[Record], validation: Sequence[Record], greedy: Sequence[Record] = ()
) -> dict[str, Any]:
    """Rates with 95% intervals, slices, verdict counts and Ahas of one model.

    ``solve_rate`` is pass@1 of ``records``; the greedy completions and those of ``validation`` are counted apart.
    """
    puzzles = by_puzzle(records)
    samples = max(map(len, puzzles))
    tokens, seconds = (sum(record[key] for record in records) for key in ("n_tokens", "seconds"))
    summary = {
        "label": label,
        "n": len(puzzles),
        "samples": samples,
        **_rates(puzzles, samples),
        **_mixing(puzzles, samples),
        "mean_tokens": round(tokens / len(records), 1),
        "per_puzzle": {"tokens": round(tokens / len(puzzles), 1), "seconds": round(seconds / len(puzzles), 3)},
        "tokens_per_second": round(tokens / seconds, 1) if seconds else None,
        "by_level": _slices(puzzles, samples, lambda record: record["level"]),
        "by_language": _by_language(puzzles, samples),
        "by_numbers": _slices(puzzles, samples, lambda record: len(record["nums"])),
        "verdicts": dict(Counter(record["verdict"] for record in records).most_common()),
        "ahas": summarise(records),
    }
    if samples > 1:
        summary |= {"pass_at": _pass_at(puzzles, samples), "majority": _majority(puzzles)}
    if greedy:
        summary["greedy"] = _greedy(greedy)
    if validation:
        summary["validation"] = _validation(validation)
    return summary


def by_puzzle(records: Iterable[Record]) -> list[list[Record]]:
    """The records of each puzzle, in order."""
    groups: dict[int, list[Record]] = {}
    for record in records:
        groups.setdefault(record["test_id"], []).append(record)
    return list(groups.values())


def _means(puzzles: Iterable[Sequence[Record]], key: str) -> list[float]:
    return [sum(record[key] for record in group) / len(group) for group in puzzles]


def _rates(puzzles: Sequence[Sequence[Record]], samples: int) -> dict[str, Any]:
    solved, formed = _means(puzzles, "score"), _means(puzzles, "format")
    return {
        "solve_rate": round(sum(solved) / len(solved), 4),
        "solve_interval": _rounded(mean_interval(solved, samples)),
        "format_rate": round(sum(formed) / len(formed), 4),
        "format_interval": _rounded(mean_interval(formed, samples)),
    }


def _mixing(puzzles: Sequence[Sequence[Record]], samples: int) -> dict[str, Any]:
    """How many completions mix languages, judged here: records may be older than their own field."""
    found = [[bool(mixes(record)) for record in group] for group in puzzles]
    shares = [sum(group) / len(group) for group in found]
    return {
        "mixed_rate": round(sum(shares) / len(shares), 4),
        "mixed_interval": _rounded(mean_interval(shares, samples)),
    }


def _by_language(puzzles: Sequence[Sequence[Record]], samples: int) -> dict[str, dict[str, Any]]:
    """Solve rates by the language that was asked in, and how many completions mix it with another."""
    slices = _slices(puzzles, samples, lambda record: record["language"])
    groups = {name: [group for group in puzzles if str(group[0]["language"]) == name] for name in slices}
    return {name: part | _mixing(groups[name], samples) for name, part in slices.items()}


def _slices(
    puzzles: Sequence[Sequence[Record]], samples: int, key: Callable[[Record], object]
) -> dict[str, dict[str, Any]]:
    """Solve rates of the puzzles that have the same ``key``, by its text."""
    groups: dict[str, list[float]] = {}
    for group, rate in sorted(
        zip(puzzles, _means(puzzles, "score"), strict=True), key=lambda pair: str(key(pair[0][0]))
    ):
        groups.setdefault(str(key(group[0])), []).append(rate)
    return {
        name: {
            "n": len(rates),
            "solve_rate": round(sum(rates) / len(rates), 4),
            "interval": _rounded(mean_interval(rates, samples)),
        }
        for name, rates in groups.items()
    }


def _pass_at(puzzles: Sequence[Sequence[Record]], samples: int) -> dict[str, dict[str, Any]]:
    """pass@k for every power of two and for all samples, each the mean over puzzles."""
    counts = [sum(record["score"] for record in group) for group in puzzles]
    found = {}
    for k in sorted({samples, *(2**power for power in range(samples.bit_length()))}):
        chances = [pass_at_k(samples, solved, k) for solved in counts]
        rate = round(sum(chances) / len(chances), 4)
        found[str(k)] = {"rate": rate, "interval": _rounded(mean_interval(chances, samples))}
    return found


def _majority(puzzles: Sequence[Sequence[Record]]) -> dict[str, Any]:
    """How many puzzles the most frequent answer solves; see ``vote``."""
    n, solved = len(puzzles), sum(vote(group) for group in puzzles)
    return {"rate": round(solved / n, 4), "interval": _rounded(wilson_interval(solved, n))}


def vote(group: Iterable[Record]) -> bool:
    """Whether the answer that most completions of a puzzle agree on is right (self-consistency, arXiv 2203.11171).

    Answers vote with their exact value, and only those that use every given number exactly once, so that all votes
    for the target solve the puzzle. Of equally frequent values the one found first wins; without a vote none does.
    """
    votes: Counter[Fraction] = Counter()
    target = None
    for record in group:
        target = record["target"]
        verdict = judge(Puzzle(tuple(record["nums"]), target), record["generation"])
        if verdict.status in _RULES_KEPT and verdict.value is not None:
            votes[verdict.value] += 1
    return bool(votes) and votes.most_common(1)[0][0] == target


def _greedy(records: Sequence[Record]) -> dict[str, Any]:
    puzzles = by_puzzle(records)
    tokens = sum(record["n_tokens"] for record in records)
    return {
        "n": len(puzzles),
        **_rates(puzzles, 1),
        "mean_tokens": round(tokens / len(records), 1),
        "by_level": _slices(puzzles, 1, lambda record: record["level"]),
    }


def _validation(records: Sequence[Record]) -> dict[str, Any]:
    puzzles = by_puzzle(records)
    rates = _rates(puzzles, max(map(len, puzzles)))
    return {"n": len(puzzles), "solve_rate": rates["solve_rate"], "solve_interval": rates["solve_interval"]}


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(value, 4) for value in values]


def choose_best(summaries: Sequence[dict[str, Any]]) -> str:
    """Label with the highest validation solve rate, the later one of equals; without validation the last one."""
    if any("validation" not in summary for summary in summaries):
        return summaries[-1]["label"]
    return max(reversed(summaries), key=lambda summary: summary["validation"]["solve_rate"])["label"]


def paired(results: Mapping[str, Sequence[Record]], base: str, best: str) -> dict[str, Any]:
    """How many more puzzles ``best`` solves than ``base``, of the same ones, with its 95% interval."""
    before, after = (_means(by_puzzle(results[label]), "score") for label in (base, best))
    difference, low, high = paired_difference(before, after)
    interval = _rounded((low, high))
    return {"base": base, "model": best, "difference": round(difference, 4), "interval": interval, "n": len(before)}


def differences(results: Mapping[str, Sequence[Record]]) -> list[dict[str, Any]]:
    """Every model against the first one, and against the one before it."""
    labels = list(results)
    pairs = dict.fromkeys(pair for after in range(1, len(labels)) for pair in ((0, after), (after - 1, after)))
    return [paired(results, labels[before], labels[after]) for before, after in pairs]
