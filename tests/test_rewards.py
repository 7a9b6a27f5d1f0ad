"""Rewards in the signature TRL calls, with Mini-R1's own vectors, and rewards out of a user's file."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countdown_r1.errors import InputError
from countdown_r1.train.reward_functions import SAMPLES, SUCCESSES, load_reward, recorded
from countdown_r1.train.rewards import equation_reward, format_reward

NUMS, TARGET = [19, 36, 55, 7], 65
RIGHT = (
    "We need to find an equation using the numbers 19, 36, 55, and 7 exactly once, with basic arithmetic operations, "
    "that equals 65. One possible combination is 55 + 36 - 19 + 7... </think>\n<answer> 55 + 36 - 7 - 19 </answer>"
)
WRONG = RIGHT.replace("- 7 - 19 <", "- 7 - 18 <")
PLAIN = "User: Using the numbers [19, 36, 55, 7], create an equation that equals 65."
TWO_THOUGHTS = (
    "To find the equation that equals 65 using the numbers 19, 36, 55, and 7, we can try:</think> "
    "<think> 55 + 36 - 7 - 19 = 65 </think>\n<think> That is the answer. </think>"
    "<answer> 55 + 36 - 7 - 18 </answer>"
)
PAID = """
def brevity(completions, **_):
    return [1.0 / (1 + len(text)) for text in completions]
