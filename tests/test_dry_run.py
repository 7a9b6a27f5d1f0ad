"""``train --dry-run``: it refuses what the run refuses, in the same words, and prints what can be pasted."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from countdown_r1 import manifest, models
from countdown_r1.cli import main
from countdown_r1.errors import HubError
from countdown_r1.train import layout
from countdown_r1.train.launch import run_training
from countdown_r1.train.layout import plan
from countdown_r1.train.memory import Shape
from countdown_r1.train.recipe import Recipe, load_recipe, recipe_text

LAUNCHERS = ("local", "accelerate", "slurm", "kubernetes", "hf-jobs")
QWEN_3B = Shape(3_085_938_688, 36, 2048, 11008, 256, 151_936)
TOY = {
    "grpo.max_steps": 1,
    "grpo.per_device_train_batch_size": 4,
    "grpo.num_generations": 2,
    "grpo.max_completion_length": 8,
}


def train(*words: str) -> tuple[int, str]:
    """Exit status and the last line, of the errors when there are any."""
    done = CliRunner().invoke(main, ["train", *words])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return done.exit_code, lines[-1]


def asked(**changes: object) -> list[str]:
    return [word for key, value in {**TOY, **changes}.items() for word in ("--set", f"{key}={value}")]


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--set", "grpo.learning-rate=1e-4"], "section 'grpo' has no key 'learning-rate'; did you mean"),
        (["--set", "grpo.loss_type=none"], "no loss_type 'none'"),
        (["--set", "grpo.num_generations=3"], "divisible by num_generations (3)"),
        (["--set", "grpo.reward_weights=[1,2,3]"], "3 weights for the rewards"),
        (["--set", "grpo.num_iterations=2", "--set", "grpo.save_steps=3"], "use a multiple of 2"),
        (["--reward", "nowhere.py:f"], "nowhere.py"),
        (["--set", "base=nowhere"], "no model 'nowhere'"),
    ],
)
def test_what_the_recipe_says_wrong_is_refused_for_every_launcher(
    launcher: str, changes: list[str], said: str, tmp_path: Path
) -> None:
    words = ["demo", "--launcher", launcher, *asked(), *changes, "--dataset", "me/data", "--out", str(tmp_path / "m")]
    status, line = train(*words, "--dry-run")
    assert (status, said in line) == (1, True), line
    assert not list(tmp_path.iterdir())


def without_a_column(folder: Path) -> None:
    (path,) = (folder / "zh").glob("train-*.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["prompt"]), path)


@pytest.mark.parametrize("launcher", ["local", "accelerate", "slurm"])
def test_what_is_wrong_on_this_disk_is_refused_in_the_words_of_the_run(
    launcher: str, toy_dataset: Path, tmp_path: Path
) -> None:
    lame = shutil.copytree(toy_dataset, tmp_path / "lame")
    without_a_column(lame)
    base = shutil.copytree(models.SHIPPED["novice"], tmp_path / "base")
    (base / "model.safetensors").write_bytes(b"")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("")
    good, out = ["--dataset", str(toy_dataset)], ["--out", str(tmp_path / "m")]
    for words, said in [
        (["--dataset", str(tmp_path / "nowhere"), *out], "nowhere"),
        (["--dataset", str(lame), *out], "has no column 'prompt' in zh/train"),
        ([*good, *out, "--set", "grpo.per_device_train_batch_size=4000"], "a batch asks 2,000 prompts"),
        ([*good, *out, "--set", f"base={base}"], "the checkpoint is damaged"),
        ([*good, *out, "--set", f"base={tmp_path}"], "it has no config.json"),
        ([*good, "--out", str(tmp_path / "there")], "there exists already"),
    ]:
        command = ["demo", "--launcher", launcher, *asked(), *words]
        status, line = train(*command, "--dry-run")
        assert (status, said in line) == (1, True), line
        assert train(*command) == (1, line)
    assert not (tmp_path / "m").exists()


def test_a_run_of_other_settings_is_not_replaced_by_a_dry_run_either(toy_dataset: Path, tmp_path: Path) -> None:
    partial = tmp_path / "m.partial"
    (partial / "checkpoint-3").mkdir(parents=True)
    (partial / "checkpoint-3" / "sealed.json").write_text("{}")
    (partial / "recipe.yaml").write_text(recipe_text(load_recipe("demo")))
    words = ["demo", "--dataset", str(toy_dataset), "--out", str(tmp_path / "m"), "--dry-run"]
    assert train(*words)[0] == 0
    status, line = train(*words, "--set", "grpo.learning_rate=1")
    assert status == 1 and "checkpoint-3 belongs to a run with another grpo.learning_rate" in line


@pytest.mark.parametrize(("module", "change"), [("bitsandbytes", "lora.bits=4"), ("peft", "lora.rank=4")])
def test_a_package_that_is_missing_is_one_line_of_the_dry_run_and_the_run(
    module: str, change: str, toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # from here on as if it were not installed
    words = ["demo", *asked(), "--set", change, "--dataset", str(toy_dataset), "--out", str(tmp_path / "m")]
    line = f"Error: {module} is not installed: pip install 'countdown-r1[qlora]'"
    assert train(*words, "--dry-run") == train(*words) == (1, line)
    assert train(*words, "--dry-run", "--launcher", "slurm")[0] == 0, "the cluster may have it"


def test_a_reporter_that_is_not_installed_is_found(toy_dataset: Path, tmp_path: Path) -> None:
    words = ["demo", *asked(), "--dataset", str(toy_dataset), "--out", str(tmp_path / "m"), "--dry-run"]
    for reporter in ("wandb", "nothing"):
        status, line = train(*words, "--set", f"grpo.report_to={reporter}")
        assert status == 1 and reporter in line


def test_a_command_that_is_printed_can_be_pasted(toy_dataset: Path, tmp_path: Path) -> None:
    """With a recipe that is completed for the GPUs it is placed on: here by accumulation steps."""
    changes = asked(**{"launch.completions_per_update": 16, "grpo.gradient_checkpointing": "false"})
    words = ["demo", *changes, "--launcher", "accelerate", "--gpus-per-node", "2", "--dataset", str(toy_dataset)]
    recipe = load_recipe("demo")
    path = tmp_path / "mine.yaml"
    grpo = {key: value for key, value in (recipe.grpo or {}).items() if key != "gradient_accumulation_steps"}
    path.write_text(recipe_text(replace(recipe, name="mine", grpo=grpo)))
    words[0] = str(path)
    done = CliRunner().invoke(main, ["train", *words, "--out", str(tmp_path / "m"), "--dry-run"])
    assert done.exit_code == 0, done.output
    line = done.output.splitlines()[-1]
    assert "--set grpo.gradient_accumulation_steps=2" in line
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]
    pasted = subprocess.run(shlex.split(line), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280)
    assert pasted.returncode == 0, pasted.stdout + pasted.stderr
    record = manifest.read(tmp_path / "m")
    assert (record.results["steps"], record.results["world_size"]) == (1, 2)
    assert record.settings["grpo"]["gradient_accumulation_steps"] == 2


def test_the_server_of_a_layout_is_printed_before_what_trains(toy_dataset: Path, tmp_path: Path) -> None:
    said: list[str] = []
    recipe = load_recipe("qwen2.5-3b-en", ["base=tiny", "launch.sharding=none", "launch.gpu_gib=null"])
    begun = {"overwrite": False, "dry_run": True, "command": "", "echo": said.append}
    (tmp_path / "vllm").write_text("#!/bin/sh\n")
    (tmp_path / "vllm").chmod(0o755)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        patched.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
        run_training(replace(recipe, dataset=replace(recipe.dataset)), str(toy_dataset), tmp_path / "m", **begun)
    server, training = said[-2:]
    assert server.startswith("CUDA_VISIBLE_DEVICES=7 VLLM_SERVER_DEV_MODE=1 vllm serve ") and server.endswith(" &")
    assert training.startswith("CUDA_VISIBLE_DEVICES=4,5,6 ") and "--nproc_per_node 3" in training
    assert "grpo.vllm_server_base_url=" in training


def test_a_base_on_the_hub_costs_its_configuration_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline without it, the estimate is what is missing, and one line says so; a real run cannot go on."""
    asked_for: list[str] = []

    def offline(repo: str, name: str, **_: object) -> str:
        asked_for.append(name)
        raise OSError("no route to the Hub")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("more than one file"))
    words = ["qwen2.5-3b-fast", "--launcher", "slurm", "--dataset", "me/data", "--out", str(tmp_path / "m")]
    done = CliRunner().invoke(main, ["train", *words, "--dry-run"])
    assert done.exit_code == 0, done.output
    (note,) = [line for line in done.output.splitlines() if line.startswith("memory: not estimated, for cannot down")]
    assert "no route to the Hub" in note and set(asked_for) == {"config.json"}
    with pytest.raises(HubError, match="no route to the Hub"):
        plan(load_recipe("qwen2.5-3b-fast"))
    assert plan(load_recipe("qwen2.5-7b-zh")).unknown, "a layout that needs no estimate goes on without"


@pytest.mark.parametrize(
    ("gpus", "sharding", "said"),
    [(1, "zero1", "too much: 82.9 GiB"), (4, "zero1", "48.4 GiB"), (1, "none", "77.1 GiB")],
)
def test_memory_that_the_stated_card_lacks_is_said(
    gpus: int, sharding: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "shape_of", lambda _: QWEN_3B)
    words = ["--gpus-per-node", str(gpus), "--set", f"launch.sharding={sharding}", "--launcher", "slurm"]
    words += ["--dataset", "me/data", "--out", str(tmp_path / "m"), "--dry-run"]
    done = CliRunner().invoke(main, ["train", "qwen2.5-3b-fast", *words])
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.output.splitlines() if "GiB a training GPU" in line]
    assert line.startswith(said), line
    assert ("of 80: use grpo.gradient_checkpointing=true" in line) == said.startswith("too much"), line


def test_a_recipe_without_anything_to_train_is_refused_by_a_dry_run() -> None:
    begun = {"overwrite": False, "dry_run": True, "command": "", "echo": print}
    with pytest.raises(Exception, match="neither a 'cold_start' nor a 'grpo' section"):
        run_training(Recipe("nothing"), "data", Path("m"), **begun)
