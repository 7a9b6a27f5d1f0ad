"""Building and proving a dataset the size of Countdown-Tasks-3to4, as whole processes, beside reasoning-gym.

python benchmarks/dataset.py --rows 490364 --rounds 5

Times ``build-dataset`` with prompts (four configs) and without, ``verify-dataset`` and importing the result, each
from the start of the interpreter, with its peak memory; then puzzles a second of our generator and of
reasoning-gym's on the same half-and-half mix, in this process. Needs ``pip install reasoning-gym`` for the peer.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PEER = "reasoning-gym"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=490_364)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-puzzles", type=int, default=300, help="puzzles that the peer makes of each size")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="countdown-r1-benchmark-") as folder:
        figures = measure_commands(Path(folder), options.rows, options.rounds)
    figures |= measure_generators(options.rows, options.peer_puzzles)
    for name, value in figures.items():
        print(f"{name:<44} {value}")
    if options.json:
        options.json.write_text(json.dumps({"rows": options.rows} | figures, indent=1) + "\n", encoding="utf-8")


def measure_commands(folder: Path, rows: int, rounds: int) -> dict[str, float]:
    """Median seconds and highest peak memory of each command."""
    whole, bare = str(folder / "whole"), str(folder / "bare")
    build = ["build-dataset", "--rows", str(rows), "--overwrite", "--out"]
    bare_file = str(Path(bare, "puzzles", "train-00000-of-00001.parquet"))
    commands = {
        "build en, zh and both as ChatML": [*build, whole],
        "build without prompts": [*build, bare, "--languages", "none"],
        "verify en, zh and both as ChatML": ["verify-dataset", whole],
        "import the train split without prompts": [
            *build,
            str(folder / "again"),
            "--languages",
            "none",
            "--source",
            bare_file,
        ],
    }
    figures: dict[str, float] = {}
    for name, command in commands.items():
        runs = [run_measured([sys.executable, "-m", "countdown_r1", *command], folder) for _ in range(rounds)]
        figures[f"{name} (seconds)"] = round(statistics.median(seconds for seconds, _ in runs), 2)
        figures[f"{name} (peak MB)"] = round(max(megabytes for _, megabytes in runs))
    return figures


def run_measured(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall time in seconds and peak resident memory in MB of a process and the largest of its children."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def measure_generators(rows: int, peer_puzzles: int) -> dict[str, float | str]:
    """Puzzles a second, half of 3 and half of 4 numbers: ours with labels, the peer's as it makes them."""
    from countdown_r1.build_dataset.generate import generate

    generate(1_000)  # forms are listed once
    ours = rows / timed(lambda: generate(rows, seed=1))
    figures: dict[str, float | str] = {"ours (puzzles a second, one process)": round(ours)}
    try:
        import reasoning_gym  # pyright: ignore[reportMissingImports]
    except ImportError:
        return figures | {PEER: "not installed"}

    def make(count: int) -> None:
        settings = {"min_numbers": count, "max_numbers": count, "max_target": 100, "size": peer_puzzles, "seed": 1}
        for _ in reasoning_gym.create_dataset("countdown", min_target=10, min_value=1, max_value=99, **settings):
            pass

    theirs = 2 * peer_puzzles / (timed(lambda: make(3)) + timed(lambda: make(4)))
    figures[f"{PEER} (puzzles a second)"] = round(theirs)
    return figures | {"ratio": round(ours / theirs)}


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
