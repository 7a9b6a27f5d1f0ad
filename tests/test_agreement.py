"""The dataset against the recipe: what differs is one line, and stops only a run that was not told which to take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from countdown_r1 import manifest
from countdown_r1.build_dataset.dataset import build
from countdown_r1.build_dataset.generate import Wish
from countdown_r1.cli import main
from countdown_r1.errors import InputError
from countdown_r1.train.agreement import check_data, disagreement
from countdown_r1.train.preflight import inspect
from countdown_r1.train.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from conftest import ToyRun


def demo(*changes: str) -> Recipe:
    return load_recipe("demo", changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([], None),
        (["dataset.rows=5", "dataset.seed=9", "dataset.languages=[zh]"], None),
        (["dataset.numbers=[4]"], "numbers per puzzle are 3, not 4"),
        (["dataset.numbers=[3,4]", "dataset.target_range=[1,9]"], "numbers per puzzle are 3, not 3 and 4; targets are"),
        (["dataset.number_range=[1,50]"], "numbers are 1 to 99, not 1 to 50"),
        (["dataset.target_range=[10,1000]"], "targets are 10 to 100, not 10 to 1000"),
        (["dataset.levels={0: 1.0}"], "shares of levels are as drawn, not {'0': 1.0}"),
        (["dataset.source=someone/puzzles"], "its puzzles are generated, not from someone/puzzles"),
    ],
)
def test_what_differs_from_the_recipe_is_one_line(changes: list[str], said: str | None, toy_dataset: Path) -> None:
    line = disagreement(demo(*changes), str(toy_dataset))
    assert line is None if said is None else said in (line or "") and "\n" not in (line or "")


def test_a_recipe_without_a_dataset_section_takes_any(toy_dataset: Path) -> None:
    assert disagreement(Recipe("x", grpo={}), str(toy_dataset)) is None


def test_rows_without_a_manifest_are_read_themselves(toy_dataset: Path, tmp_path: Path) -> None:
    rows = pq.read_table(next((toy_dataset / "en").glob("train-*.parquet"))).select(["nums", "target"])
    pq.write_table(rows, tmp_path / "mine.parquet")
    assert disagreement(demo(), str(tmp_path / "mine.parquet")) is None
    line = disagreement(demo("dataset.target_range=[10,20]"), str(tmp_path / "mine.parquet"))
    assert line and "not 10 to 20" in line


def test_imported_puzzles_are_compared_by_their_source(toy_dataset: Path, tmp_path: Path) -> None:
    rows = pq.read_table(next((toy_dataset / "en").glob("train-*.parquet"))).select(["nums", "target"])
    pq.write_table(rows, tmp_path / "mine.parquet")
    build(tmp_path / "made", source=str(tmp_path / "mine.parquet"))
    same = demo(f"dataset.source={tmp_path / 'mine.parquet'}", "dataset.numbers=[4]")
    assert disagreement(same, str(tmp_path / "made")) is None, "numbers are the source's"
    assert "its puzzles are from mine.parquet, not generated" in (disagreement(demo(), str(tmp_path / "made")) or "")


def test_a_dataset_that_was_named_is_trained_on_after_a_note_and_another_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build(Path("outputs/demo/dataset"), rows=200, wish=Wish((4,)))
    said: list[str] = []
    check_data(demo(), "outputs/demo/dataset", True, said.append)
    assert said == ["note: outputs/demo/dataset is not the dataset of recipe demo: numbers per puzzle are 4, not 3"]
    with pytest.raises(InputError, match=r"build that with countdown-r1 build-dataset --recipe demo --overwrite, or"):
        check_data(demo(), "outputs/demo/dataset", False, said.append)
    assert any("numbers per puzzle are 4" in problem for problem in inspect(demo()).problems)
    for words, status in ((["--dataset", "outputs/demo/dataset"], 0), ([], 1)):
        done = CliRunner().invoke(main, ["train", "demo", *words, "--dry-run"])
        assert done.exit_code == status and "numbers per puzzle are 4, not 3" in done.output
    made = CliRunner().invoke(main, ["build-dataset", "--recipe", "demo", "--rows", "300", "--overwrite"])
    assert made.output.splitlines()[-1] == "outputs/demo/dataset", made.output
    assert CliRunner().invoke(main, ["train", "demo", "--dry-run"]).exit_code == 0
    assert CliRunner().invoke(main, ["doctor", "demo"]).exit_code == 0


def test_build_dataset_takes_a_recipes_section_and_options_change_it(tmp_path: Path) -> None:
    out = str(tmp_path / "made")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "grpo: {}\ndataset: {rows: 90, numbers: [3, 4], levels: {0: 0.5, 1: 0.5}, target_range: [20, 40], seed: 4}\n"
    )
    words = ["build-dataset", "--recipe", str(recipe), "--out", out, "--languages", "zh"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    made = manifest.read(Path(out))
    assert (made.seed, made.results["rows"], made.settings["languages"]) == (4, 90, ["zh"])
    assert disagreement(load_recipe(str(recipe)), out) is None
    assert CliRunner().invoke(main, ["build-dataset"]).exit_code == 2, "without a recipe --out must be given"


def test_a_run_records_what_it_was_trained_on(toy_run: ToyRun) -> None:
    about = toy_run.written.results["dataset_about"]
    assert about["numbers"] == {"3": toy_run.written.results["train_puzzles"]}
    assert about["languages"] == ["en", "zh"]
    low, high = about["target_range"]
    assert 10 <= low < high <= 100 and 1 <= about["number_range"][0] < about["number_range"][1] <= 99
