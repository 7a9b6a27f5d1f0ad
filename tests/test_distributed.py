"""Two real processes over gloo, started as a user starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from click.testing import CliRunner

from countdown_r1 import manifest, models
from countdown_r1.cli import main
from countdown_r1.errors import InputError, TrainingError
from countdown_r1.train.launch import kill_all, process_command, run_training
from countdown_r1.train.layout import Layout
from countdown_r1.train.recipe import Dataset, Launch, Recipe, load_recipe, recipe_text
from countdown_r1.train.servers import visible_gpus

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = 6


@dataclass(frozen=True)
class Trained:
    """Two-process GRPO, interrupted once: its folder, what both sessions printed, which ranks asked for rewards."""

    folder: Path
    command: list[str]
    interrupted: str
    finished: str
    kept: list[str]
    ranks: list[list[str]]


def started_below(folder: Path) -> list[psutil.Process]:
    """Processes of the run in ``folder`` that are still there."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if str(folder) in " ".join(process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


@pytest.fixture(scope="module")
def trained(toy_recipe: Recipe, toy_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("distributed")
    cost = replace(toy_recipe.cost, seconds_per_step=600.0)
    recipe = replace(toy_recipe, name="two", grpo=dict(toy_recipe.grpo or {}, max_steps=STEPS), cost=cost)
    (folder / "two.yaml").write_text(recipe_text(recipe))
    ranks = Path(recipe.rewards.functions[-1].partition(":")[0]).with_name("ranks.txt")
    ranks.unlink(missing_ok=True)
    command = ["train", str(folder / "two.yaml"), "--dataset", str(toy_dataset), "--out", str(folder / "model")]
    command += ["--launcher", "accelerate", "--gpus-per-node", "2"]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "countdown_r1", *command],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    begun = start()
    deadline = time.monotonic() + 240
    while not (folder / "model.partial" / "checkpoint-1" / "trainer_state.json").exists():
        assert begun.poll() is None, begun.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    begun.send_signal(signal.SIGINT)
    interrupted, _ = begun.communicate(timeout=240)
    assert begun.returncode == 130, interrupted
    assert not started_below(folder), "a process outlived Ctrl-C"
    kept = (folder / "model.partial" / "metrics.jsonl").read_text().splitlines()
    again = start()
    finished, _ = again.communicate(timeout=400)
    assert again.returncode == 0, finished
    lines = [line.split() for line in ranks.read_text().splitlines()]
    yield Trained(folder, command, interrupted, finished, kept, lines)


def test_two_processes_train_and_the_command_ends_with_status_0(trained: Trained) -> None:
    record = manifest.read(trained.folder / "model")
    assert record.results["world_size"] == 2
    assert record.results["steps"] == STEPS
    assert trained.finished.splitlines()[-1] == str(trained.folder / "model")
    assert not started_below(trained.folder)


def test_layout_time_and_money_are_said_before_the_processes_start(trained: Trained) -> None:
    for said in (trained.interrupted, trained.finished):
        lines = said.splitlines()
        began = next(place for place, line in enumerate(lines) if "torch.distributed.run --standalone" in line)
        assert lines[began - 2 : began] == [
            "2 training process(es) on 1 node(s), completions by the training processes",
            "expected: 6 updates x 600 s = 1.0 h on a toy, 2.0 GPU-hours, 3.00 USD",
        ]


def test_both_ranks_took_part_in_every_step(trained: Trained) -> None:
    counts = {rank: sum(line[0] == rank for line in trained.ranks) for rank in ("0", "1")}
    assert min(counts.values()) >= STEPS
    assert {size for _, size in trained.ranks} == {"4"}  # each judges its own completions


def test_every_update_is_made_of_the_completions_of_both(trained: Trained) -> None:
    import pyarrow.parquet as pq

    tables = sorted((trained.folder / "model" / "completions").glob("*.parquet"))
    assert len(tables) == STEPS
    assert {pq.read_table(table).num_rows for table in tables} == {8}


