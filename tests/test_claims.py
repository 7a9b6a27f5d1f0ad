"""Arithmetic claims in a thought: what is read as one, and whether it is true."""

from __future__ import annotations

import time
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countdown_r1.game.answer import parse
from countdown_r1.game.claims import _claims_between, claims
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.train.traces import Habits, write_trace


def read(text: str) -> list[tuple[str, bool]]:
    """Each claim as it is written, and whether it is true."""
    return [(text[one.left.start : one.right.end].strip(), one.true) for one in claims(text)]


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("55 + 36 = 91", True),
        ("55+36=92", False),
        ("86 × 3 = 258", True),
        ("86 ÷ 2 = 43", True),
        ("5 x 3 = 15", True),
        ("5 \\times 3 = 15", True),
        ("88 − 10 = 78", True),
        ("６０＋５＝６５", True),
        ("（60 + 5）× 2 = 130", True),
        ("(80 - 77 + 6) + 11 = 20", True),
        ("11 - 80 = -69", True),
        ("11 - 80 = - 69", True),
        ("-11 + 80 = 69", True),
        ("(-11) + 80 = 69", True),
        ("20 = 80 - 60", True),
        ("3 * 5 == 15", True),
        ("55 + 36 equals 91", True),
        ("55 + 36 等于 91", True),
        ("55 + 36 等于92", False),
        ("55 + 36 不等于 92", True),
        ("77 / 11 + 80 / 6 ≠ 20", True),
        ("5 * 5 != 25", False),
        ("5 * 4 \\neq 25", True),
        ("80 / 6 = 13.33", True),
        ("80 / 6 = 13.34", True),
        ("80 / 6 = 13.4", True),
        ("80 / 6 = 13.5", False),
        ("80 / 6 = 13", False),
        ("80 / 6 ≈ 13", True),
        ("80 / 6 ≈ 12", False),
        ("20.5 * 2 = 41", True),
        ("999 + 1 = 1,000", True),
        ("5 / (3 - 3) = 5", False),
        ("(80 - 77)\n = 3", True),
        ("1000000 * 100000 = 100000000001", False),
    ],
)
def test_a_claim_is_judged_exactly(text: str, true: bool) -> None:
    ((written, judged),) = read(text)
    assert (written, judged) == (text, true)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("8. (80 - 77) * (11 - 6) = 3 * 5 = 15", [("(80 - 77) * (11 - 6) = 3 * 5", True), ("3 * 5 = 15", True)]),
        ("(77 - 6) / (80 - 11) = 71 / 69 ≠ 20", [("(77 - 6) / (80 - 11) = 71 / 69", True), ("71 / 69 ≠ 20", True)]),
        ("55 + 36 = 91 - 7 = 84", [("55 + 36 = 91 - 7", False), ("91 - 7 = 84", True)]),
        ("Left: 154, 3. 154 + 3 = 157, 154 - 3 = 151. No.", [("154 + 3 = 157", True), ("154 - 3 = 151", True)]),
        ("- 55 + 36 = 91 - too large\n- 91 - 7 = 84", [("55 + 36 = 91", True), ("91 - 7 = 84", True)]),
        ("* 5 + 3 = 8\n1) 2 + 2 = 5\n(2) 3 + 3 = 6", [("5 + 3 = 8", True), ("2 + 2 = 5", False), ("3 + 3 = 6", True)]),
        ("**55 + 36 = 91**, `5 + 3 = 8`", [("55 + 36 = 91", True), ("5 + 3 = 8", True)]),
        ("\\( 5 + 3 = 8 \\) and $5 - 3 = 2$", [("5 + 3 = 8", True), ("5 - 3 = 2", True)]),
        ("(so 5 + 6 = 11), (5 + 6 = 11) [5 + 6 = 11]", [("5 + 6 = 11", True)] * 3),
        ("(5 + 6 = 11 (too large)", [("5 + 6 = 11", True)]),
        ("尝试1: 93 + 77 - 68 - 43 = 59。再加66", [("93 + 77 - 68 - 43 = 59", True)]),
        ("而72 - 8 = 64,72 + 8 = 80,显然", [("72 - 8 = 64", True), ("72 + 8 = 80", True)]),
        ("= 22,接着22 - 10 = 12,再", [("22 - 10 = 12", True)]),
        ("x = 5 + 3 and 5 + 3 = x, 5 + 3 = ?", []),
        ("target = 20, 65 = 65, 5 + 3, a = b", []),
        ("2**6 = 64, 7//2 = 3, 5^2 = 25, 5% + 3 => 8, 5 >= 3 + 1", []),
        ("5 + -3 = 2", []),
        ("007 + 1 = 8", []),
        ("10000000 * 1000000 = 10000000000000", []),
        ("1 + " * 100 + "1 = 2, 1 + 1 = 2", [("1 + 1 = 2", True)]),
        ("2 = 1" + " + 1" * 100, []),
        ("2" * 300 + " + 1 = 1", []),
        ("an equation that equals 65 from 3 numbers", []),
        ("构建一个等于65的等式", []),
        ("3 + 5 = 8 * n", []),
        ("", []),
    ],
)
def test_claims_are_found_among_words(text: str, found: list[tuple[str, bool]]) -> None:
    assert read(text) == found


