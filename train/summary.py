"""What evaluation records come to: rates with intervals, slices, the best model, the paired difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .aha import summarise
from .statistics import paired_difference, wilson_interval


def summarise_records(
    label: str, records: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Rates with 95% intervals, slices by level and language, verdict counts and Ahas of one model."""
    n, solved = len(records), sum(record["score"] for record in records)
    formed = sum(record["format"] for record in records)
    summary = {
        "label": label,
        "n": n,
        "solve_rate": round(solved / n, 4),
        "solve_interval": _rounded(wilson_interval(solved, n)),
        "format_rate": round(formed / n, 4),
        "format_interval": _rounded(wilson_interval(formed, n)),
        "mean_tokens": round(sum(record["n_tokens"] for record in records) / n, 1),
        "by_level": _slices(records, "level"),
        "by_language": _slices(records, "language"),
        "verdicts": dict(Counter(record["verdict"] for record in records).most_common()),
        "ahas": summarise(records),
    }
    if validation:
        rate = sum(record["score"] for record in validation) / len(validation)
        summary["validation"] = {"n": len(validation), "solve_rate": round(rate, 4)}
    return summary


def _slices(records: Sequence[Mapping[str, Any]], key: str) -> dict[str, dict[str, float | int]]:
    groups: dict[str, list[int]] = {}
    for entry in sorted(records, key=lambda entry: str(entry[key])):
        groups.setdefault(str(entry[key]), []).append(entry["score"])
    return {
        name: {"n": len(scores), "solve_rate": round(sum(scores) / len(scores), 4)} for name, scores in groups.items()
    }


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(value, 4) for value in values]


def choose_best(summaries: Sequence[dict[str, Any]]) -> str:
    """Label with the highest validation solve rate, the later one of equals; without validation the last one."""
    if any("validation" not in summary for summary in summaries):
        return summaries[-1]["label"]
    return max(reversed(summaries), key=lambda summary: summary["validation"]["solve_rate"])["label"]


def paired(results: Mapping[str, Sequence[Mapping[str, Any]]], base: str, best: str) -> dict[str, Any]:
    """How many more puzzles ``best`` solves than ``base``, of the same ones, with its 95% interval."""
    before, after = ([record["score"] for record in results[label]] for label in (base, best))
    difference, low, high = paired_difference(before, after)
    interval = _rounded((low, high))
    return {"base": base, "model": best, "difference": round(difference, 4), "interval": interval, "n": len(before)}
