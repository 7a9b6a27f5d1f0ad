"""The training stage at toy size with TRL's own trainer: what it leaves, how it stops and how it goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from transformers.trainer_callback import TrainerControl, TrainerState
from trl.trainer.utils import nanstd

from countdown_r1 import manifest, models
from countdown_r1.build_dataset.dataset import load
from countdown_r1.cli import main
from countdown_r1.errors import CountdownError, InputError, StageError, TrainingError
from countdown_r1.train import cold_start as cold
from countdown_r1.train import finish, stage
from countdown_r1.train.adapters import load_trainable
from countdown_r1.train.grpo import RewardWatch
from countdown_r1.train.recipe import ColdStart, Cost, Recipe, Rewards, load_recipe, recipe_text
from countdown_r1.train.resume import last_checkpoint
from countdown_r1.train.stage import train, train_rows
from countdown_r1.train.timeline import read_timeline

if TYPE_CHECKING:
    from conftest import ToyRun

MODEL_FILES = {
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}
KILLED = """
import os
from countdown_r1.cli import main
from countdown_r1.train import finish, stage
done = {place}
def killed(*arguments, **named):
    done(*arguments, **named)
    os._exit(137)
{place} = killed
main()
"""
NOTHING = "def nothing(completions, **_):\n    return [0.0] * len(completions)\n"


def steps_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def differ(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(left[name], right[name]) for name in left)


def test_the_folder_holds_what_later_stages_read(toy_run: ToyRun) -> None:
    names = {path.name for path in toy_run.folder.iterdir()}
    assert names == MODEL_FILES | {
        "base",
        "checkpoint-1",
        "checkpoint-2",
        "completion_samples",
        "completions",
        "cost.json",
        "manifest.json",
        "metrics.jsonl",
        "recipe.yaml",
        "runs",
        "timeline.jsonl",
        "training.png",
    }
    assert not toy_run.folder.with_name("model.partial").exists()


@pytest.mark.parametrize("name", ["base", "checkpoint-1", "checkpoint-2", "."])
def test_every_set_of_weights_is_bfloat16_and_loads_with_its_tokenizer(toy_run: ToyRun, name: str) -> None:
    folder = toy_run.folder / name
    if name != ".":
        assert {path.name for path in folder.iterdir()} - {"cold_start.json"} == MODEL_FILES
    assert {tensor.dtype for tensor in weights(folder).values()} == {torch.bfloat16}
    model, tokenizer = models.load(str(folder))
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"


def test_no_state_of_the_trainer_and_no_secret_place_is_left(toy_run: ToyRun) -> None:
    names = [path.name for path in toy_run.folder.rglob("*")]
    left = {"optimizer.pt", "scheduler.pt", "training_args.bin", "trainer_state.json", "rng_state.pth", "README.md"}
    assert not left & set(names)
    assert not [name for name in names if name.endswith(".writing")]


def test_a_base_without_a_pad_token_trains_to_the_same_weights(toy_run: ToyRun, tmp_path: Path) -> None:
    base = shutil.copytree(models.SHIPPED["tiny"], tmp_path / "base")
    path = base / "tokenizer_config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "pad_token"}))
    train(replace(toy_run.recipe, base=str(base)), str(toy_run.dataset), tmp_path / "model")
    assert json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())["pad_token"] == "<|im_end|>"
    assert not differ(weights(toy_run.folder), weights(tmp_path / "model"))


def test_training_changes_the_weights_and_the_last_checkpoint_is_the_final_model(toy_run: ToyRun) -> None:
    base, first, last, final = (weights(toy_run.folder / name) for name in ("base", "checkpoint-1", "checkpoint-2", ""))
    assert differ(base, first)
    assert differ(first, last)
    assert not differ(last, final)


def test_the_base_is_a_copy_of_the_model_that_training_started_from(toy_run: ToyRun) -> None:
    assert not differ(weights(toy_run.folder / "base"), weights(models.SHIPPED["tiny"]))
    shipped = json.loads((models.SHIPPED["tiny"] / "cold_start.json").read_text())
    record = toy_run.written.results["base_manifest"]
    assert record["settings"] == shipped["settings"]
    assert toy_run.written.results["base"] == "tiny"


def test_every_step_is_logged_with_its_rewards_and_lengths(toy_run: ToyRun) -> None:
    logged = [entry for entry in steps_of(toy_run.folder) if "reward" in entry]
    assert [entry["step"] for entry in logged] == [1, 2]
    for entry in logged:
        for name in ("equation_reward", "format_reward", "checksum"):
            assert 0 <= entry[f"rewards/{name}/mean"] <= 1
        assert entry["rewards/checksum/mean"] > 0
        assert 1 <= entry["completions/mean_length"] <= 16
        assert "loss" in entry and "grad_norm" in entry


def test_the_manifest_and_the_cost_say_how_it_was_made(toy_run: ToyRun) -> None:
    record = manifest.read(toy_run.folder)
    assert record.stage == "train"
    assert record.command == "countdown-r1 train toy"
    assert record.seed == 3
    assert record.read == manifest.sha256(toy_run.dataset / "manifest.json")
    assert record.results["steps"] == 2
    assert record.results["world_size"] == 1
    assert manifest.damaged_files(toy_run.folder) == []
    cost = json.loads((toy_run.folder / "cost.json").read_text())
    assert cost["hardware"] == "a toy"
    assert cost["hours"] == pytest.approx(record.seconds / 3600, abs=1e-3)
    assert cost["total"] == pytest.approx(cost["hours"] * 3.0, abs=1e-3)


def test_the_recipe_beside_the_weights_is_the_one_that_made_them(toy_run: ToyRun) -> None:
    assert load_recipe(str(toy_run.folder / "recipe.yaml")) == toy_run.recipe


def test_completions_and_tensorboard_events_are_kept(toy_run: ToyRun) -> None:
    tables = sorted(path.name for path in (toy_run.folder / "completions").glob("*.parquet"))
    assert len(tables) == 2
    samples = (toy_run.folder / "completion_samples" / "completion_samples.txt").read_text()
    assert "==============\n[reward 0]\n<|im_start|>system" in samples
    assert list((toy_run.folder / "runs").rglob("events.out.tfevents.*"))
    assert (toy_run.folder / "training.png").read_bytes().startswith(b"\x89PNG")


def test_the_prompts_end_inside_the_thought_as_the_dataset_renders_them(toy_run: ToyRun) -> None:
    import pyarrow.parquet as pq

    asked = {
        row["prompt"]
        for path in (toy_run.folder / "completions").glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
    }
    rendered = {
        row["prompt"]
        for config in ("en-chatml", "zh-chatml")
        for row in load(toy_run.dataset, config, "train").to_list()
    }
    assert asked <= rendered
    assert 2 <= len(asked) <= 4


def test_training_sees_the_train_split_alone_in_both_languages(toy_dataset: Path) -> None:
    rows = train_rows(str(toy_dataset), ("en", "zh"))
    ids = {row["id"] for row in rows}
    assert len(rows) == 2 * len(ids)
    assert ids == set(load(toy_dataset, "en", "train")["id"])
    assert ids.isdisjoint(load(toy_dataset, "en", "test")["id"])
    assert rows[0]["id"] == rows[1]["id"]
    assert rows[0]["prompt"] != rows[1]["prompt"]


@pytest.mark.parametrize("column", ["nums", "target", "prompt", "assistant_prefix"])
def test_a_table_without_a_column_that_training_reads_is_one_line(
    column: str, toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path
) -> None:
    dataset = shutil.copytree(toy_dataset, tmp_path / "dataset")
    (path,) = (dataset / "zh").glob("train-*.parquet")
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    with pytest.raises(InputError, match=rf"dataset has no column '{column}' in zh/train: build it again") as raised:
        train(toy_recipe, str(dataset), tmp_path / "model")
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("model*"))


def test_languages_of_different_lengths_are_one_line_and_one_language_alone_is_taken(
    toy_dataset: Path, tmp_path: Path
) -> None:
    dataset = shutil.copytree(toy_dataset, tmp_path / "dataset")
    (path,) = (dataset / "zh").glob("train-*.parquet")
    rows = pq.read_table(path)
    pq.write_table(rows.slice(0, 9), path)
    said = rf"dataset has .* \({len(rows)} in en/train, 9 in zh/train\): .* --set dataset.languages=\["
    with pytest.raises(InputError, match=said):
        train_rows(str(dataset), ("en", "zh"))
    assert len(train_rows(str(dataset), load_recipe("demo", ["dataset.languages=[en]"]).dataset.languages)) == len(rows)


def test_a_finished_folder_is_not_overwritten_unless_asked(toy_run: ToyRun) -> None:
    before = manifest.sha256(toy_run.folder / "manifest.json")
    with pytest.raises(StageError, match="exists already; pass --overwrite"):
        train(toy_run.recipe, str(toy_run.dataset), toy_run.folder)
    assert manifest.sha256(toy_run.folder / "manifest.json") == before
    assert not toy_run.folder.with_name("model.partial").exists()


def test_a_run_whose_first_steps_earn_nothing_is_stopped_with_a_hint(
    toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "zero.py").write_text(NOTHING)
    grpo = dict(toy_recipe.grpo or {}, max_steps=5, save_steps=5)
    recipe = replace(toy_recipe, grpo=grpo, rewards=Rewards((f"{tmp_path / 'zero.py'}:nothing",)))
    with pytest.raises(TrainingError, match="every reward of the first 3 logged steps is 0") as raised:
        train(recipe, str(toy_dataset), tmp_path / "model")
    assert "hit max_completion_length: raise it" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "model").exists()


def test_rewards_below_0_teach_where_they_differ() -> None:
    def watch(reward: float, deviation: float, alike: float) -> None:
        logs = {"reward": reward, "reward_std": deviation, "frac_reward_zero_std": alike}
        watching = RewardWatch()
        for _ in range(5):
            watching.on_log(None, TrainerState(), TrainerControl(), logs=logs)

    watch(-0.9, 0.1, 0.5)
    rounding = float(nanstd(torch.full((16,), -0.1)))
    assert rounding > 0
    for deviation, alike in ((rounding, 1.0), (rounding, 0.0), (0.4, 1.0)):  # the last: only puzzles differ
        with pytest.raises(TrainingError, match="0 or as far below it"):
            watch(-0.1, deviation, alike)


def test_a_penalty_that_is_always_the_same_stops_the_run(toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "penalty.py").write_text("def same(completions, **_):\n    return [-0.1] * len(completions)\n")
    grpo = dict(toy_recipe.grpo or {}, max_steps=5, save_steps=5)
    recipe = replace(toy_recipe, grpo=grpo, rewards=Rewards((f"{tmp_path / 'penalty.py'}:same",)))
    with pytest.raises(TrainingError, match="first 3 logged steps is 0 or as far below it"):
        train(recipe, str(toy_dataset), tmp_path / "model")


def test_fewer_puzzles_than_one_batch_asks_are_refused_instead_of_training_no_step(
    toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path
) -> None:
    recipe = replace(toy_recipe, grpo=dict(toy_recipe.grpo or {}, per_device_train_batch_size=2_000))
    with pytest.raises(InputError, match=r"a batch asks 1,000 prompts, .* has 7[0-9][0-9]") as raised:
        train(recipe, str(toy_dataset), tmp_path / "model")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "model").exists()


def test_a_recipe_without_anything_to_train_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a 'cold_start' nor a 'grpo' section"):
        train(Recipe("nothing"), "nowhere", tmp_path / "model")


def test_a_dataset_that_is_not_there_is_one_line_and_leaves_nothing(toy_recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(CountdownError) as raised:
        train(toy_recipe, str(tmp_path / "nowhere"), tmp_path / "model")
    assert "nowhere" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def damaged(folder: Path, how: str) -> None:
    path = folder / "model.safetensors"
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        (folder / "config.json").write_text("{")


@pytest.mark.parametrize("how", ["truncated", "empty", "configuration"])
def test_a_damaged_base_is_one_line(toy_run: ToyRun, tmp_path: Path, how: str) -> None:
    base = shutil.copytree(toy_run.folder / "checkpoint-1", tmp_path / "base")
    damaged(base, how)
    with pytest.raises(StageError, match="damaged") as raised:
        train(replace(toy_run.recipe, base=str(base)), str(toy_run.dataset), tmp_path / "model")
    assert "\n" not in str(raised.value)


@dataclass(frozen=True)
class Interrupted:
    """A run that got Ctrl-C after its second checkpoint: where, its recipe, what it printed."""

    folder: Path
    recipe: Recipe
    printed: str


@pytest.fixture(scope="module")
def interrupted(toy_recipe: Recipe, toy_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    folder = tmp_path_factory.mktemp("interrupted")
    recipe = replace(toy_recipe, name="long", grpo=dict(toy_recipe.grpo or {}, max_steps=400))
    (folder / "long.yaml").write_text(recipe_text(recipe))
    command = [sys.executable, "-m", "countdown_r1", "train", "long.yaml", "--dataset", str(toy_dataset), "--out", "m"]
    begun = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 240
    while not (folder / "m.partial" / "checkpoint-2" / "trainer_state.json").exists():
        assert begun.poll() is None, begun.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    begun.send_signal(signal.SIGINT)
    printed, _ = begun.communicate(timeout=180)
    assert begun.returncode == 130, printed
    return Interrupted(folder, recipe, printed)


def resumable(interrupted: Interrupted, folder: Path, more: int = 1) -> tuple[Path, Path, int]:
    """The interrupted run as one that lacks ``more`` steps: its OUT, OUT.partial and its last whole checkpoint's step.

    Only the recipe's number of steps changes, so that the rest of the run is short.
    """
    partial = shutil.copytree(interrupted.folder / "m.partial", folder / "m.partial")
    whole = [int(path.parent.name.rpartition("-")[2]) for path in partial.glob("checkpoint-*/trainer_state.json")]
    for path in partial.glob("checkpoint-*"):
        if not (path / "trainer_state.json").exists():
            shutil.rmtree(path)  # the test that wants one makes it
    step = max(whole)
    shorter = replace(interrupted.recipe, grpo=dict(interrupted.recipe.grpo or {}, max_steps=step + more))
    (partial / "recipe.yaml").write_text(recipe_text(shorter))
    (folder / "short.yaml").write_text(recipe_text(shorter))
    return folder / "m", partial, step


def go_on(folder: Path, dataset: Path) -> str:
    """Run the same command again; its output, the exit status on the last line."""
    command = ["train", str(folder / "short.yaml"), "--dataset", str(dataset), "--out", str(folder / "m")]
    done = CliRunner().invoke(main, command)
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return f"{done.output.rstrip()}\n{done.exit_code}"


def test_ctrl_c_leaves_the_partial_folder_says_so_and_shows_no_traceback(interrupted: Interrupted) -> None:
    said = r"\nstopped; m.partial/checkpoint-\d+ was written, run the same command again to go on from there: "
    assert re.search(said + "countdown-r1 train long.yaml --dataset", interrupted.printed), interrupted.printed
    assert "Traceback" not in interrupted.printed
    assert not (interrupted.folder / "m").exists()
    assert list((interrupted.folder / "m.partial").glob("checkpoint-*/optimizer.pt")), "the last one can be resumed"


def test_a_rerun_goes_on_from_the_last_checkpoint(interrupted: Interrupted, toy_dataset: Path, tmp_path: Path) -> None:
    out, partial, step = resumable(interrupted, tmp_path)
    before = (partial / "metrics.jsonl").read_text().splitlines()
    printed = go_on(tmp_path, toy_dataset)
    assert printed.endswith(f"{out}\n0"), printed
    assert manifest.read(out).results["steps"] == step + 1
    after = (out / "metrics.jsonl").read_text().splitlines()
    kept = [line for line in before if json.loads(line)["step"] <= step]
    assert after[: len(kept)] == kept  # the very lines, with the times of the first session
    assert [entry["step"] for entry in steps_of(out) if "reward" in entry] == list(range(1, step + 2))
    assert {path.name for path in (out / f"checkpoint-{step}").iterdir()} == MODEL_FILES


def test_what_a_kill_left_half_written_does_not_stop_a_rerun(
    interrupted: Interrupted, toy_dataset: Path, tmp_path: Path
) -> None:
    out, partial, step = resumable(interrupted, tmp_path, more=2)
    half = partial / f"checkpoint-{step + 1}"  # the process died while it saved this one
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"\0" * 100)
    (partial / "checkpoint-1.writing").mkdir()  # and, in an earlier session, while it finished
    with (partial / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"step": 9999, "lo')
    assert go_on(tmp_path, toy_dataset).endswith(f"{out}\n0")
    assert [entry["step"] for entry in steps_of(out) if "reward" in entry] == list(range(1, step + 3))
    assert {path.name for path in out.glob("checkpoint-*")} == {f"checkpoint-{n}" for n in range(1, step + 3)}
    assert {path.name for path in (out / half.name).iterdir()} == MODEL_FILES


def test_an_interruption_while_finishing_costs_no_training(
    interrupted: Interrupted, toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C falls after the last step, when checkpoints are already being reduced to what is published."""
    out, partial, step = resumable(interrupted, tmp_path)
    save, saved = finish.save_model, []

    def interrupt(*arguments: Any) -> None:
        saved.append(arguments)
        if len(saved) == step + 1:
            raise KeyboardInterrupt
        save(*arguments)

    monkeypatch.setattr(finish, "save_model", interrupt)
    assert go_on(tmp_path, toy_dataset).endswith("130")
    monkeypatch.undo()
    logged = (partial / "metrics.jsonl").read_text()
    assert go_on(tmp_path, toy_dataset).endswith(f"{out}\n0")
    rewarded = [line for line in logged.splitlines() if "reward" in json.loads(line)]
    assert [line for line in (out / "metrics.jsonl").read_text().splitlines() if '"reward"' in line] == rewarded


