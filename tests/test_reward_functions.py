"""Rewards by name and out of a user's file, and the samples that are written while they are paid."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from countdown_r1.errors import InputError, TrainingError
from countdown_r1.train.callbacks import Timeline
from countdown_r1.train.recipe import load_recipe
from countdown_r1.train.reward_functions import (
    CLAIMS_READ,
    FALSE_CLAIMS,
    MIXED,
    SAMPLES,
    SHIPPED,
    SUCCESSES,
    WRONG_ANSWERS,
    load_reward,
    recorded,
    timed,
)
from countdown_r1.train.rewards import equation_reward
from countdown_r1.train.stage import check_recipe

NUMS, TARGET = [19, 36, 55, 7], 65
RIGHT = "We need 65.</think>\n<answer> 55 + 36 - 7 - 19 </answer>"
WRONG = "We need 65.</think>\n<answer> 55 + 36 - 7 - 18 </answer>"
PAID = """
def brevity(completions, **_):
    return [1.0 / (1 + len(text)) for text in completions]
"""


def test_a_reward_is_loaded_from_a_users_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PAID)
    reward = load_reward(f"{path}:brevity")
    assert reward(completions=["", "abc"], nums=None) == [1.0, 0.25]
    assert reward.__name__ == "brevity"  # TRL names the metric after it
    assert all(load_reward(name) is function for name, function in SHIPPED.items())
    assert load_reward("equation_reward") is equation_reward


@pytest.mark.parametrize(
    ("text", "function", "message"),
    [
        ("x = 1\n", "missing", "has no function 'missing'"),
        ("x = 1\n", "x", "has no function 'x'"),
        ("def broken(:\n", "broken", "cannot be imported: SyntaxError"),
        ("import a_library_nobody_has\n", "x", "cannot be imported: ModuleNotFoundError"),
        ("raise KeyError('setting')\n", "x", "cannot be imported: KeyError"),
        ("raise SystemExit(3)\n", "x", "cannot be imported: SystemExit"),
        ("raise ValueError('two\\nlines')\n", "x", "cannot be imported: ValueError: two lines"),
        ("\0", "x", "cannot be imported: (SyntaxError|ValueError)"),
        ("class Reward:\n    pass\n", "Reward", "has no function 'Reward'"),
        ("def f(completions):\n    return []\n", "f", r"does not take what a trainer passes.*\*\*kwargs"),
        ("def f(completions, answer, **_):\n    return []\n", "f", "missing a required argument: 'answer'"),
        ("def f(completions, /, **_):\n    return []\n", "f", "does not take what a trainer passes"),
        ("def format_reward(completions, **_):\n    return []\n", "format_reward", "name of a shipped one"),
    ],
)
def test_a_reward_file_that_cannot_be_used_is_named_in_one_line(
    tmp_path: Path, text: str, function: str, message: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    for _ in range(2):
        with pytest.raises(InputError, match=message) as raised:
            load_reward(f"{path}:{function}")
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["equation", "", ":", "nowhere.py:f", "equation_reward:", "_puzzle", "."])
def test_an_unknown_reward_lists_the_shipped_ones(name: str) -> None:
    with pytest.raises(InputError, match=r"use equation_reward, format_reward, .*, or FILE\.py:FUNCTION"):
        load_reward(name)


def test_a_users_file_may_hold_dataclasses_and_be_called_like_a_library(tmp_path: Path) -> None:
    """Both fail when the file is imported under its own name, or under none."""
    path = tmp_path / "json.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "@dataclass\nclass Scale:\n    by: float = 2.0\n\n"
        "def doubled(completions, **_):\n    return [Scale().by for _ in completions]\n"
    )
    assert load_reward(f"{path}:doubled")(completions=["", ""]) == [2.0, 2.0]
    assert json.loads(json.dumps([1])) == [1]
    assert sys.modules["json"] is json


def test_a_users_file_runs_once_and_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        f"open({str(tmp_path / 'runs')!r}, 'a').write('x')\ndef one(completions, **_): return [1] * len(completions)\n"
    )
    for _ in range(3):
        assert load_reward(f"{path}:one")(completions=["a"]) == [1.0]
    assert (tmp_path / "runs").read_text() == "x"
    path.write_text("def one(completions, **_): return [3] * len(completions)\n")
    assert load_reward(f"{path}:one")(completions=["a"]) == [3.0]


def test_a_file_of_another_suffix_or_none_that_can_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(PAID)
    with pytest.raises(InputError, match=r"must end in \.py"):
        load_reward(f"{path}:brevity")
    with pytest.raises(InputError, match="no reward"):
        load_reward(f"{tmp_path}:brevity")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return [1.0]", "returned 1 scores for 2 completions"),
        ("return [1.0] * 3", "returned 3 scores for 2 completions"),
        ("return None", "must return a list of numbers, one per completion"),
        ("return 1.0", "must return a list of numbers, one per completion"),
        ("return ['good', 'bad']", "must return a list of numbers, one per completion"),
        ("return [0.0, float('nan')]", "scored completion 1 with nan; return a finite number or None"),
        ("return [float('inf'), 0.0]", "scored completion 0 with inf"),
    ],
)
def test_scores_that_would_spoil_a_run_stop_it_with_the_rewards_name(tmp_path: Path, body: str, said: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"def f(completions, **_):\n    {body}\nasync def g(completions, **_):\n    {body}\n")
    with pytest.raises(TrainingError) as raised:
        load_reward(f"{path}:f")(completions=["a", "b"])
    assert said in str(raised.value)
    assert f"'{path}:f'" in str(raised.value)
    later: Any = load_reward(f"{path}:g")
    assert inspect.iscoroutinefunction(later)
    with pytest.raises(TrainingError):
        asyncio.run(later(completions=["a", "b"]))


def test_scores_may_be_of_any_numeric_kind_and_missing(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import functools\nimport numpy as np\nimport torch\n"
        "def arrays(completions, **_): return np.ones(len(completions), np.float32)\n"
        "def tensors(completions, **_): return torch.ones(len(completions))\n"
        "def some(completions, **_): return (None if 'x' in text else True for text in completions)\n"
        "part = functools.partial(arrays, scale=2)\n"
        "class Judge:\n    async def __call__(self, completions, **_): return [0.5] * len(completions)\n"
        "judge = Judge()\n"
    )
    scored = {name: load_reward(f"{path}:{name}") for name in ("arrays", "tensors", "some", "part")}
    assert [reward(completions=["x", "y"]) for reward in scored.values()] == [[1, 1], [1, 1], [None, 1.0], [1, 1]]
    assert [reward.__name__ for reward in scored.values()] == list(scored)
    judged: Any = load_reward(f"{path}:judge")
    assert asyncio.run(judged(completions=["x"])) == [0.5]


def test_what_a_users_reward_raises_keeps_its_own_traceback(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def f(completions, **_):\n    return completions[99]\n")
    with pytest.raises(IndexError) as raised:
        load_reward(f"{path}:f")(completions=[])
    assert str(raised.traceback[-1].path) == str(path)


def test_a_recipe_takes_the_articles_rewards_by_name() -> None:
    change = "rewards.functions=[article_equation_reward, article_format_reward]"
    recipe = load_recipe("demo", [change]).with_rewards(["truth_reward"])
    names = [load_reward(name).__name__ for name in recipe.rewards.functions]
    assert names == ["article_equation_reward", "article_format_reward", "truth_reward"]


def test_a_reward_that_is_added_to_weighed_ones_weighs_one_and_a_weight_too_many_is_refused(tmp_path: Path) -> None:
    recipe = load_recipe("tiny-grpo").with_rewards(["length_reward"])
    assert (recipe.grpo or {})["reward_weights"] == [1.0, 2.5, 1.0]
    check_recipe(recipe, tmp_path)
    with pytest.raises(InputError, match="2 weights for the rewards equation_reward; give one for each"):
        check_recipe(load_recipe("tiny-grpo", ["rewards.functions=[equation_reward]"]), tmp_path)
    check_recipe(
        load_recipe("tiny-grpo", ["rewards.functions=[equation_reward]", "grpo.reward_weights=null"]), tmp_path
    )


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


@pytest.mark.parametrize(
    ("completions", "measured"),
    [([RIGHT, WRONG, WRONG, "cut off"], {WRONG_ANSWERS: 2 / 3}), ([RIGHT], {WRONG_ANSWERS: 0.0}), (["cut off"], {})],
)
def test_the_share_of_wrong_answers_among_those_given_is_a_metric(
    completions: list[str], measured: dict[str, float], tmp_path: Path
) -> None:
    columns: dict[str, list[Any]] = {}
    metrics = logged_metrics(completions, columns, tmp_path)
    for other in (FALSE_CLAIMS, MIXED):
        metrics.pop(other, None)
    assert metrics == pytest.approx(measured)
    assert len(columns["verdict"]) == len(completions)


@pytest.mark.parametrize(
    ("completions", "expected"),
    [
        (["1 + 1 = 2, 88 / 36 = 2. Yes!</think>", "7 - 3 = 4"], 1 / 3),
        (["1 + 1 = 2</think><answer>1 + 1 = 3</answer>"], 0.5),
        (["no sums"], None),
        (["1 + 1 = 2", *["1 + 1 = 3"] * 3] * CLAIMS_READ, 0.0),  # a spread of them, every fourth
    ],
)
def test_the_share_of_false_sums_is_a_metric(completions: list[str], expected: float | None, tmp_path: Path) -> None:
    found = logged_metrics(completions, {}, tmp_path).get(FALSE_CLAIMS)
    assert found == (None if expected is None else pytest.approx(expected))


def test_the_share_of_mixed_languages_is_a_metric_and_each_mix_is_marked(tmp_path: Path) -> None:
    prompts, texts = (
        ["使用[1, 2]"] * 2 + ["Using [1, 2]"] * 2,
        ["试试。", "Try 1 + 2。不对。", "Try 1 + 2.", "1 + 2 = 3"],
    )
    metrics: dict[str, float] = {}
    columns: dict[str, list[Any]] = {}
    asked: dict[str, Any] = {"nums": [[1, 2]] * 4, "target": [3] * 4, "log_extra": columns.__setitem__}
    recorded(equation_reward, tmp_path)(texts, prompts, **asked, log_metric=metrics.__setitem__)
    assert metrics[MIXED] == 0.25
    assert columns["mixed"] == [False, True, False, False]


def logged_metrics(completions: list[str], columns: dict[str, list[Any]], folder: Path) -> dict[str, float]:
    metrics: dict[str, float] = {}
    asked: dict[str, Any] = {"prompts": ["p"] * len(completions), "completions": completions}
    asked |= {"nums": [NUMS] * len(completions), "target": [TARGET] * len(completions)}
    recorded(equation_reward, folder)(**asked, log_extra=columns.__setitem__, log_metric=metrics.__setitem__)
    return metrics


def test_a_recorded_reward_may_be_async_and_may_leave_a_completion_unscored(tmp_path: Path) -> None:
    async def doubtful(completions: list[str], **_: object) -> list[float | None]:
        return [None if "?" in text else 0.5 for text in completions]

    reward: Any = recorded(doubtful, tmp_path)  # pyright: ignore[reportArgumentType]
    assert inspect.iscoroutinefunction(reward)
    assert asyncio.run(reward(completions=["?", "!"] * 50, **rows(100))) == [None, 0.5] * 50
    heads = set((tmp_path / SAMPLES).read_text().splitlines()) & {"[reward none]", "[reward 0.5]"}
    assert heads == {"[reward none]", "[reward 0.5]"}


def test_scoring_ends_with_the_last_reward(tmp_path: Path) -> None:
    def slow(completions: list[str], **_: object) -> list[float]:
        time.sleep(0.2)
        return [0.0] * len(completions)

    async def slow_later(completions: list[str], **_: object) -> list[float]:
        return slow(completions)

    timeline = Timeline(tmp_path / "timeline.jsonl", 1, 0.0)
    recorded(equation_reward, tmp_path, timeline)(completions=["?"], **rows(1))
    first = timeline.rewards_ended
    assert timed(slow, timeline)(completions=["?"]) == [0.0]
    assert timeline.rewards_ended >= first + 0.2
    later: Any = timed(slow_later, timeline)  # pyright: ignore[reportArgumentType]
    assert (inspect.iscoroutinefunction(later), later.__name__) == (True, "slow_later")
    second = timeline.rewards_ended
    assert asyncio.run(later(completions=["?"])) == [0.0]
    assert timeline.rewards_ended >= second + 0.2
