"""What the page shows of a thought, a puzzle and a run, without a browser."""

from __future__ import annotations

import json
import re
import runpy
import string
import time
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from countdown_r1.build_dataset.prompt import chatml, load_template
from countdown_r1.errors import InputError
from countdown_r1.game.answer import judge
from countdown_r1.game.puzzle import Puzzle, Status, check
from countdown_r1.game.solver import easiest_solution, level
from countdown_r1.game.split import split_of
from countdown_r1.models import Source
from countdown_r1.space import page
from countdown_r1.space.charts import Point, line_chart
from countdown_r1.space.entry import complaint, no_level
from countdown_r1.space.facts import facts
from countdown_r1.space.line import Busy
from countdown_r1.space.paint import finished_thought, growing_thought
from countdown_r1.space.puzzles import random_puzzle, read_puzzle
from countdown_r1.space.story import MAX_STEPS, Failure, collect, failures, of_run, shipped_story, written
from countdown_r1.space.tale import told
from countdown_r1.space.trained_on import TrainedOn
from countdown_r1.space.watch import beyond, busy_notice, failed_notice, without_model
from countdown_r1.space.words import WORDS, preferred, words_of
from countdown_r1.train.recipe import load_recipe, shipped_recipes

TOY = runpy.run_path(str(Path(__file__).with_name("toy_run.py")))
RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results" / "tiny"
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
    assert 'class="attempt claimed"' in html and EN["why.the answer is not right"] in html
    assert "最后的答案不对" in finished_thought(AHA.replace("48 + (80", "47 + (80"), PUZZLE, ZH)


def test_another_attempt_after_a_failed_one_is_backtracking() -> None:
    html = finished_thought("Try 80 - 48 = 32. 32 + 56 = 88. No.\nTry 80 + 56 = 136. No.", PUZZLE, EN)
    assert html.count('class="attempt ') == 2 and EN["backtrack_is"] in html


def test_what_a_badge_means_is_said_once_in_a_thought_and_then_is_its_title() -> None:
    attempts = "Try 80 - 48 = 32. No.\n" + "Try 80 + 56 = 136. No.\nTry 56 + 48 = 104. No.\n" * 3
    html = finished_thought(attempts, PUZZLE, EN)
    assert html.count('<p class="badge turn"') == html.count(f'title="{EN["backtrack_is"]}"') == 6
    assert html.count(f"<span>{EN['backtrack_is']}</span>") == 1


def test_the_captions_of_the_examples_are_true() -> None:
    examples = dict(page.EXAMPLES)
    wanted = {"simple": 0, "three": 0, "times": 1, "fraction": 3, "television": 2, "impossible": None}
    assert {key: facts(puzzle).level for key, puzzle in examples.items()} == wanted
    assert len(examples["three"].nums) == 3 and len(examples["television"].nums) == 6
    told_of = page.examples(EN, TrainedOn(), failures=[Failure("<tiny>", Puzzle((1, 2), 9))])
    assert "&lt;tiny&gt; got it wrong" in told_of and 'href="?nums=1+2&amp;target=9"' in told_of


@pytest.mark.parametrize(
    ("numbers", "target", "usual"),
    [
        ((55, 36, 7, 19), 65, True),
        ((1, 99, 2), 10, True),
        ((1, 2), 10, False),
        ((1, 2, 3, 4, 5), 20, False),
        ((1, 100, 2), 50, False),
        ((1, 2, 3), 9, False),
        ((50, 60, 7), 101, False),
    ],
)
def test_puzzles_unlike_those_of_the_training_are_known_as_such(
    numbers: tuple[int, ...], target: int, usual: bool
) -> None:
    assert TrainedOn().covers(Puzzle(numbers, target)) == usual


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
    optional = (
        "reason.",
        "why.",
        "hardware.",
    )  # where English lacks one, the record's own words are shown
    assert {key for key in ZH if not key.startswith(optional)} == {key for key in EN if not key.startswith(optional)}
    assert set(EN) <= set(ZH)
    for key, text in EN.items():
        if key in ("bad_input", "no_model_reason"):
            continue  # the reason is in English, so the Chinese text says everything itself
        assert text and ZH[key]
        names = [{name for _, name, _, _ in string.Formatter().parse(said) if name} for said in (text, ZH[key])]
        assert names[0] == names[1], key
    assert {key.removeprefix("reason.") for key in ZH if key.startswith("reason.")} == set(Status)


def test_no_chinese_text_has_a_stray_space_or_an_english_word() -> None:
    allowed = {"Countdown", "compare", "API", "MCP", "CPU", "H100", "H200", "L4", "GB"}
    wide = r"[\u3000-\u303f\uff00-\uffef]"
    for key, text in ZH.items():
        assert not re.search(rf"{wide} | {wide}|[\u4e00-\u9fff] [\u4e00-\u9fff]", text), key
        words = set(re.findall(r"[A-Za-z][A-Za-z0-9]+", re.sub(r"\{.*?\}", "", text)))
        assert key == "code" or words <= allowed, key
    assert "边想边写，精确的" in ZH["about"]


def test_what_may_go_wrong_is_said_in_chinese_on_the_chinese_page() -> None:
    said = [
        busy_notice(Busy(7, 30), ZH),
        failed_notice(ZH),
        without_model("cannot download me/model", ZH),
        complaint(InputError("the number 'two' is not a whole number"), ZH),
        no_level(ZH),
        beyond(TrainedOn(), ZH),
        beyond(TrainedOn((3,), recorded=True), ZH),
    ]
    assert not [text for text in map(text_of, said) if re.search("[A-Za-z]{2}", text)]