@pytest.mark.parametrize(
    "place", ["finish.put_reduced", "stage.write_cost", "stage.manifest.write", "stage.drop_passing"]
)
def test_a_kill_while_finishing_costs_no_training(
    interrupted: Interrupted, toy_dataset: Path, tmp_path: Path, place: str
) -> None:
    out, partial, step = resumable(interrupted, tmp_path)
    command = [sys.executable, "-c", KILLED.format(place=place), "train", str(tmp_path / "short.yaml")]
    done = subprocess.run([*command, "--dataset", str(toy_dataset), "--out", str(out)], check=False)
    assert done.returncode == 137 and partial.exists()
    logged = (partial / "metrics.jsonl").read_text()
    assert go_on(tmp_path, toy_dataset).endswith(f"{out}\n0")
    assert (out / "metrics.jsonl").read_text().count('"reward"') == logged.count('"reward"')
    events = [event for event in read_timeline(out / "timeline.jsonl") if event["event"] == "step"]
    assert max(event["step"] for event in events) == step + 1
    assert [event["step"] for event in events].count(step + 1) == 1, "no step was trained twice"
    assert manifest.damaged_files(out) == []
    assert not [path for path in out.rglob("*") if path.name.endswith(manifest.PASSING)]
    for number in range(step - 1, step + 2):
        assert {path.name for path in (out / f"checkpoint-{number}").iterdir()} == MODEL_FILES


