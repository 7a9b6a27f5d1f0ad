"""Time of both rewards on real-looking completions, beside an eval-based judge and one on Python's syntax tree.

python benchmarks/rewards.py --rounds 7 --json FILE

Judges the completions of ``completions.py`` in batches as a trainer does: format and equation, a fresh string each
time. Then judges what eval-based rewards were seen to do wrong. Use one quiet core.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from completions import Sample, apply, make_samples

from countdown_r1.game.answer import judge
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.train.article_rewards import article_equation_reward, article_format_reward
from countdown_r1.train.rewards import equation_reward, format_reward

# Seen of rewards that pass a completion to eval: what they did, the puzzle, the text after the closed thought.
MISBEHAVIOURS = (
    ("hangs", (9, 9, 9), 65, "<answer>9**9**9</answer>"),
    ("hangs", (1, 2, 3), 6, "<answer>" * 100_000),
    ("pays", (2, 6, 1), 65, "<answer>2**6 + 1</answer>"),
    ("pays", (7, 2, 62), 65, "<answer>7//2 + 62</answer>"),
    ("pays", (3, 5, 2, 58), 65, "<answer>3.5*2 + 58</answer>"),
    ("pays", (60, 5), 65, "<answer>060. + 5</answer>"),
    ("pays", (60, 5), 65, "<answer>60 + 5</answer> or rather <answer>60 - 5</answer>"),
    ("pays", (65, 1, 97, 98, 99), 65, "<answer>65 + 1 / (97 * 98 * 99)</answer>"),
    ("refuses", (60, 5), 65, "<answer>60\n+ 5</answer>"),
    ("refuses", (30, 2, 5), 65, "<answer>30 × 2 + 5</answer>"),
    ("refuses", (60, 3, 45), 65, "<answer>60 ÷ 3 + 45</answer>"),
    ("refuses", (70, 5), 65, "<answer>70 − 5</answer>"),
    ("refuses", (60, 5), 65, "<answer>（60 + 5） ＝ 65</answer>"),
    ("refuses", (60, 5), 65, "<answer>60 + 5 = 65</answer>"),
    ("refuses", (60, 5), 65, "<answer>60\u00a0+\u00a05</answer>"),
    ("recursion error", (1, 2, 3), 6, "<answer>" + "-" * 100_000 + "1</answer>"),
    ("1.3 GB", (1, 2, 3), 6, "<" * 10_000_000),
)


Judge = Callable[[list[str], list[list[int]], list[int]], tuple[list[float], list[float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--completions", type=int, default=2_000)
    parser.add_argument("--batch", type=int, default=64, help="completions judged in one call, as in the demo recipe")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    samples = make_samples(options.completions, options.seed)
    figures = measure(samples, options.batch, options.rounds)
    verdicts = misbehaviours()
    print_figures(figures, verdicts, samples)
    if options.json:
        settings = {name: getattr(options, name) for name in ("completions", "batch", "rounds", "seed")}
        written = {"settings": settings, "load": os.getloadavg()[0], "judges": figures, "misbehaviours": verdicts}
        options.json.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def ours(completions: list[str], nums: list[list[int]], target: list[int]) -> tuple[list[float], list[float]]:
    return format_reward(completions), equation_reward(completions, nums=nums, target=target)


def article_mode(completions: list[str], nums: list[list[int]], target: list[int]) -> tuple[list[float], list[float]]:
    return article_format_reward(completions), article_equation_reward(completions, nums=nums, target=target)


_FORM = re.compile(r"<think>[^<]*(?:<(?!/?think>)[^<]*)*</think>\n<answer>.*?</answer>$", re.DOTALL)
_THOUGHT_AND_ANSWER = re.compile(r"[^<]*</think>\s*<answer>([^<]*)</answer>\s*")


def eval_judge(completions: list[str], nums: list[list[int]], target: list[int]) -> tuple[list[float], list[float]]:
    """The tutorial's rules the way it follows them, with regular expressions and eval; safe inputs only."""
    with alarm(10):
        formed = [float(_FORM.match(f"<think>{text}") is not None) for text in completions]
        solved = [float(eval_solves(*row)) for row in zip(completions, nums, target, strict=True)]
    return formed, solved


def eval_solves(completion: str, nums: list[int], target: int) -> bool:
    try:
        found = re.search(r"<answer>(.*?)</answer>", f"<think>{completion}")
        expression = found[1].strip() if found else ""
        if sorted(int(digits) for digits in re.findall(r"\d+", expression)) != sorted(nums):
            return False
        if not re.fullmatch(r"[\d+\-*/().\s]+", expression):
            return False
        return abs(float(eval(expression, {"__builtins__": None}, {})) - target) < 1e-5  # what is measured
    except (SyntaxError, TypeError, ValueError, ArithmeticError):
        return False