def test_the_weights_are_written_once_and_load(trained: Trained) -> None:
    model, _ = models.load(str(trained.folder / "model"))
    assert sum(parameter.numel() for parameter in model.parameters()) > 1_000_000
    assert manifest.damaged_files(trained.folder / "model") == []


def test_ctrl_c_stops_every_process_and_a_rerun_goes_on_from_the_checkpoint(trained: Trained) -> None:
    assert "run the same command again" in trained.interrupted
    lines = (trained.folder / "model" / "metrics.jsonl").read_text().splitlines()
    assert lines[0] == trained.kept[0]  # with the time that the first session measured
    assert [json.loads(line)["step"] for line in lines if '"reward"' in line] == list(range(1, STEPS + 1))


def test_the_manifest_says_what_the_user_typed_and_the_recipe_how_many_processes(trained: Trained) -> None:
    record = manifest.read(trained.folder / "model")
    assert record.command.split()[1:] == trained.command
    assert record.settings["launch"]["launcher"] == "accelerate"
    assert load_recipe(str(trained.folder / "model" / "recipe.yaml")).launch == Launch("accelerate", 1, 2)


def run(recipe: Recipe, out: Path, said: list[str], *, dry_run: bool = False) -> None:
    run_training(recipe, "me/data", out, overwrite=False, dry_run=dry_run, command="countdown-r1", echo=said.append)


def test_a_dry_run_starts_nothing_and_prints_the_command(tmp_path: Path) -> None:
    said: list[str] = []
    run(Recipe("x", grpo={}, launch=Launch("accelerate", 1, 2)), tmp_path / "out", said, dry_run=True)
    run(Recipe("x", grpo={}), tmp_path / "out", said, dry_run=True)
    assert any("torch.distributed.run --standalone --nproc_per_node 2 -m countdown_r1.train" in line for line in said)
    assert said[-1] == f"would train 'x' in this process, from me/data to {tmp_path / 'out'}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("launcher", "began"),
    [
        ("local", "would train 'demo' in this process"),
        ("accelerate", "torch.distributed.run --standalone"),
        ("slurm", "would write"),
        ("kubernetes", "would apply"),
        ("hf-jobs", "would start a job"),
    ],
)
def test_layout_time_and_money_are_the_first_lines_of_every_launcher(launcher: str, began: str) -> None:
    changes = ["--set", "cost.price_per_hour=36", "--launcher", launcher]
    done = CliRunner().invoke(main, ["train", "demo", *changes, "--dataset", "me/data", "--dry-run"])
    assert done.exit_code == 0, done.output
    layout, expected, third = done.output.splitlines()[:3]
    assert layout == "1 training process(es) on 1 node(s), completions by the training processes"
    assert expected == "expected: 30 updates x 7.5 s = 0.1 h on two CPU cores, 0.1 GPU-hours, 2.25 USD"
    assert began in third


def test_several_nodes_are_refused_here() -> None:
    with pytest.raises(InputError, match="several nodes need slurm or kubernetes"):
        Launch("accelerate", 2, 2)


def test_overwriting_is_passed_on_to_the_processes(tmp_path: Path) -> None:
    commands = [process_command(Layout("none", 1, 1), ["x.yaml"], "d", tmp_path, flag) for flag in (False, True)]
    assert [command[-1] for command in commands] == [str(tmp_path), "--overwrite"]


def test_too_few_processes_are_an_error_and_not_a_smaller_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(TrainingError, match="says 2 processes, 1 run"):
        run(Recipe("x", grpo={}, launch=Launch("accelerate", 1, 2)), tmp_path / "out", [])


def test_a_process_that_fails_makes_the_command_fail(tmp_path: Path) -> None:
    broken: Any = "many"  # no recipe file could say this; the process refuses it at once
    recipe = Recipe("x", dataset=Dataset(rows=broken), grpo={}, launch=Launch("accelerate", 1, 1))
    with pytest.raises(TrainingError, match="ended with status 1"):
        run(recipe, tmp_path / "out", [])
    assert not list(tmp_path.iterdir())


