"""What the page shows of a thought, a puzzle and a run, without a browser."""

from __future__ import annotations

import re
import string
import time
from pathlib import Path
from random import Random

import pytest

from countdown_r1.errors import InputError
from countdown_r1.game.puzzle import Puzzle, Status, check
from countdown_r1.game.solver import easiest_solution, level
from countdown_r1.game.split import split_of
from countdown_r1.models import Source
from countdown_r1.space import page
from countdown_r1.space.charts import Point, line_chart
from countdown_r1.space.facts import facts
from countdown_r1.space.paint import finished_thought, growing_thought
from countdown_r1.space.puzzles import random_puzzle, read_puzzle
from countdown_r1.space.story import collect, failures, of_run, shipped_story
from countdown_r1.space.tale import told
from countdown_r1.space.words import WORDS, preferred, words_of

EN, ZH = WORDS["en"], WORDS["zh"]
PUZZLE = Puzzle((56, 80, 48), 72)
AHA = (
    "We need 72.\nTry 80 - 48 = 32. Left: 32, 56. 56 + 32 = 88, 56 - 32 = 24. No.\n"
    "Wait, what about 80 - 56 = 24. Left: 24, 48. 48 + 24 = 72. Yes!</think>\n<answer> 48 + (80 - 56) </answer>"
)


def text_of(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


def test_a_true_aha_is_marked_with_its_definition() -> None:
    html = finished_thought(AHA, PUZZLE, EN)
    assert 'class="attempt aha"' in html and EN["aha_is"] in html
    assert '<mark title="a reflective phrase">Wait</mark>' in html


def test_a_cue_without_a_right_answer_is_only_claimed_and_says_why() -> None:
    html = finished_thought(AHA.replace("48 + (80 - 56) </answer>", "48 + 80 - 57 </answer>"), PUZZLE, EN)
    assert 'class="attempt claimed"' in html and "the answer is not right" in html
    assert "最后的答案不对" in finished_thought(AHA.replace("48 + (80", "47 + (80"), PUZZLE, ZH)


def test_another_attempt_after_a_failed_one_is_backtracking() -> None:
    html = finished_thought("Try 80 - 48 = 32. 32 + 56 = 88. No.\nTry 80 + 56 = 136. No.", PUZZLE, EN)
    assert html.count('class="attempt ') == 2 and EN["backtrack_is"] in html


def test_every_claim_is_marked_true_or_false_with_what_is_true() -> None:
    html = finished_thought("80 - 48 = 32, 56 + 32 = 90 and 7 / 0 = 1.", PUZZLE, EN)
    assert html.count('class="yes"') == 1 and html.count('class="no"') == 2
    assert "✗ 88" in html and "a division by zero" in html


@pytest.mark.parametrize("written", ["56 + 32 = 8", "56 + 32 = ", "56 + 3", "80 / 6 = 13.", "80 / 6 = 13.3"])
def test_a_claim_that_may_still_change_is_not_judged(written: str) -> None:
    html = growing_thought(f"80 - 48 = 32. {written}", PUZZLE, EN)
    assert 'class="no"' not in html and html.count('class="yes"') == 1
    assert 'class="caret"' in html


def test_a_growing_thought_shows_every_letter_that_was_written() -> None:
    ours = re.compile(r'<p class="badge.*?</p>|<span class="(?:yes|no)".*?</span>')
    for end in range(0, AHA.index("</think>"), 7):
        shown = text_of(ours.sub("", growing_thought(AHA[:end], PUZZLE, EN)))
        assert "".join(shown.split()) == "".join(AHA[:end].split())


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<think>" * 500,
        "</think><answer>" * 500,
        "<answer><b onclick=x>1</b></answer></think>",
        "(" * 5_000,
        "1 = " * 5_000,
        "Wait " * 3_000,
        "\u202e\x00\x1b[2J",
        "55 + 36 = " + "9" * 15_000,
    ],
)
def test_broken_and_endless_completions_are_text_in_time(hostile: str) -> None:
    began = time.monotonic()
    for html in (growing_thought(hostile, PUZZLE, EN), finished_thought(hostile, PUZZLE, ZH)):
        assert not re.search(r"<(script|b onclick|answer|think)", html)
    assert time.monotonic() - began < 4


def test_facts_of_the_puzzle_of_television() -> None:
    found = facts(Puzzle((25, 50, 75, 100, 3, 6), 952))
    assert found.n_solutions == 6 and found.level == 2 and (found.low, found.high) == (100, 999)
    assert check(Puzzle((25, 50, 75, 100, 3, 6), 952), found.easiest or "").solved


