"""What a page knows of its model's training, and everything that follows from it."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from countdown_r1 import manifest
from countdown_r1.errors import InputError
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.game.solver import level
from countdown_r1.game.split import split_of
from countdown_r1.models import SHIPPED
from countdown_r1.publish.checkpoints import read_run, stage_measurements
from countdown_r1.publish.sentences import headline
from countdown_r1.space import page
from countdown_r1.space.package import Wishes, package_space
from countdown_r1.space.puzzles import random_puzzle
from countdown_r1.space.story import collect, failures, opening, opening_puzzle, own, rate, shipped_story, story_of
from countdown_r1.space.stream import load_writer, stream
from countdown_r1.space.terminal import solve
from countdown_r1.space.trained_on import TrainedOn, as_record, of_folder, of_record, trained_on
from countdown_r1.space.words import WORDS
from countdown_r1.train.agreement import about

RUN = runpy.run_path(str(Path(__file__).with_name("toy_run.py")))
TOY = runpy.run_path(str(Path(__file__).with_name("toy_model.py")))
EN, ZH = WORDS["en"], WORDS["zh"]
THREE = TrainedOn((3,), recorded=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RUN["write_run"](tmp_path_factory.mktemp("runs") / "mine", weights=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TOY["write_model"](tmp_path_factory.getbasetemp())


def recorded(folder: Path, stage: str = "train", settings: Any = None, results: Any = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    record = {"stage": stage, "settings": settings or {}, "results": results or {}, "schema_version": 1}
    (folder / manifest.FILE_NAME).write_text(json.dumps(record))
    return folder


# The records


def test_the_rows_of_the_dataset_that_the_training_read_are_what_it_was_trained_on(run: Path) -> None:
    found = of_folder(run / "model")
    assert found.recorded and found.numbers == (3,) and found.number_range[1] <= 99
    assert of_folder(run / "model" / "checkpoint-2") == found
    assert not of_folder(run / "model" / "base").recorded


def test_a_dataset_that_is_another_one_by_now_is_not_believed(run: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(run, tmp_path / "moved")
    record = json.loads((moved / "dataset" / "manifest.json").read_text())
    record["results"]["numbers"] = {"5": 200}
    (moved / "dataset" / "manifest.json").write_text(json.dumps(record))
    assert not of_folder(moved / "model").recorded


def test_what_the_training_noted_of_its_rows_comes_before_the_recipe(tmp_path: Path) -> None:
    noted = about([{"nums": [1, 2, 30], "target": 33}, {"nums": [5, 6], "target": 11}], ["en"])
    recipe = {"dataset": {"numbers": [4], "number_range": [1, 99], "target_range": [10, 100]}}
    assert of_folder(recorded(tmp_path / "a", settings=recipe)).numbers == (4,)
    found = of_folder(recorded(tmp_path / "b", settings=recipe, results={"dataset_about": noted}))
    assert (found.numbers, found.number_range, found.target_range) == ((2, 3), (1, 30), (11, 33))


def test_a_cold_start_of_its_own_counts_and_that_of_a_shipped_base_does_not(tmp_path: Path) -> None:
    recipe = {"dataset": {"numbers": [5]}}
    cold = {"base_manifest": {"settings": {"numbers": [3, 4]}}}
    own_start = recorded(tmp_path / "a", settings=recipe, results=cold | {"base": "outputs/cold"})
    shipped = recorded(tmp_path / "b", settings=recipe, results=cold | {"base": "tiny"})
    assert of_folder(own_start).numbers == (3, 4, 5) and of_folder(shipped).numbers == (5,)


def test_the_shipped_models_are_known_by_their_records() -> None:
    tiny, novice = (of_folder(SHIPPED[name]) for name in ("tiny", "novice"))
    assert tiny.recorded and tiny.numbers == novice.numbers == (3, 4) and tiny.max_new_tokens == 2048


def test_a_published_model_says_it_by_its_recipe_and_more_exactly_by_its_evaluation(run: Path, tmp_path: Path) -> None:
    recipe = {"dataset": {"numbers": [3]}, "grpo": {"max_completion_length": 224}, "evaluate": {"max_new_tokens": 256}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert of_folder(tmp_path) == TrainedOn((3,), max_new_tokens=256, recorded=True)
    stage_measurements(read_run(run), tmp_path)
    assert of_folder(tmp_path) == of_folder(run / "model")


@pytest.mark.parametrize(
    "record",
    [
        {"numbers": "x"},
        {"numbers": [0, -1, 99]},
        {"numbers": [3], "number_range": [99, 1]},
        {"numbers": [3], "target_range": "all"},
        {"numbers": [3], "max_new_tokens": -5},
        {"numbers": None, "max_new_tokens": "many"},
    ],
)
def test_a_record_that_makes_no_sense_is_as_by_default(record: dict[str, Any]) -> None:
    found, default = of_record(record | {"recorded": True}), TrainedOn()
    assert found.numbers in ((3,), (3, 4)) and found.recorded == (found.numbers == (3,))
    assert (found.number_range, found.target_range) == (default.number_range, default.target_range)
    assert found.max_new_tokens is None


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"settings": null, "results": null}'])
def test_a_manifest_that_says_nothing_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / manifest.FILE_NAME).write_text(text)
    assert of_folder(tmp_path) == TrainedOn()


# What follows from them


@pytest.mark.parametrize(
    "trained",
    [THREE, TrainedOn((5,), (1, 99), (100, 999)), TrainedOn((2, 6), (1, 20), (10, 60)), TrainedOn((3,), (1, 9999))],
)
def test_puzzles_are_drawn_like_those_of_the_training_and_none_of_them(trained: TrainedOn) -> None:
    for seed in range(6):
        puzzle = random_puzzle(Random(seed), trained)
        assert trained.covers(puzzle) and split_of(puzzle.nums) == "test" and level(puzzle) is not None


def test_a_difficulty_that_such_puzzles_do_not_have_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="no held-out puzzle of difficulty 3 with three numbers"):
        random_puzzle(Random(0), THREE, 3)


def test_examples_that_promise_an_answer_are_like_the_training_and_challenges_are_named_as_such() -> None:
    html = page.examples(EN, THREE, [Puzzle((13, 19, 77), 83)])
    assert "three numbers" in html and "13 19 76 → 82" in html
    assert EN["example.simple"] not in html and EN["example.times"] not in html
    assert EN["example.television"] in html and EN["example.impossible"] in html


def record(test_id: int, score: int, n_tokens: int) -> dict[str, Any]:
    return {"test_id": test_id, "nums": [1, 2, 10 + test_id], "target": 20, "score": score, "n_tokens": n_tokens}


def test_the_opening_puzzle_is_the_first_that_all_solved_with_a_thought_of_medium_length() -> None:
    last = [record(0, 0, 50), record(1, 1, 5), record(2, 1, 50), record(3, 1, 55), record(4, 1, 900)]
    first = [one | {"score": int(one["test_id"] not in (2, 0))} for one in last]
    assert opening({"base": first, "checkpoint-2": last}, THREE) == {"nums": [1, 2, 13], "target": 20}
    none_before = [one | {"score": 0} for one in last]
    assert opening({"base": none_before, "checkpoint-2": last}, THREE) == {"nums": [1, 2, 12], "target": 20}
    assert opening({"base": first, "checkpoint-2": none_before}, THREE) is None
    assert opening({"base": last}, TrainedOn((5,))) is None


def test_a_page_never_opens_with_what_its_model_is_known_to_fail() -> None:
    story = shipped_story()
    assert story is not None
    first = opening_puzzle(story, of_record(story["trained_on"]))
    assert first not in [one.puzzle for one in failures(story)] and story["opening"]["nums"] == list(first.nums)
    assert len(opening_puzzle(None, THREE).nums) == len(opening_puzzle(story | {"borrowed": True}, THREE).nums) == 3


def test_the_shipped_story_carries_the_record_of_the_shipped_model() -> None:
    story = shipped_story()
    assert story is not None and story["trained_on"] == as_record(of_folder(SHIPPED["tiny"]))


def test_a_story_of_another_model_says_nothing_of_this_one(run: Path, folder: Path) -> None:
    assert own(story_of("tiny")) is not None
    for name in ("novice", str(folder)):
        assert own(story_of(name)) is None and rate(story_of(name), EN) == ""
    told = story_of(str(run / "model"))
    assert told is not None and trained_on("nowhere", told) == of_folder(run / "model") == of_record(told["trained_on"])
    assert not trained_on("no/model@here.at-all", None).recorded


def test_the_rate_is_said_with_the_puzzles_that_it_is_of() -> None:
    story: dict[str, Any] = {"run": "demo", "best": "checkpoint-30"}
    measured = {"label": "checkpoint-30", "solve_rate": 0.814, "sizes": [3]}
    assert rate(story | {"models": [measured]}, EN) == "demo solves 81.4% of held-out puzzles of three numbers."
    assert "三个数字题目的 81.4%" in rate(story | {"models": [measured]}, ZH)
    row = {"label": "checkpoint-30", "solve_rate": 0.814, "n": 500, "by_numbers": {"3": {}}}
    assert headline([row], "checkpoint-30").startswith(
        "checkpoint-30 solves 81.4% of 500 held-out puzzles of three numbers"
    )
    assert "500 道未训练过的三个数字的题目" in headline([row], "checkpoint-30", "zh")


def test_what_the_model_was_trained_on_travels_with_the_space(run: Path, tmp_path: Path) -> None:
    told = collect(run)
    assert told is not None
    package_space(tmp_path, model_repo="a/b", revision="main", dataset_repo=None, wishes=Wishes(told))
    assert trained_on("no/model@here.at-all", json.loads((tmp_path / "story.json").read_text())).numbers == (3,)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "The model was trained on puzzles of three numbers" in card and "本模型是用三个数字" in card
    first = opening_puzzle(told, of_record(told["trained_on"]))
    assert f'client.predict("{" ".join(map(str, first.nums))}", {first.target}' in card and len(first.nums) == 3


def test_a_thought_ends_where_those_that_were_measured_ended(folder: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(folder, tmp_path / "model")
    (copied / "recipe.yaml").write_text(yaml.safe_dump({"evaluate": {"max_new_tokens": 12}}))
    *_, last = stream(load_writer(str(copied)), TOY["PUZZLE"], "en")
    assert last.n_tokens == 12


def test_solve_says_when_a_puzzle_is_beyond_the_training(folder: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(folder, tmp_path / "model")
    (copied / "recipe.yaml").write_text(yaml.safe_dump({"dataset": {"numbers": [3]}}))
    written: list[str] = []
    solve([55, 36, 7, 19], 65, str(copied), "en", written.append)
    assert "This model was trained on puzzles of three numbers from 1 to 99" in "".join(written)
    written.clear()
    solve([55, 36, 7], 65, str(copied), "en", written.append, max_new_tokens=3)
    assert "trained on" not in "".join(written)
