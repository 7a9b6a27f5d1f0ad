"""Shared by the tests of training and evaluation: one small dataset and one toy GRPO run per session."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from countdown_r1.manifest import Manifest
    from countdown_r1.train.recipe import Recipe

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` hands down that Ctrl-C is ignored
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # and `nohup` that a closed terminal is: heard here without
    signal.signal(signal.SIGHUP, lambda *_: None)  # effect, while a program that a test starts has the default again

CHECKSUM = """
import os

def checksum(completions, **_):
    \"\"\"Something between 0 and 1, another for every text; notes which process asked, for how many completions.\"\"\"
    with open(os.path.join(os.path.dirname(__file__), "ranks.txt"), "a") as file:
        file.write(f"{os.environ.get('RANK', '0')} {len(completions)}\\n")
    return [(1 + sum(map(ord, text)) % 97) / 98 for text in completions]
"""
GRPO = {
    "max_steps": 2,
    "save_steps": 1,
    "logging_steps": 1,
    "per_device_train_batch_size": 4,
    "num_generations": 2,
    "max_completion_length": 16,
    "temperature": 4.0,  # the base is so sure of its first tokens that below that both completions of a group are one
    "learning_rate": 1e-4,
    "seed": 3,
}


@dataclass(frozen=True)
class ToyRun:
    """A finished training folder and what made it."""

    folder: Path
    recipe: Recipe
    written: Manifest
    dataset: Path


@pytest.fixture(scope="session")
def toy_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from countdown_r1.build_dataset.dataset import build
    from countdown_r1.build_dataset.generate import Wish

    out = tmp_path_factory.mktemp("toy") / "dataset"
    build(out, rows=400, wish=Wish((3,)), command="countdown-r1 build-dataset")
    return out


@pytest.fixture(scope="session")
def toy_recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """GRPO on the shipped model for two steps, with a reward of a file that every completion earns some of."""
    from countdown_r1.train.recipe import Cost, Recipe, Rewards

    path = tmp_path_factory.mktemp("rewards") / "checksum.py"
    path.write_text(CHECKSUM)
    rewards = Rewards(("equation_reward", "format_reward", f"{path}:checksum"))
    return Recipe("toy", grpo=GRPO, rewards=rewards, cost=Cost(price_per_hour=3.0, hardware="a toy"))


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory, toy_dataset: Path, toy_recipe: Recipe) -> ToyRun:
    from countdown_r1.train.stage import train

    out = tmp_path_factory.mktemp("run") / "model"
    written = train(toy_recipe, str(toy_dataset), out, command="countdown-r1 train toy")
    assert written is not None
    return ToyRun(out, toy_recipe, written, toy_dataset)
