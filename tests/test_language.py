"""Which language a prompt is in, and whether a completion mixes it with another."""

from __future__ import annotations

from typing import Any

import pytest

from countdown_r1.build_dataset.prompt import LANGUAGES, chatml, load_template, messages
from countdown_r1.game.language import READ_CHARS, asked_in, counted, language_of, mixed, mixes
from countdown_r1.game.puzzle import Puzzle

PUZZLE = Puzzle((38, 57, 19), 76)
ANSWER = "</think>\n<answer> (57 - 19) + 38 </answer>"
CHINESE = "目标是76，数字是38, 57, 19。\n试试 57 - 19 = 38。找到了！"
ENGLISH = "We need 76 from 38, 57, 19.\nTry 57 - 19 = 38. Yes!"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_shipped_prompt_is_in_its_language_as_a_string_and_as_messages(language: str) -> None:
    template = load_template(language)
    assert language_of(chatml(template, PUZZLE)) == language_of(messages(template, PUZZLE)) == language


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        ("Using the numbers [1, 2] <think>", "en"),
        ("Nutze die Zahlen [1, 2] für π und α", "en"),
        ("", "en"),
        ("1 + 2 = 3 \ud800 x", "en"),
        ("A conversation between User and Assistant. The assistant thinks first. 用[1, 2]凑出3", "zh"),
        ("\U00030000\U00031350", "zh"),
        ("数字を使って <think>", "ja"),
        ("数字ヲ", "ja"),
        ("숫자 1, 2를 써서", "ko"),
        ("Используя числа", "ru"),
        ("ใช้ตัวเลข <answer>", "thai"),
    ],
)
def test_a_prompts_script_tells_its_language_and_latin_letters_beside_it_do_not(prompt: str, language: str) -> None:
    assert language_of(prompt) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "55 + 36 = 91, x = 13, π ≈ 3.14, 5² = 25, ½, Ⅳ, №",
        r"\frac{91}{7} = 13 \times 1, \begin{align*} a &= b \end{align*}, $\sqrt{x}$",
        "<think></think> <answer></answer> </s><|im_end|><br/>",
        "3 km = 3000 m, 5kg, 2 MHz, gcd(4, 6) = 2, sqrt(4), OK",
        "𝑥 + 𝑦, Δx, a+b",
        "。，！？：",
    ],
)
def test_formulas_single_letters_tags_units_and_marks_are_in_no_language(text: str) -> None:
    for language in ("en", "zh", "ja", "ko", "ru", "thai"):
        assert counted(text, language) == (0, 0)
        assert not mixed(f"{text}</think><answer> 1 + 2 </answer>", language)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("目标是76。Try 57 - 19 = 38。", "zh"),
        ("38 + 38 = 76. Yes!\n检查：每个数字都用了一次。", "zh"),
        ("试试 Ｔｒｙ", "zh"),
        ("试试 𝐓𝐫𝐲", "zh"),
        (r"试试 \text{try this}", "zh"),
        ("数字を使う", "zh"),
        ("ﾃｽﾄ", "zh"),
        ("숫자", "zh"),
        ("пробуем", "zh"),
        ("δοκιμή", "zh"),
        ("试try试", "zh"),
        ("Try 57 - 19 对", "en"),
        ("Try \U00020000", "en"),
        ("Try \U00031350", "en"),
        ("Try \uf900", "en"),
        ("Try 々", "en"),
        ("Try пробуем", "en"),
        ("Try ของ", "en"),
        ("Try this", "ja"),
        ("数字を", "ko"),
        ("Try", "cyrillic"),
    ],
)
def test_one_word_of_another_language_makes_a_mix(text: str, language: str) -> None:
    assert mixed(text, language)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (CHINESE, "zh"),
        (ENGLISH, "en"),
        ("naïve Größe", "en"),
        ("数字を使う", "ja"),
        ("숫자 數字", "ko"),
        ("试", "zh-CN"),
    ],
)
def test_a_text_in_the_prompts_language_is_no_mix(text: str, language: str) -> None:
    assert not mixed(text + ANSWER, language)


@pytest.mark.parametrize(
    "completion",
    [
        f"ok</think>Try 57 - 19. Yes!{ANSWER}",
        f"找到了{ANSWER} Every number used once.",
        f"找到了</think><answer>Try this</answer>{ANSWER}",
        "<answer>Try this</answer>" + CHINESE + ANSWER,
        CHINESE + " Yes, and I never stop",
    ],
)
def test_a_mix_does_not_hide_behind_the_thought_or_in_an_answer_that_is_not_the_last(completion: str) -> None:
    assert mixed(completion, "zh")


def test_the_last_answer_is_an_expression_and_what_lies_far_behind_is_not_read() -> None:
    assert not mixed(CHINESE + "</think><answer>fifty seven</answer>", "zh")
    assert not mixed("试" * READ_CHARS + " Try this", "zh")


@pytest.mark.parametrize(
    ("completion", "mix"),
    [
        ("\n目标是97,数字是70, 29, 2。\n试试 70 - 29 = 41。剩下:41, 2. 41 + 2 = 43, 41 - 2 = 39。不对。", False),
        ("\n目标是71,数字是19, 49, 41.\nTry 41 - 19 = 22。剩下:22, 49. 49 + 22 = 71。找到了!", True),
        ("\n目标是61,数字是38, 78, 55。\n试试 78 - 55 = 23。检查:38 + 23 = 61, every number used once.", True),
        ("\n目标是74 from 75, 20, 20。\n试试 75 + 20 = 95。剩下:95, 20。", True),
        ("\n目标是51,数字是13, 39, 1.\nTry 39 + 1 = 40. Left: 40, 13. 40 + 13 = 53. No.\n试试 13 - 1 = 12。", True),
    ],
)
def test_what_the_demo_wrote_to_chinese_prompts_is_told_apart(completion: str, mix: bool) -> None:
    assert mixed(completion, "zh") is mix


@pytest.mark.parametrize(
    ("record", "language", "mix"),
    [
        ({"prompt": "使用[1, 2]", "language": "en", "generation": "Try"}, "zh", True),
        ({"prompt": "", "language": "zh", "generation": "Try"}, "zh", True),
        ({"prompt": [{"role": "user", "content": "使用[1, 2]"}], "generation": "试试"}, "zh", False),
        ({"prompt": ["使用"], "language": "en", "generation": "试试"}, "en", True),
        ({"prompt": None, "language": 3, "generation": "Try"}, None, None),
        ({"generation": "Try"}, None, None),
    ],
)
def test_a_record_is_judged_by_its_prompt_then_by_its_language_and_else_not(
    record: dict[str, Any], language: str | None, mix: bool | None
) -> None:
    assert (asked_in(record), mixes(record)) == (language, mix)
