"""LaTeX in answers and in sums: judged as what it means, exactly, or refused."""

from __future__ import annotations

import ast
import runpy
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countdown_r1.game.claims import claims
from countdown_r1.game.puzzle import Puzzle, Status, check, solves
from countdown_r1.train.aha import analyse

python_value = runpy.run_path(str(Path(__file__).parent / "completion_properties.py"))["python_value"]
PUZZLE = Puzzle((55, 36, 7, 19), 65)


@pytest.mark.parametrize(
    ("answer", "puzzle"),
    [
        (r"55 + 36 - 7 - 19", PUZZLE),
        (r"$55 + 36 - 7 - 19$", PUZZLE),
        (r"$$55 + 36 - 7 - 19$$", PUZZLE),
        (r"\( 55 + 36 - 7 - 19 \)", PUZZLE),
        (r"\[55 + 36 - 7 - 19 = 65\]", PUZZLE),
        (r"$55 + 36 - 7 - 19$ = 65", PUZZLE),
        (r"$55$ + $36$ - $7 - 19$", PUZZLE),
        (r"\boxed{55 + 36 - 7 - 19}", PUZZLE),
        (r"$\boxed{55 + 36 - 7 - 19 = 65}$", PUZZLE),
        (r"\left(55 + 36\right) - \bigl(7 + 19\bigr)", PUZZLE),
        (r"\left[55 + 36\right] - \left\{7 + 19\right\}", PUZZLE),
        (r"{55} \, + \; 36 \quad - ~ 7 - 19", PUZZLE),
        (r"\displaystyle 55+36-7-19\ = \ 65", PUZZLE),
        (r"3 \times 5", Puzzle((3, 5), 15)),
        (r"3\cdot5", Puzzle((3, 5), 15)),
        (r"3 \ast 5", Puzzle((3, 5), 15)),
        (r"3 \* 5", Puzzle((3, 5), 15)),
        (r"15 \div 5", Puzzle((15, 5), 3)),
        (r"\frac{15}{5}", Puzzle((15, 5), 3)),
        (r"\dfrac { 15 } { 5 }", Puzzle((15, 5), 3)),
        (r"\frac{8}{3 - \frac{8}{3}}", Puzzle((8, 3, 8, 3), 24)),
        (r"\cfrac{8}{3 - \tfrac83}", Puzzle((8, 3, 8, 3), 24)),
        (r"\frac82", Puzzle((8, 2), 4)),
        (r"\frac 8{2}", Puzzle((8, 2), 4)),
        (r"\frac{12}3", Puzzle((12, 3), 4)),
        (r"-\frac{-12}{3}", Puzzle((12, 3), 4)),
        (r"（3）\times５ ＝ 15", Puzzle((3, 5), 15)),
    ],
)
def test_latex_is_judged_as_what_it_means(answer: str, puzzle: Puzzle) -> None:
    assert check(puzzle, answer).solved
    assert solves(puzzle, answer)


@pytest.mark.parametrize(
    "answer",
    [
        r"\frac{3}{5",
        r"\frac{3}",
        r"\frac",
        r"\frac{}{5}",
        r"\frac{3}}{5}",
        r"\frac\times 35",
        r"\frac(3)(5)",
        r"\fraction{3}{5}",
        r"\frac35 2",
        r"3\frac{1}{5}",
        r"\frac{3}{5}5",
        r"\frac123",
        r"{3+5}\times 2",
        r"\(3 + 5\) \times 2",
        r"3 \timesx 5",
        r"3 \\times 5",
        r"\sqrt{3}",
        r"3^{5}",
        r"\text{3 + 5}",
        r"\boxed{3} + \boxed{5}",
        r"\boxed{3 + 5",
        r"\right",
        "$",
        "3 + 5$",
        "$3$5",
        "\\",
        "\\" * 999,
        "{" * 500 + "\\",
        r"\frac" * 199,
        r"\boxed{" * 140,
    ],
)
def test_latex_that_can_mean_two_things_or_nothing_is_malformed(answer: str) -> None:
    began = time.process_time()
    verdicts = {check(Puzzle(nums, 8), answer).status for nums in ((3, 5), (3, 5, 2), (3, 1, 5), (1, 2, 3))}
    assert verdicts <= {Status.MALFORMED, Status.WRONG_NUMBERS}
    assert not any(solves(Puzzle((3, 5), target), answer) for target in range(20))
    assert time.process_time() - began < 0.5