def test_the_sides_of_a_claim_can_be_asked() -> None:
    first, second = claims("1. 11 + 77 - 80 + 6 = 8, 5 * 4 = 10 * 2")
    assert (first.left.numbers, first.left.value, first.left.decimals) == ((11, 77, 80, 6), 14, None)
    assert (first.relation, first.right.value, first.right.decimals, first.true) == ("=", 8, 0, False)
    assert (second.right.numbers, second.right.value, second.right.decimals) == ((10, 2), 20, None)
    (third,) = claims("80 / 6 = 13.33")
    assert (third.right.value, third.right.decimals, third.right.numbers) == (Fraction(1333, 100), 2, ())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_claim_of_our_own_traces_is_found_and_true(language: str) -> None:
    rng = Random(7)
    for _ in range(200):
        puzzle = Puzzle(tuple(rng.randint(1, 99) for _ in range(rng.choice((3, 4)))), rng.randint(10, 100))
        thought = parse(write_trace(puzzle, language, rng, Habits()).completion).thought
        found = list(claims(thought))
        assert len(found) == thought.count(" = ")
        assert all(one.true for one in found)


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet="0123456789+-*/()=≠≈ .,\nx×不等于ab０５", max_size=60))
def test_any_text_gives_claims_in_order_inside_it(text: str) -> None:
    end = 0
    for one in claims(text):
        assert end <= one.left.end <= one.right.start < one.right.end <= len(text)
        assert 0 <= one.left.start < one.left.end
        end = one.left.end


BITS = [
    "12",
    "7",
    "0",
    "007",
    "1,000",
    "3.5",
    "１２",
    " ",
    " ",
    "+",
    "-",
    "*",
    "**",
    "/",
    "×",
    "(",
    ")",
    "（",
    ",",
    ", ",
    ".",
]
BITS += [
    "=",
    " = ",
    "==",
    "=>",
    "!=",
    "≠",
    "≈",
    "不等于",
    "不",
    "equals",
    "unequals",
    "fox ",
    "x",
    "X 5",
    "\\neq ",
    "\\times ",
]
BITS += ["\n", "\n- ", "- ", "Try ", "\t", "5 + 7 = 12", "9 / 3 = 3", " - 2 = ", "- 8 - 9 = 1", "_", "¹"]


@settings(max_examples=2_000, deadline=None)
@given(bits=st.lists(st.sampled_from(BITS), max_size=14))
def test_a_stretch_at_a_time_gives_what_one_pass_over_the_whole_text_gives(bits: list[str]) -> None:
    text = "".join(bits)
    assert list(claims(text)) == list(_claims_between(text, 0, len(text)))


PIECES = [
    "=",
    "(",
    "9",
    "-",
    "1+",
    "1 =",
    "1+1=2 ",
    "1=1,",
    "0,",
    "3.",
    "1/7+",
    "\n",
    "\\",
    "不",
    "x1",
    "equals ",
    "1 - ",
]


@pytest.mark.parametrize("piece", PIECES)
def test_the_time_grows_with_the_length_alone(piece: str) -> None:
    seconds = []
    for chars in (20_000, 80_000):
        text = piece * (chars // len(piece)) + "1 = 1"
        began = time.thread_time()
        assert sum(1 for _ in claims(text)) <= chars / 4
        seconds.append(time.thread_time() - began)
    assert seconds[1] < 12 * seconds[0] + 0.05
    assert seconds[1] < 2.0