"""


def scores(completion: Any, nums: Any = NUMS, target: Any = TARGET) -> tuple[float, float]:
    (formed,) = format_reward([completion], nums=[nums], target=[target])
    (solved,) = equation_reward([completion], nums=[nums], target=[target])
    return formed, solved


@pytest.mark.parametrize(
    ("completion", "expected"),
    [(RIGHT, (1.0, 1.0)), (WRONG, (1.0, 0.0)), (PLAIN, (0.0, 0.0)), (TWO_THOUGHTS, (0.0, 0.0))],
    ids=["right", "a number that was not given", "no tags", "two thoughts after text"],
)
def test_the_vectors_of_mini_r1(completion: str, expected: tuple[float, float]) -> None:
    assert scores(completion) == expected


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("</think><answer>55 + 36 - 7 - 19</answer>", (1.0, 1.0)),
        ("<think>x</think>\n<answer>55 + 36 - 7 - 19 = 65</answer>\n", (1.0, 1.0)),
        ("x</think>So: <answer>55 + 36 - 7 - 19</answer>", (0.0, 1.0)),
        ("x</think><answer>1</answer><answer>55 + 36 - 7 - 19</answer>", (0.0, 0.0)),
        ("x</think><answer>55 + 36 - 7 - 19", (0.0, 0.0)),
        ("x <answer>55 + 36 - 7 - 19</answer>", (0.0, 0.0)),
        ("<answer>55 + 36 - 7 - 19</answer></think>", (0.0, 0.0)),
        ("x</think><answer>65</answer>", (1.0, 0.0)),
        ("x</think><answer></answer>", (1.0, 0.0)),
        ("", (0.0, 0.0)),
    ],
)
def test_the_two_rewards_are_paid_apart(completion: str, expected: tuple[float, float]) -> None:
    assert scores(completion) == expected


def test_chat_completions_are_judged_by_their_content() -> None:
    assert scores([{"role": "assistant", "content": RIGHT}]) == (1.0, 1.0)
    assert scores([{"role": "assistant", "content": WRONG}]) == (1.0, 0.0)


@pytest.mark.parametrize("solve_it", [True, False])
@pytest.mark.parametrize(
    ("nums", "target"),
    [
        (np.array(NUMS), np.int64(TARGET)),
        ([np.int32(number) for number in NUMS], np.float64(65.0)),
        (["19", "36", "55", "7"], "65"),
        (tuple(NUMS), 65.0),
    ],
    ids=["numpy array", "numpy scalars", "strings", "a tuple and a float"],
)
def test_numbers_may_come_as_data_libraries_hand_them_out(nums: Any, target: Any, solve_it: bool) -> None:
    assert scores(RIGHT if solve_it else WRONG, nums, target) == (1.0, float(solve_it))


@pytest.mark.parametrize(
    ("nums", "target"),
    [
        ([], 65),
        (None, 65),
        ([19, None, 55], 65),
        ([19, "x", 55], 65),
        ([19, 36.5, 55], 65),
        ([True, 36, 55], 65),
        ([0, 36, 55], 65),
        ("19365", 65),
        (b"19", 65),
        (NUMS, None),
        (NUMS, ""),
        (NUMS, float("nan")),
        (NUMS, float("inf")),
        (NUMS, 10**30),
        (NUMS, "9" * 5_000),
        ([[19]], 65),
    ],
)
def test_a_row_that_is_no_puzzle_is_named(nums: Any, target: Any) -> None:
    with pytest.raises(InputError, match="row 1 is not a puzzle") as raised:
        equation_reward([RIGHT, RIGHT], nums=[NUMS, nums], target=[TARGET, target])
    assert "\n" not in str(raised.value)


def test_each_completion_is_judged_for_its_own_row() -> None:
    completions = ["</think><answer>1 + 2</answer>", "</think><answer>2 * 4</answer>", "</think><answer>1 + 2</answer>"]
    rows: dict[str, Any] = {"nums": [[1, 2], [2, 4], [1, 3]], "target": [3, 8, 3]}
    assert equation_reward(completions, **rows) == [1.0, 1.0, 0.0]


def test_whatever_else_a_trainer_passes_is_ignored() -> None:
    extra: dict[str, Any] = {"prompts": ["p"], "completion_ids": [[1]], "trainer_state": object(), "log_metric": print}
    assert equation_reward(completions=[RIGHT], nums=[NUMS], target=[TARGET], **extra) == [1.0]
    assert format_reward(completions=[RIGHT], **extra) == [1.0]


HOSTILE = {
    "opening tags": "<think>" * 100_000,
    "closing tags": "</think>" * 100_000,
    "answers": "</think>" + "<answer>1</answer>" * 30_000,
    "open answers": "</think>" + "<answer>" * 100_000,
    "closed answers": "</think>" + "</answer>" * 100_000,
    "nested answers": "</think>" + "<answer>" * 50_000 + "</answer>" * 50_000,
    "deep parentheses": "</think><answer>" + "(" * 400_000 + ")" * 400_000 + "</answer>",
    "a tower of powers": "</think><answer>9**9**9**9**9</answer>",
    "a long number": "</think><answer>" + "9" * 500_000 + "</answer>",
    "long products": "</think><answer>" + "999999999999*" * 70 + "1</answer>",
    "minus signs": "</think><answer>" + "-" * 500_000 + "1</answer>",
    "code": "</think><answer>__import__('os').system('touch hacked')</answer>",
    "null bytes": "\0" * 500_000 + "</think><answer>\0</answer>",
    "spaces": " " * 500_000 + "</think>" + " " * 500_000,
    "exclamation marks": "!" * 1_000_000,
    "emoji": "🧮" * 200_000 + "</think><answer>🧮</answer>",
    "digits of other scripts": "</think><answer>٥٥ + ٣٦ - ٧ - ١٩</answer>",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_completions_earn_nothing_and_cost_little(kind: str) -> None:
    began = time.perf_counter()
    _, solved = scores(HOSTILE[kind])
    assert solved == 0.0
    assert time.perf_counter() - began < 1.0


@settings(max_examples=300, deadline=None)
@given(
    text=st.lists(
        st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "55", "36", " - ", "+", "(", ")", "=", "65"])
        | st.text(max_size=4),
        max_size=20,
    ).map("".join)
)
def test_any_text_earns_0_or_1(text: str) -> None:
    assert set(scores(text)) <= {0.0, 1.0}


def test_a_reward_is_loaded_from_a_users_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PAID)
    reward = load_reward(f"{path}:brevity")
    assert reward(completions=["", "abc"], nums=None) == [1.0, 0.25]
    assert load_reward("equation_reward") is equation_reward
    assert load_reward("format_reward") is format_reward


@pytest.mark.parametrize(
    ("text", "function", "message"),
    [
        ("x = 1\n", "missing", "has no function 'missing'"),
        ("x = 1\n", "x", "has no function 'x'"),
        ("def broken(:\n", "broken", "cannot be imported: SyntaxError"),
        ("import a_library_nobody_has\n", "x", "cannot be imported: ModuleNotFoundError"),
        ("raise KeyError('setting')\n", "x", "cannot be imported: KeyError"),
    ],
)
def test_a_reward_file_that_cannot_be_used_is_named_in_one_line(
    tmp_path: Path, text: str, function: str, message: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        load_reward(f"{path}:{function}")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["equation", "", ":", "nowhere.py:f", "equation_reward:", "_puzzle", "."])
def test_an_unknown_reward_lists_the_shipped_ones(name: str) -> None:
    with pytest.raises(InputError, match=r"use equation_reward, format_reward, or FILE\.py:FUNCTION"):
        load_reward(name)


def rows(n: int) -> dict[str, Any]:
    return {"prompts": ["Q<think>"] * n, "nums": [NUMS] * n, "target": [TARGET] * n}


def test_recording_changes_no_score_and_keeps_one_in_ten(tmp_path: Path) -> None:
    reward = recorded(equation_reward, tmp_path / "samples")
    completions = [RIGHT, WRONG] * 500
    assert reward(completions=completions, **rows(1000)) == [1.0, 0.0] * 500
    every = (tmp_path / "samples" / SAMPLES).read_text().split("\n==============\n")[1:]
    good = (tmp_path / "samples" / SUCCESSES).read_text().split("\n==============\n")[1:]
    assert 70 < len(every) < 130
    assert 0 < len(good) < len(every)
    assert all(part.startswith("[reward 1]\nQ<think>We need") for part in good)
    assert {part.partition("\n")[0] for part in every} == {"[reward 1]", "[reward 0]"}
    assert reward.__name__ == "equation_reward"  # TRL names the metric after it


def test_a_recorded_reward_may_be_async_and_may_leave_a_completion_unscored(tmp_path: Path) -> None:
    async def doubtful(completions: list[str], **_: object) -> list[float | None]:
        return [None if "?" in text else 0.5 for text in completions]

    reward: Any = recorded(doubtful, tmp_path)  # pyright: ignore[reportArgumentType]
    assert inspect.iscoroutinefunction(reward)
    assert asyncio.run(reward(completions=["?", "!"] * 50, **rows(100))) == [None, 0.5] * 50
    heads = set((tmp_path / SAMPLES).read_text().splitlines()) & {"[reward none]", "[reward 0.5]"}
    assert heads == {"[reward none]", "[reward 0.5]"}


def test_scores_are_plain_floats_that_json_can_hold() -> None:
    assert json.dumps(equation_reward([RIGHT, WRONG], nums=[NUMS] * 2, target=[TARGET] * 2)) == "[1.0, 0.0]"