def test_another_recipe_does_not_go_on_where_this_one_stopped(
    interrupted: Interrupted, toy_run: ToyRun, tmp_path: Path
) -> None:
    out, partial, _ = resumable(interrupted, tmp_path)
    other = replace(toy_run.recipe, grpo=dict(toy_run.recipe.grpo or {}, max_steps=1))
    said = r"checkpoint-\d+ belongs to a run with another grpo.max_steps; .*from there with --set base=.*--overwrite"
    with pytest.raises(StageError, match=said):
        train(other, str(toy_run.dataset), out)
    assert last_checkpoint(partial)
    written = train(other, str(toy_run.dataset), out, overwrite=True)
    assert written is not None and written.results["steps"] == 1
    assert [entry["step"] for entry in steps_of(out) if "reward" in entry] == [1]
    assert not partial.exists()


def test_what_a_cold_start_left_is_not_lost_to_another_recipe(tmp_path: Path) -> None:
    (folder := tmp_path / "m.partial" / "base").mkdir(parents=True)
    begun = replace(load_recipe("demo"), cold_start=ColdStart(), grpo={"max_steps": 5})
    (folder.parent / "recipe.yaml").write_text(recipe_text(begun))
    stage._claim(folder.parent, recipe_text(replace(begun, cost=Cost(3.0))), overwrite=False)
    other = recipe_text(replace(begun, grpo={"max_steps": 6}))
    said = r"m\.partial/base belongs to a run with another grpo\.max_steps; train"
    with pytest.raises(StageError, match=said) as raised:
        stage._claim(folder.parent, other, overwrite=False)
    assert "--set base" not in str(raised.value)  # beside a cold start it would mean nothing
    stage._claim(folder.parent, other, overwrite=True)
    assert not folder.exists()


