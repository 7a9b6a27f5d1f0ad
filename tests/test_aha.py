# ruff: noqa: E501 - the article's long lines are kept as they are
"""Aha moments: the two cases of the DataCanvas article, and everything that only looks like one."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countdown_r1.game.answer import judge
from countdown_r1.game.puzzle import Puzzle, Status
from countdown_r1.train.aha import Aha, analyse, find_ahas, summarise
from countdown_r1.train.thought import MAX_CHARS

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


def only(thought: str, answer: str = "55 + 36 - 7 - 19") -> Aha:
    (aha,) = find_ahas([trace(thought, answer)])
    return aha


def test_the_articles_first_case_is_a_true_aha() -> None:
    puzzle, generation = CASE_1
    assert judge(puzzle, generation).solved
    (aha,) = find_ahas([record(generation, puzzle)])
    assert (aha.cue, aha.solved, aha.why, aha.test_id) == ("突然意识到", True, "", 7)
    assert (aha.answer, aha.makes, aha.not_given, aha.left_out) == ("(80 - 77 + 6) + 11", "20", (), ())
    assert "(80 - 77 + 6) + 11 = 20" in aha.excerpt


def test_the_first_cases_parentheses_were_not_new_and_neither_was_its_first_step() -> None:
    puzzle, generation = CASE_1
    (aha,) = find_ahas([record(generation, puzzle)])
    assert aha.notes == (
        "its first step was tried before",
        "parentheses were not new: attempts before it have them",
    )


def test_the_wrong_sums_among_the_first_cases_attempts_are_listed() -> None:
    """Attempts 4, 7, 8, 10 to 12 are right. 13 rounds 80 / 6 to 13.33; the 66.67 of 9 rounds nothing."""
    puzzle, generation = CASE_1
    (aha,) = find_ahas([record(generation, puzzle)])
    assert aha.false_claims == (
        "11 + 77 - 6 - 80 = -2, but it makes 2",
        "11 + 77 - 80 + 6 = 8, but it makes 14",
        "11 + 77 + 6 - 80 = 8, but it makes 14",
        "80 - 77 - 11 + 6 = 8, but it makes -2",
        "80 - (77 + 11 - 6) = 8, but it makes -2",
        "(80 - 6) / (77 - 11) = 74 / 66.67, but it makes 37/33",
    )
    assert analyse(record(generation, puzzle)).shown.attempts == 12, "3 is 2, and 7 is 4, in another order"


def test_the_articles_second_case_is_claimed_only() -> None:
    """88 - 10 - 6 makes 72 with a 6 that was not given, and without 72 and 66."""
    puzzle, generation = CASE_2
    closed = generation.replace(" <answer>", "</think>\n<answer>")
    assert judge(puzzle, generation).status is Status.UNFINISHED
    assert judge(puzzle, closed).status is Status.WRONG_NUMBERS
    for text, reason in ((generation, "never closed"), (closed, "uses 6, which was not given")):
        (aha,) = find_ahas([record(text, puzzle)])
        assert (aha.cue, aha.solved) == ("突然想到", False)
        assert (aha.answer, aha.makes, aha.not_given, aha.left_out) == ("88 - 10 - 6", "72", (6,), (72, 66))
        assert aha.false_claims == ()
        assert reason in aha.why
    counts = summarise([record(CASE_1[1], CASE_1[0]), record(generation, puzzle)])
    assert (counts["n"], counts["solved"], counts["claimed"]) == (2, 1, 1)


def test_a_turn_after_a_failed_try_that_finds_the_answer_counts() -> None:
    aha = only("Try 55 + 7 = 62. No.\nWait, what about 55 + 36 = 91. 91 - 7 = 84. 84 - 19 = 65. Yes!")
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
    ids=["cue first", "cue first in Chinese", "no cue", "cue inside a word", "nothing tried", "nothing"],
)
def test_a_cue_before_anything_was_tried_or_no_cue_at_all_does_not_count(thought: str) -> None:
    assert find_ahas([trace(thought)]) == []


@pytest.mark.parametrize(
    ("thought", "why"),
    [
        ("55 + 36 = 91. 91 - 7 = 84. 84 - 19 = 65. Wait, let me check: 84 - 19 = 65.", "had been found before"),
        ("55 + 36 - 7 - 19 = 65. Wait, 36 - 19 + 55 - 7 = 65.", "had been found before"),
        ("55 + 36 - 7 - 19 = 60. Wait, let me recheck: 36 + 55 - 19 - 7 = 65.", "repeats an earlier attempt"),
        ("55 + 36 = 91. 91 - 7 = 84. Wait, 84 - 19 = 65.", "goes on with what was begun before"),
        ("55 + 36 = 90 + 1 = 91. Wait, 91 - 7 = 84. 84 - 19 = 65.", "goes on with what was begun before"),
        ("55 + 7 = 62. Wait, I give up.", "does not come to the answer"),
        ("55 + 7 = 62. Wait, 46 + 19 = 65.", "does not come to the answer"),
        (
            "55 + 7 = 62. Wait, 55 - 19 = 36.\nTry 55 + 36 = 91. 91 - 7 = 84. 84 - 19 = 65.",
            "does not come to the answer",
        ),
        ("55 + 7 = 62. Wait, 55 + 36 - (7 - 19) = 65.", "does not come to the answer"),
    ],
    ids=[
        "after",
        "after, in another order",
        "the same",
        "going on",
        "going on with a sum worked out",
        "given up",
        "other numbers",
        "later",
        "false sum",
    ],
)
def test_a_turn_that_lacks_something_is_claimed_only(thought: str, why: str) -> None:
    aha = only(thought)
    assert not aha.solved
    assert why in aha.why


def test_a_right_sum_that_is_not_the_answer_is_no_true_aha() -> None:
    (aha,) = find_ahas(
        [record("4 + 2 * 3 = 10. Wait, 3 + 4 - 2 = 5.</think><answer> 4 - 2 + 3 </answer>", Puzzle((2, 3, 4), 5))]
    )
    assert aha.solved, "the same combination in another order is the answer"
    (aha,) = find_ahas(
        [record("4 + 4 = 8. Wait, 2 + 2 * 1 = 4.</think><answer> 2 * 2 / 1 </answer>", Puzzle((1, 2, 2), 4))]
    )
    assert (aha.solved, aha.why) == (False, "the answer is another expression")


def test_a_turn_with_a_wrong_answer_is_no_true_aha() -> None:
    aha = only("55 + 7 = 62. Wait, 55 + 36 - 7 - 19 = 65.", answer="46 + 19")
    assert not aha.solved
    assert (aha.not_given, aha.left_out) == ((46,), (55, 36, 7))


def test_an_intermediate_result_that_equals_the_target_before_the_cue_hides_no_aha() -> None:
    thought = "60 + 5 = 65. 65 + 7 = 72, 72 - 3 = 69. No. Wait, 60 + 7 = 67. 67 - 5 = 62. 62 + 3 = 65."
    generation = f"{thought}</think><answer>60 + 7 - 5 + 3</answer>"
    (aha,) = find_ahas([record(generation, Puzzle((60, 5, 7, 3), 65))])
    assert (aha.solved, aha.why) == (True, "")


def test_another_order_of_an_earlier_combination_counts_and_is_noted() -> None:
    aha = only("36 - 7 + 55 - 19 = 60. Wait, 55 - 19 + 36 - 7 = 65.")
    assert (aha.solved, aha.notes) == (True, ("the same combination was tried before in another order",))


def test_new_parentheses_are_noted() -> None:
    aha = only("55 + 36 + 7 - 19 = 79. Wait, 55 + 36 - (7 + 19) = 65.")
    assert (aha.solved, aha.notes) == (True, ("its first step was tried before", "parentheses are new"))
    assert only("55 - 36 + 7 - 19 = 7. Wait, 36 + 55 - (7 + 19) = 65.").notes == ("parentheses are new",)


def test_only_the_line_of_attack_behind_the_cue_counts_but_all_of_it() -> None:
    assert only("55 + 7 = 62. Wait:\n1. 55 + 36 = 91\n2. 91 - 7 = 84\n3. 84 - 19 = 65").solved
    assert only("55 + 36 = 91. 91 + 7 = 98, too big. Wait, 91 - 7 = 84. 84 - 19 = 65.").solved
    assert only("55 + 7 = 62. Wait, 55 + 36 = 91. 91 + 7 = 98. 98 - 19 = 79, and 91 - 7 = 84. 84 - 19 = 65").solved
    listed = "1. 55 + 36 + 7 + 19 = 117\nWait\n2. 55 + 36 + 7 - 19 = 79\n3. 55 + 36 - 7 - 19 = 65"
    assert not only(listed).solved, "the third item is a line of its own"


def test_a_cue_in_the_answer_or_after_it_does_not_count() -> None:
    text = "55 + 36 = 91. 84 - 19 = 65.</think>\n<answer> 55 + 36 - 7 - 19 </answer> Wait, is it?"
    assert find_ahas([record(text, Puzzle((55, 36, 7, 19), 65))]) == []


def test_thinking_that_goes_on_behind_the_end_of_the_thought_counts() -> None:
    text = "55 + 7 = 62.</think>\nWait, 55 + 36 - 7 - 19 = 65.</think>\n<answer>55 + 36 - 7 - 19</answer>"
    (aha,) = find_ahas([record(text, Puzzle((55, 36, 7, 19), 65))])
    assert aha.solved


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
        "Actually,",
        "突然发现",
    ],
)
def test_each_reflective_cue_is_known(cue: str) -> None:
    aha = only(f"55 + 7 = 62. {cue} 55 + 36 = 91. 91 - 7 = 84. 84 - 19 = 65.")
    assert (aha.cue, aha.solved) == (cue, True)


def test_turns_without_a_cue_are_measured_by_the_same_rule() -> None:
    found = "55 + 36 = 91. 91 - 7 = 84. 84 - 19 = 65."
    records = [
        trace(f"Try 55 + 7 = 62. No.\nWait, {found}"),
        trace(f"Try 55 + 7 = 62. No.\nTry {found}"),
        trace("Try 55 + 7 = 62. No.\nTry 55 - 7 = 48. No.", answer="1"),
    ]
    turns = summarise(records)["turns"]
    assert turns == {"with_cue": {"n": 1, "solved": 1}, "without_cue": {"n": 2, "solved": 1}}


def test_a_completion_without_its_puzzle_is_counted_and_never_called_true() -> None:
    values = {"test_id": 1, "generation": CASE_1[1]}
    (aha,) = find_ahas([values])
    assert (aha.solved, aha.why) == (False, "the puzzle is not known")
    counts = summarise([values, values | {"nums": [1, 2], "target": 3.5}, values | {"nums": [0] * 9, "target": 3}])
    assert (counts["unknown_puzzles"], counts["completions"], counts["solved"]) == (3, 3, 0)


def test_a_puzzle_of_one_number_has_no_turns() -> None:
    generation = "5 = 5. Wait, 5 + 0 = 5.</think><answer>5</answer>"
    counts = summarise([record(generation, Puzzle((5,), 5))])
    assert (counts["solved"], counts["unknown_puzzles"]) == (0, 0)


def test_the_behaviours_of_the_taxonomy_are_counted() -> None:
    thought = (
        "We need to get 58 first. Try 55 + 36 = 91. 91 + 7 = 98, too big. Another way: work backwards, "
        "65 + 19 = 84. Try 55 + 36 - 7 - 19 = 65. Let me verify: 55 + 36 - 7 - 19 = 65."
    )
    shown = analyse(trace(thought)).shown
    assert (shown.subgoals, shown.backtracking, shown.backward_chaining, shown.verification) == (1, 2, 2, 1)
    assert (shown.claims, shown.true_claims, shown.attempts) == (5, 5, 1)
    empty = summarise([])["behaviours"]
    assert (empty["true_share"], empty["verification"]) == (None, {"share": 0.0, "mean": 0.0})


def test_aiming_at_the_target_is_no_sub_goal() -> None:
    assert analyse(trace("We need to get 65 from 55, 36, 7, 19.")).shown.subgoals == 0


@pytest.mark.parametrize("unit", ["55 + 36 = 91. Wait, ", "1+", "<think>", "\0"])
def test_a_completion_of_10_mb_takes_seconds_and_is_said_to_be_cut(unit: str) -> None:
    began = time.process_time()
    values = record(unit * (10_000_000 // len(unit)), Puzzle((55, 36, 7, 19), 65))
    counts = summarise([values])
    assert time.process_time() - began < 5
    assert counts["cut"] == 1
    assert counts["solved"] == 0


def test_time_grows_in_step_with_length() -> None:
    def seconds(size: int) -> float:
        unit = "Try 55 + 36 = 91. 91 - 7 = 84. Wait, 84 - 19 = 65.\n"
        values = {"generation": unit * (size // len(unit)), "nums": [55, 36, 7, 19], "target": 65}
        began = time.process_time()
        analyse(values)
        return time.process_time() - began

    short, long = (min(seconds(size) for _ in range(2)) for size in (MAX_CHARS // 16, MAX_CHARS // 2))
    assert long < 8 * 2.5 * short


FRAGMENTS = [
    "55 + 36 = 91. ",
    "91 - 7 = 84, ",
    "84 - 19 = 65. ",
    "55 + 36 - 7 - 19",
    "Wait, ",
    "突然想到",
    "\n1. ",
    "\n- ",
    "</think>",
    "<think>",
    "<answer>",
    "</answer>",
    "(",
    ")",
    "1/0",
    "= ",
    "≠",
    "65",
    "Try ",
    "\x00",
    "９",
    "x",
    "\\times ",
    "need to get 3",
    " ",
    "\n",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=6), max_size=40).map("".join))
def test_any_completion_can_be_taken_apart(text: str) -> None:
    """Marked places lie in the text, lines cover it, and what is called an Aha is a right answer."""
    analysis = analyse({"generation": text, "nums": [55, 36, 7, 19], "target": 65})
    thought = analysis.thought
    assert [line.start for line in thought.lines[1:]] == [line.end for line in thought.lines[:-1]]
    assert (thought.lines[0].start, thought.lines[-1].end) == (0, len(thought.text))
    assert sum(len(line.candidates) for line in thought.lines) == len(thought.steps.candidates)
    for one in thought.steps.candidates:
        assert 0 <= one.began <= one.start < one.end <= len(thought.text)
    for aha in find_ahas([analysis.record]):
        assert asdict(aha)
        assert not aha.solved or judge(Puzzle((55, 36, 7, 19), 65), text).solved
