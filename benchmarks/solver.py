"""Speed of the exact solver, and of a plain-Python one on the same puzzles.

    python benchmarks/solver.py --rounds 5 --json benchmarks/results/solver.json

Medians of some rounds after one that warms up, in CPU seconds of one process with one thread, so that other programs
disturb little. Puzzles solved one by one and texts are of "real" puzzles, which have a solution, as in the datasets:
numbers 1 to 99, targets 10 to 100. Those of six numbers have numbers 1 to 100 and targets 100 to 999, solvable or not.
The peer (``plain_solution``) combines two numbers at a time, exactly, and stops at the first solution.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from countdown_r1.game.batch import Ints, easiest_texts, solve_rows
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.game.solver import count_solutions, easiest_solution

LOW, HIGH = 10, 100
PEER_PUZZLES = {3: 400, 4: 150, 5: 4}
Figures = dict[str, float]
Int64s = npt.NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--puzzles", type=int, default=1000, help="puzzles solved one by one")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    figures: Figures = {}
    for name, value in [*tables(rng, options.rounds), *rows(rng, options.rounds), *alone(rng, options.puzzles)]:
        figures[name] = value
        digits = 0 if value >= 1000 else 1 if value >= 10 else 3
        print(f"{name:<58}{value:>14,.{digits}f}", flush=True)
    if options.json:
        settings = {"rounds": options.rounds, "puzzles": options.puzzles, "load_average": os.getloadavg()[0]}
        versions = {"python": platform.python_version(), "numpy": np.__version__, "pyarrow": pa.__version__}
        options.json.write_text(json.dumps({"figures": figures, "settings": settings | versions}, indent=2) + "\n")
        print(options.json)


def tables(rng: np.random.Generator, rounds: int) -> Iterator[tuple[str, float]]:
    """Every target in range of many number sets."""
    axes = np.meshgrid(*[np.arange(1, 100)] * 3, indexing="ij")
    triples = np.stack([axis.ravel() for axis in axes], axis=1)
    triples = triples[(np.diff(triples, axis=1) >= 0).all(axis=1)]
    seconds = median_seconds(lambda: solve_rows(triples, LOW, HIGH), rounds)
    yield "3 numbers, all 166,650 sets x 91 targets: seconds", seconds
    yield "3 numbers, 91 targets: sets/s", len(triples) / seconds
    quads = rng.integers(1, 100, (50_000, 4))
    yield "4 numbers, 91 targets: sets/s", len(quads) / median_seconds(lambda: solve_rows(quads, LOW, HIGH), rounds)


def rows(rng: np.random.Generator, rounds: int) -> Iterator[tuple[str, float]]:
    """One target for each row, and texts."""
    for count, number in ((3, 200_000), (4, 200_000), (5, 5_000)):
        nums, targets = rng.integers(1, 100, (number, count)), rng.integers(LOW, HIGH + 1, number)
        seconds = median_seconds(lambda nums=nums, targets=targets: solve_rows(nums, targets, targets), rounds)
        yield f"{count} numbers, one target: rows/s", number / seconds
    for count in (3, 4):
        nums, _, form = real(rng, count, 200_000)
        seconds = median_seconds(lambda nums=nums, form=form: easiest_texts(nums, form), rounds)
        yield f"{count} numbers, easiest solution as text: rows/s", len(nums) / seconds


def alone(rng: np.random.Generator, puzzles: int) -> Iterator[tuple[str, float]]:
    """One puzzle at a time, against the peer; and the first of a process."""
    for count in (3, 4, 5, 6):
        some = [Puzzle(tuple(nums), target) for nums, target in puzzles_of(rng, count, puzzles)]
        yield f"{count} numbers, first puzzle of a process: ms", first_milliseconds(some[0])
        taken = [seconds_of(lambda puzzle=puzzle: easiest_solution(puzzle)) for puzzle in some]
        yield f"{count} numbers, one at a time: puzzles/s", len(taken) / sum(taken)
        yield f"{count} numbers, one at a time: worst ms", 1000 * max(taken)
        if count in PEER_PUZZLES:
            few = some[: PEER_PUZZLES[count]]
            plain = sum(seconds_of(lambda puzzle=puzzle: plain_solution(puzzle.nums, puzzle.target)) for puzzle in few)
            yield f"{count} numbers, plain Python: puzzles/s", len(few) / plain
            yield f"{count} numbers, times as fast as plain Python", plain / len(few) * len(taken) / sum(taken)
    counted = [seconds_of(lambda puzzle=puzzle: count_solutions(puzzle)) for puzzle in some[:100]]
    yield "6 numbers, counting all solutions: median ms", 1000 * statistics.median(counted)
    yield "6 numbers, counting all solutions: worst ms of 100", 1000 * max(counted)


def puzzles_of(rng: np.random.Generator, count: int, number: int) -> Iterator[tuple[list[int], int]]:
    if count == 6:
        nums, targets = rng.integers(1, 101, (number, count)), rng.integers(100, 1000, number)
    else:
        nums, targets, _ = real(rng, count, number)
    return zip(nums.tolist(), targets.tolist(), strict=True)


def real(rng: np.random.Generator, count: int, number: int) -> tuple[Ints, Int64s, Int64s]:
    """Numbers, targets and easiest forms of puzzles with a solution, every solvable target equally likely."""
    nums = rng.integers(1, 100, (max(64, number // (2 if count == 3 else 10)), count))
    cells = solve_rows(nums, LOW, HIGH)
    chosen = rng.integers(len(cells.row), size=number)
    return nums[cells.row[chosen]], cells.target[chosen], cells.form[chosen]


def median_seconds(run: Callable[[], Any], rounds: int) -> float:
    return statistics.median([seconds_of(run) for _ in range(rounds + 1)][1:])


def seconds_of(run: Callable[[], Any]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def first_milliseconds(puzzle: Puzzle) -> float:
    """Time of the first call in a new process, imports not counted."""
    code = (
        "import time; from countdown_r1.game.puzzle import Puzzle\n"
        "from countdown_r1.game.solver import easiest_solution\n"
        f"began = time.process_time(); easiest_solution({puzzle!r}); print(time.process_time() - began)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return 1000 * float(done.stdout)


Item = tuple[int, int, str]
"""Numerator, denominator and text of a value."""


def plain_solution(nums: Sequence[int], target: int) -> str | None:
    """A solution, or None when there is none: two values at a time are replaced by what they make."""
    return _combine([(number, 1, str(number)) for number in nums], target, set())


def _combine(items: list[Item], target: int, seen: set[tuple[tuple[int, int], ...]]) -> str | None:
    if len(items) == 1:
        numerator, denominator, text = items[0]
        return text if numerator == target * denominator else None
    key = tuple(sorted((numerator, denominator) for numerator, denominator, _ in items))
    if key in seen:
        return None
    seen.add(key)
    for i, j in combinations(range(len(items)), 2):
        others = [item for place, item in enumerate(items) if place not in (i, j)]
        for made in _made(items[i], items[j]):
            found = _combine([*others, made], target, seen)
            if found is not None:
                return found
    return None


def _made(left: Item, right: Item) -> Iterator[Item]:
    (a, b, x), (c, d, y) = left, right
    if a * d < c * b:
        (a, b, x), (c, d, y) = right, left
    yield a * d + c * b, b * d, f"({x} + {y})"
    yield a * d - c * b, b * d, f"({x} - {y})"
    yield a * c, b * d, f"{x} * {y}"
    if c:
        yield a * d, b * c, f"({x} / {y})"
    if a:
        yield b * c, a * d, f"({y} / {x})"


if __name__ == "__main__":
    main()
