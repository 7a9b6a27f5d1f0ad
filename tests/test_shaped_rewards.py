"""Optional penalties: each lowers the failure it is for and nothing else, within its bound."""

from __future__ import annotations

from typing import Any

import pytest

from countdown_r1.build_dataset.prompt import LANGUAGES, chatml, load_template
from countdown_r1.errors import InputError
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.train.recipe import Rewards
from countdown_r1.train.rewards import equation_reward, format_reward
from countdown_r1.train.shaped_rewards import (
    LONG_CHARS,
    LONGEST_CHARS,
    MOST,
    READ_CHARS,
    language_reward,
    length_reward,
    truth_reward,
)

PROMPTS: dict[str, Any] = {name: chatml(load_template(name), Puzzle((19, 36, 55, 7), 65)) for name in LANGUAGES}
ENGLISH = "First, let me try 55 + 36 = 91. That is too large.</think>\n<answer> 55 + 36 </answer>"
CHINESE = "我们先尝试 55 + 36 = 91。太大了。</think>\n<answer> 55 + 36 </answer>"
FORMULAS = "55 + 36 = 91, \\frac{91}{7} = 13, x = 13</think>\n<answer> 55 + 36 </answer>"


def language(completion: str, prompt: Any) -> float:
    return language_reward([completion], prompts=[prompt])[0]


def test_none_is_used_unless_it_is_named() -> None:
    assert Rewards().functions == ("equation_reward", "format_reward")


def test_a_thought_in_the_prompts_language_or_in_formulas_alone_costs_nothing() -> None:
    assert [language(ENGLISH, PROMPTS["en"]), language(CHINESE, PROMPTS["zh"])] == [0.0, 0.0]
    assert [language(FORMULAS, prompt) for prompt in PROMPTS.values()] == [0.0, 0.0]


def test_an_english_prompt_answered_in_chinese_and_the_reverse_costs_most() -> None:
    assert [language(CHINESE, PROMPTS["en"]), language(ENGLISH, PROMPTS["zh"])] == [-MOST, -MOST]


def test_a_mix_costs_its_share() -> None:
    mixed = "First, let me try 五十五加三十六</think>"
    assert language(mixed, PROMPTS["en"]) == pytest.approx(-MOST * 7 / 11)
    assert language(mixed, PROMPTS["zh"]) == pytest.approx(-MOST * 4 / 11)
    assert language(f"{mixed}<answer>中文 and English</answer>", PROMPTS["zh"]) == language(mixed, PROMPTS["zh"])


def test_prose_behind_an_early_end_of_the_thought_costs_as_much() -> None:
    assert language(f"ok</think>{ENGLISH}", PROMPTS["zh"]) == language(ENGLISH, PROMPTS["zh"])
    assert language(f"{CHINESE}\nThat is it.", PROMPTS["zh"]) < 0


def test_a_chat_prompt_is_read_in_all_its_turns() -> None:
    turns = [{"role": "system", "content": "你是一位专业的数谜解答助手。"}, {"role": "user", "content": "[1, 2] -> 3"}]
    assert language(ENGLISH, turns) == -MOST
    assert language(ENGLISH, [{"role": "user", "content": "[1, 2] -> 3"}]) == 0.0


def test_prompts_of_another_number_are_an_error() -> None:
    with pytest.raises(InputError, match="one prompt per completion, got 1 and 2"):
        language_reward([ENGLISH], prompts=["a", "b"])


def test_length_costs_nothing_up_to_a_limit_and_then_grows_in_a_straight_line() -> None:
    halfway = (LONG_CHARS + LONGEST_CHARS) // 2
    lengths = [0, 1_000, LONG_CHARS, halfway, LONGEST_CHARS, 10 * LONGEST_CHARS]
    expected = [0.0, 0.0, 0.0, -MOST / 2, -MOST, -MOST]
    assert length_reward(["x" * length for length in lengths]) == expected
    assert length_reward(["x" * length + "</think>" + "y" * 9_999 for length in lengths]) == expected


def test_every_false_claim_costs_and_true_ones_earn_nothing() -> None:
    thoughts = [
        "11 + 77 - 80 + 6 = 14",
        "11 + 77 - 80 + 6 = 8",
        "1 + 1 = 3, 2 + 2 = 5",
        "1 + 1 = 2, " * 100 + "1 + 1 = 3",
        "1 + 1 = 3. " * 50,
        "no arithmetic at all",
    ]
    assert truth_reward(thoughts) == [0.0, -0.05, -0.1, -0.05, -MOST, 0.0]
    assert truth_reward([f"{thought}</think> 1 + 1 = 5" for thought in thoughts]) == truth_reward(thoughts)


def test_what_lies_far_behind_is_not_read() -> None:
    far = "a" * READ_CHARS
    assert truth_reward([far + " 1 + 1 = 3"]) == [0.0]
    assert language_reward([far + " 中文"], prompts=["English"]) == [0.0]


def test_no_thought_earns_and_all_penalties_stay_below_a_right_answer() -> None:
    worst = "中1 + 1 = 3。" * 1_000
    total = 0.0
    for reward in (language_reward, length_reward, truth_reward):
        assert reward([ENGLISH, ""], prompts=[PROMPTS["en"]] * 2) == [0.0, 0.0]
        total += reward([worst], prompts=[PROMPTS["en"]])[0]
    assert total == pytest.approx(-3 * MOST)
    right = ENGLISH.replace("<answer> 55 + 36 <", "<answer> 55 + 36 - 7 - 19 <")
    assert equation_reward([right], nums=[[19, 36, 55, 7]], target=[65])[0] + total > 0
    assert format_reward([right]) == [1.0]


def test_chat_completions_are_read_too() -> None:
    turns = [{"role": "assistant", "content": CHINESE}]
    assert language_reward([turns], prompts=[PROMPTS["en"]]) == [-MOST]
    assert truth_reward([turns]) == length_reward([turns]) == [0.0]