def test_two_runs_do_not_write_to_one_folder(toy_run: ToyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "ORPHAN_SECONDS", 0.5)
    with manifest.stage_folder(tmp_path / "m", overwrite=False, keep_partial=True) as folder:
        (folder / "metrics.jsonl").write_text("the first one's")
        with pytest.raises(StageError, match=r"another run writes to .*m\.partial; wait for its end"):
            train(toy_run.recipe, str(toy_run.dataset), tmp_path / "m")
        assert (folder / "metrics.jsonl").read_text() == "the first one's"
    (tmp_path / "n.partial" / "base").mkdir(parents=True)
    with manifest.stage_folder(tmp_path / "n", overwrite=False) as folder:
        assert not list(folder.iterdir())


DIVERGES = {"learning_rate": 1e30, "max_steps": 12, "save_steps": 1, "warmup_steps": 0, "lr_scheduler_type": "constant"}


@pytest.mark.parametrize("logging_steps", [None, 10])
def test_weights_that_are_lost_are_never_a_checkpoint(
    logging_steps: int | None, toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path
) -> None:
    grpo = dict(toy_recipe.grpo or {}, **DIVERGES) | ({"logging_steps": logging_steps} if logging_steps else {})
    with pytest.raises(TrainingError, match=r"stopped at step \d+: .*see .*stopped\.json") as raised:
        train(replace(toy_recipe, grpo=grpo), str(toy_dataset), tmp_path / "m")
    assert "\n" not in str(raised.value)
    assert json.loads((tmp_path / "m.partial" / "stopped.json").read_text())["reason"]
    last = last_checkpoint(tmp_path / "m.partial")
    assert last is None or all(bool(weight.isfinite().all()) for weight in weights(Path(last)).values())


