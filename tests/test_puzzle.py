"""Exact judgement of expressions and completions."""

from fractions import Fraction

import pytest

from countdown_r1.errors import InputError
from countdown_r1.game.answer import MAX_VERSIONS, judge, parse, right
from countdown_r1.game.puzzle import Puzzle, Status, check, normalise, show, solves

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
        ((3, 5), 15, "3 * 5 = 15"),
        ((3, 5), 15, "3 * 5 ＝ １５ "),
        ((3, 5), -2, "3 − 5 = −2"),
        ((3, 5), 15, "３＊５"),
        ((3, 5), 15, "（3）×（5）"),
        ((3, 5), 8, "3＋5"),
        ((30, 5), 6, "30／5"),
        ((30, 5), 6, "30 ∕ 5"),
        ((3, 5), 15, "3 ⋅ 5"),
        ((3, 5), 15, "3 ∗ 5"),
        ((5, 3), 2, "5 – 3"),
        ((5, 3), 2, "5 ‐ 3"),
        ((5, 3), 2, "5\n- 3\n"),
        ((5, 3), 2, "5\r\n-\t3"),
        ((5, 3), 2, "\u00a05\u2009-\u202f3\u3000"),
        ((5, 3), 2, "((5)) - (((3)))"),
        ((5, 3), -2, "-5 + 3"),
        ((5, 3), -2, "-(5 - 3)"),
        ((5, 3), 15, "(-5) * (-3)"),
        ((5, 3), 15, "-(-5) * 3"),
        ((5,), 5, "5"),
        ((10, 10), 0, "10 - 10"),
        ((6, 4, 3), 2, "4 / (6 / 3)"),
        ((1, 3, 4, 6), 24, "6 / (1 - 3 / 4)"),
        ((10_000,) * 6, 60_000, "10000 + 10000 + 10000 + 10000 + 10000 + 10000"),
        ((5, 3), 2, "(" * 490 + "5 - 3" + ")" * 490),
        ((5, 3), 2, " " * 990 + "5 - 3"),
    ],
)
def test_a_fair_teacher_accepts(nums: tuple[int, ...], target: int, expression: str) -> None:
    assert check(Puzzle(nums, target), expression).solved
    assert solves(Puzzle(nums, target), expression)


@pytest.mark.parametrize(
    ("expression", "status"),
    [
        ("55 + 36 - 7 - 18", Status.WRONG_NUMBERS),
        ("55 + 36 - 7", Status.WRONG_NUMBERS),
        ("55 + 36 - 7 - 19 - 19", Status.WRONG_NUMBERS),
        ("55 + 36 - 7 - 19 - 0", Status.WRONG_NUMBERS),
        ("65", Status.WRONG_NUMBERS),
        ("0", Status.WRONG_NUMBERS),
        ("(55 + 36 - 7 - 19) * 1", Status.WRONG_NUMBERS),
        ("5536 - 719", Status.WRONG_NUMBERS),
        ("55 + 36 + 7 - 19", Status.WRONG_VALUE),
        ("55 + 36 - 7 / 19", Status.WRONG_VALUE),
        ("55 / (36 - 36)", Status.WRONG_NUMBERS),
        ("55 / (19 - 36 / 7 * 0)", Status.WRONG_NUMBERS),
    ],
)
def test_an_expression_that_misses_is_refused_with_its_kind(expression: str, status: Status) -> None:
    assert check(MINI_R1, expression).status is status
    assert not solves(MINI_R1, expression)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("9**9**9", "'*' has no number on its left"),
        ("55^2", "'^' is not allowed"),
        ("62 + 7//2", "'/' has no number on its left"),
        ("060. + 5", "'060' starts with a zero"),
        ("3.5*2 + 58", "decimals are not allowed"),
        (".5 + 58", "decimals are not allowed"),
        ("55 + 36 - 7 - 19.", "decimals are not allowed"),
        ("5e1", "'e' is not allowed"),
        ("0x37", "'x' is not allowed"),
        ("5_5", "'_' is not allowed"),
        ("5(36)", "a parenthesis follows a number without an operator"),
        ("(5)(36)", "a parenthesis follows a number without an operator"),
        ("(5) 36", "two numbers without an operator between them"),
        ("55 36", "two numbers without an operator between them"),
        ("5 5 + 36", "two numbers without an operator between them"),
        ("00", "'00' starts with a zero"),
        ("--55 + 36", "'-' has no number on its left"),
        ("- -55", "'-' has no number on its left"),
        ("-(--55)", "'-' has no number on its left"),
        ("55 + -36", "'-' has no number on its left"),
        ("55 - -36", "'-' has no number on its left"),
        ("55 * -36", "'-' has no number on its left"),
        ("+55", "'+' has no number on its left"),
        ("-+55", "'+' has no number on its left"),
        ("*55", "'*' has no number on its left"),
        ("55 +", "the expression ends where a number is expected"),
        ("-", "no expression"),
        ("(55", "a parenthesis is never closed"),
        ("55)", "a parenthesis closes that was never opened"),
        ("55 + (36))", "a parenthesis closes that was never opened"),
        ("()", "a parenthesis closes where a number is expected"),
        ("(55 +)", "a parenthesis closes where a number is expected"),
        ("", "no expression"),
        (" \n", "no expression"),
        ("[55 + 36]", "'[' is not allowed"),
        ("{55}", "'{' is not allowed"),
        ("55, 36", "',' is not allowed"),
        ("55 % 36", "'%' is not allowed"),
        ("55 x 36", "'x' is not allowed"),
        ("sqrt(55)", "'s' is not allowed"),
        ("7!", "'!' is not allowed"),
        ("fifty-five", "'f' is not allowed"),
        ("五十五", "'五' is not allowed"),
        ("٥٥ + ٣٦", "'٥' is not allowed"),
        ("5²", "'²' is not allowed"),
        ("½", "'½' is not allowed"),
        ("$55 + 36", "'$' is not allowed"),
        ("\\sqrt{55}", "'\\\\' is not allowed"),
        ("55\0", "'\\x00' is not allowed"),
        ("55\ud800", "'\\ud800' is not allowed"),
        ("55\u200b", "'\\u200b' is not allowed"),
        ("__import__('os').system('true')", "'_' is not allowed"),
        ("55 + 36 - 7 - 19 = 64", "what follows '=' is not the target"),
        ("55 + 36 - 7 - 19 = 65 = 65", "what follows '=' is not the target"),
        ("55 + 36 - 7 - 19 =", "what follows '=' is not the target"),
        ("55 + 36 - 7 - 19 = 65.0", "what follows '=' is not the target"),
        ("55 + 36 - 7 - 19 == 65", "what follows '=' is not the target"),
        ("65 = 55 + 36 - 7 - 19", "what follows '=' is not the target"),
        ("= 65", "no expression"),
        ("-" * 1_000, "'-' has no number on its left"),
        ("-" * 100_000 + "5", "longer than 1,000 characters"),
        ("(" * 999, "no expression"),
        (" " * 1_000 + "5", "longer than 1,000 characters"),
        ("1" * 500, "a number has more than 12 digits"),
    ],
)
def test_anything_else_is_malformed_for_a_reason(expression: str, reason: str) -> None:
    verdict = check(MINI_R1, expression)
    assert verdict.status is Status.MALFORMED
    assert verdict.reason == reason
    assert not solves(MINI_R1, expression)


