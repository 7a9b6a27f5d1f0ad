"""Pictures of a run, drawn from its measurements."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

BLUE, GREEN, ORANGE, GREY = "#2f6db3", "#2d8659", "#c96f1e", "#9aa0a6"
PANELS = (
    ("Equation reward (training batches)", "rewards/equation_reward/mean", BLUE),
    ("Format reward (training batches)", "rewards/format_reward/mean", GREEN),
    ("Completion length (tokens)", "completions/mean_length", ORANGE),
)


def draw_training(metrics: Path, out: Path) -> None:
    """Rewards and completion length over steps; steps as dots, their running mean as a line."""
    logged = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(13, 3.6), layout="constrained")
    for axis, (title, key, colour) in zip(axes, PANELS, strict=True):
        points = [(entry["step"], entry[key]) for entry in logged if entry.get(key) is not None]
        if points:
            steps, values = zip(*points, strict=True)
            axis.plot(steps, values, ".", color=colour, alpha=0.35)
            axis.plot(steps, _running_mean(values), color=colour, linewidth=2)
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("GRPO step")
        _clean(axis)
    _save(figure, out)


def draw_evaluation(summary: Mapping[str, Any], out: Path) -> None:
    """Solve rate of every model on the same held-out puzzles, with 95% intervals."""
    models = summary["models"]
    rates = [model["solve_rate"] for model in models]
    below = [model["solve_rate"] - model["solve_interval"][0] for model in models]
    above = [model["solve_interval"][1] - model["solve_rate"] for model in models]
    colours = [GREY if index == 0 else BLUE for index in range(len(models))]
    figure, axis = pyplot.subplots(figsize=(max(5, 1.4 * len(models)), 3.8), layout="constrained")
    bars = axis.bar([model["label"] for model in models], rates, color=colours, yerr=[below, above], capsize=5)
    axis.bar_label(bars, [f"{rate:.0%}" for rate in rates], label_type="center", color="white", fontweight="bold")
    axis.set_ylim(0, 1)
    axis.set_title(f"Solved, {summary['n']} puzzles of '{summary['dataset']['split']}' (95% interval)", fontsize=11)
    _clean(axis)
    _save(figure, out)


def _running_mean(values: tuple[float, ...], width: int = 5) -> list[float]:
    windows = [values[max(0, end - width) : end] for end in range(1, len(values) + 1)]
    return [sum(window) / len(window) for window in windows]


def _clean(axis: Any) -> None:
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _save(figure: Any, out: Path) -> None:
    figure.savefig(out, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
