"""GRPO ends when its checkpoints no longer get better on validation, in one process and in several."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from transformers.trainer_callback import TrainerControl, TrainerState

from countdown_r1 import models
from countdown_r1.errors import InputError
from countdown_r1.train import grpo
from countdown_r1.train.grpo import run_grpo
from countdown_r1.train.patience import Patience, exhausted
from countdown_r1.train.questions import Questions, Row, select_rows
from countdown_r1.train.recipe import Evaluate, Recipe, load_recipe
from countdown_r1.train.stage import train_rows
from countdown_r1.train.trl_config import grpo_config

if TYPE_CHECKING:
    from conftest import ToyRun

SETTINGS = Evaluate(validation=4, temperature=1.0, max_new_tokens=60, batch_size=8, patience=1)
TWO = """
import sys
from pathlib import Path
from accelerate import PartialState
from transformers.trainer_callback import TrainerControl, TrainerState
from countdown_r1 import models
from countdown_r1.train.patience import Patience
from countdown_r1.train.questions import Questions, select_rows
from countdown_r1.train.recipe import Evaluate
from countdown_r1.train.stage import end_process

here = PartialState(cpu=True)
model, tokenizer = models.load("novice")
rows = select_rows(Questions(sys.argv[1]), "validation", 5)
settings = Evaluate(validation=5, max_new_tokens=60, batch_size=8, patience=1)
watch = Patience(settings, tokenizer, rows, Path(sys.argv[2]), whole=True)
state, control = TrainerState(is_world_process_zero=here.is_main_process), TrainerControl()
watch.on_train_begin(None, state, control, model=model)
state.global_step = 1
watch.on_save(None, state, control, model=model)
Path(sys.argv[2], f"rank-{here.process_index}.txt").write_text(f"{here.num_processes} {control.should_training_stop}")
end_process(0)
"""


@pytest.fixture(scope="module")
def rows(toy_dataset: Path) -> list[Row]:
    return select_rows(Questions(str(toy_dataset)), "validation", 4)


def measured(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "validation.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("rates", "patience", "stop"),
    [
        ([0.3], 1, False),
        ([0.3, 0.3], 1, True),
        ([0.3, 0.4], 1, False),
        ([0.3, 0.2, 0.4], 2, False),
        ([0.3, 0.2, 0.3], 2, True),
        ([0.3, 0.5, 0.4, 0.5], 2, True),
        ([0.3, 0.5, 0.4], 3, False),
        ([0.0, 0.0, 0.0, 0.0], 3, True),
    ],
)
def test_patience_ends_after_so_many_checkpoints_without_a_new_best(
    rates: list[float], patience: int, stop: bool
) -> None:
    assert exhausted(rates, patience) is stop


def test_training_stops_early_when_validation_does_not_improve(
    toy_recipe: Recipe, toy_dataset: Path, rows: list[Row], tmp_path: Path
) -> None:
    recipe = replace(
        toy_recipe,
        grpo={**(toy_recipe.grpo or {}), "max_steps": 9, "learning_rate": 0.0},
        evaluate=replace(SETTINGS, patience=2, max_new_tokens=4),
    )
    model, tokenizer = models.load("novice")
    training = train_rows(str(toy_dataset), ("en", "zh"))
    trainer = run_grpo(recipe, model.train(), tokenizer, training, tmp_path, rows)
    assert trainer.state.global_step == 2
    assert [(entry["step"], entry["n"]) for entry in measured(tmp_path)] == [(0, 4), (1, 4), (2, 4)]
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {"checkpoint-1", "checkpoint-2"}
    assert model.training
    again = run_grpo(recipe, models.load("novice")[0].train(), tokenizer, training, tmp_path, rows)
    assert again.state.global_step == 2, "a run that was killed after it stopped trains no further"
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {"checkpoint-1", "checkpoint-2"}


def test_without_patience_nothing_is_measured(toy_run: ToyRun) -> None:
    assert toy_run.recipe.evaluate.patience == 0
    assert not (toy_run.folder / "validation.jsonl").exists()


def started(folder: Path, rows: list[Row], step: int) -> tuple[Patience, TrainerState, TrainerControl, Any]:
    """A callback at the beginning of a run that goes on from ``step``."""
    model, tokenizer = models.load("novice")
    watch = Patience(SETTINGS, tokenizer, rows, folder, whole=True)
    state, control = TrainerState(global_step=step), TrainerControl()
    watch.on_train_begin(None, state, control, model=model)
    return watch, state, control, model


def test_a_resumed_run_forgets_what_came_after_its_checkpoint_and_measures_what_is_missing(
    rows: list[Row], tmp_path: Path
) -> None:
    lines = [json.dumps({"step": step, "n": 4, "solve_rate": 1.0}) for step in (0, 10, 20)]
    path = tmp_path / "validation.jsonl"
    path.write_text("\n".join(lines) + '\n{"step": 30, "n"')
    started(tmp_path, rows, 10)
    assert path.read_text().splitlines() == lines[:2]
    path.write_text("\n".join(lines) + "\n")
    watch, state, control, model = started(tmp_path, rows, 15)
    assert [entry["step"] for entry in measured(tmp_path)] == [0, 10, 15]
    state.global_step = 20
    watch.on_save(None, state, control, model=model)
    assert control.should_training_stop


def test_measuring_changes_neither_the_weights_nor_the_random_numbers_of_training(
    rows: list[Row], tmp_path: Path
) -> None:
    import torch

    torch.manual_seed(4)
    before = torch.get_rng_state()
    watch, state, control, model = started(tmp_path, rows, 0)
    model.train()
    watch.on_save(None, state, control, model=model)
    assert torch.equal(before, torch.get_rng_state())
    assert model.training
    assert len({entry["solve_rate"] for entry in measured(tmp_path)}) == 1  # the same weights, the same answers


def test_two_processes_share_the_puzzles_and_stop_together(toy_dataset: Path, tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(script), str(toy_dataset), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [(tmp_path / f"rank-{rank}.txt").read_text() for rank in (0, 1)] == ["2 True"] * 2
    assert [(entry["step"], entry["n"]) for entry in measured(tmp_path)] == [(0, 5), (1, 5)]
    assert done.stdout.count("stopped at step 1: nothing better on validation in 1 checkpoint(s)") == 1


def test_patience_without_puzzles_or_with_spread_weights_is_refused(rows: list[Row], tmp_path: Path) -> None:
    tokenizer = models.load("novice")[1]
    with pytest.raises(InputError, match="key 'patience': there are no validation puzzles"):
        Patience(SETTINGS, tokenizer, [], tmp_path, whole=True)
    with pytest.raises(InputError, match="key 'patience': FSDP and DeepSpeed"):
        Patience(SETTINGS, tokenizer, rows, tmp_path, whole=False)
    Patience(replace(SETTINGS, patience=0), tokenizer, [], tmp_path, whole=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("evaluate.patience=-1", "key 'patience': at least 0, got -1"),
        ("evaluate.samples=0", "key 'samples': at least 1, got 0"),
        ("evaluate.limit=0", "key 'limit': at least 1, got 0"),
        ("evaluate.temperature=-1", "key 'temperature': at least 0, got -1.0"),
        ("evaluate.batch_size=0", "key 'batch_size': at least 1, got 0"),
        ("evaluate={patience: 2, validation: 0}", "key 'patience': it needs 'validation' puzzles"),
        ("evaluate={samples: 2, temperature: 0}", "key 'samples': at temperature 0 they are all the same"),
        ("evaluate.patients=1", "did you mean 'patience'?"),
    ],
)
def test_a_section_evaluate_that_makes_no_sense_is_one_line(change: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        load_recipe("demo", [change])
    assert said in str(raised.value)
    assert "section 'evaluate'" in str(raised.value)


@pytest.mark.parametrize("name", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM"])
def test_weights_that_accelerate_launch_spreads_are_left_to_trl_to_gather(
    toy_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    config = grpo_config(toy_recipe, tmp_path)
    assert grpo._plain_sampling(config)
    monkeypatch.setenv(name, "true")
    assert not grpo._plain_sampling(config)
    monkeypatch.setenv(name, "false")
    assert grpo._plain_sampling(config)
