"""Does GRPO teach the demo's model to mix languages, what cures it, and what does the cure cost?

    python benchmarks/language_mixing.py --seeds 0,1,2,3,4 --jobs 8 --out outputs/language_mixing
    python benchmarks/language_mixing.py draw benchmarks/results/demo/language_mixing.json --out docs

Trains the demo recipe with every seed under every variant, on the CPU, and asks base and last checkpoint the same
puzzles of ``test``, half in English and half in Chinese, as the demo does (temperature 1, at most 256 new tokens).
What mixes is decided by ``countdown_r1.game.language``. All goes to ``language_mixing.json`` in the folder; what is
there already is not made again, so that an interrupted run goes on and a seed or variant can be added. ``draw`` makes
the picture of the docs and prints their table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import metadata
from pathlib import Path
from typing import Any

from countdown_r1.game.language import language_of, mixed

NAME = "language_mixing.json"
LANGUAGES = ("en", "zh")
# What each variant changes of the recipe; ``plain`` says it all, so that the recipe's own default does not matter.
VARIANTS = {
    "plain": ["rewards.functions=[equation_reward]", "grpo.beta=0.0"],
    "gate": ["rewards.functions=[consistent_equation_reward]", "grpo.beta=0.0"],
    "weight1": ["rewards.functions=[equation_reward,language_reward]", "grpo.beta=0.0"],
    "weight5": [
        "rewards.functions=[equation_reward,language_reward]",
        "grpo.reward_weights=[1.0,5.0]",
        "grpo.beta=0.0",
    ],
    "beta": ["rewards.functions=[equation_reward]", "grpo.beta=0.04"],
}
TOLD = {
    "base": "nothing yet (`novice`)",
    "plain": "the answer alone",
    "gate": "the answer in the prompt's language alone",
    "weight1": "the answer and `language_reward`",
    "weight5": "the answer and 5 x `language_reward`",
    "beta": "the answer alone, `beta` 0.04",
}


def main() -> None:
    options = arguments()
    if options.action == "draw":
        return draw(json.loads(options.file.read_text(encoding="utf-8")), options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    if not (options.out / "dataset").exists():
        asked = ("--rows", options.rows, "--numbers", "3", "--out", options.out / "dataset")
        countdown(options, "build-dataset", *asked)
    base = asked_puzzles(options, "novice", options.out / "base")
    jobs = [(variant, seed) for seed in options.seeds for variant in options.variants]
    path = options.out / NAME
    with ThreadPoolExecutor(options.jobs) as pool:
        for done in as_completed([pool.submit(measure, options, *job) for job in jobs]):
            print(f"{done.result()}: done", flush=True)
            path.write_text(json.dumps(report(options, base), ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", nargs="?", default="measure", choices=["measure", "draw"])
    parser.add_argument("file", nargs="?", type=Path, help="what to draw")
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1, 2, 3, 4])
    parser.add_argument("--variants", type=_variants, default=["plain", "gate", "weight5", "beta"], help=str(VARIANTS))
    parser.add_argument("--set", action="append", default=[], dest="changes", help="SECTION.KEY=VALUE for every run")
    parser.add_argument("--n", type=int, default=800, help="puzzles, half of them in Chinese")
    parser.add_argument("--rows", type=int, default=20_000, help="of the dataset")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each run")
    parser.add_argument("--out", type=Path, default=Path("outputs/language_mixing"))
    options = parser.parse_args()
    if options.action == "draw" and options.file is None:
        parser.error("draw takes the JSON file to draw")
    return options


def _variants(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in VARIANTS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose of {', '.join(VARIANTS)}")
    return names


def measure(options: argparse.Namespace, variant: str, seed: int) -> str:
    """Train and ask one run; its figures go to ``run.json`` in its folder, which marks it as done."""
    folder = options.out / f"{variant}-{seed}"
    if (folder / "run.json").exists():
        return folder.name
    folder.mkdir(exist_ok=True)
    changes = [*VARIANTS[variant], *options.changes, f"grpo.seed={seed}"]
    model = folder / "model"
    if not (model / "manifest.json").exists():
        sets = [part for change in changes for part in ("--set", change)]
        began = time.monotonic()
        countdown(options, "train", "demo", *sets, "--dataset", options.out / "dataset", "--out", model)
        (folder / "seconds.txt").write_text(f"{time.monotonic() - began:.1f}")
    last = max(model.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    found = {
        "variant": variant,
        "seed": seed,
        "changes": changes,
        "steps": int(last.name.rpartition("-")[2]),
        "train_seconds": float((folder / "seconds.txt").read_text()),
        "languages": asked_puzzles(options, last, folder / "evaluation"),
        "curve": curve(model / "completions"),
    }
    (folder / "run.json").write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
    return folder.name


def asked_puzzles(options: argparse.Namespace, model: str | Path, out: Path) -> dict[str, Any]:
    """Figures by language of what a model answers to the ``test`` puzzles."""
    if not (out / "manifest.json").exists():
        asked = ("--dataset", options.out / "dataset", "--split", "test", "--limit", options.n, "--no-greedy")
        how = ("--temperature", "1.0", "--max-new-tokens", "256", "--backend", "transformers")
        countdown(options, "evaluate", model, *asked, *how, "--out", out)
    (path,) = out.glob("*/records.jsonl")
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {name: figures([one for one in records if one["language"] == name]) for name in LANGUAGES}


def figures(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rates of the answers in one language, and the first right one that mixes."""
    mixes = [one for one in records if mixed(one["generation"], one["language"])]
    shown = next((one["generation"] for one in mixes if one["score"]), None)
    n = len(records)
    return {
        "n": n,
        "solved": sum(one["score"] for one in records),
        "mixed": len(mixes),
        "mixed_and_solved": sum(one["score"] for one in mixes),
        "format": sum(one["format"] for one in records),
        "mean_tokens": round(sum(one["n_tokens"] for one in records) / n, 1),
        "example": shown,
    }


