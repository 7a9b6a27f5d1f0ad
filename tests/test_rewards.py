"""Rewards in the signature TRL calls, with Mini-R1's own vectors."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from datasets import Dataset

from countdown_r1.errors import InputError
from countdown_r1.game.answer import Parsed, parse
from countdown_r1.train import rewards
from countdown_r1.train.article_rewards import article_equation_reward, article_format_reward
from countdown_r1.train.reward_functions import SHIPPED
from countdown_r1.train.rewards import consistent_equation_reward, equation_reward, format_reward, parsed
from countdown_r1.train.shaped_rewards import truth_reward

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


@pytest.mark.parametrize("solve_it", [True, False])
@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "assistant", "content": "{}"}],
        [{"content": "{}"}],
        {"role": "assistant", "content": "{}"},
        [{"role": "assistant", "content": [{"type": "text", "text": "{}"}]}],
        [{"role": "assistant", "content": [{"type": "image"}, {"text": "{}"}]}],
        [{"role": "user", "content": "</think><answer>1</answer>"}, {"role": "assistant", "content": "{}"}],
        [
            {"role": "assistant", "content": None, "tool_calls": [{"name": "add"}]},
            {"role": "tool", "content": "</think><answer>55 + 36 - 7 - 19</answer>"},
            {"role": "assistant", "content": "{}"},
        ],
        ({"role": "assistant", "content": "{}"},),
        np.str_("{}"),
        pa.scalar("{}"),
        pa.scalar([{"role": "assistant", "content": "{}"}]),
    ],
    ids=[
        "messages",
        "no role",
        "one message",
        "parts",
        "a picture",
        "a user's turn",
        "a tool",
        "tuple",
        "numpy",
        "Arrow",
        "Arrow list",
    ],
)
def test_a_completion_may_come_as_a_trainer_or_a_file_holds_it(turns: Any, solve_it: bool) -> None:
    text = RIGHT if solve_it else WRONG

    def filled(value: Any) -> Any:
        if isinstance(value, pa.Scalar):
            return pa.scalar(filled(value.as_py()))
        if isinstance(value, list | tuple):
            return type(value)(map(filled, value))
        if isinstance(value, dict):
            return {key: filled(one) for key, one in value.items()}
        return type(value)(text) if value == "{}" else value

    assert scores(filled(turns)) == (1.0, float(solve_it))


THOUGHT, FINAL = "55 + 36 = 91.", "<answer>55 + 36 - 7 - 19</answer>"


@pytest.mark.parametrize(
    "completion",
    [
        None,
        b"<answer>",
        7,
        float("nan"),
        [],
        {},
        [None],
        [[]],
        [7, None],
        ["text"],
        ...,
        "\n" * 3,
        "\ud800",
        [{"role": "user", "content": FINAL}],
        [{"role": "assistant", "content": None}],
        [{"role": "assistant", "content": None, "reasoning_content": THOUGHT}],
        [{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add", "arguments": {}}}]}],
        [{"role": "assistant", "content": "", "reasoning_content": None, "tool_calls": []}],
        [{"role": "assistant"}],
        [{"role": None, "content": 7}],
        [{"role": "assistant", "content": {"text": 7}}],
        [{"role": "assistant", "content": ["x", None, 7, {}, [], {"text": None}, {"type": "image"}]}],
        {"role": "assistant", "content": [{"type": "thinking", "thinking": None}]},
        pa.scalar(None, pa.string()),
        np.array([], dtype=object),
    ],
    ids=repr,
)
def test_a_completion_without_words_to_judge_earns_nothing_and_ends_no_training(completion: Any) -> None:
    columns: dict[str, Any] = {"nums": [NUMS] * 2, "target": [TARGET] * 2, "prompts": [[{"role": "user"}], "p"]}
    for name, reward in SHIPPED.items():
        first, second = reward([completion, RIGHT], **columns)
        assert (first, second) == (
            0.0,
            0.0 if name.endswith(("language_reward", "truth_reward", "length_reward")) else 1.0,
        )
        assert type(first) is float


@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "assistant", "content": FINAL, "reasoning_content": THOUGHT}],
        [{"role": "assistant", "content": f"\n\n{FINAL}", "reasoning": THOUGHT}],
        {"role": "assistant", "content": FINAL, "thinking": THOUGHT},
        [
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": FINAL}],
            }
        ],
        [{"role": "assistant", "content": [{"type": "reasoning", "text": THOUGHT}, FINAL]}],
        [{"role": "assistant", "content": f"{THOUGHT}</think>\n{FINAL}", "reasoning_content": THOUGHT}],
        [{"role": "assistant", "content": f"<think>{THOUGHT}</think>\n{FINAL}".replace("<think>", "")}],
        [{"role": "assistant", "content": f"{THOUGHT}</think>\n{FINAL}".encode()}],
        f"{THOUGHT}</think>\n{FINAL}".encode(),
        [f"{THOUGHT}</think>\n", FINAL],
        [
            {"role": "assistant", "content": None, "reasoning_content": THOUGHT, "tool_calls": [{"name": "add"}]},
            {"role": "tool", "content": "91"},
            {"role": "assistant", "content": FINAL, "reasoning_content": "So 91 - 7 - 19 = 65."},
        ],
        [
            {"role": "assistant", "content": None, "reasoning_content": THOUGHT, "tool_calls": [{"name": "add"}]},
            {"role": "assistant", "content": FINAL},
        ],
        [[{"role": "assistant", "content": FINAL, "reasoning_content": THOUGHT}]],
        [{"from": "gpt", "value": f"{THOUGHT}</think>\n{FINAL}"}],
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_thought_that_is_kept_apart_is_the_thought(turns: Any) -> None:
    assert scores(turns) == (1.0, 1.0)
    assert article_format_reward([turns]) == [1.0]
    assert article_equation_reward([turns], nums=[NUMS], target=[TARGET]) == [1.0]
    (one,) = parsed([turns])
    assert one.thought.startswith(THOUGHT)
    assert truth_reward([turns]) == [0.0]
    false = json.loads(json.dumps(turns, default=bytes.decode).replace("= 91.", "= 92."))
    assert truth_reward([false]) == [-0.05]


@pytest.mark.parametrize("text", [RIGHT, RIGHT.encode(), {"role": "assistant", "content": RIGHT}, None])
def test_one_completion_instead_of_a_list_is_refused(text: Any) -> None:
    with pytest.raises(InputError, match="pass a list of completions"):
        format_reward(text)


@pytest.mark.parametrize(("nums", "target"), [(1, 2), (2, 1), (3, 2), (0, 0), (2, 3)])
def test_columns_of_different_lengths_are_refused(nums: int, target: int) -> None:
    with pytest.raises(InputError, match=f"got 2 completions, {nums} nums, {target} target"):
        equation_reward([RIGHT, RIGHT], nums=[NUMS] * nums, target=[TARGET] * target)


def test_no_rows_earn_nothing() -> None:
    assert equation_reward([], nums=[], target=[]) == format_reward([]) == []


@pytest.mark.parametrize("solve_it", [True, False])
@pytest.mark.parametrize(
    ("nums", "target"),
    [
        (np.array(NUMS), np.int64(TARGET)),
        ([np.int32(number) for number in NUMS], np.float64(65.0)),
        (["19", "36", "55", "7"], "65"),
        (tuple(NUMS), 65.0),
        (pa.scalar(NUMS), pa.scalar(65)),
        ([pa.scalar(number, pa.int16()) for number in NUMS], pa.scalar(65.0)),
        (pa.array(NUMS), pa.scalar("65")),
        (pa.scalar(["19", "36", "55", "7"]), "65"),
        (torch.tensor(NUMS), torch.tensor(65)),
        (pd.Series(NUMS), Decimal(65)),
        ("[19, 36, 55, 7]", " 65 "),
        ("(19,36,55,7)", "+65"),
        ('["19", "36", "55", "7"]', Fraction(65)),
        (np.array(["19", "36", "55", "7"]), np.str_("65")),
        (np.array(NUMS, object), np.array(65)),
        (np.array(NUMS, float), np.uint8(65)),
    ],
    ids=[
        "numpy array",
        "numpy scalars",
        "strings",
        "a tuple and a float",
        "Arrow list",
        "Arrow scalars",
        "Arrow array",
        "Arrow strings",
        "torch",
        "pandas",
        "a spelt list",
        "a spelt tuple",
        "a spelt list of strings",
        "numpy strings",
        "numpy objects",
        "numpy floats",
    ],
)
def test_numbers_may_come_as_data_libraries_hand_them_out(nums: Any, target: Any, solve_it: bool) -> None:
    assert scores(RIGHT if solve_it else WRONG, nums, target) == (1.0, float(solve_it))


def test_whole_columns_may_be_arrays() -> None:
    table = pa.table({"nums": [NUMS, [3, 5]], "target": [TARGET, 15]})
    texts = [RIGHT, "</think><answer>3 * 5</answer>"]
    assert equation_reward(texts, nums=table["nums"], target=table["target"]) == [1.0, 1.0]  # pyright: ignore[reportArgumentType]
    assert equation_reward(texts, nums=np.array([[3, 5], [3, 5]]), target=np.array([15, 15])) == [0.0, 1.0]  # pyright: ignore[reportArgumentType]
    rows = Dataset.from_dict({"nums": [NUMS, [3, 5]], "target": [TARGET, 15]})
    assert equation_reward(texts, nums=rows["nums"], target=rows["target"]) == [1.0, 1.0]
    assert equation_reward(texts, **rows[:]) == [1.0, 1.0]


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
        ("[19, 36; 55]", 65),
        ("[19, 36", 65),
        ("[]", 65),
        ("[[19], 36]", 65),
        ("[1" * 10_000, 65),
        (b"19", 65),
        (bytearray(b"19"), 65),
        ({19, 36, 55, 7}, 65),
        ({19: 36}, 65),
        (range(3, 5), 65),
        (19, 65),
        (pa.scalar(None, pa.list_(pa.int64())), 65),
        (pa.scalar([19, None]), 65),
        ([np.bool_(True), 36], 65),
        ([19, float("nan")], 65),
        (["1_9", 36], 65),
        (["٣٦", 36], 65),
        (["0x13", 36], 65),
        ([b"19", 36], 65),
        ([19, 10**5_000], 65),
        ([19] * 7, 65),
        ([19, -36], 65),
        (np.array([[19, 36], [55, 7]]), 65),
        (NUMS, None),
        (NUMS, ""),
        (NUMS, True),
        (NUMS, float("nan")),
        (NUMS, float("inf")),
        (NUMS, 65.5),
        (NUMS, "65.5"),
        (NUMS, [65]),
        (NUMS, 10**30),
        (NUMS, 10**5_000),
        (NUMS, "9" * 5_000),
        (NUMS, pa.scalar(None, pa.int64())),
        ([[19]], 65),
    ],
    ids=lambda _: "",
)
def test_a_row_that_is_no_puzzle_is_named(nums: Any, target: Any) -> None:
    for reward in (equation_reward, article_equation_reward):
        with pytest.raises(InputError, match=r"row 1 is not a puzzle \(nums=.*; fix the dataset's row$") as raised:
            reward([RIGHT, RIGHT], nums=[NUMS, nums], target=[TARGET, target])
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 300


def test_each_completion_is_judged_for_its_own_row() -> None:
    completions = ["</think><answer>1 + 2</answer>", "</think><answer>2 * 4</answer>", "</think><answer>1 + 2</answer>"]
    rows: dict[str, Any] = {"nums": [[1, 2], [2, 4], [1, 3]], "target": [3, 8, 3]}
    assert equation_reward(completions, **rows) == [1.0, 1.0, 0.0]


def test_whatever_else_a_trainer_passes_is_ignored() -> None:
    extra: dict[str, Any] = {"prompts": ["p"], "completion_ids": [[1]], "trainer_state": ..., "log_metric": print}
    assert equation_reward(completions=[RIGHT], nums=[NUMS], target=[TARGET], **extra) == [1.0]
    assert format_reward(completions=[RIGHT], **extra) == [1.0]


def test_both_rewards_of_a_batch_share_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def counted(text: str) -> Parsed:
        seen.append(text)
        return parse(text)

    monkeypatch.setattr(rewards, "parse", counted)
    texts = [f"{number}</think><answer>{number}</answer>" for number in range(3)]
    columns: dict[str, Any] = {"nums": [[1]] * 3, "target": [1] * 3}
    assert format_reward(texts, **columns) == [1.0] * 3
    assert equation_reward(texts, **columns) == [0.0, 1.0, 0.0]
    assert seen == texts
    texts[0] = "</think><answer>1</answer>"  # the same list with another text is another batch
    assert equation_reward(texts, **columns) == [1.0, 1.0, 0.0]


def test_scores_are_plain_floats_that_json_can_hold() -> None:
    assert json.dumps(equation_reward([RIGHT, WRONG], nums=[NUMS] * 2, target=[TARGET] * 2)) == "[1.0, 0.0]"


def test_a_right_answer_earns_nothing_when_it_mixes_its_prompts_language() -> None:
    chinese = "使用[19, 36, 55, 7]这几个数字，把过程写在 <think> 和 </think> 之间。\n<think>"
    answer = "</think>\n<answer> 55 + 36 - 7 - 19 </answer>"
    told = [RIGHT, f"找到了。{answer}", f"找到了，Yes!{answer}", f"55 + 36 = 91{answer}", f"好{answer} Done.", WRONG]
    asked = {"nums": [NUMS] * 6, "target": [TARGET] * 6}
    assert consistent_equation_reward(told, prompts=[chinese] * 6, **asked) == [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]
    assert consistent_equation_reward(told, prompts=[PLAIN] * 6, **asked) == [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    turns = [{"role": "user", "content": chinese}], [{"role": "assistant", "content": told[2]}]
    assert consistent_equation_reward([turns[1]], prompts=[turns[0]], nums=[NUMS], target=[TARGET]) == [0.0]
    with pytest.raises(InputError, match="one prompt per completion, got 1 and 2"):
        consistent_equation_reward([RIGHT], prompts=["a", "b"], nums=[NUMS], target=[TARGET])