def test_division_by_zero_anywhere_is_malformed() -> None:
    puzzle = Puzzle((5, 3, 3), 5)
    for text in (
        "5 / (3 - 3)",
        "5 / ((3 - 3) * 1)",
        "(3 - 3) / (5 / (3 - 3))",
        "5 + 3 / (3 - 3)",
        "5 / 0",
        "5 * (3 / (3 - 3))",
    ):
        assert check(puzzle, text).value is None
        assert not solves(puzzle, text)
    assert check(puzzle, "5 / (3 - 3)").reason == "divides by zero"
    assert check(puzzle, "(3 - 3) / (5 / (3 - 3))").status is Status.WRONG_NUMBERS


@pytest.mark.parametrize("target", [0, 5])
def test_dividing_by_zero_solves_nothing(target: int) -> None:
    assert not solves(Puzzle((5, 3, 3), target), "5 / (3 - 3)")
    assert not solves(Puzzle((3, 3, 5, 5), target), "(3 - 3) / (5 - 5)")


def test_a_number_given_twice_is_used_twice() -> None:
    puzzle = Puzzle((8, 3, 8, 3), 24)
    assert not solves(puzzle, "8 * 3")
    assert check(puzzle, "8 * 3").reason == "leaves out 8, 3"
    assert check(Puzzle((8, 3), 24), "8 * 3 + 8 - 8").reason == "uses 8 more often than it was given"
    assert not solves(Puzzle((8, 3), 24), "8 * 3 + 8 - 8")


def test_the_article_s_printed_952_example_is_refused() -> None:
    verdict = check(Puzzle((25, 50, 75, 100, 3, 6), 952), "(100 * (3 * 3)) + (50 + 6 / 3)")
    assert verdict.status is Status.WRONG_NUMBERS
    assert "3" in verdict.reason


def test_a_minus_may_stand_only_where_an_expression_begins() -> None:
    """The documented rule: one, at the very start or right after an opening parenthesis."""
    puzzle = Puzzle((5, 3), 2)
    accepted = ["-3 + 5", "5 + (-3)", "-(3 - 5)", "(-3) + 5", "-(-5) - 3"]
    refused = ["--3 + 5", "5 + -3", "5 - -3", "3 * -5", "+5 - 3", "-(--5) - 3", "5 + (- -3)"]
    assert [check(puzzle, text).status for text in accepted] == [Status.SOLVED] * 5
    assert [check(puzzle, text).status for text in refused] == [Status.MALFORMED] * 7


def test_values_are_exact_where_floats_are_not() -> None:
    near = Puzzle((65, 1, 97, 98, 99), 65)
    assert check(near, "65 + 1 / (97 * 98 * 99)").reason == "makes 61171111/941094, not 65"
    assert check(Puzzle((3, 3, 49), 49), "3 / 3 * 49").solved
    assert check(Puzzle((1, 49, 49), 1), "1 / 49 * 49").solved


