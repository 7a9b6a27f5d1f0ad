"""What a typed name means, and what is said of one that means nothing: the nearest there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from countdown_r1.cli import main
from countdown_r1.errors import InputError
from countdown_r1.names import closest_path, is_path, repository


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with a run, a recipe and a folder that has the name of a namespace."""
    for place in ("outputs/demo/dataset/en", "outputs/demo/model/checkpoint-30", "Qwen/Qwen2.5-7B"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "outputs" / "demo" / "dataset" / "rows.parquet").touch()
    (tmp_path / "mine.yml").write_text("name: mine\n", encoding="utf-8")
    (tmp_path / "prompt-fr.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["someone/puzzles", "Qwen/Qwen2.5-3B@main", "a.b/c-d_e.1@refs/pr/3", "x/gpt-2.txt1"])
def test_a_name_that_nothing_here_resembles_is_the_hubs(name: str) -> None:
    assert not is_path(name)
    assert repository(name, "model", "a folder") == (name.partition("@")[0], name.partition("@")[2] or None)


@pytest.mark.parametrize(
    "name",
    [
        "outputs/nope",
        "outputs/demo@main",
        "./someone/puzzles",
        "../x/y",
        "/tmp/x",
        "~/model",
        "someone/rows.parquet",
        "Qwen/Qwen2.5-3B",  # its folder is here
        "output/demo",  # one letter from what is here
        "a/b/c",
        "plain",
        "",
        "no such thing/x",
    ],
)
def test_a_name_that_means_a_place_here_never_becomes_a_hub_id(name: str) -> None:
    with pytest.raises(InputError, match="no model"):
        repository(name, "model", "a folder")


def test_a_repository_with_the_name_of_a_folder_is_reached_by_a_revision() -> None:
    with pytest.raises(InputError, match=r"if it is on the Hub, give Qwen/Qwen2\.5-3B@main"):
        repository("Qwen/Qwen2.5-3B", "model", "a folder")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("outputs/demo/datset", "outputs/demo/dataset"),
        ("Outputs/Demo/Dataset/ROWS.parquet", "outputs/demo/dataset/rows.parquet"),
        ("outptus/dmeo/model/checkpoint-3", "outputs/demo/model/checkpoint-30"),
        ("outputs/other/dataset", None),
        ("", None),
    ],
)
def test_the_nearest_path_is_found_part_by_part(name: str, meant: str | None) -> None:
    assert closest_path(name) == meant


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "space --model outputs/nope",
            "no model 'outputs/nope': that does not exist (outputs holds demo)",
        ),
        ("space --model outputs/demo/modle", "did you mean outputs/demo/model?"),
        ("solve 1 2 --target 3 --model tinny", "did you mean tiny?"),
        ("solve 1 2 --target 3 --model output/demo", "did you mean outputs/demo?"),
        ("evaluate tiny --dataset outputs/demo/datset", "did you mean outputs/demo/dataset?"),
        ("verify-dataset outputs/demo/datset", "did you mean outputs/demo/dataset?"),
        ("build-dataset --out x --source outputs/demo/dataset/row.parquet", "mean outputs/demo/dataset/rows.parquet?"),
        ("build-dataset --out x --source outputs/dmo", "did you mean outputs/demo?"),
        ("build-dataset --out x --template prompt-fr.yml", "did you mean prompt-fr.yaml?"),
        (
            "train mine.yaml --dry-run",
            "no recipe 'mine.yaml' (did you mean mine.yml?): give a YAML file",
        ),
        ("train demmo --dry-run", "did you mean demo?"),
        ("doctor qwen2.5-3b-fst", "did you mean qwen2.5-3b-fast?"),
        ("run qwen2.5-7b-hz", "did you mean qwen2.5-7b-zh?"),
        ("train demo --dataset outputs/demo/datset", "did you mean outputs/demo/dataset?"),
        ("train demo --reward equation_rewrd --out x --dry-run", "did you mean equation_reward?"),
        ("train demo --set grop.max_steps=1", "did you mean 'grpo'?"),
        ("cost outputs/dmo", "does not exist. (did you mean outputs/demo?)"),
        ("aha outputs/demo/modl", "(did you mean outputs/demo/model?)"),
        ("publish outputs/demmo --push-to me --dry-run", "(did you mean outputs/demo?)"),
        ("trian demo", "Did you mean 'train'?"),
        ("solve 1 2 --targt 3", "Did you mean '--target'?"),
    ],
)
def test_a_mistyped_name_is_answered_here_with_the_nearest(words: str, said: str) -> None:
    done = CliRunner().invoke(main, words.split())
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert done.exit_code in (1, 2) and len(errors) == 1
    assert said in errors[0]
