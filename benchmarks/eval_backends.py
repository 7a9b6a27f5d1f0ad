"""Do transformers and vLLM measure the same? One model, the same puzzles, both backends, on a machine with a GPU.

    python benchmarks/eval_backends.py --model tiny --limit 500 --samples 4 --out benchmarks/results/eval_backends.json

Each backend runs in a process of its own through ``countdown-r1 evaluate``. The two agree when each one's solve rate
lies in the other's 95% interval, sampled and greedy; the paired difference over the same puzzles, with its interval,
says how far apart they can be. Single tokens differ: bfloat16 sums depend on how requests are batched.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from countdown_r1.train.summary import paired

BACKENDS = ("transformers", "vllm")
LIBRARIES = ("countdown-r1", "torch", "transformers", "tokenizers", "vllm", "numpy")


def main() -> None:
    options = arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    dataset = options.dataset or str(options.work / "dataset")
    if not options.dataset and not Path(dataset).exists():
        rows = str(30 * options.limit)  # one in twenty is in split 'test'
        countdown("build-dataset", "--rows", rows, "--numbers", options.numbers, "--out", dataset)
    runs = {backend: evaluation(options, dataset, backend) for backend in options.backends}
    report = {
        "command": " ".join(["python", "benchmarks/eval_backends.py", *sys.argv[1:]]),
        "model": options.model,
        "dataset": dataset,
        "n": options.limit,
        "samples": options.samples,
        "temperature": options.temperature,
        "max_new_tokens": options.max_new_tokens,
        "backends": {backend: measured(*run) for backend, run in runs.items()},
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()},
    }
    if len(runs) == 2:
        report["comparison"] = {name: comparison(options.work, runs, name) for name in ("records", "greedy")}
        report["agree"] = all(part["agree"] for part in report["comparison"].values())
    text = json.dumps(report, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")
        print(options.out)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--dataset", help="folder or Hub id [default: one built here]")
    parser.add_argument("--numbers", default="3,4", help="numbers per puzzle of the dataset built here")
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--max-new-tokens", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=512, help="of transformers; vLLM batches by itself")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--work", type=Path, default=Path("outputs/eval_backends"))
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def evaluation(options: argparse.Namespace, dataset: str, backend: str) -> tuple[dict[str, Any], float]:
    """The summary of one backend, and the seconds that its process took from start to end."""
    out = options.work / backend
    asked = ["--dataset", dataset, "--limit", options.limit, "--samples", options.samples]
    decoding = ["--temperature", options.temperature, "--max-new-tokens", options.max_new_tokens]
    how = ["--batch-size", options.batch_size, "--backend", backend, "--out", out, "--overwrite"]
    began = time.monotonic()
    countdown("evaluate", options.model, *asked, *decoding, *how)
    seconds = time.monotonic() - began
    return json.loads((out / "summary.json").read_text(encoding="utf-8")), seconds


def countdown(*words: object) -> None:
    command = [sys.executable, "-m", "countdown_r1", *map(str, words)]
    print(" ".join(command), file=sys.stderr, flush=True)
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        sys.exit(f"{' '.join(command)} failed; its message stands above")


def measured(summary: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Rates with intervals, and speed: of generation alone, and the whole process with loading the model."""
    (model,) = summary["models"]
    kept = ("solve_rate", "solve_interval", "format_rate", "format_interval", "mean_tokens", "tokens_per_second")
    found = {key: model[key] for key in (*kept, "pass_at", "majority", "greedy") if key in model}
    return found | {"decoding": summary["decoding"], "process_seconds": round(seconds, 1)}


def comparison(work: Path, runs: dict[str, tuple[dict[str, Any], float]], name: str) -> dict[str, Any]:
    """Whether the solve rates lie in each other's intervals, for sampled (``records``) or greedy completions."""
    rates = {}
    for backend, (summary, _) in runs.items():
        (model,) = summary["models"]
        part = model if name == "records" else model["greedy"]
        rates[backend] = (part["solve_rate"], part["solve_interval"])
    (first, at_first), (second, at_second) = rates.values()
    agree = at_first[0] <= second <= at_first[1] and at_second[0] <= first <= at_second[1]
    records = {backend: read(work / backend, runs[backend][0]["models"][0]["label"], name) for backend in runs}
    return {"agree": agree, "paired": paired(records, *runs), "same_text": same_text(*records.values())}


def read(folder: Path, label: str, name: str) -> list[dict[str, Any]]:
    with (folder / label / f"{name}.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def same_text(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> float:
    """Share of completions that are the same letter for letter."""
    pairs = list(zip(first, second, strict=True))
    return round(sum(one["generation"] == other["generation"] for one, other in pairs) / len(pairs), 4)


def version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