def tree_judge(completions: list[str], nums: list[list[int]], target: list[int]) -> tuple[list[float], list[float]]:
    """Exact, over Python's own syntax tree and Fractions."""
    found = [_THOUGHT_AND_ANSWER.fullmatch(text) for text in completions]
    rows = zip(found, nums, target, strict=True)
    return [float(one is not None) for one in found], [float(tree_solves(*row)) for row in rows]


def tree_solves(found: re.Match[str] | None, nums: list[int], target: int) -> bool:
    used: list[int] = []
    try:
        tree = ast.parse(found[1].strip() if found else "", mode="eval")
        return tree_value(tree.body, used) == target and sorted(used) == sorted(nums)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return False


def tree_value(node: ast.expr, used: list[int]) -> Fraction:
    match node:
        case ast.Constant(int() as number):
            used.append(number)
            return Fraction(number)
        case ast.BinOp(left, kind, right):
            operator = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}.get(type(kind), "")
            if operator:
                return apply(operator, tree_value(left, used), tree_value(right, used))
    raise ValueError("not a Countdown expression")


JUDGES: dict[str, Judge] = {
    "ours": ours,
    "article rules with eval": eval_judge,
    "syntax tree and Fraction": tree_judge,
    "our article mode": article_mode,
}


@contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """End the program, by the signal's default action, when the block takes longer."""
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def measure(samples: Sequence[Sample], batch: int, rounds: int) -> dict[str, dict[str, Any]]:
    """Per judge: microseconds a completion, the median over batches and rounds, judges taking turns."""
    batches = [samples[start : start + batch] for start in range(0, len(samples), batch)]
    times: dict[str, list[float]] = {name: [] for name in JUDGES}
    paid = {name: {"formed": 0, "solved": 0} for name in JUDGES}
    for number in range(rounds + 1):
        for part in batches:
            for name, run in JUDGES.items():
                fresh = [(sample.completion + " ")[:-1] for sample in part]  # a new string, as a tokenizer gives
                columns = [list(sample.nums) for sample in part], [sample.target for sample in part]
                began = time.perf_counter()
                formed, solved = run(fresh, *columns)
                seconds = time.perf_counter() - began
                if number:
                    times[name].append(seconds / len(part) * 1e6)
                else:  # the first round warms up
                    paid[name]["formed"] += int(sum(formed))
                    paid[name]["solved"] += int(sum(solved))
    fastest = statistics.median(times["ours"])
    return {
        name: {
            "microseconds": round(statistics.median(values), 2),
            "ratio": round(statistics.median(values) / fastest, 2),
            **paid[name],
        }
        for name, values in times.items()
    }


def misbehaviours() -> list[dict[str, Any]]:
    """Our verdict on each input that an eval-based reward was seen to get wrong."""
    rows = []
    for seen, nums, target, text in MISBEHAVIOURS:
        began = time.perf_counter()
        verdict = judge(Puzzle(nums, target), f"thought</think>\n{text}")
        milliseconds = round((time.perf_counter() - began) * 1e3, 2)
        shown = text if len(text) < 80 else f"{text[:16]}... {len(text):,} characters"
        row = {"eval": seen, "nums": nums, "target": target, "text": shown}
        rows.append(row | {"verdict": verdict.status.value, "reason": verdict.reason, "milliseconds": milliseconds})
    return rows


def print_figures(figures: dict[str, dict[str, Any]], verdicts: list[dict[str, Any]], samples: list[Sample]) -> None:
    lengths = [len(sample.completion) for sample in samples]
    print(f"{len(samples):,} completions, {min(lengths)} to {max(lengths)} characters; load {os.getloadavg()[0]:.2f}")
    print(f"{'both rewards':<28}{'us each':>10}{'ratio':>8}{'formed':>8}{'solved':>8}")
    for name, row in figures.items():
        print(f"{name:<28}{row['microseconds']:>10.2f}{row['ratio']:>8.2f}{row['formed']:>8}{row['solved']:>8}")
    print(f"\n{'with eval':<18}{'ours':<16}{'ms':>6}  answer")
    for row in verdicts:
        print(f"{row['eval']:<18}{row['verdict']:<16}{row['milliseconds']:>6.2f}  {row['text']!r} -> {row['target']}")


if __name__ == "__main__":
    main()
