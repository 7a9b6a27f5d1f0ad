"""The command line's promises: one line for what a user can fix, nothing lost, help that teaches."""

import errno
import inspect
import json
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner

from countdown_r1.cli import disk_is_full, main
from countdown_r1.train.clusters import Cost
from countdown_r1.train.cost import write_cost
from countdown_r1.train.recipe import shipped_recipes

SMALL_FILE_BYTES = 20_000


def countdown(folder: Path, *words: str, largest_file: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program; ``largest_file`` bytes is what any file may grow to, which is how a disk fills up here."""

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.run(
        [sys.executable, "-m", "countdown_r1", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=limit,
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The error, after asserting that it is one line and the status 1."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(errors) == 1
    return errors[0]


def test_a_full_disk_leaves_no_half_written_dataset_and_a_rerun_works(tmp_path: Path) -> None:
    words = ("build-dataset", "--rows", "2000", "--out", "outputs/dataset")
    message = one_line(countdown(tmp_path, *words, largest_file=SMALL_FILE_BYTES))
    assert "no space" in message
    assert not list((tmp_path / "outputs").iterdir())
    assert countdown(tmp_path, *words).returncode == 0


def test_a_full_disk_while_a_checkpoint_is_written_is_one_line(tmp_path: Path) -> None:
    assert countdown(tmp_path, "build-dataset", "--rows", "300", "--numbers", "3", "--out", "data").returncode == 0
    toy = ("grpo.max_steps=1", "grpo.per_device_train_batch_size=2", "grpo.num_generations=2")
    changes = [part for change in (*toy, "grpo.max_completion_length=8") for part in ("--set", change)]
    words = ("train", "demo", *changes, "--dataset", "data", "--out", "model")
    assert "no space" in one_line(countdown(tmp_path, *words, largest_file=2_000_000))
    assert not (tmp_path / "model").exists()
    assert (tmp_path / "data" / "manifest.json").exists()


def test_the_reason_may_stand_deep_in_the_chain_of_errors() -> None:
    inner = OSError(errno.ENOSPC, "No space left on device")
    outer = RuntimeError("serialisation failed")
    outer.__cause__ = ValueError("writer closed")
    outer.__cause__.__context__ = inner
    assert disk_is_full(outer)
    assert not disk_is_full(RuntimeError("something else"))


def test_torch_s_own_words_for_a_full_disk_are_known() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.save({"weights": torch.zeros(10_000)}, "/dev/full")
    assert disk_is_full(raised.value)


def test_a_full_disk_while_the_optimizer_is_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("countdown_r1.train.launch.run_training", lambda *_, **__: torch.save([0] * 99, "/dev/full"))
    done = CliRunner().invoke(main, ["train", "demo", "--out", str(tmp_path / "model")])
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: no space is left to write to; free some and run the same command again (")
    assert len(done.stderr.splitlines()) == 1


WRONG = [
    (["train", "demo", "--set", "grpo.learning_rat=1"], "did you mean 'learning_rate'"),
    (["train", "demo", "--set", "dataset.rows=many"], "section 'dataset', key 'rows'"),
    (["train", "no-such-recipe"], "no recipe 'no-such-recipe'"),
    (["train", "demo", "--dataset", "nowhere", "--set", "grpo.max_steps=1"], "nowhere"),
    (["train", "demo", "--set", "dataset.levels={a: 1}"], "section 'dataset', key 'levels'"),
    (["train", "demo", "--set", "dataset.target_range=[5]"], "section 'dataset', key 'target_range'"),
    (["build-dataset", "--levels", "0:0.5,1", "--out", "x"], "levels with shares"),
    (["build-dataset", "--levels", "3:1", "--numbers", "3", "--out", "x"], "level 3 has 0 cells"),
    (["build-dataset", "--target-range", "5", "--out", "x"], "such as 1,99"),
    (["build-dataset", "--numbers", "three", "--out", "x"], "whole numbers"),
    (["build-dataset", "--numbers", "9", "--out", "x"], "9"),
    (["build-dataset", "--languages", "en,fr", "--out", "x"], "fr"),
    (["solve", "1", "2", "x", "--target", "3"], "whole numbers"),
    (["solve", "0", "2", "--target", "3"], "between 1 and"),
    (["solve", "1", "2", "--target", "3", "--model", "no-model"], "no-model"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_what_a_user_can_fix_is_one_line_that_says_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, words)
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert len(errors) == 1 and said in errors[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        WRONG[0],
        (["evaluate", "nowhere", "--dataset", "nowhere"], "nowhere"),
        (["run", "tiny-cold-start", "--out", "x"], "no 'grpo' section"),
        (["publish", ".", "--push-to", "me", "--hub", "http://127.0.0.1:9"], "127.0.0.1:9"),
    ],
)
def test_a_process_of_its_own_says_it_in_one_line_too(tmp_path: Path, words: list[str], said: str) -> None:
    assert said in one_line(countdown(tmp_path, *words))


def test_an_existing_folder_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    words = ("build-dataset", "--rows", "50", "--numbers", "3", "--out", "data")
    assert countdown(tmp_path, *words).returncode == 0
    before = (tmp_path / "data" / "manifest.json").read_bytes()
    assert "--overwrite" in one_line(countdown(tmp_path, *words))
    assert (tmp_path / "data" / "manifest.json").read_bytes() == before
    assert countdown(tmp_path, *words, "--overwrite").returncode == 0


@pytest.mark.parametrize("words", [("build-dataset", "--rows", "9", "--out", "mine"), ("run", "demo", "--out", "mine")])
def test_overwrite_never_removes_a_folder_that_is_not_ours(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", encoding="utf-8")
    assert "not this program's to replace" in one_line(countdown(tmp_path, *words, "--overwrite"))
    assert (tmp_path / "mine" / "thesis.txt").read_text(encoding="utf-8") == "years of work"


def test_the_last_line_of_a_stage_is_what_it_wrote(tmp_path: Path) -> None:
    done = countdown(tmp_path, "build-dataset", "--rows", "50", "--numbers", "3", "--out", "data")
    assert done.stdout.splitlines()[-1] == "data"


def test_what_another_program_may_read_is_one_json_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "timeline.jsonl").write_text('{"event": "start", "time": 1.0, "gpus": 1}\n')
    write_cost(Cost(price_per_hour=3.0), tmp_path / "model")
    (tmp_path / "evaluation" / "summary.json").write_text('{"models": [{"solve_rate": 0.25}, {"solve_rate": 0.75}]}')
    solved = json.loads(CliRunner().invoke(main, ["solve", "19", "36", "10", "--target", "65", "--json"]).stdout)
    assert solved["nums"] == [19, 36, 10] and solved["verdict"] == "solved" and solved["solved"] is True
    assert solved["generation"].rstrip().endswith("</answer>") and "solution" not in solved
    told = CliRunner().invoke(main, ["solve", "1", "2", "--target", "99", "--json", "--show-solution"])
    assert (told.exit_code, json.loads(told.stdout)["solution"]) == (2, None)
    cost = json.loads(CliRunner().invoke(main, ["cost", ".", "--json"]).stdout)
    assert cost["price_per_hour"] == 3.0 and cost["per_point"]["gained"] == 50.0
    wrong = CliRunner().invoke(main, ["doctor", "demo", "--json", "--set", "rewards.functions=[nothing]"])
    report = json.loads(wrong.stdout)
    assert (wrong.exit_code, report["ok"], report["unchecked"]) == (1, False, [])
    assert "no reward 'nothing'" in report["problems"][0] and len(report["facts"]) > 3


@pytest.mark.parametrize("text", ["{}", "[]", "3", "half a li", '{"currency": "USD"}'])
def test_a_cost_file_that_no_training_wrote_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "cost.json").write_text(text, encoding="utf-8")
    done = CliRunner().invoke(main, ["cost", str(tmp_path)])
    assert done.exit_code == 1 and "not what a training writes" in done.stderr


def test_a_dry_run_names_no_folder_as_written(tmp_path: Path) -> None:
    assert countdown(tmp_path, "build-dataset", "--recipe", "demo", "--rows", "400").returncode == 0
    done = countdown(tmp_path, "train", "demo", "--dry-run", "--out", "model")
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("would train") and "30 updates x 7.5 s" in lines[-2]


@pytest.mark.parametrize(
    ("words", "place", "said"),
    [
        (["solve", "1", "2", "--target", "3"], "space.terminal.solve", "stopped"),
        (["doctor", "demo"], "train.preflight.inspect", "stopped"),
        (["build-dataset", "--out", "x"], "build_dataset.dataset.build", "stopped; nothing was written"),
        (["run", "demo"], "chain.run_chain", "stopped; finished stages are intact, run the same command again"),
        (["train", "demo"], "train.launch.run_training", "stopped before any checkpoint; run the same command again"),
        (
            ["train", "demo", "--launcher", "slurm"],
            "train.launch.run_training",
            "stopped; a job that was submitted goes",
        ),
    ],
)
def test_ctrl_c_says_what_is_true_of_the_command(
    words: list[str], place: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(f"countdown_r1.{place}", interrupted)
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 130
    line = done.stderr.strip().splitlines()[-1]
    assert line == said if said == "stopped" else line.startswith(said)


def test_every_option_explains_itself_or_has_an_obvious_name() -> None:
    obvious = {"seed", "split", "temperature", "max_new_tokens", "language", "port", "data", "out"}
    for name, command in main.commands.items():
        for parameter in command.params:
            explained = getattr(parameter, "help", None) or parameter.param_type_name == "argument"
            assert explained or parameter.name in obvious, f"{name} {parameter.name}"


def test_version_is_the_packages() -> None:
    assert "0.1.0" in CliRunner().invoke(main, ["--version"]).output


def examples(command: click.Command) -> list[list[str]]:
    """The command lines of a help text; two spaces and more begin a remark."""
    lines = [line.strip() for line in inspect.cleandoc(command.help or "").splitlines()]
    return [shlex.split(line.split("  ")[0]) for line in lines if line.startswith("countdown-r1 ")]


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_shows_examples_that_it_takes(name: str) -> None:
    found = examples(main.commands[name])
    assert found
    for _, called, *words in found:
        try:
            main.commands[called].make_context(called, words)
        except click.BadParameter as error:
            assert "does not exist" in str(error)  # a run that nobody made here
        assert called in (name, "build-dataset")


def test_the_help_of_train_names_every_shipped_recipe() -> None:
    help_text = main.commands["train"].help or ""
    assert not [name for name in shipped_recipes() if name not in help_text]
