"""Exact judgement of expressions and completions."""

import pytest

from countdown_r1.errors import InputError
from countdown_r1.game.answer import judge, parse
from countdown_r1.game.puzzle import Puzzle, Status, check

MINI_R1 = Puzzle((19, 36, 55, 7), 65)


@pytest.mark.parametrize(
    ("nums", "target", "expression"),
    [
        ((19, 36, 55, 7), 65, "55 + 36 - 7 - 19"),
        ((19, 36, 55, 7), 65, " 55 + 36 −\u00a07 － 19 = 65\n"),
        ((3, 5, 2), 30, "３ × 5·2"),
        ((8, 3, 8, 3), 24, "8 / (3 - 8 / 3)"),
        ((5, 3), 2, "-3 + 5"),
        ((5, 3), 2, "5 + (-3)"),
        ((1, 2, 3), 1, "(1 + 2) ÷ 3"),
    ],
)
def test_a_fair_teacher_accepts(nums: tuple[int, ...], target: int, expression: str) -> None:
    assert check(Puzzle(nums, target), expression).solved


@pytest.mark.parametrize(
    ("expression", "status"),
    [
        ("55 + 36 - 7 - 18", Status.WRONG_NUMBERS),
        ("55 + 36 - 7", Status.WRONG_NUMBERS),
        ("55 + 36 - 7 - 19 - 19", Status.WRONG_NUMBERS),
        ("55 + 36 + 7 - 19", Status.WRONG_VALUE),
        ("55 / (36 - 36)", Status.WRONG_NUMBERS),
        ("9**9**9", Status.MALFORMED),
        ("62 + 7//2", Status.MALFORMED),
        ("060. + 5", Status.MALFORMED),
        ("3.5*2 + 58", Status.MALFORMED),
        ("5(36)", Status.MALFORMED),
        ("(5)(36)", Status.MALFORMED),
        ("--55 + 36", Status.MALFORMED),
        ("55 + -36", Status.MALFORMED),
        ("+55", Status.MALFORMED),
        ("55 36", Status.MALFORMED),
        ("(55", Status.MALFORMED),
        ("55)", Status.MALFORMED),
        ("()", Status.MALFORMED),
        ("", Status.MALFORMED),
        ("sqrt(55)", Status.MALFORMED),
        ("__import__('os').system('true')", Status.MALFORMED),
        ("55 + 36 - 7 - 19 = 64", Status.MALFORMED),
        ("55 + 36 - 7 - 19 = 65 = 65", Status.MALFORMED),
        ("-" * 100_000 + "5", Status.MALFORMED),
        ("(" * 999, Status.MALFORMED),
        ("1" * 500, Status.MALFORMED),
    ],
)
def test_anything_else_is_refused_with_its_kind(expression: str, status: Status) -> None:
    assert check(MINI_R1, expression).status is status


def test_division_by_zero_anywhere_is_malformed() -> None:
    puzzle = Puzzle((5, 3, 3), 5)
    assert check(puzzle, "5 / (3 - 3)").reason == "divides by zero"
    assert check(puzzle, "(3 - 3) / (5 / (3 - 3))").status is Status.WRONG_NUMBERS


def test_the_article_s_printed_952_example_is_refused() -> None:
    verdict = check(Puzzle((25, 50, 75, 100, 3, 6), 952), "(100 * (3 * 3)) + (50 + 6 / 3)")
    assert verdict.status is Status.WRONG_NUMBERS
    assert "3" in verdict.reason


@pytest.mark.parametrize("nums", [(), (1,) * 7, (0, 1), (1, 10_001), (True, 2), (1.5, 2)])
def test_numbers_out_of_range_are_an_input_error(nums: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        Puzzle(nums, 5)


def test_a_billion_and_one_is_no_target() -> None:
    with pytest.raises(InputError, match="target"):
        Puzzle((1, 2), 10**9 + 1)


def test_the_answer_is_the_last_one_after_the_first_closed_thought() -> None:
    parsed = parse("<think>a <answer>1</answer></think>\n<answer>2</answer> so <answer>3</answer>")
    assert parsed.answers == ("2", "3")
    assert parsed.finished
    assert not parsed.well_formed


@pytest.mark.parametrize(
    ("completion", "status"),
    [
        ("x</think>\n<answer>55 + 36 - 7 - 19</answer>", Status.SOLVED),
        ("<think>x</think>\n<answer>55 + 36 - 7 - 19</answer>", Status.SOLVED),
        ("<answer>55 + 36 - 7 - 19</answer>", Status.UNFINISHED),
        ("x <answer>55 + 36 - 7 - 19</answer></think>", Status.NO_ANSWER),
        ("x</think><answer>55 + 36 - 7 - 19", Status.NO_ANSWER),
        ("x</think><answer>55</answer><answer>55 + 36 - 7 - 19</answer>", Status.AMBIGUOUS),
        ("x</think><answer>55+36-7-19</answer><answer>36 + 55 - 7 - 19</answer>", Status.SOLVED),
        ("x</think><answer>55 + 36 - 7 - 19</answer><answer>1</answer>", Status.AMBIGUOUS),
    ],
)
def test_a_completion_is_judged_by_its_final_answer(completion: str, status: Status) -> None:
    assert judge(MINI_R1, completion).status is status


def test_hostile_completions_cost_linear_time() -> None:
    for hostile in ("<answer>" * 100_000, "</answer>" * 100_000, "</think>" + "<answer>1</answer>" * 50_000):
        assert not judge(MINI_R1, hostile).solved
