"""Seconds that a shipped model takes on a CPU for a puzzle of three numbers, greedy: what a visitor waits for.

    python benchmarks/tiny_seconds.py [--model tiny] [--n 100] [--threads 2]

English and Chinese take turns, as the page and ``countdown-r1 solve`` write; transformers' own ``generate`` answers the
first ``--generate`` of the same puzzles in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from importlib import metadata
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch

from countdown_r1 import models
from countdown_r1.build_dataset.generate import Wish, generate
from countdown_r1.build_dataset.prompt import LANGUAGES, load_template, prompt_text
from countdown_r1.build_dataset.puzzles import as_puzzles
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.space.stream import load_writer, stream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--generate", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/tiny/seconds.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0]
    writer = load_writer(options.model)
    puzzles = as_puzzles(generate(options.n, Wish((3,), splits=("test",)), seed=2026))
    asked = [(puzzle, LANGUAGES[place % len(LANGUAGES)]) for place, puzzle in enumerate(puzzles)]
    for _ in stream(writer, *asked[0], temperature=0.0):
        pass  # the first one warms up
    seconds, tokens, right = [], 0, 0
    for puzzle, language in asked:
        *_, last = stream(writer, puzzle, language, temperature=0.0)
        seconds.append(last.seconds)
        tokens += last.n_tokens
        right += bool(last.verdict and last.verdict.solved)
    model, tokenizer = models.load(options.model)
    plain = [generated(model, tokenizer, *one) for one in asked[: options.generate]]
    found = {
        "command": f"python benchmarks/tiny_seconds.py --model {Path(options.model).name} --n {options.n}",
        "threads": options.threads,
        "cores": os.cpu_count(),
        "load_average_before": round(load, 2),
        "puzzles": len(asked),
        "solved": right / len(asked),
        "median_seconds": round(median(seconds), 3),
        "95th_percentile_seconds": round(quantiles(seconds, n=20)[-1], 3),
        "tokens_a_second": round(tokens / sum(seconds), 1),
        "median_seconds_of_generate": round(median(plain), 3) if plain else None,
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in ("torch", "transformers")},
    }
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


def generated(model: Any, tokenizer: Any, puzzle: Puzzle, language: str) -> float:
    """Seconds of transformers' ``generate`` for the same prompt."""
    prompt = prompt_text(tokenizer, load_template(language), puzzle)
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
    began = time.perf_counter()
    model.generate(**ids, do_sample=False, max_new_tokens=2048)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
