"""No model is measured on puzzles it was trained on unless the user asks for it, and then the summary says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from countdown_r1 import manifest, models
from countdown_r1.build_dataset.dataset import build, load
from countdown_r1.build_dataset.generate import Wish
from countdown_r1.cli import main
from countdown_r1.errors import InputError
from countdown_r1.game.split import SPLITS, split_of
from countdown_r1.manifest import Manifest
from countdown_r1.train.leak import BY_RULE, UNKNOWN, Training, check_leaks, training_of
from countdown_r1.train.questions import Questions, Row, select_rows

if TYPE_CHECKING:
    from conftest import ToyRun

NOWHERE = Path("nowhere")
SEEN = [[1, 2, 4], [5, 7, 11, 14]]


def rows_of(dataset: Path, split: str, n: int = 12) -> list[Row]:
    return select_rows(Questions(str(dataset)), split, n)


def numbers() -> Sequence[list[int]]:
    return [[1, first, second] for first in range(1, 40) for second in range(first, 60)]


def row(*nums: int) -> Row:
    return {"nums": list(nums), "target": 10}


@pytest.fixture
def run(toy_run: ToyRun, tmp_path: Path) -> Path:
    """A GRPO run on the toy dataset whose base is somebody else's: only its dataset is known."""
    folder = tmp_path / "model"
    (folder / "checkpoint-2").mkdir(parents=True)
    (folder / "base").mkdir()
    record = Manifest("train", "", results={"base": "someone/model", "base_manifest": None, "steps": 2})
    record.read = manifest.sha256(toy_run.dataset / "manifest.json")
    manifest.write(folder, record)
    return folder


def test_the_rows_of_the_recorded_dataset_are_known_exactly(run: Path, toy_run: ToyRun) -> None:
    for model in (run, run / "checkpoint-2"):
        training = training_of(model, toy_run.dataset)
        assert all(training.holds(load(toy_run.dataset, "en", "train").to_list()))
        assert not any(training.holds(rows_of(toy_run.dataset, "test")))
        assert not training.by_rule
        assert training.text.endswith(f"; its base: {UNKNOWN}")
        assert "sets of numbers in the train rows of dataset" in training.text


def test_the_order_of_numbers_and_the_target_make_no_other_puzzle(run: Path, toy_run: ToyRun) -> None:
    nums = load(toy_run.dataset, "en", "train")[0]["nums"]
    training = training_of(run, toy_run.dataset)
    assert training.holds([row(*reversed(nums)), row(*nums), row(*nums[:-1])]) == [True, True, False]


def test_the_dataset_beside_the_run_is_found_too(run: Path, toy_run: ToyRun) -> None:
    shutil.copytree(toy_run.dataset, run.parent / "dataset")
    assert not training_of(run, NOWHERE).by_rule


def test_without_its_dataset_a_run_may_have_seen_all_of_split_train(run: Path, tmp_path: Path) -> None:
    build(tmp_path / "other", rows=60, wish=Wish((3,)))
    for dataset in (NOWHERE, tmp_path / "other"):
        training = training_of(run / "checkpoint-2", dataset)
        assert (training.text, training.by_rule) == (BY_RULE, True)
        by_split = {split: row(*next(nums for nums in numbers() if split_of(nums) == split)) for split in SPLITS}
        assert training.holds([by_split[split] for split in SPLITS]) == [True, False, False]


def test_the_base_of_a_run_was_not_trained_by_it(run: Path, toy_run: ToyRun) -> None:
    assert training_of(run / "base", toy_run.dataset).text == UNKNOWN
    shutil.copy(models.SHIPPED["novice"] / "manifest.json", run / "base" / "cold_start.json")
    assert training_of(run / "base", toy_run.dataset).text == BY_RULE


def test_what_the_base_had_seen_counts_for_what_was_made_of_it(toy_run: ToyRun, run: Path, tmp_path: Path) -> None:
    training = training_of(toy_run.folder / "checkpoint-1", toy_run.dataset)  # its base is the shipped model
    assert training.by_rule
    assert training.text.endswith(f"; its base: {BY_RULE}")
    later = tmp_path / "later"
    later.mkdir()
    manifest.write(later, Manifest("train", "", results={"base": str(run / "checkpoint-2"), "steps": 1}, read="0" * 64))
    (later / "base").mkdir()
    assert "sets of numbers" in training_of(later / "base", toy_run.dataset).text


def test_runs_that_name_each_other_as_base_end(tmp_path: Path) -> None:
    for name, base in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        manifest.write(tmp_path / name, Manifest("train", "", results={"base": str(tmp_path / base), "steps": 1}))
    assert training_of(tmp_path / "a", NOWHERE).by_rule


def test_the_shipped_model_was_trained_on_split_train() -> None:
    assert training_of(models.SHIPPED["novice"], NOWHERE).text == BY_RULE


@pytest.mark.parametrize(
    "text",
    [None, "", "{", "[1]", '{"schema_version": 1}', '{"schema_version": 99, "stage": "train", "results": {}}', "\0"],
)
def test_nothing_is_known_of_other_peoples_models(tmp_path: Path, text: str | None) -> None:
    for name in ("manifest.json", "evaluation.json"):
        if text is not None:
            (tmp_path / name).write_text(text)
    training = training_of(tmp_path, NOWHERE)
    assert training.text == UNKNOWN
    assert training.holds([row(1, 2, 3), row(4, 5, 6)]) == [False, False]