def drawn(rng: Random, nums: Sequence[int]) -> tuple[str, str]:
    """A random expression over the numbers: as Python writes it, and as LaTeX may."""
    if len(nums) == 1:
        return str(nums[0]), str(nums[0])
    cut = rng.randrange(1, len(nums))
    (left, left_tex), (right, right_tex) = drawn(rng, nums[:cut]), drawn(rng, nums[cut:])
    sign = rng.choice("+-*/")
    if sign == "/" and rng.random() < 0.7:
        arguments = [
            text if len(text) == 1 and text.isdigit() and rng.random() < 0.5 else f"{{{text}}}"
            for text in (left_tex, right_tex)
        ]
        name, gap = rng.choice((r"\frac", r"\dfrac", r"\tfrac")), rng.choice(("", " "))
        return f"(({left}) / ({right}))", f"({name}{gap}{arguments[0]}{arguments[1]})"
    shown = {"+": "+", "-": rng.choice("-−"), "*": rng.choice((r"\times ", r"\cdot{}", "×", "*"))}
    shown["/"] = rng.choice((r"\div ", "÷", "/"))
    before, after = rng.choice((("(", ")"), (r"\left(", r"\right)"), (r"\left[", r"\right]"), (r"\big(", r"\big)")))
    return f"(({left}) {sign} ({right}))", f"{before}{left_tex} {shown[sign]}\\, {right_tex}{after}"


@pytest.mark.parametrize("seed", range(4))
def test_random_expressions_in_latex_get_the_verdict_of_pythons_own_parser(seed: int) -> None:
    rng = Random(seed)
    statuses = set()
    for _ in range(1_500):
        nums = tuple(rng.randint(1, 12) for _ in range(rng.randint(1, 6)))
        plain, tex = drawn(rng, nums)
        used: list[int] = []
        try:
            value = python_value(ast.parse(plain, mode="eval").body, used)
        except ZeroDivisionError:
            value = None
        target = int(value) if value is not None and rng.random() < 0.8 else rng.randint(1, 50)
        given_nums = nums if rng.random() < 0.9 else (*nums[1:], 12)
        puzzle = Puzzle(given_nums, target)
        tex = rng.choice(("{}", "${}$", r"\({}\)", r"\boxed{{{}}}", "{} = " + str(target))).format(tex)
        verdict = check(puzzle, tex)
        assert verdict.value == value, (plain, tex, verdict)
        assert verdict.solved == (value == target and sorted(used) == sorted(given_nums)) == solves(puzzle, tex)
        statuses.add(verdict.status)
    assert statuses == {Status.SOLVED, Status.WRONG_VALUE, Status.WRONG_NUMBERS, Status.MALFORMED}


BITS = [
    "\\frac",
    "{",
    "}",
    "3",
    "55",
    "\\times",
    "\\left(",
    "\\right)",
    "(",
    ")",
    "+",
    "-",
    "$",
    "\\(",
    "\\)",
    " ",
    "=65",
]
BITS += ["\\boxed{", "\\,", "\\", "/", "\\frac{3}{5}", "\\div", "x", "\\]"]


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(BITS) | st.text(max_size=3), max_size=14).map("".join))
def test_any_latex_gets_a_verdict_and_both_judges_agree(text: str) -> None:
    assert check(PUZZLE, text).solved == solves(PUZZLE, text)


@pytest.mark.parametrize(
    ("text", "true"),
    [
        (r"5 \times 3 = 15", True),
        (r"15 \div 5 = 4", False),
        (r"\frac{80}{5} = 16", True),
        (r"\dfrac{80}{5} \cdot 2 = 31", False),
        (r"\frac{80 \times 2}{5} + 1 = 33", True),
        (r"\frac{8}{3 - \frac{8}{3}} = 24", True),
        (r"\frac12 + \frac12 = 1", True),
        (r"\left(80 - 77\right) \times 5 = 15", True),
        (r"16 = \frac{80}{5}", True),
        (r"5 \, \ast \, 3 = 15", True),
        (r"\frac{7.5}{5} = 1.5", True),
    ],
)
def test_sums_in_latex_are_read_and_checked(text: str, true: bool) -> None:
    (claim,) = claims(text)
    assert (text[claim.left.start : claim.right.end], claim.true) == (text, true)


def test_an_aha_whose_answer_is_in_latex_counts() -> None:
    thought = r"8 \times 3 = 24, 24 + 8 + 3 = 35. Wait, \frac{8}{3} = 8 / 3, so \frac{8}{3 - \frac{8}{3}} = 24."
    record = {"generation": rf"{thought}</think><answer>$\frac{{8}}{{3 - 8 / 3}}$</answer>"}
    found = analyse(record | {"nums": [8, 3, 8, 3], "target": 24}).aha
    assert found is not None and found.solved, found