@pytest.mark.parametrize("nums", [(), (1,) * 7, (0, 1), (1, 10_001), (True, 2), (1.5, 2)])
def test_numbers_out_of_range_are_an_input_error(nums: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        Puzzle(nums, 5)


def test_a_number_too_long_to_print_is_an_input_error_too() -> None:
    huge = 10**5_000
    for nums, target in (((huge, 2), 5), ((1, 2), huge), ((1, 2), -huge)):
        with pytest.raises(InputError, match="got one of 16,610 bits"):
            Puzzle(nums, target)


def test_a_billion_and_one_is_no_target() -> None:
    with pytest.raises(InputError, match="target"):
        Puzzle((1, 2), 10**9 + 1)


def test_typography_becomes_ascii_and_the_rest_stays() -> None:
    assert normalise("３×（５−2）÷1＝15\u00a0a") == "3*(5-2)/1=15 a"


def test_huge_values_are_abbreviated() -> None:
    assert show(Fraction(10**50)) == "1" + "0" * 36 + "..."
    assert show(Fraction(7, 2)) == "7/2"


@pytest.mark.parametrize(
    ("completion", "thought", "answers", "well_formed"),
    [
        ("x</think>\n<answer>1</answer>", "x", ("1",), True),
        ("  <think>x</think><answer>1</answer> \n", "x", ("1",), True),
        ("</think><answer></answer>", "", ("",), True),
        ("a < b</think><answer>1</answer>", "a < b", ("1",), True),
        ("x <think>y</think><answer>1</answer>", "x <think>y", ("1",), False),
        ("<think><think>y</think><answer>1</answer>", "<think>y", ("1",), False),
        ("x</think></think><answer>1</answer>", "x", ("1",), False),
        ("x<answer>y</think><answer>1</answer>", "x<answer>y", ("1",), False),
        ("x</answer>y</think><answer>1</answer>", "x</answer>y", ("1",), False),
        ("x</think><answer><think>1</answer>", "x", ("<think>1",), False),
        ("x</think><answer>1</think></answer>", "x", ("1</think>",), False),
        ("x</think><answer>a<answer>1</answer>", "x", ("1",), False),
        ("x</think><answer>1</answer></answer>", "x", ("1",), False),
        ("x</think></answer><answer>1</answer>", "x", ("1",), False),
        ("x</think><answer>1</answer><answer>", "x", ("1",), False),
        ("x</think>so<answer>1</answer>", "x", ("1",), False),
        ("x</think><answer>1</answer>.", "x", ("1",), False),
        ("x</think><answer>1</answer><answer>2</answer>", "x", ("1", "2"), False),
        ("x</think><ANSWER>1</ANSWER>", "x", (), False),
        ("x</think><answer>1", "x", (), False),
        ("x</think>", "x", (), False),
        ("<think>x", "x", (), False),
        ("x < /think><answer>1</answer>", "x < /think><answer>1</answer>", (), False),
    ],
)
def test_a_completion_is_cut_at_its_tags(
    completion: str, thought: str, answers: tuple[str, ...], well_formed: bool
) -> None:
    parsed = parse(completion)
    assert (parsed.thought, parsed.answers, parsed.well_formed) == (thought, answers, well_formed)
    assert parsed.finished == ("</think>" in completion)


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
        ("x</think><answer>65</answer><answer>36 + 55 - 7 - 19</answer>", Status.SOLVED),
        ("x</think><answer>nonsense</answer><answer>36 + 55 - 7 - 19</answer>", Status.AMBIGUOUS),
        ("x</think><answer>36 + 55 - 7 - 19</answer> <answer> 36 + 55 - 7 - 19\n</answer>", Status.SOLVED),
        ("x</think><answer>nonsense</answer><answer>rubbish</answer>", Status.MALFORMED),
        ("x</think><answer>1 <answer>36 + 55 - 7 - 19</answer>", Status.SOLVED),
        ("x</think><answer>36 + 55 - 7 - 19</answer> </think> <answer>1</answer>", Status.AMBIGUOUS),
        ("<think>x</think> <think>y</think><answer>36 + 55 - 7 - 19</answer>", Status.SOLVED),
        ("", Status.UNFINISHED),
        ("x</think>", Status.NO_ANSWER),
    ],
)
def test_a_completion_is_judged_by_its_final_answer(completion: str, status: Status) -> None:
    assert judge(MINI_R1, completion).status is status
    assert right(MINI_R1, parse(completion)) == (status is Status.SOLVED)


def test_many_wordings_of_one_answer_are_ambiguous_and_many_copies_are_not() -> None:
    right_answer = "55 + 36 - 7 - 19"
    worded = [f"<answer>{'(' * depth}{right_answer}{')' * depth}</answer>" for depth in range(MAX_VERSIONS + 2)]
    assert judge(MINI_R1, "</think>" + "".join(worded[: MAX_VERSIONS + 1])).solved
    assert judge(MINI_R1, "</think>" + "".join(worded)).status is Status.AMBIGUOUS
    assert judge(MINI_R1, "</think>" + worded[0] * 1_000).solved