def test_a_tokenizer_without_an_end_is_one_line(toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path) -> None:
    model, tokenizer = models.load("novice")
    tokenizer.eos_token = None
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "endless")
    with pytest.raises(InputError, match=r"the tokenizer of .*/endless has no eos_token"):
        train(replace(toy_recipe, base=str(tmp_path / "endless")), str(toy_dataset), tmp_path / "m")


def test_a_finished_run_whose_name_is_missing_is_taken_as_it_is(
    interrupted: Interrupted, toy_run: ToyRun, tmp_path: Path
) -> None:
    partial = shutil.copytree(toy_run.folder, tmp_path / "m.partial")
    (partial / "recipe.yaml.writing").touch()
    elsewhere = replace(toy_run.recipe, cost=replace(toy_run.recipe.cost, price_per_hour=77.0))
    written = train(elsewhere, str(toy_run.dataset), tmp_path / "m")
    assert written is not None and written.files == manifest.read(toy_run.folder).files
    assert manifest.damaged_files(tmp_path / "m") == [] and not partial.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "trainer_state.json", "optimizer.pt"])
@pytest.mark.parametrize("size", [0, 100])
def test_a_damaged_checkpoint_is_one_line_with_the_fix(
    interrupted: Interrupted, toy_dataset: Path, tmp_path: Path, name: str, size: int
) -> None:
    out, partial, step = resumable(interrupted, tmp_path)
    path = partial / f"checkpoint-{step}" / name
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(StageError, match=rf"checkpoint-{step} is damaged .*remove it") as raised:
        last_checkpoint(partial)
    assert "\n" not in str(raised.value)
    if size == 0:
        printed = go_on(tmp_path, toy_dataset).splitlines()
        assert printed[-1] == "1"
        assert f"checkpoint-{step} is damaged" in printed[-2]
        assert not out.exists()


