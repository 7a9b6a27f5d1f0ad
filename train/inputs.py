"""What a training reads, and everything that it would refuse: checked before anything is made, loaded or started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset

from .. import models
from ..build_dataset.dataset import load
from ..errors import InputError
from ..manifest import PARTIAL, refuse_existing
from ..weights import check_files
from .layout import Layout, placed
from .packages import check_installed
from .preflight_text import check_text
from .questions import Questions, Row, select_rows
from .reach import HERE, READING, on_hub
from .recipe import Evaluate, Recipe, recipe_text
from .resume import refuse_other_run
from .reward_functions import check_weights, load_reward
from .reward_rows import read_puzzles
from .trl_config import check_reporters, check_rows, generation_steps, grpo_config

if TYPE_CHECKING:
    from trl.trainer.grpo_config import GRPOConfig

SMALL_BYTES = 2**30  # weights above are not read to see whether they are whole


def check_run(recipe: Recipe, layout: Layout, dataset: str, out: Path, overwrite: bool) -> None:
    """Raise what the run itself would, for all that can be known here; what is on the Hub is left to the run."""
    launcher = recipe.launch.launcher
    check_sections(recipe, layout.processes)
    refuse_existing(out, overwrite)
    refuse_other_run(out.with_name(out.name + PARTIAL), recipe_text(recipe), overwrite)
    if recipe.grpo is None:
        return
    config = as_one_process(recipe, layout)
    check_rewards(recipe, config)
    if launcher in HERE:
        check_installed(recipe)
        check_reporters(config)
    generation_steps(config)
    if launcher in READING and not on_hub(dataset):
        rows = train_rows(dataset, recipe.dataset.languages)
        validation_rows(dataset, recipe.evaluate)
        check_rows(config, len(rows))
    if recipe.cold_start is None:
        check_base(recipe)


def check_sections(recipe: Recipe, processes: int) -> None:
    """Raise ``InputError`` for a recipe without anything to train, or with a cold start in several processes."""
    if recipe.grpo is None and recipe.cold_start is None:
        raise InputError(f"recipe {recipe.name} has neither a 'cold_start' nor a 'grpo' section: nothing to train")
    if recipe.cold_start is not None and processes > 1:
        raise InputError("a cold start is one process: run it alone, then name its folder as 'base' of a 'grpo' recipe")


def check_rewards(recipe: Recipe, config: GRPOConfig) -> None:
    """Raise ``InputError`` for a reward that is not there, and for weights that are not one for each."""
    for name in recipe.rewards.functions:
        load_reward(name)
    check_weights(config.reward_weights, recipe.rewards.functions)


def check_recipe(recipe: Recipe, out: Path) -> None:
    """Raise ``InputError`` for what TRL or the rewards would refuse, before anything is made or loaded."""
    if recipe.grpo is not None:
        check_rewards(recipe, grpo_config(recipe, out))


def as_one_process(recipe: Recipe, layout: Layout) -> GRPOConfig:
    """The configuration with the batches of all processes in one: TRL counts the processes that run now."""
    grpo = dict(placed(recipe, layout).grpo or {})
    batch = grpo.get("per_device_train_batch_size", 8)
    if isinstance(batch, int):  # anything else is refused below, with its key
        grpo["per_device_train_batch_size"] = batch * layout.processes
    return grpo_config(replace(recipe, grpo=grpo), Path("outputs", recipe.name))


def check_base(recipe: Recipe) -> None:
    """Raise for a base that cannot be trained; of one on the Hub only the name is looked at."""
    source = models.resolve(recipe.base)
    folder = Path(source.path_or_id)
    if source.revision is not None:
        return
    models.check_folder(recipe.base, folder)
    check_files(folder, recipe.base)
    if sum(path.stat().st_size for path in folder.glob("*.safetensors")) < SMALL_BYTES:
        model, tokenizer = models.load(recipe.base)
        config = model.config
    else:
        tokenizer, config = models.load_tokenizer(folder, recipe.base), models.load_config(recipe.base)
    check_text(tokenizer, config, folder, recipe.base, recipe.dataset.languages)


def train_rows(dataset: str, languages: Sequence[str]) -> list[Mapping[str, Any]]:
    """The ``train`` split in the chat form, languages taking turns, so that every batch holds them all.

    Raises ``InputError`` for tables that cannot be trained on, and for the first row that is no puzzle: a reward would
    meet it in the middle of a run.
    """
    tables = {language: load(dataset, language, "train") for language in languages}
    _check_tables(dataset, {f"{language}/train": table for language, table in tables.items()})
    rows = [row for rows in zip(*(table.to_list() for table in tables.values()), strict=True) for row in rows]
    read_puzzles([""] * len(rows), *([row[column] for row in rows] for column in ("nums", "target")))
    return rows


def _check_tables(dataset: str, tables: Mapping[str, Dataset]) -> None:
    """Raise ``InputError`` when a table lacks a column that training reads, or has another length than the others."""
    for name, table in tables.items():
        for column in ("nums", "target", "prompt", "assistant_prefix"):
            if column not in table.column_names:
                raise InputError(
                    f"{dataset} has no column '{column}' in {name}: build it again with countdown-r1 build-dataset, "
                    "which makes the prompts for any file of nums and target (--source)"
                )
    if len(set(map(len, tables.values()))) > 1:
        found = ", ".join(f"{len(table):,} in {name}" for name, table in tables.items())
        raise InputError(
            f"{dataset} has not as many puzzles in one language as in another ({found}): build it again, or train in "
            "one language with --set dataset.languages=[...]"
        )


def validation_rows(dataset: str, settings: Evaluate) -> list[Row]:
    """The puzzles that early stopping looks at; none when it was not asked for."""
    return select_rows(Questions(dataset), "validation", settings.validation) if settings.patience else []