def test_every_shipped_recipes_hardware_has_a_chinese_name() -> None:
    for name in shipped_recipes():
        recipe = load_recipe(name)
        if recipe.cost and recipe.cost.hardware:
            assert f"hardware.{recipe.cost.hardware}" in ZH


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
    drawn = [random_puzzle(rng, TrainedOn(), wanted) for _ in range(5)]
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
        judged = [judge(puzzle, said["completion"]).solved for said in one["thoughts"]]
        assert judged == [said["solved"] for said in one["thoughts"]] and judged
    assert failures(story) and {one.model for one in failures(story)} == {"tiny"}
    for words in (EN, ZH):
        html = told(story, words)
        assert html.count("<svg") == 3 and f"{story['models'][-1]['solve_rate']:.1%}" in html


@pytest.mark.parametrize(
    ("paid", "english", "chinese"),
    [
        (
            ["equation_reward", "truth_reward"],
            "Then right answers were rewarded and false calculations cost it",
            "算错要扣分",
        ),
        (["consistent_equation_reward"], "Then right answers that keep to the puzzle", "用提问的语言答对得奖励"),
        (["brevity", "other"], "Then what it wrote was rewarded, and nothing else", "然后按它写的内容给予奖励，此外"),
        (None, "Then what it wrote was rewarded, and nothing else", "然后按它写的内容给予奖励，此外"),
    ],
)
def test_the_story_says_what_was_rewarded(paid: list[str] | None, english: str, chinese: str) -> None:
    story = shipped_story()
    assert story is not None
    story = {name: value for name, value in story.items() if name != "paid"} | ({"paid": paid} if paid else {})
    assert english in told(story, EN) and chinese in told(story, ZH)


def test_the_shipped_story_tells_the_published_measurements_of_the_shipped_model() -> None:
    story = shipped_story()
    assert story is not None
    published = json.loads((RESULTS / "summary.json").read_text(encoding="utf-8"))
    names = {"base": "cold", story["best"]: "grpo"}
    for model in story["models"]:
        rate = published[names[model["label"]]]["greedy"][f"{model['numbers']} numbers"]
        told_of = (model["n"], model["solve_rate"], model["solve_interval"], model["mean_tokens"])
        assert told_of == (rate["n"], rate["solved"], rate["interval"], rate["mean_tokens"])
    for one in story["aha_counts"]:
        ahas = published[names[one["label"]]]["ahas"]
        assert (one["said"], one["true"], one["completions"]) == (ahas["n"], ahas["solved"], ahas["completions"])
    logged = [json.loads(line) for line in (RESULTS / "grpo.jsonl").read_text(encoding="utf-8").splitlines()]
    recipe = json.loads((RESULTS / "grpo.manifest.json").read_text(encoding="utf-8"))["settings"]
    assert story["paid"] == recipe["rewards"]["functions"]
    assert story["rewards"] == [[one["step"], round(one["reward"], 4)] for one in logged if "reward" in one]


def log_step(run: Path, step: int, puzzles: list[Puzzle], generations: int = 2) -> None:
    """A step's completions as TRL saves them."""
    rows = [(puzzle, number) for puzzle in puzzles for number in range(generations)]
    template = load_template("en")
    table = {
        "step": [step] * len(rows),
        "prompt": [chatml(template, puzzle) for puzzle, _ in rows],
        "completion": [f"{step} {puzzle.target} {number}" for puzzle, number in rows],
    }
    folder = run / "model" / "completions"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), folder / f"completions_{step:05d}.parquet")


def test_a_run_is_replayed_step_by_step_from_what_the_trainer_logged(tmp_path: Path) -> None:
    puzzles = [Puzzle((4, 5, 6), target) for target in (15, 14, 26, 34, 3)]
    log_step(tmp_path / "mine", 1, puzzles)
    log_step(tmp_path / "mine", 2, puzzles[3:])
    found = written(tmp_path / "mine" / "model")
    assert found is not None and found["run"] == "mine"
    said = {
        one["step"]: [(*shown["nums"], shown["completion"]) for shown in one["completions"]] for one in found["steps"]
    }
    assert said == {
        1: [(4, 5, 6, f"1 {target} 0") for target in (15, 14, 26)],
        2: [(4, 5, 6, "2 34 0"), (4, 5, 6, "2 3 0")],
    }


def test_of_a_long_run_some_steps_are_shown_from_the_first_to_the_last(tmp_path: Path) -> None:
    for step in range(2, 103):
        log_step(tmp_path, step, [PUZZLE], 1)
    found = written(tmp_path / "model")
    steps = [one["step"] for one in found["steps"]] if found else []
    assert len(steps) == MAX_STEPS and steps[0] == 2 and steps[-1] == 102 and steps == sorted(set(steps))


def test_a_run_that_logged_no_puzzles_has_nothing_to_replay_step_by_step(tmp_path: Path) -> None:
    run = TOY["write_run"](tmp_path / "toy", weights=False)
    assert written(run / "model") is None and written(tmp_path) is None
    story = collect(run)
    assert story is not None and story["written"] is None and story["replay"] and isinstance(story["paid"], list)


def test_without_a_run_there_is_no_story(tmp_path: Path) -> None:
    assert collect(tmp_path) is None
    with pytest.raises(InputError, match="evaluated first"):
        of_run(tmp_path)
    assert EN["story_none"] in told(None, EN)