def test_a_fresh_folder_has_no_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "checkpoint-best" / "trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path) is None


COLD = ColdStart(
    numbers=(3,),
    number_weights=(1.0,),
    puzzles=50,
    vocab_size=400,
    hidden_size=32,
    intermediate_size=64,
    layers=1,
    heads=4,
    kv_heads=2,
    max_positions=256,
    row_tokens=768,
    batch_rows=2,
    steps=3,
    check_puzzles=2,
    workers=0,
)


@pytest.fixture(scope="module")
def cold_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cold") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cold, "TOKENIZER_TEXTS", 300)
        written = train(Recipe("cold", cold_start=COLD), "unused", out, command="countdown-r1 train cold")
    assert written is not None
    return out


def test_a_cold_start_leaves_a_model_that_loads_and_generates(cold_folder: Path) -> None:
    assert {path.name for path in cold_folder.iterdir()} == MODEL_FILES | {"manifest.json", cold.METRICS}
    assert {tensor.dtype for tensor in weights(cold_folder).values()} == {torch.bfloat16}
    model, tokenizer = models.load(str(cold_folder))
    written = model.generate(**tokenizer("55 + 36", return_tensors="pt"), max_new_tokens=4)  # pyright: ignore[reportCallIssue]
    assert written.shape[1] <= tokenizer("55 + 36", return_tensors="pt")["input_ids"].shape[1] + 4
    assert model.config.use_cache


