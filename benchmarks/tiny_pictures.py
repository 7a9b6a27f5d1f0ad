"""Pictures of what GRPO changed in `tiny`, drawn from the published measurements alone, and one table of numbers.

    python benchmarks/tiny_pictures.py benchmarks/results/tiny --out docs

``what-grpo-taught-levels.png``: solve rates by level and language, and how answers to four numbers ended.
``what-grpo-taught-truth.png``: GRPO paid for answers alone and for truth too, by step, and how true it calculates then.
``what-grpo-taught-lesson.png``: the demo's lesson with coarse weights, with a format reward, and with neither.
``RESULTS/float32/small.json``: what two rewards by two ways of weighing tokens taught on a CPU, means of steps 9 to 24.
``RESULTS/bfloat16/wrong_ratio.json``: of that run's answers in training, the share of wrong ones, by ten steps.
``what-grpo-taught-curves.png``: both cold starts while they learnt; GRPO's completions: right, finished, tokens.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

NAMES = {"cold": "cold start", "grpo": "after GRPO", "longer": "cold start for longer"}
NAMES |= {"plain": "no reflective words: cold start", "plain-grpo": "no reflective words: after GRPO"}
COLOURS = {"cold": "#9aa0a6", "grpo": "#2f6db3", "longer": "#c96f1e", "plain": "#b8a9c9", "plain-grpo": "#6b4c9a"}
ENDS = {
    "solved": "#2d8659",
    "unfinished thought": "#c9ccd1",
    "wrong value": "#b3432f",
    "wrong numbers": "#e08a4f",
    "other": "#555555",
}
LESSONS = {
    "rewards_answer.json": ("float32 weights, the answer alone rewarded", "#2d8659"),
    "weights_float32.json": ("float32 weights, answer and format rewarded", "#2f6db3"),
    "weights_bfloat16.json": ("bfloat16 weights, answer and format rewarded", "#b3432f"),
}
TRUTH = {
    "float32/sweep.steady-1e-4": ("answer alone, 1e-4", "#e08a4f"),
    "float32/sweep.falling-2e-4": ("answer alone, from 2e-4 to 0", "#b3432f"),
    "float32/grpo": ("answer alone, from 1.2e-4 to 0", "#9aa0a6"),
    "grpo": ("answer and truth, from 1.2e-4 to 0", "#2f6db3"),
}
CALCULATIONS = {
    ("summary.json", "cold"): "cold start",
    ("float32/summary.json", "grpo"): "answer alone,\n24 steps",
    ("float32/summary.json", "falling-2e-4"): "answer alone,\n72 of 2e-4",
    ("summary.json", "grpo"): "and truth,\n64 steps",
}
LEVELS = {0: "+ and − suffice", 1: "needs ×", 2: "needs whole ÷", 3: "needs a fraction"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    summary = json.loads((options.results / "summary.json").read_text(encoding="utf-8"))
    models = {label: summary[label] for label in NAMES if label in summary}
    draw_levels(models, options.out / "what-grpo-taught-levels.png")
    draw_curves(options.results, options.out / "what-grpo-taught-curves.png")
    write_wrong_ratio(options.results / "bfloat16")
    write_small(options.results / "float32")
    draw_truth(options.results, options.out / "what-grpo-taught-truth.png")
    draw_lesson(options.results.parent / "demo", options.out / "what-grpo-taught-lesson.png")


def draw_levels(models: Mapping[str, Any], out: Path) -> None:
    """Bars for each level and language, and the shares of how four-number answers ended."""
    figure, (english, chinese, ends) = pyplot.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    for axis, (decoding, language) in zip(
        (english, chinese), {"greedy": "English", "greedy-zh": "Chinese"}.items(), strict=True
    ):
        _by_level(axis, models, decoding)
        axis.set_title(f"Four numbers, {language}, greedy (95% interval)", fontsize=11)
    english.set_ylabel("solved")
    bars, names = english.get_legend_handles_labels()
    figure.legend(bars, names, fontsize=9, ncols=len(names), loc="outside lower left", frameon=False)
    _ends(ends, models)
    _save(figure, out)


def _by_level(axis: Axes, models: Mapping[str, Any], decoding: str) -> None:
    width = 0.8 / len(models)
    labels: dict[int, str] = {}
    for place, (label, found) in enumerate(models.items()):
        for level, said in LEVELS.items():
            part = found[decoding].get(f"4 numbers, level {level}")
            if part is None:
                continue
            low, high = part["interval"]
            spread = [[max(0.0, part["solved"] - low)], [max(0.0, high - part["solved"])]]
            x = level + (place - (len(models) - 1) / 2) * width
            axis.bar(x, part["solved"], width * 0.92, color=COLOURS[label], label=NAMES[label] if level == 0 else None)
            axis.errorbar(x, part["solved"], yerr=spread, color="#333333", capsize=2, linewidth=0.8)
            labels[level] = f"{said}\nn={part['n']}"
    axis.set_xticks(list(labels), list(labels.values()), fontsize=8)
    axis.set_ylim(0, 1)
    _clean(axis)


def _ends(axis: Axes, models: Mapping[str, Any]) -> None:
    """One bar per model, English greedy: solved, cut off by the limit, a wrong claim of success, ..."""
    for row, (label, found) in enumerate(models.items()):
        counts = found["greedy"]["4 numbers"]["verdicts"]
        total, left = sum(counts.values()), 0.0
        parts = {name: counts.get(name, 0) for name in ENDS if name != "other"}
        for name, count in (parts | {"other": total - sum(parts.values())}).items():
            share = count / total
            axis.barh(row, share, 0.62, left=left, color=ENDS[name], label=name if row == 0 else None)
            if share >= 0.06:
                axis.text(left + share / 2, row, f"{share:.1%}", ha="center", va="center", fontsize=8)
            left += share
        axis.text(0.0, row - 0.36, NAMES[label], fontsize=8, va="bottom")
    axis.set_yticks([])
    axis.set_ylim(len(models) - 0.5, -0.7)
    axis.set_xlim(0, 1)
    axis.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.08), frameon=False)
    axis.set_title("How answers to four numbers ended", fontsize=11)
    _clean(axis)


def draw_curves(results: Path, out: Path) -> None:
    """Held-out solve rate of the cold starts over minutes; reward and length of GRPO over steps."""
    figure, axes = pyplot.subplots(1, 3, figsize=(15, 3.8), layout="constrained")
    for label in ("cold", "plain", "longer"):
        logged = _lines(results / f"{label}.jsonl")
        if logged:
            before = _lines(results / "cold.jsonl")[-1]["seconds"] if label == "longer" else 0
            minutes = [(before + line["seconds"]) / 60 for line in logged]
            axes[0].plot(minutes, [line["solved_4"] for line in logged], "o-", color=COLOURS[label], label=NAMES[label])
    axes[0].set(title="Cold start: four numbers solved (validation)", xlabel="minutes of training", ylim=(0.6, 1))
    for label in ("grpo", "plain-grpo"):
        if logged := [line for line in _lines(results / f"{label}.jsonl") if "reward" in line]:
            _grpo(axes[1], axes[2], logged, label)
    axes[1].set(title="GRPO: right completions; in red, finished and wrong", xlabel="step", ylim=(0.4, 1))
    axes[2].set(title="GRPO: tokens of a completion", xlabel="step", ylim=(0, None))
    for axis in axes:
        axis.legend(fontsize=8, loc="lower right")
        _clean(axis)
    _save(figure, out)


def _grpo(ends: Axes, lengths: Axes, logged: Sequence[Mapping[str, Any]], label: str) -> None:
    """Over steps: completions that are right and, above them in red, that finished and are wrong; their length."""
    steps, colour = [line["step"] for line in logged], COLOURS[label]
    finished = _running_mean([1 - line["completions/clipped_ratio"] for line in logged])
    for axis, key in ((ends, "rewards/equation_reward/mean"), (lengths, "completions/mean_length")):
        values = [line[key] for line in logged]
        axis.plot(steps, values, ".", color=colour, alpha=0.4)
        axis.plot(steps, _running_mean(values), color=colour, label=NAMES[label])
    ends.plot(steps, finished, "--", color=colour, label="finished, right or wrong")
    right = _running_mean([line["rewards/equation_reward/mean"] for line in logged])
    ends.fill_between(steps, right, finished, color=ENDS["wrong value"], alpha=0.25)


def write_wrong_ratio(results: Path) -> None:
    """Of completions that finished; means over the logged steps, each of as many completions."""
    found: dict[str, dict[str, float]] = {}
    for label in ("grpo", "plain-grpo"):
        logged = [line for line in _lines(results / f"{label}.jsonl") if "reward" in line]
        for first in range(0, len(logged), 10):
            steps = logged[first : first + 10]
            finished = sum(1 - line["completions/clipped_ratio"] for line in steps)
            right = sum(line["rewards/equation_reward/mean"] for line in steps)
            name = f"steps {steps[0]['step']} to {steps[-1]['step']}"
            found.setdefault(label, {})[name] = round(1 - right / finished, 4)
    (results / "wrong_ratio.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(results / "wrong_ratio.json")


def draw_truth(results: Path, out: Path) -> None:
    """Over steps the completions that are right and the answers that are wrong; beside it false calculations."""
    figure, (right, wrong, false) = pyplot.subplots(1, 3, figsize=(15, 3.8), layout="constrained")
    for name, (said, colour) in TRUTH.items():
        logged = [line for line in _lines(results / f"{name}.jsonl") if "reward" in line]
        for axis, key in ((right, "rewards/equation_reward/mean"), (wrong, "answers/wrong_ratio")):
            values = [line[key] for line in logged]
            axis.plot([line["step"] for line in logged], values, ".", color=colour, alpha=0.4)
            axis.plot([line["step"] for line in logged], _running_mean(values), color=colour, label=said)
    right.set(title="Completions that are right (of 1,024)", xlabel="GRPO step", ylim=(0, 1))
    wrong.set(title="Wrong ones among the answers given", xlabel="GRPO step", ylim=(0, 1))
    right.legend(fontsize=8, loc="lower left")
    for place, (file, model) in enumerate(CALCULATIONS):
        summary = json.loads((results / file).read_text(encoding="utf-8"))
        sums = summary[model]["greedy"]["4 numbers"]["claims"]
        for offset, key, colour in ((-0.2, "false divisions", "#b3432f"), (0.2, "false others", "#e08a4f")):
            bar = false.bar(place + offset, sums[key], 0.38, color=colour, label=None if place else key)
            false.bar_label(bar, [f"{sums[key]:.1%}"], fontsize=8)
    false.set_xticks(range(len(CALCULATIONS)), list(CALCULATIONS.values()), fontsize=8)
    false.set_title("Afterwards, of divisions and of other calculations: false", fontsize=11)
    false.legend(fontsize=8)
    for axis in (right, wrong, false):
        _clean(axis)
    _save(figure, out)


def write_small(results: Path) -> None:
    """Shares of right completions, wrong answers and false calculations of the small runs, once they have learnt."""
    keys = {"right": "rewards/equation_reward/mean", "wrong answers": "answers/wrong_ratio"}
    keys |= {"false calculations": "claims/false_ratio"}
    found = {}
    for path in sorted(results.glob("small.*.jsonl")):
        logged = [line for line in _lines(path) if line["step"] > 8]
        means = {said: sum(line.get(key) or 0.0 for line in logged) / len(logged) for said, key in keys.items()}
        found[path.name.split(".")[1]] = {said: round(mean, 4) for said, mean in means.items()}
    (results / "small.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(results / "small.json")


def draw_lesson(results: Path, out: Path) -> None:
    """Solve rate by step of each variant of the demo's lesson, a line for each seed."""
    figure, axis = pyplot.subplots(figsize=(7.5, 3.8), layout="constrained")
    for name, (said, colour) in LESSONS.items():
        for seed, run in enumerate(json.loads((results / name).read_text(encoding="utf-8"))["runs"]):
            steps = [int(label.rpartition("-")[2]) if "-" in label else 0 for label in run["solve_rate"]]
            axis.plot(steps, list(run["solve_rate"].values()), "o-", color=colour, label=None if seed else said)
    axis.set(title="The demo's lesson: solved, 500 validation puzzles, two seeds", xlabel="GRPO step", ylim=(0, 1))
    axis.legend(fontsize=9, loc="lower right")
    _clean(axis)
    _save(figure, out)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def _running_mean(values: Sequence[float], width: int = 5) -> list[float]:
    windows = [values[max(0, end - width) : end] for end in range(1, len(values) + 1)]
    return [sum(window) / len(window) for window in windows]


def _clean(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", alpha=0.25)
    axis.set_axisbelow(True)


def _save(figure: Any, out: Path) -> None:
    figure.savefig(out, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    print(out)


if __name__ == "__main__":
    main()
