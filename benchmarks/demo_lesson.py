"""Does the demo's lesson hold? Trains the demo recipe with several seeds and measures the paired difference.

    python benchmarks/demo_lesson.py --seeds 0,1,2,3,4 --jobs 5 --out benchmarks/results/demo_lesson.json
    python benchmarks/demo_lesson.py --seeds 0 --split validation --set grpo.learning_rate=2e-4
    python benchmarks/demo_lesson.py --seeds 0,1 --weights bfloat16 --work outputs/coarse

Each seed trains from the same base on the same dataset with its own random numbers, on the CPU, and is then
asked the same held-out puzzles as the base. Learning rates were compared with ``--split validation``; the
seeds are judged on ``test``. ``--weights bfloat16`` trains weights that are stored so, with Adam's averages: what
that costs, beside the float32 that ``train`` gives. One JSON object a line is printed as results arrive.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

PROGRAM = ("-m", "countdown_r1")
# The command line with the trainable weights rounded as they are loaded.
COARSE = """
from countdown_r1 import cli
from countdown_r1.train import stage
precise = stage.load_trainable
def coarse(recipe, base):
    model, tokenizer = precise(recipe, base)
    return model.bfloat16(), tokenizer
stage.load_trainable = coarse
cli.main()
"""


def main() -> None:
    options = arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    dataset = options.work / "dataset"
    if not dataset.exists():
        countdown("build-dataset", "--rows", "20000", "--numbers", "3", "--out", dataset)
    with ThreadPoolExecutor(options.jobs) as pool:
        runs = pool.map(lambda seed: lesson(options, dataset, seed), options.seeds)
        results = [show(run) for run in runs]
    report = {
        "command": typed(sys.argv[1:]),
        "versions": {name: metadata.version(name) for name in ("torch", "transformers", "trl", "datasets")},
        "python": platform.python_version(),
        "threads_per_run": options.threads,
        "lifted": sum(run["interval"][0] > 0 for run in results),
        "runs": results,
    }
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(options.out)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1, 2, 3, 4])
    parser.add_argument("--set", action="append", default=[], dest="changes", help="SECTION.KEY=VALUE of the recipe")
    parser.add_argument("--split", default="test", choices=["test", "validation"])
    parser.add_argument("--weights", default="float32", choices=["float32", "bfloat16"], help="while training")
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each run")
    parser.add_argument("--work", type=Path, default=Path("outputs/demo_lesson"))
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def lesson(options: argparse.Namespace, dataset: Path, seed: int) -> dict[str, object]:
    """Train with one seed, evaluate base and checkpoints at temperature 1 and greedily."""
    model = options.work / f"model-{seed}"
    began = time.monotonic()
    changes = [part for change in [*options.changes, f"grpo.seed={seed}"] for part in ("--set", change)]
    program = ["-c", COARSE] if options.weights == "bfloat16" else PROGRAM
    asked = ["--dataset", dataset, "--out", model, "--overwrite"]
    countdown("train", "demo", *changes, *asked, threads=options.threads, program=program)
    trained = time.monotonic()
    sampled = evaluation(options, dataset, model, seed, 1.0)
    greedy = evaluation(options, dataset, model, seed, 0.0)
    return {
        "seed": seed,
        "changes": options.changes,
        "weights": options.weights,
        "split": options.split,
        "n": options.n,
        "solve_rate": {entry["label"]: entry["solve_rate"] for entry in sampled["models"]},
        "format_rate": {entry["label"]: entry["format_rate"] for entry in sampled["models"]},
        "mean_tokens": {entry["label"]: entry["mean_tokens"] for entry in sampled["models"]},
        "ahas": {entry["label"]: entry["ahas"] for entry in sampled["models"]},
        "difference": sampled["paired"]["difference"],
        "interval": sampled["paired"]["interval"],
        "greedy_solve_rate": {entry["label"]: entry["solve_rate"] for entry in greedy["models"]},
        "greedy_difference": greedy["paired"]["difference"],
        "greedy_interval": greedy["paired"]["interval"],
        "train_seconds": round(trained - began, 1),
        "evaluate_seconds": round(time.monotonic() - trained, 1),
    }


def evaluation(options: argparse.Namespace, dataset: Path, model: Path, seed: int, temperature: float) -> dict:
    """The summary of base and checkpoints; without validation rows the pair is base and last checkpoint."""
    asked = ["--dataset", dataset, "--split", options.split, "--limit", options.n, "--temperature", temperature]
    out = options.work / f"evaluation-{seed}-{temperature:g}"
    limits = ["--max-new-tokens", 256, "--no-greedy", "--out", out, "--overwrite", "--json"]
    countdown("evaluate", model, *asked, *limits, threads=options.threads)
    return json.loads((out / "summary.json").read_text(encoding="utf-8"))


def countdown(*words: object, threads: int = 2, program: Sequence[str] = PROGRAM) -> None:
    """Run the command line on the CPU with a fixed number of threads."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *program, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with status {done.returncode}\n{done.stderr[-3000:]}")


def typed(words: list[str]) -> str:
    """The command, without the folders of this machine."""
    places = {place + more for place, word in enumerate(words) if word in ("--work", "--out") for more in (0, 1)}
    kept = [word for place, word in enumerate(words) if place not in places]
    return " ".join(["python", "benchmarks/demo_lesson.py", *kept])


def show(run: dict[str, object]) -> dict:
    print(json.dumps(run), flush=True)
    return run


if __name__ == "__main__":
    main()