def curve(folder: Path) -> list[dict[str, Any]]:
    """Of every step's completions by language: how many, how many right, how many mixed."""
    import pyarrow.parquet as pq

    steps: dict[int, dict[str, list[int]]] = {}
    for path in sorted(folder.glob("completions*.parquet")):
        for row in pq.read_table(path, columns=["step", "prompt", "completion", "verdict"]).to_pylist():
            language = language_of(row["prompt"])
            counts = steps.setdefault(row["step"], {name: [0, 0, 0] for name in LANGUAGES})[language]
            added = (1, row["verdict"] == "solved", mixed(row["completion"], language))
            counts[:] = [count + more for count, more in zip(counts, added, strict=True)]
    return [{"step": step, **counts} for step, counts in sorted(steps.items())]


def report(options: argparse.Namespace, base: dict[str, Any]) -> dict[str, Any]:
    """Every finished run in the folder."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(options.out.glob("*/run.json"))]
    return {
        "command": typed(sys.argv[1:]),
        "versions": {name: metadata.version(name) for name in ("torch", "transformers", "trl", "datasets")},
        "python": platform.python_version(),
        "threads_per_run": options.threads,
        "jobs": options.jobs,
        "curve": "of each step and language: completions, right ones, mixed ones",
        "base": base,
        "runs": runs,
    }


def countdown(options: argparse.Namespace, *words: object) -> None:
    """Run the command line on the CPU with a fixed number of threads."""
    threads = str(options.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "CUDA_VISIBLE_DEVICES": ""}
    environment |= {"ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "countdown_r1", *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{shlex.join(command)} ended with status {done.returncode}\n{done.stderr[-3000:]}")


def typed(words: Sequence[str]) -> str:
    """The command, without the folders of this machine."""
    kept = [word for place, word in enumerate(words) if "--out" not in words[max(0, place - 1) : place + 1]]
    return shlex.join(["python", "benchmarks/language_mixing.py", *kept])


def draw(measured: dict[str, Any], out: Path) -> None:
    """Print the docs' table; draw ``what-grpo-taught-languages.png`` in ``out``: mixed completions by step and seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = {name: [run for run in measured["runs"] if run["variant"] == name] for name in VARIANTS}
    by_variant = {name: sorted(runs, key=lambda run: run["seed"]) for name, runs in found.items() if runs}
    print(table(measured["base"], by_variant))
    size = (3.2 * len(by_variant), 4.6)
    figure, axes = pyplot.subplots(2, len(by_variant), figsize=size, squeeze=False, layout="constrained")
    for column, (name, runs) in enumerate(by_variant.items()):
        axes[0][column].set_title(TOLD[name].replace("`", ""), fontsize=10)
        axes[1][column].set_xlabel("GRPO step")
        for axis, language in zip(axes[:, column], LANGUAGES, strict=True):
            _lines(axis, runs, language)
    for axis, language in zip(axes[:, 0], ("English", "Chinese"), strict=True):
        axis.set_ylabel(f"mixed, {language} prompts")
    axes[0][0].legend(fontsize=8)
    figure.savefig(out / "what-grpo-taught-languages.png", dpi=110, metadata={"Software": None})
    print(out / "what-grpo-taught-languages.png")


