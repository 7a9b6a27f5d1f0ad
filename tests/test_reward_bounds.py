"""Any completion: its judges agree, at most 100 ms of a processor and 8 times its size of memory for every megabyte."""

from __future__ import annotations

import importlib
import math
import runpy
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from countdown_r1.game.answer import judge
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.train import rewards
from countdown_r1.train.reward_functions import SHIPPED

TESTS = Path(__file__).parent
CORPUS = sorted((TESTS / "corpus").iterdir())
check_properties: Callable[[bytes], None] = runpy.run_path(str(TESTS / "completion_properties.py"))["check_properties"]
MB = 1_000_000
SECONDS_PER_MB, TIMES_THE_INPUT = 0.100, 8  # on an idle core 0.048 at most, 0.072 by an article's own rule
TRIES = 3  # the best one counts: neighbours on a busy machine slow the caches down
FLOOR_BYTES = 500_000
COLUMNS: dict[str, Any] = {"nums": [[1, 2]], "target": [3], "prompts": ["Using the numbers"]}
PUZZLE = Puzzle((1, 2), 3)


def filled(piece: str, before: str = "", after: str = "", size: int = 10 * MB) -> str:
    """``piece`` repeated to ``size`` bytes of UTF-8."""
    return before + piece * (size // len(piece.encode("utf-8", "surrogatepass"))) + after


ANSWER = "</think>\n<answer>"
TAGS = ("<think>", "</think>", "<answer>", "</answer>", "</think><answer>")
PIECES = (*TAGS, *"+*/()=\n×−０≠", " - ", "**", "3.5", "equals", "55", "36", "19", "7", "3", "5", "8", "65")
TOKENS = (*"+-*/()", "3", "5", "8", "19", "36", "55", "7", "2", "6", "1", "0")
HOSTILE: dict[str, Callable[[], str]] = {
    "less-than signs": lambda: filled("<"),
    "less-than signs after the thought": lambda: filled("<", "</think>"),
    "opened answers": lambda: filled("<answer>"),
    "opened answers after the thought": lambda: filled("<answer>", "</think>"),
    "opened answers, one to a line": lambda: filled("<answer>\n", "</think>", "</answer>", MB),
    "closed answers": lambda: filled("</answer>"),
    "closed answers after the thought": lambda: filled("</answer>", "</think>"),
    "100,000 unclosed tags": lambda: "<think><answer></think><answer>" * 25_000,
    "opened thoughts": lambda: filled("<think>"),
    "closed thoughts": lambda: filled("</think>"),
    "cut tags": lambda: filled("</answer", "</think>"),
    "answers in answers": lambda: "</think>" + "<answer>" * 300_000 + "</answer>" * 300_000,
    "equal answers": lambda: filled("<answer>1+2</answer>", "</think>", "", MB),
    "short answers": lambda: filled("<answer>12</answer>", "</think>", "", MB),
    "empty answers": lambda: filled("<answer></answer>", "</think>", "", MB),
    "answers of emoji": lambda: filled("<answer>🧮</answer>", "🧮</think>", "", MB),
    "short answers and one emoji": lambda: filled("<answer>12</answer>", "a" * MB + "</think>", "🧮", MB),
    "other wordings of an answer": lambda: (
        "</think>" + "".join(f"<answer>{n}-{n - 3}</answer>" for n in range(3, 50_000)) + "<answer>1+2</answer>"
    ),
    "answers of 1,000 characters": lambda: filled(f"<answer>{'1/7+' * 245}1+2</answer>", "</think>", "", MB),
    "parentheses": lambda: filled("(", ANSWER, "</answer>"),
    "deep parentheses": lambda: ANSWER + "(" * 4 * MB + "1" + ")" * 4 * MB + "</answer>",
    "minus signs": lambda: filled("-", ANSWER, "1</answer>"),
    "100,000 minus signs": lambda: ANSWER + "-" * 100_000 + "1</answer>",
    "digits": lambda: filled("9", ANSWER, "</answer>"),
    "full-width digits": lambda: filled("９", ANSWER, "</answer>"),
    "a tower of powers": lambda: filled("**9", f"{ANSWER}9", "</answer>"),
    "a long product": lambda: filled("*999999999999", f"{ANSWER}9", "</answer>"),
    "NUL bytes": lambda: filled("\0", ANSWER, "</answer>"),
    "lone surrogates": lambda: filled("\ud800", ANSWER, "</answer>"),
    "spaces": lambda: filled(" "),
    "spaces after the thought": lambda: filled(" ", "</think>"),
    "line breaks": lambda: filled("\n", "<think>"),
    "equals signs in the thought": lambda: filled("="),
    "false sums in the thought": lambda: filled("1+1=3\n"),
    "true sums in the thought": lambda: filled("1+1=2\n"),
    "two languages in turn": lambda: filled("aa中"),
    "exclamation marks": lambda: filled("!"),
    "ordinary words": lambda: filled("Try 86 - 3 = 83. Left: 83, 68. "),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_completion_takes_more_than_its_share_of_time_and_memory(kind: str) -> None:
    text = HOSTILE[kind]()
    size = len(text.encode("utf-8", "surrogatepass"))
    limit = SECONDS_PER_MB * max(1, size / MB)
    for reward in SHIPPED.values():
        (score,) = call(reward, text)
        seconds = least_seconds(lambda judging=reward: call(judging, text), limit)
        assert score <= (1.0 if "equal answers" in kind or "format" in reward.__name__ else 0.0)
        assert seconds < limit, f"{reward.__name__}: {seconds / size * MB:.3f} s per MB"
        assert extra_bytes(reward, text) < TIMES_THE_INPUT * size + FLOOR_BYTES, reward.__name__
    assert least_seconds(lambda: judge(PUZZLE, text), limit) < limit


def least_seconds(work: Callable[[], object], limit: float) -> float:
    """Processor seconds of the quickest of ``TRIES`` runs; one within the limit is quick enough."""
    least = math.inf
    for _ in range(TRIES):
        began = time.thread_time()
        work()
        least = min(least, time.thread_time() - began)
        if least < limit:
            break
    return least


def call(reward: Callable[..., list[float]], text: str) -> list[float]:
    rewards._parsed.cache_clear()  # pyright: ignore[reportPrivateUsage] - or only the first reward would be measured
    return reward([text], **COLUMNS)


def extra_bytes(reward: Callable[..., list[float]], text: str) -> int:
    """The most that was allocated at once while ``text`` was judged."""
    tracemalloc.start()
    try:
        call(reward, text)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_only_one_batch_is_remembered() -> None:
    tracemalloc.start()
    try:
        for number in range(20):
            rewards.format_reward([f"{number}" + "x" * MB])
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 3 * MB


@settings(max_examples=400, deadline=None)
@given(
    first=st.integers(0, 255),
    pieces=st.lists(
        st.sampled_from(PIECES) | st.text(max_size=4),
        max_size=24,
    ),
)
def test_the_judges_of_any_text_agree(first: int, pieces: list[str]) -> None:
    check_properties(bytes([first]) + "".join(pieces).encode("utf-8", "surrogatepass"))


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
@example(b"")
@example(b"\x00</think><answer>\xff</answer>")
def test_the_judges_of_any_bytes_agree(data: bytes) -> None:
    check_properties(data)


@settings(max_examples=400, deadline=None)
@given(
    first=st.integers(0, 3),
    tokens=st.lists(
        st.sampled_from([*"+-*/()", "3", "5", "8", "19", "36", "55", "7", "2", "6", "1", "0"]), max_size=14
    ),
)
def test_the_judges_of_any_expression_agree(first: int, tokens: list[str]) -> None:
    check_properties(bytes([first]) + f"</think><answer>{' '.join(tokens)}</answer>".encode())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_a_fuzzer_once_found_worth_keeping_is_judged_alike(path: Path) -> None:
    check_properties(path.read_bytes())


def test_the_corpus_stays_small() -> None:
    assert len(CORPUS) > 30
    assert sum(path.stat().st_size for path in CORPUS) < 50_000


def test_both_rewards_are_faster_than_a_judge_on_the_syntax_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TESTS.parent / "benchmarks"))
    benchmark: Any = importlib.import_module("rewards")
    figures = benchmark.measure(benchmark.make_samples(512, 3), batch=64, rounds=3)
    assert figures["ours"]["ratio"] == 1.0
    assert figures["syntax tree and Fraction"]["ratio"] > 1.1
    assert {row["verdict"] for row in benchmark.misbehaviours() if row["eval"] == "refuses"} == {"solved"}
    assert "solved" not in {row["verdict"] for row in benchmark.misbehaviours() if row["eval"] != "refuses"}
