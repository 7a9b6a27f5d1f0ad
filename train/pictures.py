"""Pictures of a run, drawn from its measurements."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from .reward_functions import FALSE_CLAIMS, MIXED, WRONG_ANSWERS

BLUE, GREEN, ORANGE, GREY, RED = "#2f6db3", "#2d8659", "#c96f1e", "#9aa0a6", "#b3432f"
LENGTH = "completions/mean_length"
COLOURS = {LENGTH: ORANGE, WRONG_ANSWERS: RED, FALSE_CLAIMS: RED, MIXED: RED}
FAULTS = {
    WRONG_ANSWERS: "Wrong ones among the answers given",
    FALSE_CLAIMS: "False sums among those written",
    MIXED: "Completions that mix languages",
}


def draw_training(metrics: Path, out: Path) -> None:
    """Each reward and the completion length over steps; steps as dots, their running mean as a line."""
    logged = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    panels = _panels(logged)
    figure, _ = pyplot.subplots(1, len(panels), figsize=(4.4 * len(panels), 3.6), layout="constrained")
    for axis, (key, title) in zip(figure.axes, panels.items(), strict=True):
        points = [(entry["step"], entry[key]) for entry in logged if entry.get(key) is not None]
        colour = COLOURS.get(key) or (BLUE, GREEN)[list(panels).index(key) % 2]
        if points:
            steps, values = zip(*points, strict=True)
            axis.plot(steps, values, ".", color=colour, alpha=0.35)
            axis.plot(steps, _running_mean(values), color=colour, linewidth=2)
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("GRPO step")
        _clean(axis)
    _save(figure, out)


def _panels(logged: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Titles by logged key: one for each reward that the run had, for what may go wrong unseen, and for the length."""
    keys = dict.fromkeys(key for entry in logged for key in entry)
    rewards = [key for key in keys if key.startswith("rewards/") and key.endswith("/mean")]
    titles = {key: f"{key.split('/')[1].replace('_', ' ').capitalize()} (training batches)" for key in rewards}
    faults = {key: title for key, title in FAULTS.items() if key in keys}
    return titles | faults | {LENGTH: "Completion length (tokens)"}


def draw_evaluation(summary: Mapping[str, Any], out: Path) -> None:
    """Solve rate by step, or by model where there are no steps, and by level; mixing by language; 95% intervals."""
    models = summary["models"]
    shape: dict[str, Any] = {"width_ratios": (1, 1, 0.7), "figsize": (max(15, 8 + len(models)), 3.9)}
    figure, (left, right, last) = pyplot.subplots(1, 3, **shape, layout="constrained")
    steps = [model["step"] for model in models]
    if len(models) > 1 and None not in steps and len(set(steps)) == len(steps):
        _solved_by_step(left, summary)
    else:
        _solved_by_model(left, models)
    left.set_title(f"Solved, {summary['n']} puzzles of '{summary['dataset']['split']}' (95% interval)", fontsize=11)
    shown = dict.fromkeys((models[0]["label"], summary["best"], models[-1]["label"]))
    compared = [model for model in models if model["label"] in shown]
    _bars_by(right, compared, "by_level", "solve_rate", "interval")
    right.set_title("Solved by level (0: + and -, 1: *, 2: whole /, 3: fractions)", fontsize=11)
    _bars_by(last, compared, "by_language", "mixed_rate", "mixed_interval")
    last.set_title("Mixed languages, by the prompt's", fontsize=11)
    for axis in (left, right, last):
        axis.set_ylim(0, 1)
        _clean(axis)
    _save(figure, out)