@pytest.mark.parametrize(
    ("summary", "known"),
    [
        ({"models": [{"label": "checkpoint-2", "training_data": BY_RULE}]}, True),
        (
            {
                "models": [{"label": "base", "training_data": UNKNOWN}, {"label": "x", "training_data": BY_RULE}],
                "best": "x",
            },
            True,
        ),
        (
            {
                "models": [{"label": "base", "training_data": BY_RULE}, {"label": "x", "training_data": UNKNOWN}],
                "best": "x",
            },
            False,
        ),
        ({"models": [{"label": "checkpoint-2"}]}, False),
        ({"models": "none", "best": 3}, False),
    ],
)
def test_a_published_model_of_ours_says_so_in_its_summary(tmp_path: Path, summary: dict[str, Any], known: bool) -> None:
    (tmp_path / "evaluation.json").write_text(json.dumps(summary))
    assert training_of(tmp_path, NOWHERE).by_rule is known


def test_held_out_puzzles_pass_and_the_report_says_what_is_known(toy_run: ToyRun) -> None:
    folders = {"base": toy_run.folder / "base", "other": toy_run.dataset}
    rows, held_back = rows_of(toy_run.dataset, "test"), rows_of(toy_run.dataset, "validation", 6)
    report = check_leaks(folders, Questions(str(toy_run.dataset)), rows, held_back)
    assert report == {
        "allowed": False,
        "asked": 18,
        "puzzles": 0,
        "broken_rule": 0,
        "examples": [],
        "models": {
            "base": {"training_data": BY_RULE, "leaked": 0},
            "other": {"training_data": UNKNOWN, "leaked": 0},
        },
    }


def test_puzzles_that_were_trained_on_are_refused_with_counts_examples_and_the_fix(run: Path, toy_run: ToyRun) -> None:
    rows = [*rows_of(toy_run.dataset, "train", 5), *rows_of(toy_run.dataset, "test", 7)]
    questions = Questions(str(toy_run.dataset), split="train")
    with pytest.raises(InputError) as raised:
        check_leaks({"checkpoint-2": run / "checkpoint-2"}, questions, rows[:5], [])
    said = str(raised.value)
    assert said.startswith("5 of 5 puzzles may have been trained on: checkpoint-2 learnt from ")
    assert f"({' '.join(map(str, rows[0]['nums']))} -> {rows[0]['target']}, " in said
    assert ", ...)" in said
    assert "--allow-leak" in said
    assert "\n" not in said


def test_a_dataset_that_breaks_the_split_rule_is_refused_for_any_model(toy_run: ToyRun, tmp_path: Path) -> None:
    broken = shutil.copytree(toy_run.dataset, tmp_path / "dataset")
    for config in ("en", "zh"):
        shutil.copy(next((broken / config).glob("train-*")), next((broken / config).glob("test-*")))
    rows, held_back = rows_of(broken, "test"), rows_of(broken, "validation", 3)
    questions = Questions(str(broken))
    with pytest.raises(InputError, match=r"12 of 15 puzzles break the split rule: .* build the dataset again"):
        check_leaks({"other": tmp_path}, questions, rows, held_back)
    allowed = Questions(str(broken), allow_leak=True)
    report = check_leaks({"other": tmp_path, "tiny": models.SHIPPED["novice"]}, allowed, rows, held_back)
    assert (report["broken_rule"], report["puzzles"], len(report["examples"])) == (12, 12, 3)
    assert report["models"]["tiny"]["leaked"] == 12
    assert report["models"]["other"]["leaked"] == 0


def test_a_file_of_ones_own_claims_no_split_but_may_hold_what_a_model_of_ours_saw(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({"nums": nums, "target": sum(nums)}) + "\n" for nums in SEEN))
    assert {split_of(nums) for nums in SEEN} == {"train"}
    rows = rows_of(file, "test", 2)
    assert check_leaks({"other": tmp_path}, Questions(str(file)), rows, [])["puzzles"] == 0
    with pytest.raises(InputError, match=r"2 of 2 puzzles .* tiny learnt from puzzles of split 'train'"):
        check_leaks({"tiny": models.SHIPPED["novice"]}, Questions(str(file)), rows, [])


def test_the_command_refuses_a_leak_and_with_the_flag_tells_of_it_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({"nums": nums, "target": sum(nums)}) + "\n" for nums in SEEN))
    out = tmp_path / "out"
    command = ["evaluate", "tiny", "--dataset", str(file), "--limit", "2", "--max-new-tokens", "4", "--out", str(out)]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 1
    assert "2 of 2 puzzles may have been trained on" in refused.output
    assert "Traceback" not in refused.output
    assert {path.name for path in tmp_path.iterdir()} == {"mine.jsonl"}
    done = CliRunner().invoke(main, [*command, "--allow-leak"])
    assert done.exit_code == 0, done.output
    told = "LEAK tiny: 2 of 2 puzzles may have been trained on"
    assert told in done.stdout
    assert told in (out / "logs" / "eval_countdown.log").read_text()
    assert told in (out / "evaluation.md").read_text()
    summary = json.loads((out / "summary.json").read_text())
    assert summary["leak"]["models"]["tiny"]["leaked"] == 2
    assert summary["leak"]["allowed"] is True
    assert summary["models"][0]["training_data"] == BY_RULE


def test_a_training_without_a_record_holds_nothing() -> None:
    assert Training().holds([row(*nums) for nums in SEEN]) == [False, False]