def test_facts_of_an_unsolvable_puzzle_name_the_nearest_targets() -> None:
    assert facts(Puzzle((1, 2), 999)).nearest == (3,)
    assert facts(Puzzle((4, 4), 12)).nearest == (8, 16)
    assert facts(Puzzle((1, 2), 10**9)).nearest == ()
    html = page.possible(Puzzle((1, 2), 999), facts(Puzzle((1, 2), 999)), EN)
    assert "No solution exists" in html and "The closest that can be made: 3." in html


def test_both_languages_have_every_text_with_the_same_places() -> None:
    assert {key for key in ZH if not key.startswith(("reason.", "why."))} == set(EN)
    for key, text in EN.items():
        if key == "bad_input":
            continue  # the checker's sentence is in English, so the Chinese one says everything itself
        assert text and ZH[key]
        names = [{name for _, name, _, _ in string.Formatter().parse(said) if name} for said in (text, ZH[key])]
        assert names[0] == names[1], key
    assert {key.removeprefix("reason.") for key in ZH if key.startswith("reason.")} == set(Status)


@pytest.mark.parametrize(
    ("header", "language"),
    [("zh-CN,zh;q=0.9", "zh"), ("en-GB", "en"), ("de", "en"), (None, "en"), ("zh;q=x,;;,", "en"), ("," * 10_000, "en")],
)
def test_the_language_follows_the_browser(header: str | None, language: str) -> None:
    assert preferred(header) == language


def test_a_language_that_the_page_does_not_speak_is_refused() -> None:
    for odd in ("xx", None, ["en"]):
        with pytest.raises(InputError, match="one of en, zh"):
            words_of(odd)


@pytest.mark.parametrize(
    "text", ["55 36 7 19", "55,36,7,19", "[55, 36, 7, 19]", " 55  36\n7\t19 ", "５５，３６、７ １９"]
)
def test_numbers_may_be_written_as_people_write_them(text: str) -> None:
    assert read_puzzle(text, " 65 ") == Puzzle((55, 36, 7, 19), 65)


def test_a_target_may_be_negative_or_a_float_without_a_fraction() -> None:
    assert read_puzzle("1 2", "-1").target == -1
    assert read_puzzle([1, 2], 3.0).target == 3


@pytest.mark.parametrize("wanted", [None, 0, 1, 2, 3])
def test_random_puzzles_come_from_the_test_split_and_are_quick(wanted: int | None) -> None:
    rng, began = Random(3), time.monotonic()
    drawn = [random_puzzle(rng, wanted) for _ in range(5)]
    assert time.monotonic() - began < 10
    assert all(split_of(puzzle.nums) == "test" for puzzle in drawn)
    assert all(check(puzzle, easiest_solution(puzzle) or "").solved for puzzle in drawn)
    assert wanted is None or {level(puzzle) for puzzle in drawn} == {wanted}


def test_markup_in_a_model_name_is_escaped() -> None:
    source = Source("<script>", "<script>", None)
    assert "<script>" not in page.footer(source, None, EN)


def test_a_chart_says_its_values_in_words() -> None:
    svg = line_chart("Solved & more", [Point(0, 0.5, 0.4, 0.6), Point(30, 0.75, 0.7, 0.8)], "step", percent=True)
    assert "Solved &amp; more. 0: 50%, 30: 75%" in svg and svg.count("<circle") == 2
    assert line_chart("Nothing", [], "step") == ""


def test_the_shipped_story_is_whole_and_its_replay_is_judged_as_recorded() -> None:
    story = shipped_story()
    assert story is not None and len(story["models"]) >= 2 and story["rewards"]
    for one in story["replay"]:
        puzzle = Puzzle(tuple(one["nums"]), one["target"])
        assert split_of(puzzle.nums) == "test"
        assert len(one["thoughts"]) == len(story["replay"][0]["thoughts"])
    assert {len(one["thoughts"]) for one in story["replay"]} != {0}
    assert failures(story) and all(isinstance(puzzle, Puzzle) for puzzle in failures(story))
    for words in (EN, ZH):
        html = told(story, words)
        assert html.count("<svg") == 3 and f"{story['models'][-1]['solve_rate']:.1%}" in html


def test_without_a_run_there_is_no_story(tmp_path: Path) -> None:
    assert collect(tmp_path) is None
    with pytest.raises(InputError, match="evaluated first"):
        of_run(tmp_path)
    assert EN["story_none"] in told(None, EN)
