# ruff: noqa: E501 - the article's long lines are kept as they are
"""Aha moments: the two cases of the DataCanvas article, and everything that only looks like one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from countdown_r1.build_dataset.prompt import chatml, load_template
from countdown_r1.cli import main
from countdown_r1.errors import InputError
from countdown_r1.game.answer import judge
from countdown_r1.game.puzzle import Puzzle, Status
from countdown_r1.train.aha import Aha, find_ahas, read_records, report, summarise
from countdown_r1.train.reward_functions import SAMPLES, SUCCESSES, recorded
from countdown_r1.train.rewards import equation_reward

# Both verbatim from the DataCanvas article.
CASE_1 = (
    Puzzle((11, 77, 6, 80), 20),
    """<think>我们需要使用11, 77, 6, 80这四个数字来构造等式,目标结果是20。
我们尝试不同的组合:
1. 11 + 77 - 6 - 80 = -2
2. 11 + 77 - 80 + 6 = 8
3. 11 + 77 + 6 - 80 = 8
4. 80 - 77 + 11 - 6 = 8
5. 80 - 77 - 11 + 6 = 8
6. 80 - (77 + 11 - 6) = 8
7. 80 - 77 - 6 + 11 = 8
8. (80 - 77) * (11 - 6) = 3 * 5 = 15
9. (80 - 6) / (77 - 11) = 74 / 66.67 ≠ 20
10. (77 - 6) / (80 - 11) = 71 / 69 ≠ 20
通过尝试,我们发现上述组合都不等于20。
我们还需要寻找其他可能性,考虑乘法和除法结合:
11. 77 / 11 + 80 / 6 ≠ 20
12. 6 * (80 / 11 - 77) ≠ 20
13. (77 - 11) / (80 / 6) = 66 / 13.33 ≠ 20
仔细检查所有可能性之后,突然意识到我们可以使用括号来改变运算顺序。
14. (80 - 77 + 6) + 11 = 20</think>
<answer> (80 - 77 + 6) + 11 </answer>""",
)
CASE_2 = (
    Puzzle((72, 66, 10, 88), 72),
    """<think> 首先,我们需要找到一个组合方式,利用给定数字72, 66, 10, 88,通过加减乘除得到72。

尝试不同的组合,我们可以尝试将88设为等式的一边,看其能否通过加减乘去除掉某些数字,得到72。88 - 16似乎接近,但我们需要再发现能减去16的组合。

另一个思路是,我们可以尝试将66和10组合,看看能得到72。66 + 10 = 76,距离72只有4,而72 - 8 = 64,72 + 8 = 80,显然8不合适。

观察72和88,考虑两个数相除。88 / 2 = 44,然后我们可以尝试44和66及10的组合。44 + 22 = 66,而66 - 16 = 50,50 + 22 = 72,但16我们还没使用。这方案暂不成立。

尝试考虑88这样的大数,减去其他数接近72,88 - 66 = 22,接着22 - 10 = 12,再加66又离72远了。继续尝试其他数字组合时,突然想到,88 - 10正好是78,再减去6给出72。这是一个有效组合。

