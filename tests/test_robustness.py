"""Runs that are killed, stopped, stuck or broken: nothing is lost, nothing hangs."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers.trainer_callback import TrainerControl, TrainerState

from countdown_r1.errors import InputError, TrainingError
from countdown_r1.train.recipe import Launch, Recipe, recipe_text
from countdown_r1.train.resume import SEAL, differences, drop_unfinished, last_checkpoint, put_reduced, seal, thin
from countdown_r1.train.safeguards import COLLAPSED_STEPS, Sanity
from countdown_r1.train.stage import train
from countdown_r1.train.trl_config import generation_steps, grpo_config
from countdown_r1.train.watchdog import Watchdog

STEPS = 5
STAND_IN = Path(__file__).with_name("vllm_stand_in.py")


@dataclass(frozen=True)
class Runner:
    """Starts ``countdown-r1 train`` in a folder of its own."""

    folder: Path
    dataset: Path

    def start(self, recipe: Recipe) -> subprocess.Popen[str]:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "run.yaml").write_text(recipe_text(recipe))
        command = [sys.executable, "-m", "countdown_r1", "train", "run.yaml", "--dataset", str(self.dataset)]
        return subprocess.Popen(
            [*command, "--out", str(self.folder / "m")],
            cwd=self.folder,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def partial(self) -> Path:
        return self.folder / "m.partial"

    def steps(self, part: str = "m") -> dict[int, dict[str, Any]]:
        path = self.folder / part / "metrics.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return {line["step"]: line for line in found if "reward" in line}


def until(true: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def kill_within(runner: Runner, recipe: Recipe, checkpoint: str) -> None:
    """Kill a run while it writes a checkpoint, a tenth of a second: a whole one is unmade and waited for again."""
    path = runner.partial / checkpoint
    for _ in range(4):
        process = runner.start(recipe)
        until(path.exists, process)
        kill(process)
        if not (path / SEAL).exists():
            return
        shutil.rmtree(path)
    pytest.fail(f"{checkpoint} was whole each time that the run was killed")


def of(recipe: Recipe, launch: Launch | None = None, **grpo: Any) -> Recipe:
    values = dict(recipe.grpo or {}, max_steps=STEPS, save_steps=2, learning_rate=1e-3) | grpo
    return replace(recipe, name="run", grpo=values, launch=launch or recipe.launch)


@pytest.fixture(scope="module")
def killed(toy_recipe: Recipe, toy_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Runner, Runner]:
    """The same run twice: undisturbed, and killed in the middle of a step and of a checkpoint."""
    folder, recipe = tmp_path_factory.mktemp("killed"), of(toy_recipe)
    whole, broken = Runner(folder / "whole", toy_dataset), Runner(folder / "broken", toy_dataset)
    undisturbed = whole.start(recipe)
    first = broken.start(recipe)
    until(lambda: 3 in broken.steps("m.partial"), first)
    kill(first)
    kill_within(broken, recipe, "checkpoint-4")
    assert last_checkpoint(broken.partial) == str(broken.partial / "checkpoint-2")
    third = broken.start(recipe)
    for process in (undisturbed, third):
        said, _ = process.communicate(timeout=400)
        assert process.returncode == 0, said
    return whole, broken


def test_a_killed_run_has_the_losses_of_an_undisturbed_one(killed: tuple[Runner, Runner]) -> None:
    whole, broken = (runner.steps() for runner in killed)
    assert list(whole) == list(broken) == list(range(1, STEPS + 1))
    for step in whole:
        for name in ("loss", "grad_norm", "reward", "entropy", "learning_rate", "completions/mean_length"):
            assert broken[step][name] == pytest.approx(whole[step][name], abs=1e-5), (step, name)


def test_a_killed_run_asks_the_same_prompts_in_the_same_order_and_gets_the_same_answers(
    killed: tuple[Runner, Runner],
) -> None:
    tables = [sorted((runner.folder / "m" / "completions").glob("*.parquet")) for runner in killed]
    assert [path.name for path in tables[0]] == [path.name for path in tables[1]]
    for left, right in zip(*tables, strict=True):
        assert pq.read_table(left).to_pylist() == pq.read_table(right).to_pylist()


def test_a_killed_run_ends_with_the_same_weights(killed: tuple[Runner, Runner]) -> None:
    left, right = (load_file(runner.folder / "m" / "model.safetensors") for runner in killed)
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_every_completion_is_logged_with_step_prompt_numbers_target_and_verdict(killed: tuple[Runner, Runner]) -> None:
    rows = pq.read_table(killed[0].folder / "m" / "completions" / "completions_00001.parquet").to_pylist()
    assert len(rows) == 4
    for row in rows:
        assert row["step"] == 1 and row["verdict"] in ("no answer", "unfinished thought", "malformed")
        assert all(str(number) in row["prompt"] for number in [*row["nums"], row["target"]])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_a_checkpoint_of_the_step_it_fell_into(
    how: signal.Signals, toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path
) -> None:
    runner = Runner(tmp_path / "run", toy_dataset)
    process = runner.start(of(toy_recipe, max_steps=400, save_steps=400))
    until(lambda: 2 in runner.steps("m.partial"), process)
    process.send_signal(how)
    said, _ = process.communicate(timeout=180)
    assert process.returncode == 130, said
    assert "stopping after this step, with a checkpoint" in said and "Traceback" not in said
    last = last_checkpoint(runner.partial)
    assert last == str(runner.partial / f"checkpoint-{max(runner.steps('m.partial'))}")


def test_a_process_that_stands_still_ends_the_run_and_is_named(
    toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path
) -> None:
    runner = Runner(tmp_path / "run", toy_dataset)
    launch = Launch("accelerate", 1, 2, stall_seconds=8)
    process = runner.start(of(toy_recipe, launch, max_steps=400, save_steps=400))
    until(lambda: 3 in runner.steps("m.partial"), process)
    time.sleep(2.5)  # until both have left a sign
    sign = json.loads((runner.partial / "alive" / "1").read_text())
    os.kill(sign["pid"], signal.SIGSTOP)
    began = time.monotonic()
    said, _ = process.communicate(timeout=240)
    assert time.monotonic() - began < 120
    assert process.returncode == 1
    assert re.search(rf"training is stuck: .*process 1 \(pid {sign['pid']} on ", said), said
    assert "a training process ended with status" in said
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(runner.folder) in " ".join(p.info["cmdline"] or ())]


@pytest.mark.parametrize(("age", "blamed"), [(5.0, "process 1 (pid 7 on elsewhere, step 3)"), (1.0, "the same place")])
def test_a_process_that_stopped_where_the_others_wait_is_told_from_one_that_waits(
    age: float, blamed: str, tmp_path: Path
) -> None:
    watchdog = Watchdog(tmp_path, Launch("accelerate", 1, 2, stall_seconds=8))
    watchdog.world, watchdog.extra, watchdog.last = 2, 0.0, time.monotonic() - 9
    (tmp_path / "alive").mkdir()
    for rank, seconds in ((0, 0.0), (1, age)):
        sign = {"ticks": 5, "step": 2, "pid": 7, "host": "elsewhere", "time": time.time() - seconds}
        (tmp_path / "alive" / str(rank)).write_text(json.dumps(sign))
    assert blamed in (watchdog.standing_still() or "")


def test_a_server_that_dies_ends_the_run_and_is_named(toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path) -> None:
    environment = os.environ | {"STAND_IN_NOTES": str(tmp_path / "notes")}
    server = subprocess.Popen([sys.executable, str(STAND_IN), "--port", "18431"], env=environment)
    runner = Runner(tmp_path / "run", toy_dataset)
    address = "http://127.0.0.1:18431"
    process = runner.start(of(toy_recipe, max_steps=4000, save_steps=4000, vllm_server_base_url=address))
    until(lambda: 2 in runner.steps("m.partial"), process)
    kill(server)  # pyright: ignore[reportArgumentType]
    said, _ = process.communicate(timeout=180)
    assert process.returncode == 75, said
    assert f"training is stuck: the vLLM server at {address} no longer answers" in said


def test_weights_that_became_nan_stop_the_run_with_a_report(
    toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path
) -> None:
    recipe = of(toy_recipe, learning_rate=1e30, save_steps=1, max_grad_norm=1e30)
    with pytest.raises((TrainingError, RuntimeError)) as raised:
        train(recipe, str(toy_dataset), tmp_path / "m")
    assert isinstance(raised.value, TrainingError), raised.value
    assert "\n" not in str(raised.value)
    report = json.loads((tmp_path / "m.partial" / "stopped.json").read_text())
    assert report["reason"] in str(raised.value)


def watch(folder: Path, *steps: dict[str, float], batch: int = 1) -> str | None:
    """The message that a series of logged steps, of ``batch`` completions each, ends with."""
    sanity, args = Sanity(folder), SimpleNamespace(generation_batch_size=batch)
    for number, logs in enumerate(steps, 1):
        state = TrainerState(global_step=number, is_world_process_zero=True)
        try:
            sanity.on_log(args, state, TrainerControl(), logs={"reward": 0.5, "loss": 0.1, **logs})
        except TrainingError as error:
            return str(error)
    return None


FINE = {"grad_norm": 0.5, "kl": 0.01, "entropy": 1.0, "rewards/equation_reward/mean": 0.3}


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([FINE] * 30, None),
        ([FINE, FINE | {"loss": math.nan}], "stopped at step 2: loss is nan"),
        ([FINE | {"reward": math.inf}], "reward is inf"),
        ([FINE] * 6 + [FINE | {"grad_norm": 80.0}], "grad_norm jumped from 0.5 to 80"),
        ([FINE] * 6 + [FINE | {"kl": 3.0}], "kl jumped from 0.01 to 3"),
        ([FINE | {"kl": 51.0}], "kl is 51.0"),
        ([FINE] * 6 + [FINE | {"entropy": 120.0}], "entropy jumped"),
        ([FINE] * 6 + [FINE | {"grad_norm": 8.0}], None),
        ([FINE] * 6 + [FINE | {"reward": 80.0}], "reward jumped from at most 0.5 to 80"),
        ([FINE] * 6 + [FINE | {"reward": -80.0}], "reward jumped from at most 0.5 to -80"),
        ([FINE] * 6 + [FINE | {"reward": 40.0}], None),
        ([FINE | {"reward": 0.001}] * 6 + [FINE | {"reward": 2.0}], None),
        ([FINE | {"reward": 0.0}] * 6 + [FINE | {"reward": 60.0}] * 6, None),
        # 1 of 1024 completions, then 60 in 100, earned 100 points
        ([FINE | {"reward": 0.0}] * 6 + [FINE | {"reward": 0.098, "reward_std": 3.1}, FINE | {"reward": 60.0}], None),
        (
            [FINE] + [FINE | {"rewards/equation_reward/mean": 0.0}] * COLLAPSED_STEPS,
            "rewards/equation_reward/mean was 0.30 and has been 0 for 10 logged steps",
        ),
        ([FINE | {"rewards/equation_reward/mean": 0.0}] * 30, None),
    ],
)
def test_a_broken_run_is_told_from_a_healthy_one(
    steps: list[dict[str, float]], said: str | None, tmp_path: Path
) -> None:
    message = watch(tmp_path, *steps)
    assert (message is None) if said is None else (message is not None and said in message)


def test_a_reward_that_falls_to_a_third_stops_the_run_unless_the_batch_is_too_small_to_say(tmp_path: Path) -> None:
    kept = Path(__file__).parents[1] / "benchmarks/results/tiny/float32"
    name = "rewards/equation_reward/mean"
    logged = [json.loads(line) for line in (kept / "sweep.steady-1e-4.jsonl").read_text().splitlines()]
    fallen = [{name: line[name]} for line in logged if name in line]
    message = watch(tmp_path, *fallen, batch=1024)
    assert message is not None
    assert "stopped at step 41" in message
    assert f"{name} fell from 0.72 to 0.24" in message
    worse = [json.loads(line) for line in (kept / "sweep.falling-2e-4.jsonl").read_text().splitlines()]
    assert watch(tmp_path, *({name: line[name]} for line in worse if name in line), batch=1024) is None
    lucky = [{name: 0.75}] * 10 + [{name: 0.25}, {name: 0.0}] * 10
    assert watch(tmp_path, *lucky, batch=1) is None
    assert "fell from 0.75" in (watch(tmp_path, *lucky, batch=4) or "")


def checkpoint(folder: Path, step: int, sealed: bool = True) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    for name in ("model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json"):
        (path / name).write_text(name)
    if sealed:
        seal(path)
    return path


def test_only_sealed_checkpoints_are_gone_on_from_and_the_others_are_removed(tmp_path: Path) -> None:
    whole, cut = checkpoint(tmp_path, 2), checkpoint(tmp_path, 4, sealed=False)
    assert last_checkpoint(tmp_path) == str(whole)
    drop_unfinished(tmp_path)
    assert whole.exists() and not cut.exists()


def test_older_checkpoints_keep_their_weights_alone(tmp_path: Path) -> None:
    folders = [checkpoint(tmp_path, step) for step in (1, 2, 3, 10)]
    thin(tmp_path)
    assert [(path / "optimizer.pt").exists() for path in folders] == [False, False, True, True]
    assert all((path / "model.safetensors").exists() for path in folders)
    drop_unfinished(tmp_path)
    assert all(path.exists() for path in folders)
    assert last_checkpoint(tmp_path) == str(folders[-1])


def test_whole_checkpoints_come_back_wherever_finishing_was_cut_short(tmp_path: Path) -> None:
    first, last = checkpoint(tmp_path, 2, sealed=False), checkpoint(tmp_path, 10)
    for place, keep in ((first, False), (last, True)):
        (reduced := place.with_suffix(".writing")).mkdir()
        (reduced / "model.safetensors").write_text("reduced")
        put_reduced(place, reduced, keep)
    names = ["checkpoint-10", "checkpoint-10.whole", "checkpoint-2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert last_checkpoint(tmp_path) is None
    (tmp_path / "checkpoint-10.writing").mkdir()  # a whole one that was being removed
    shutil.rmtree(tmp_path / "checkpoint-10")  # as between the two names
    drop_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-2"]
    assert last_checkpoint(tmp_path) == str(last)
    assert (first / "model.safetensors").read_text() == "reduced"


def test_checkpoints_between_generations_are_refused(tmp_path: Path) -> None:
    grpo = {"per_device_train_batch_size": 8, "steps_per_generation": 4, "save_steps": 6}
    with pytest.raises(InputError, match="use a multiple of 4, such as 8"):
        generation_steps(grpo_config(Recipe("x", grpo=grpo), tmp_path))
    assert generation_steps(grpo_config(Recipe("x", grpo=grpo | {"save_steps": 8}), tmp_path)) == 4
    for change, said in (
        ({"gradient_accumulation_steps": 2, "steps_per_generation": 3, "save_steps": 1}, "lasts 3 steps.*such as 3"),
        ({"save_steps": 0.25, "max_steps": 8}, "lasts 4 steps.*such as 4"),
        ({"save_strategy": "epoch"}, "key 'save_strategy': a batch of completions lasts 4 steps"),
    ):
        with pytest.raises(InputError, match=said):
            generation_steps(grpo_config(Recipe("x", grpo=grpo | change), tmp_path))
    assert generation_steps(grpo_config(Recipe("x", grpo=grpo | {"save_strategy": "no"}), tmp_path)) == 4
    assert generation_steps(grpo_config(Recipe("x", grpo=grpo | {"save_steps": 0.5, "max_steps": 8}), tmp_path)) == 4


def test_where_a_run_is_does_not_make_it_another_one(toy_recipe: Recipe) -> None:
    text = recipe_text(toy_recipe)
    elsewhere = replace(toy_recipe, launch=Launch(stall_seconds=9), cost=replace(toy_recipe.cost, price_per_hour=9.0))
    assert differences(text, recipe_text(elsewhere)) == []
    assert differences(text, recipe_text(replace(elsewhere, base="novice", name="other"))) == ["base"]
    asked = replace(toy_recipe, evaluate=replace(toy_recipe.evaluate, limit=9))
    assert differences(text, recipe_text(asked)) == []
    patient = replace(asked, evaluate=replace(asked.evaluate, validation=8, patience=1))
    assert "evaluate.patience" in differences(text, recipe_text(patient))
    changed = replace(toy_recipe, grpo=dict(toy_recipe.grpo or {}, learning_rate=1.0))
    assert differences(text, recipe_text(changed)) == ["grpo.learning_rate"]
    assert all(differences(broken, text) for broken in ("", "[", "- 1", text[: len(text) // 2]))
