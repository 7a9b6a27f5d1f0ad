"""The tutorial's own rules: paid as its functions pay, without their hangs and crashes."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countdown_r1.errors import InputError
from countdown_r1.train.article_rewards import article_equation_reward, article_format_reward
from countdown_r1.train.rewards import equation_reward, format_reward

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
PIECES = ["1", "2", "3", "5", "60", "0", "+", "-", "*", "/", "(", ")", "//", ".", "5.", "\t", "\r", " ", "\u00a0", "３"]


@pytest.fixture(scope="module")
def benchmark() -> Any:
    """``benchmarks/rewards.py``, whose eval-based judge follows the tutorial's rules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("rewards")


def scores(completion: str, nums: list[int], target: int) -> tuple[float, float]:
    (formed,) = article_format_reward([completion])
    (solved,) = article_equation_reward([completion], nums=[nums], target=[target])
    return formed, solved


@pytest.mark.parametrize("seed", [0, 1])
def test_both_rewards_agree_with_the_tutorials_rules_on_real_looking_completions(benchmark: Any, seed: int) -> None:
    samples = benchmark.make_samples(2_000, seed)
    texts = [sample.completion for sample in samples]
    columns = [sample.nums for sample in samples], [sample.target for sample in samples]
    judged = benchmark.article_mode(texts, *columns)
    assert judged == benchmark.eval_judge(texts, *columns)
    assert all(400 < sum(column) < 1_900 for column in judged)
    exact = benchmark.ours(texts, *columns)
    kinds = {sample.kind for sample, *scored in zip(samples, *judged, *exact, strict=True) if scored[:2] != scored[2:]}
    assert {"equals", "typography", "line break", "blank line", "answers agree"} <= kinds
    assert not kinds & {"right", "wrong value", "wrong numbers", "no answer", "decimals", "words"}


@pytest.mark.filterwarnings("ignore::SyntaxWarning")  # Python's, of what eval is given
@settings(max_examples=400, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=9))
def test_the_equation_reward_agrees_with_eval_on_any_expression(benchmark: Any, pieces: list[str]) -> None:
    expression = "".join(pieces)
    nums = [int(digits) for digits in re.findall(r"\d+", expression)][:6] or [1]
    if not all(1 <= number <= 10_000 for number in nums):
        nums = [1]
    for target in (65, sum(nums), nums[0], nums[0] - sum(nums[1:])):
        completion = f"x</think>\n<answer>{expression}</answer>"
        paid = bool(article_equation_reward([completion], nums=[nums], target=[target])[0])
        assert paid == benchmark.eval_solves(completion, nums, target)


@settings(max_examples=400, deadline=None)
@given(
    pieces=st.lists(
        st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "\n", "</think>\n<answer>", "a", "<", " "])
    )
)
def test_the_format_reward_agrees_with_the_regular_expression_on_any_tags(benchmark: Any, pieces: list[str]) -> None:
    completion = "".join(pieces)
    assert [[float(one)] for one in scores(completion, [1], 1)] == list(benchmark.eval_judge([completion], [[1]], [1]))


@pytest.mark.parametrize(
    ("answer", "nums", "target"),
    [
        ("2**6 + 1", [2, 6, 1], 65),
        ("7//2 + 62", [7, 2, 62], 65),
        ("3.5*2 + 58", [3, 5, 2, 58], 65),
        ("060. + 5", [60, 5], 65),
        ("65 + 1 / (97 * 98 * 99)", [65, 1, 97, 98, 99], 65),
        ("60 - -5", [60, 5], 65),
        ("60 + 5</answer> <answer>60 - 5", [60, 5], 65),
        ("60\t+ 5", [60, 5], 65),
    ],
)
def test_what_the_tutorial_pays_is_paid_here_and_not_by_the_exact_reward(
    answer: str, nums: list[int], target: int
) -> None:
    completion = f"x</think>\n<answer>{answer}</answer>"
    assert scores(completion, nums, target) == (1.0, 1.0)
    strict = equation_reward([completion], nums=[nums], target=[target])
    assert strict == [float(answer == "60\t+ 5")]


@pytest.mark.parametrize(
    "answer",
    [
        "60 + 5 = 65",
        "60 ＋ 5",
        "60\n+ 5",
        "60\u00a0+ 5",
        "６０ + 5",
        "(60)(5)",
        "60 5",
        "60 + 5 # yes",
        "",
        "60,5",
        "60 + 5 * ()",
    ],
)
def test_what_the_tutorial_refuses_is_refused(answer: str) -> None:
    assert scores(f"x</think>\n<answer>{answer}</answer>", [60, 5], 65) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("x <answer>60 + 5</answer>", (0.0, 1.0)),
        ("<answer>60 + 5</answer></think>\n<answer>1</answer>", (1.0, 1.0)),
        ("x</think>\n<answer>1</answer> or <answer>60 + 5</answer>", (1.0, 0.0)),
        ("x</think>\n<answer>60 +\n 5</answer>\n<answer>60 + 5</answer>", (1.0, 1.0)),
        ("x</think>\n<answer>60 + 5</answer>\n", (1.0, 1.0)),
        ("x</think>\n<answer>60 + 5</answer>\n\n", (0.0, 1.0)),
        ("x</think><answer>60 + 5</answer>", (0.0, 1.0)),
        ("x</think>\n\n<answer>60 + 5</answer>", (0.0, 1.0)),
        ("<think>x</think>\n<answer>60 + 5</answer>", (0.0, 1.0)),
        ("x</think>\n<answer>", (0.0, 0.0)),
        ("x</think>\n<answer></answer", (0.0, 0.0)),
        ("", (0.0, 0.0)),
    ],
)
def test_places_and_tags_follow_the_tutorial(completion: str, expected: tuple[float, float]) -> None:
    assert scores(completion, [60, 5], 65) == expected


@pytest.mark.parametrize(
    "answer",
    [
        "9**9**9",
        "9**(9**9)",
        "9**-9**9",
        "(9**9)**(9*9)",
        "(0-9)**.9",
        "9/(9-9)",
        "9//(9-9)",
        "(9-9)**-9",
        "-" * 999 + "9",
        "-" * 100_000 + "9",
        "(" * 100_000 + "9" + ")" * 100_000,
        "(" * 300 + "9" + ")" * 300,
        "9" * 5_000,
        "9" + "*9" * 100_000,
        "...",
        "9" * 900 + ".",
    ],
    ids=range(16),
)
def test_what_hangs_or_crashes_the_tutorials_functions_earns_nothing(answer: str) -> None:
    nums = [9] * min(6, len(re.findall(r"\d+", answer)) or 1)
    assert scores(f"</think>\n<answer>{answer}</answer>", nums, 65) == (1.0, 0.0)


def test_chat_messages_and_other_numbers_are_read_and_bad_rows_are_errors() -> None:
    turns = [{"role": "assistant", "content": "x</think>\n<answer>60 + 5</answer>"}]
    assert article_format_reward([turns]) == format_reward([turns]) == [1.0]
    assert article_equation_reward([turns], nums=["[60, 5]"], target=["65"]) == [1.0]
    with pytest.raises(InputError, match="row 0 is not a puzzle"):
        article_equation_reward([turns], nums=[None], target=[65])