@pytest.mark.parametrize(("sharding", "kept"), [("none", torch.float32), ("zero3", torch.bfloat16)])
def test_weights_that_are_stored_in_bfloat16_are_trained_in_float32(
    toy_recipe: Recipe, monkeypatch: pytest.MonkeyPatch, sharding: str, kept: torch.dtype
) -> None:
    """As they come on a GPU, in the precision of their files; DeepSpeed makes float32 copies by itself."""
    model, tokenizer = models.load("novice")
    monkeypatch.setattr(models, "load", lambda _: (model.bfloat16(), tokenizer))
    recipe = replace(toy_recipe, launch=replace(toy_recipe.launch, sharding=sharding))
    trained, _ = load_trainable(recipe, "novice")
    assert {value.dtype for value in trained.parameters()} == {kept}


def test_a_cold_start_by_command_needs_no_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold, "TOKENIZER_TEXTS", 300)
    recipe = tmp_path / "cold.yaml"
    recipe.write_text(recipe_text(Recipe("cold", cold_start=replace(COLD, steps=1))))
    done = CliRunner().invoke(main, ["train", str(recipe), "--out", str(tmp_path / "model")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_a_cold_starts_manifest_says_what_was_trained(cold_folder: Path) -> None:
    record = manifest.read(cold_folder)
    assert (record.stage, record.seed, record.command) == ("cold_start", 0, "countdown-r1 train cold")
    assert record.results["tokens"] == 3 * 2 * 768
    assert record.results["parameters"] == sum(tensor.numel() for tensor in weights(cold_folder).values())
    assert 0 < record.results["train_loss"] < 7
    assert manifest.damaged_files(cold_folder) == []


def test_grpo_starts_from_a_cold_start_and_keeps_its_record(
    cold_folder: Path, toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path
) -> None:
    recipe = replace(toy_recipe, base=str(cold_folder), grpo=dict(toy_recipe.grpo or {}, max_steps=1))
    written = train(recipe, str(toy_dataset), tmp_path / "model")
    assert written is not None
    assert written.results["base_manifest"]["settings"]["hidden_size"] == 32
    assert not differ(weights(tmp_path / "model" / "base"), weights(cold_folder))


def test_one_recipe_may_hold_the_cold_start_and_grpo(
    toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold, "TOKENIZER_TEXTS", 300)
    recipe = replace(toy_recipe, cold_start=COLD, grpo=dict(toy_recipe.grpo or {}, max_steps=1))
    written = train(recipe, str(toy_dataset), tmp_path / "model")
    assert written is not None
    assert json.loads((tmp_path / "model" / "config.json").read_text())["hidden_size"] == 32


def test_a_cold_start_records_held_out_loss_and_solve_rate(cold_folder: Path) -> None:
    (line,) = [json.loads(text) for text in (cold_folder / cold.METRICS).read_text().splitlines()]
    assert (line["steps"], line["tokens"]) == (3, 3 * 2 * 768)
    assert 0 < line["held_out_loss"] < 7
    assert 0 <= line["waited"] <= line["seconds"] + 0.1
    assert 0 <= line["solved_3"] <= 1
    assert manifest.read(cold_folder).results["held_out_loss"] == line["held_out_loss"]


@pytest.fixture(scope="module")
def sat_once(cold_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUT of a cold start whose first sitting ended after one step; it starts from ``cold_folder``'s weights."""
    out = tmp_path_factory.mktemp("sitting") / "model"
    with pytest.raises(StageError, match="run the same command again"):
        cold.cold_start(replace(COLD, start=str(cold_folder), sitting_minutes=1e-9), out)
    return out


def test_a_cold_start_goes_on_where_a_sitting_ended(sat_once: Path, cold_folder: Path, tmp_path: Path) -> None:
    partial = shutil.copytree(sat_once.with_name("model.partial"), tmp_path / "model.partial")
    assert not sat_once.exists()
    assert json.loads((partial / "resume" / "progress.json").read_text())["steps"] == 1
    written = cold.cold_start(replace(COLD, start=str(cold_folder)), tmp_path / "model")
    assert (written.results["steps"], written.results["tokens"]) == (3, 3 * 2 * 768)
    assert {path.name for path in (tmp_path / "model").iterdir()} == MODEL_FILES | {"manifest.json", cold.METRICS}
    lines = [json.loads(text) for text in (tmp_path / "model" / cold.METRICS).read_text().splitlines()]
    assert [(line["steps"], line["sittings"]) for line in lines] == [(1, 0), (3, 1)]
    assert manifest.damaged_files(tmp_path / "model") == []
    assert not partial.exists()


def test_a_sitting_goes_on_from_the_very_weights_the_last_one_left(
    sat_once: Path, cold_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(sat_once.with_name("model.partial"), tmp_path / "model.partial")
    left = load_file(tmp_path / "model.partial" / "resume" / "weights.safetensors")
    cold.cold_start(replace(COLD, start=str(cold_folder)), tmp_path / "model")
    resumed = weights(tmp_path / "model")
    for name, begun in left.items():  # two steps of the warm-up move no weight far
        assert (resumed[name].float() - begun).abs().max() < 0.01


def test_other_settings_do_not_go_on_where_a_sitting_ended(sat_once: Path, cold_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(sat_once.with_name("model.partial"), tmp_path / "model.partial")
    written = cold.cold_start(replace(COLD, start=str(cold_folder), steps=1, seed=5), tmp_path / "model")
    assert written.results["steps"] == 1
    assert len((tmp_path / "model" / cold.METRICS).read_text().splitlines()) == 1


def test_a_cold_start_goes_on_from_given_weights_and_keeps_their_tokenizer(cold_folder: Path, tmp_path: Path) -> None:
    settings = replace(COLD, start=str(cold_folder), steps=1, seed=4)
    cold.cold_start(settings, tmp_path / "on")
    assert (tmp_path / "on" / "tokenizer.json").read_bytes() == (cold_folder / "tokenizer.json").read_bytes()
    begun, after = weights(cold_folder), weights(tmp_path / "on")
    assert differ(begun, after)
    assert all((begun[name].float() - after[name].float()).abs().max() < 0.01 for name in begun)


def test_a_cold_start_goes_on_from_plain_llamas_only(cold_folder: Path, tmp_path: Path) -> None:
    odd = shutil.copytree(cold_folder, tmp_path / "odd")
    config = json.loads((odd / "config.json").read_text())
    (odd / "config.json").write_text(json.dumps(config | {"attention_bias": True}))
    with pytest.raises(InputError, match="no Llama without extras"):
        cold.cold_start(replace(COLD, start=str(odd)), tmp_path / "model")


def test_a_cold_start_does_not_overwrite_unless_asked(cold_folder: Path) -> None:
    with pytest.raises(StageError, match="exists already"):
        cold.cold_start(COLD, cold_folder)


def test_the_recipes_of_the_shipped_model_follow_each_other_at_toy_size(toy_dataset: Path, tmp_path: Path) -> None:
    cold = ["minutes=0", "steps=2", "puzzles=64", "layers=1", "hidden_size=48", "intermediate_size=64", "batch_rows=1"]
    cold += ["check_puzzles=2", "workers=1", "vocab_size=300"]
    start = load_recipe("tiny-cold-start", [f"cold_start.{change}" for change in cold])
    assert train(start, str(toy_dataset), tmp_path / "start") is not None
    grpo = ["max_steps=1", "save_steps=1", "per_device_train_batch_size=16", "gradient_accumulation_steps=1"]
    grpo += ["max_completion_length=8"]
    changes = [f"base={tmp_path / 'start'}", "curriculum=null", *(f"grpo.{change}" for change in grpo)]
    written = train(load_recipe("tiny-grpo", changes), str(toy_dataset), tmp_path / "model")
    assert written is not None and written.results["steps"] == 1
    (logged,) = [json.loads(line) for line in (tmp_path / "model" / "metrics.jsonl").read_text().splitlines()][:1]
    assert "rewards/truth_reward/mean" in logged