def test_what_torchrun_started_does_not_outlive_it(tmp_path: Path) -> None:
    script = tmp_path / "sleeps.py"
    script.write_text("import time\ntime.sleep(100)\n")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    process = subprocess.Popen(torchrun, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(started_below(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(started_below(tmp_path)) == 3
    kill_all(process)
    gone = time.monotonic() + 60
    while started_below(tmp_path) and time.monotonic() < gone:
        time.sleep(0.1)
    assert not started_below(tmp_path)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_a_server_that_is_still_starting_does_not_outlive_the_command(
    how: signal.Signals, toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path
) -> None:
    (program := tmp_path / "vllm").write_text("#!/bin/sh\nsleep 600\n")
    program.chmod(0o755)
    recipe = replace(toy_recipe, launch=Launch("accelerate", 1, 2, vllm="server"))
    (tmp_path / "served.yaml").write_text(recipe_text(recipe))
    command = ["train", str(tmp_path / "served.yaml"), "--dataset", str(toy_dataset), "--out", str(tmp_path / "m")]
    begun = subprocess.Popen(
        [sys.executable, "-m", "countdown_r1", *command],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (servers := [one for one in started_below(tmp_path) if str(program) in one.info["cmdline"]]):
        assert begun.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(0.5)  # until it is waited for
    begun.send_signal(how)
    said, _ = begun.communicate(timeout=60)
    assert begun.returncode == 130, said
    assert not any(server.is_running() for server in servers)
    assert not started_below(tmp_path)


def test_too_few_visible_gpus_are_no_server_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert visible_gpus(2) == ["3", "5"]
    with pytest.raises(InputError, match=r"takes 4 GPUs .* CUDA_VISIBLE_DEVICES=3,5 shows 2; set gpus_per_node=2"):
        visible_gpus(4)


@pytest.mark.parametrize("out", [Path(), Path("/")])
def test_a_folder_without_a_name_is_refused(out: Path) -> None:
    with pytest.raises(InputError, match="no folder that a run could make; name one, such as outputs/x/model"):
        run(Recipe("x", grpo={}, launch=Launch("slurm", 2, 1)), out, [])


def test_the_last_gpu_serves_and_the_others_train_whichever_the_user_made_visible(
    toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path
) -> None:
    """The article's layout without a GPU: a process in vLLM's place notes what it was given; the sampling is ours."""
    program, notes, reward = tmp_path / "bin" / "vllm", tmp_path / "notes", Path(__file__).with_name("gpus_reward.py")
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n" + Path(__file__).with_name("vllm_stand_in.py").read_text())
    program.chmod(0o755)
    recipe = replace(
        toy_recipe,
        grpo=dict(toy_recipe.grpo or {}, use_vllm=False),
        rewards=replace(toy_recipe.rewards, functions=(f"{reward}:noted",)),
        launch=Launch("accelerate", 1, 2, vllm="server"),
    )
    (tmp_path / "served.yaml").write_text(recipe_text(recipe))
    command = [
        sys.executable,
        "-m",
        "countdown_r1",
        "train",
        "served.yaml",
        "--dataset",
        str(toy_dataset),
        "--out",
        "m",
    ]
    given = {"PATH": f"{program.parent}:{os.environ['PATH']}", "STAND_IN_NOTES": str(notes), "OMP_NUM_THREADS": "1"}
    given |= {"CUDA_VISIBLE_DEVICES": "6,4"}
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | given, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 training process(es) on 1 node(s), vLLM server on 1 GPU(s) of the same node" in done.stdout
    assert "starting the vLLM server on GPU 4" in done.stdout
    told, _, served = notes.read_text().splitlines()
    assert served == "4" and told.startswith("serve ")
    assert notes.with_suffix(".train").read_text().splitlines() == ["6", "6,4"]
    assert not [found for found in psutil.process_iter(["cmdline"]) if str(program) in (found.info["cmdline"] or ())]
    cost = json.loads((tmp_path / "m" / "cost.json").read_text())
    assert (cost["processes"], cost["server_gpus"]) == (1, 1)