def _lines(axis: Any, runs: Sequence[dict[str, Any]], language: str) -> None:
    for run in runs:
        asked = [step for step in run["curve"] if step[language][0]]
        shares = [step[language][2] / step[language][0] for step in asked]
        axis.plot([step["step"] for step in asked], shares, label=f"seed {run['seed']}", alpha=0.85)
    axis.set_ylim(-0.03, 1.03)
    axis.grid(alpha=0.25)


def table(base: dict[str, Any], by_variant: dict[str, list[dict[str, Any]]]) -> str:
    """A Markdown row for each variant. Seeds stay apart, since what one run does to its completions it does to all."""
    lines = [
        [
            "paid for",
            "solved",
            "against the answer alone, points",
            "mixed, English",
            "mixed, Chinese",
            "tokens",
            "seconds",
        ],
        ["---"] * 7,
        [TOLD["base"], *_cells([base], [base]), ""],
    ]
    plain = {run["seed"]: run["languages"] for run in by_variant.get("plain", [])}
    for name, runs in by_variant.items():
        seconds = statistics.median(run["train_seconds"] for run in runs)
        pairs = [] if name == "plain" else [plain[run["seed"]] for run in runs if run["seed"] in plain]
        lines.append([TOLD[name], *_cells([run["languages"] for run in runs], pairs), f"{seconds:.0f}"])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(runs: Sequence[dict[str, Any]], compared: Sequence[dict[str, Any]]) -> list[str]:
    """Solve rate, difference to ``compared`` run by run (mean, lowest to highest), mixed rates run by run, tokens."""
    rates = [solved(run) for run in runs]
    points = [100 * (solved(run) - solved(other)) for run, other in zip(runs, compared, strict=False)]
    against = f"{statistics.mean(points):+.1f} ({min(points):+.1f} to {max(points):+.1f})" if any(points) else ""
    mixes = [", ".join(f"{100 * run[name]['mixed'] / run[name]['n']:.1f}" for run in runs) for name in LANGUAGES]
    tokens = statistics.mean(run[name]["mean_tokens"] for run in runs for name in LANGUAGES)
    return [f"{statistics.mean(rates):.1%}", against, *(f"{mix}%" for mix in mixes), f"{tokens:.0f}"]


def solved(languages: dict[str, Any]) -> float:
    """The solve rate of one run in both languages together."""
    parts = [languages[name] for name in LANGUAGES]
    return sum(part["solved"] for part in parts) / sum(part["n"] for part in parts)


if __name__ == "__main__":
    main()