因此,最终得到的等式为: <answer> 88 - 10 - 6 </answer>""",
)


def record(generation: str, puzzle: Puzzle, **changes: Any) -> dict[str, Any]:
    score = int(judge(puzzle, generation).solved)
    values = {"test_id": 7, "score": score, "generation": generation, "target": puzzle.target, "checkpoint": "base"}
    return values | {"nums": list(puzzle.nums)} | changes


def trace(thought: str, answer: str = "55 + 36 - 7 - 19") -> dict[str, Any]:
    return record(f"{thought}</think>\n<answer> {answer} </answer>", Puzzle((55, 36, 7, 19), 65))


def test_the_articles_first_case_is_a_true_aha() -> None:
    puzzle, generation = CASE_1
    assert judge(puzzle, generation).solved
    (aha,) = find_ahas([record(generation, puzzle)])
    assert (aha.cue, aha.solved, aha.test_id) == ("突然意识到", True, 7)
    assert "(80 - 77 + 6) + 11 = 20" in aha.excerpt


def test_the_articles_second_case_turns_but_its_answer_uses_a_number_that_was_not_given() -> None:
    puzzle, generation = CASE_2
    closed = generation.replace(" <answer>", "</think>\n<answer>")
    assert judge(puzzle, generation).status is Status.UNFINISHED
    assert judge(puzzle, closed).status is Status.WRONG_NUMBERS
    assert "uses 6" in judge(puzzle, closed).reason
    for text in (generation, closed):
        (aha,) = find_ahas([record(text, puzzle)])
        assert (aha.cue, aha.solved) == ("突然想到", False)
    assert summarise([record(CASE_1[1], CASE_1[0]), record(generation, puzzle)]) == {"n": 2, "solved": 1}


def test_a_turn_after_a_failed_try_that_finds_the_answer_counts() -> None:
    thought = "Try 55 + 7 = 62. No.\nWait, what about 55 + 36 = 91. 91 - 7 = 84. 84 - 19 = 65. Yes!"
    (aha,) = find_ahas([trace(thought)])
    assert (aha.cue, aha.solved) == ("Wait", True)


@pytest.mark.parametrize(
    "thought",
    [
        "Wait, let me think. Aha! 55 + 36 = 91. 91 - 7 = 84. 84 - 19 = 65.",
        "突然想到,55 + 36 = 91。91 - 7 = 84。84 - 19 = 65。",
        "55 + 36 = 91. 91 - 7 = 84. 84 - 19 = 65.",
        "We await the kuwait result: 55 + 36 = 91 and waiting, 84 - 19 = 65.",
        "Wait! Hold on! Aha!",
        "",
    ],
    ids=["cue first", "cue first in Chinese", "no cue", "cue inside a word", "no claim", "nothing"],
)
def test_a_cue_before_any_claim_or_no_cue_at_all_does_not_count(thought: str) -> None:
    assert find_ahas([trace(thought)]) == []


def test_a_turn_after_the_answer_was_found_is_no_true_aha() -> None:
    (aha,) = find_ahas([trace("55 + 36 = 91. 91 - 7 = 84. 84 - 19 = 65. Wait, let me check: 84 - 19 = 65.")])
    assert not aha.solved


def test_a_turn_with_a_wrong_answer_is_no_true_aha() -> None:
    (aha,) = find_ahas([trace("55 + 7 = 62. Wait, 46 + 19 = 65.", answer="46 + 19")])
    assert not aha.solved


def test_an_answer_that_the_thought_never_reached_is_no_true_aha() -> None:
    (aha,) = find_ahas([trace("55 + 7 = 62. Wait, I give up.")])
    assert not aha.solved


@pytest.mark.parametrize("claim", ["130 / 2 = 65 * 1", "55 + 10.5 = 65.5", "1 + 1 = 65 / 2", "2 = 650"])
def test_a_claim_that_only_starts_like_the_target_has_not_reached_it(claim: str) -> None:
    thought = f"{claim}. Wait, 55 + 36 = 91. 91 - 7 = 84. 84 - 19 = 65."
    (aha,) = find_ahas([trace(f"1 + 1 = 2. {thought}")])
    assert aha.solved  # the target is first reached after the turn


def test_a_cue_in_the_answer_or_after_it_does_not_count() -> None:
    text = "55 + 36 = 91. 84 - 19 = 65.</think>\n<answer> 55 + 36 - 7 - 19 </answer> Wait, is it?"
    assert find_ahas([record(text, Puzzle((55, 36, 7, 19), 65))]) == []


@pytest.mark.parametrize(
    "cue",
    [
        "Wait",
        "wait",
        "Hold on",
        "Aha",
        "Let me recheck",
        "let me re-check",
        "Let me reconsider",
        "Actually, ",
        "突然发现",
    ],
)
def test_each_reflective_cue_is_known(cue: str) -> None:
    (aha,) = find_ahas([trace(f"55 + 7 = 62. {cue} 55 + 36 = 91. 91 - 7 = 84. 84 - 19 = 65.")])
    assert aha.cue.strip() == cue.strip()


def write_lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")
    return path


def test_records_are_read_from_a_file_and_from_an_evaluation_folder(tmp_path: Path) -> None:
    true, false = record(CASE_1[1], CASE_1[0]), record(CASE_2[1], CASE_2[0], checkpoint="checkpoint-4")
    file = write_lines(tmp_path / "base" / "records.jsonl", [true])
    write_lines(tmp_path / "checkpoint-4" / "records.jsonl", [false, true | {"checkpoint": "checkpoint-4"}])
    assert read_records(file) == [true]
    text = report(read_records(tmp_path)).splitlines()
    assert text[0] == "base: 1 of 1 completions turn at a reflective cue, 1 of them then find the right answer"
    assert text[1].startswith("  puzzle 7: ...")
    assert text[2] == "checkpoint-4: 2 of 2 completions turn at a reflective cue, 1 of them then find the right answer"
    lines = [json.loads(line) for line in report(read_records(tmp_path), as_json=True).splitlines()]
    assert [(line["checkpoint"], line["solved"]) for line in lines] == [
        ("base", True),
        ("checkpoint-4", False),
        ("checkpoint-4", True),
    ]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_samples_that_training_writes_are_read_back(tmp_path: Path, language: str) -> None:
    """The prompt holds the tags as words; they must not be taken for the model's."""
    puzzle = Puzzle((55, 36, 7, 19), 65)
    turned = "55 + 7 = 62. Wait, 突然想到 84 - 19 = 65.</think>\n<answer> 55 + 36 - 7 - 19 </answer>"
    plain = "55 + 7 = 62.</think>\n<answer> 55 + 36 + 7 + 19 </answer>"
    reward = recorded(equation_reward, tmp_path)
    completions = [turned, plain] * 200
    prompts = [chatml(load_template(language), puzzle)] * 400
    reward(completions=completions, prompts=prompts, nums=[list(puzzle.nums)] * 400, target=[65] * 400)
    records = read_records(tmp_path / SAMPLES)
    counts = summarise(records)
    assert len(records) > counts["n"] == counts["solved"] > 5
    assert {record["target"] for record in records} == {65}
    assert {record["generation"] for record in records} == {turned, plain}
    good = read_records(tmp_path / SUCCESSES)
    assert summarise(good) == {"n": len(good), "solved": len(good)}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("records.jsonl", "not json\n"),
        ("records.jsonl", "3\n"),
        ("records.jsonl", '{"generation": "x"}\n'),
        ("records.jsonl", '["generation", "score", "target", "test_id"]\n'),
        ("records.jsonl", b"\xff\xfe\x00\n"),
        ("samples.txt", b"\xff\xfe\x00\n"),
        ("samples.txt", "some notes of mine\n"),
    ],
)
def test_a_file_of_another_kind_is_named_in_one_line(tmp_path: Path, name: str, text: str | bytes) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError, match="neither evaluation records nor completion samples") as raised:
        read_records(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_without_records_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give an evaluation folder"):
        read_records(tmp_path)


def test_nothing_to_look_at_is_reported_as_that(tmp_path: Path) -> None:
    assert report([]) == "no records"
    assert report(read_records(write_lines(tmp_path / "records.jsonl", []))) == "no records"


def test_the_command_prints_what_was_found(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "records.jsonl", [record(CASE_1[1], CASE_1[0])])
    done = CliRunner().invoke(main, ["aha", str(path)])
    assert (done.exit_code, done.output.count("突然意识到")) == (0, 1)
    as_json = CliRunner().invoke(main, ["aha", str(path), "--json"])
    assert Aha(**{k: v for k, v in json.loads(as_json.output).items() if k != "checkpoint"}).cue == "突然意识到"
    path.write_text("{}\n")
    refused = CliRunner().invoke(main, ["aha", str(path)])
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: ")