def _solved_by_step(axis: Any, summary: Mapping[str, Any]) -> None:
    """A line for each way of decoding that was measured, side by side; the best model is ringed."""
    models = sorted(summary["models"], key=lambda model: model["step"])
    samples = models[0]["samples"]
    lines: list[tuple[str, str, list[tuple[float, Sequence[float]] | None]]] = [
        (
            "one sample" if summary["decoding"]["temperature"] else "greedy",
            BLUE,
            [(model["solve_rate"], model["solve_interval"]) for model in models],
        ),
        ("greedy", ORANGE, [_pair(model.get("greedy"), "solve_rate", "solve_interval") for model in models]),
        (f"majority of {samples}", GREEN, [_pair(model.get("majority"), "rate", "interval") for model in models]),
        (f"any of {samples}", GREY, [_pair(_any_of(model), "rate", "interval") for model in models]),
    ]
    steps = [model["step"] for model in models]
    apart = (steps[-1] - steps[0]) / 100
    for index, (name, colour, values) in enumerate(lines):
        places = [step + index * apart for step in steps]
        points = [(place, *value) for place, value in zip(places, values, strict=True) if value is not None]
        if points:
            x, rates, intervals = zip(*points, strict=True)
            axis.errorbar(x, rates, yerr=_bars(rates, intervals), color=colour, marker="o", capsize=4, label=name)
    best = next(model for model in models if model["label"] == summary["best"])
    axis.plot(best["step"], best["solve_rate"], "o", ms=13, mfc="none", color=BLUE, label=f"best: {best['label']}")
    axis.set_xlabel("GRPO step")
    axis.set_xticks(steps if len(steps) <= 12 else steps[:: len(steps) // 8])
    axis.legend(fontsize=8, loc="best")


def _pair(values: Mapping[str, Any] | None, rate: str, interval: str) -> tuple[float, Sequence[float]] | None:
    return (values[rate], values[interval]) if values else None


def _any_of(model: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return model.get("pass_at", {}).get(str(model["samples"]))


def _solved_by_model(axis: Any, models: Sequence[Mapping[str, Any]]) -> None:
    rates = [model["solve_rate"] for model in models]
    errors = _bars(rates, [model["solve_interval"] for model in models])
    colours = [GREY if index == 0 else BLUE for index in range(len(models))]
    bars = axis.bar([model["label"] for model in models], rates, color=colours, yerr=errors, capsize=5)
    axis.bar_label(bars, [f"{rate:.0%}" for rate in rates], label_type="center", color="white", fontweight="bold")
    if max(len(model["label"]) for model in models) > 14 or len(models) > 5:
        axis.tick_params("x", rotation=25)


def _bars_by(axis: Any, models: Sequence[Mapping[str, Any]], key: str, rate: str, interval: str) -> None:
    """Bars side by side for each value of ``key``, with the number of its puzzles below."""
    values = sorted({value for model in models for value in model[key]})
    width = 0.8 / len(models)
    for index, (model, colour) in enumerate(zip(models, (GREY, BLUE, GREEN), strict=False)):
        parts = [(place, model[key].get(value, {})) for place, value in enumerate(values)]
        there = [(place + (index - (len(models) - 1) / 2) * width, part) for place, part in parts if rate in part]
        rates = [part[rate] for _, part in there]
        errors = _bars(rates, [part[interval] for _, part in there])
        places = [place for place, _ in there]
        axis.bar(places, rates, width, color=colour, yerr=errors, capsize=4, label=model["label"])
    counts = [next(model[key][value]["n"] for model in models if value in model[key]) for value in values]
    axis.set_xticks(range(len(values)), [f"{value}\n(n={n})" for value, n in zip(values, counts, strict=True)])
    axis.legend(fontsize=8, loc="best")


def _bars(rates: Sequence[float], intervals: Sequence[Sequence[float]]) -> list[list[float]]:
    """Distances from each rate down and up to the ends of its interval, as matplotlib takes them."""
    pairs = list(zip(rates, intervals, strict=True))
    below, above = (
        [max(0.0, rate - low) for rate, (low, _) in pairs],
        [max(0.0, high - rate) for rate, (_, high) in pairs],
    )
    return [below, above]


def _running_mean(values: tuple[float, ...], width: int = 5) -> list[float]:
    windows = [values[max(0, end - width) : end] for end in range(1, len(values) + 1)]
    return [sum(window) / len(window) for window in windows]


def _clean(axis: Any) -> None:
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _save(figure: Any, out: Path) -> None:
    figure.savefig(out, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
