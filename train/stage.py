"""The training stage: cold start (when the recipe has one), then GRPO, into one folder.

What ``OUT`` holds afterwards: the final weights, ``base/`` (what GRPO started from), ``checkpoint-N/``,
``metrics.jsonl``, ``runs/`` (TensorBoard), ``completion_samples/``, ``completions/``, ``training.png``,
``cost.json``, ``recipe.yaml`` and the manifest.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from .. import manifest, models
from ..build_dataset.dataset import load, pinned
from ..errors import InputError, StageError
from .adapters import load_trainable
from .cold_start import cold_start, save_model
from .cost import write_cost
from .curriculum import choose_rows
from .finish import FINAL, drop_passing, finish, is_finished
from .generation import Decoding
from .grpo import DEFAULT_LENGTH, run_grpo
from .pictures import draw_training
from .questions import Questions, Row, select_rows
from .recipe import Evaluate, Recipe, recipe_text, settings
from .resume import RECIPE_FILE, as_base, differences, drop_unfinished, has_cold_start, last_checkpoint
from .reward_functions import check_weights, load_reward
from .sharding import forget_sharding, plain_cpu
from .stopping import forget_request
from .trl_config import grpo_config
from .watchdog import ALIVE_FOLDER


def train(
    recipe: Recipe,
    dataset: str,
    out: Path,
    *,
    overwrite: bool = False,
    command: str = "",
    callbacks: Sequence[TrainerCallback] = (),
) -> manifest.Manifest | None:
    """Run a recipe. Returns the manifest on the main process, None on the others.

    ``callbacks`` of the caller hear what the trainer's own hear. Interrupted GRPO leaves ``OUT.partial``; the same
    recipe goes on from its last checkpoint there.
    """
    if recipe.grpo is None and recipe.cold_start is None:
        raise InputError(f"recipe {recipe.name} has neither a 'cold_start' nor a 'grpo' section: nothing to train")
    began, at = time.monotonic(), time.time()
    state = PartialState(cpu=plain_cpu())
    if recipe.cold_start is not None and state.num_processes > 1:
        raise InputError("a cold start is one process: run it alone, then name its folder as 'base' of a 'grpo' recipe")
    if recipe.grpo is None and recipe.cold_start is not None:
        return cold_start(recipe.cold_start, out, overwrite=overwrite, command=command)
    check_recipe(recipe, out)
    rows = train_rows(dataset, recipe.dataset.languages)
    puzzles = kinds(rows)
    validation, source = validation_rows(dataset, recipe.evaluate), pinned(dataset)
    with _shared_folder(state, recipe, out, overwrite) as folder:
        finished = is_finished(folder)
        state.wait_for_everyone()
        if finished:
            return manifest.read(folder) if state.is_main_process else None
        base = _prepare_base(state, recipe, folder)
        model, tokenizer = load_trainable(recipe, base)
        rows = _chosen(recipe, model, tokenizer, rows, folder)
        trainer = run_grpo(recipe, model.train(), tokenizer, rows, folder, validation, callbacks, at)
        trainer.save_model(str(folder / FINAL))  # every process hands over its share
        state.wait_for_everyone()
        if not state.is_main_process:
            return None
        forget_sharding()
        finish(base, tokenizer, folder)
        draw_training(folder / "metrics.jsonl", folder / "training.png")
        written = manifest.Manifest("train", command, trainer.args.seed, settings(recipe))
        written.seconds = round(time.monotonic() - began, 1)
        written.read = _sha_or_none(Path(dataset) / manifest.FILE_NAME)
        written.results = {
            "base": "cold_start" if recipe.cold_start else recipe.base,
            "base_manifest": _base_record(folder),
            "steps": trainer.state.global_step,
            "train_puzzles": len(rows),
            "puzzles": puzzles,
            "world_size": state.num_processes,
            "device": str(trainer.args.device),
        } | ({"dataset": source} if source else {})
        write_cost(recipe.cost, folder, recipe.launch.nodes)
        manifest.write(folder, written)
        drop_passing(folder)
    return written


def check_recipe(recipe: Recipe, out: Path) -> None:
    """Raise ``InputError`` for what TRL or the rewards would refuse, before anything is made or loaded."""
    if recipe.grpo is not None:
        weights = grpo_config(recipe, out).reward_weights
        for name in recipe.rewards.functions:
            load_reward(name)
        check_weights(weights, recipe.rewards.functions)


def train_rows(dataset: str, languages: Sequence[str]) -> list[Mapping[str, Any]]:
    """The ``train`` split in the chat form, languages taking turns, so that every batch holds them all.

    Raises ``InputError`` for tables that cannot be trained on.
    """
    tables = {language: load(dataset, language, "train") for language in languages}
    _check_tables(dataset, {f"{language}/train": table for language, table in tables.items()})
    return [row for rows in zip(*(table.to_list() for table in tables.values()), strict=True) for row in rows]


def kinds(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """What the rows' puzzles are like, which a recipe does not say: it may be trained with any dataset."""
    numbers, targets = [number for row in rows for number in row["nums"]], [row["target"] for row in rows]
    return {
        "numbers": sorted({len(row["nums"]) for row in rows}),
        "number_range": [min(numbers, default=0), max(numbers, default=0)],
        "target_range": [min(targets, default=0), max(targets, default=0)],
    }


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


def end_process(status: int) -> NoReturn:
    """End this process once the others are as far, past the interpreter's own end.

    There the destructors of DDP and of its process group may wait for each other for ever, or abort.
    """
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@contextmanager
def _shared_folder(state: PartialState, recipe: Recipe, out: Path, overwrite: bool) -> Iterator[Path]:
    """The main process owns the stage folder; the others wait until it is there."""
    if not state.is_main_process:
        state.wait_for_everyone()
        yield out.with_name(out.name + manifest.PARTIAL)
        return
    with manifest.stage_folder(out, overwrite, keep_partial=True) as folder:
        if is_finished(folder):
            drop_passing(folder)
        else:
            drop_unfinished(folder)
        _claim(folder, recipe_text(recipe), overwrite)
        forget_request(folder)
        shutil.rmtree(folder / ALIVE_FOLDER, ignore_errors=True)  # of processes that are gone
        state.wait_for_everyone()
        yield folder


def _claim(folder: Path, text: str, overwrite: bool) -> None:
    """Go on with what this recipe left in ``folder``, or empty it.

    Raises ``StageError`` rather than lose weights of other settings without ``overwrite``.
    """
    begun = folder / RECIPE_FILE
    changed = differences(begun.read_text(encoding="utf-8"), text) if begun.exists() else [RECIPE_FILE]
    if changed and not overwrite and (weights := _worth_keeping(folder)):
        raise StageError(
            f"{weights} belongs to a run with another {', '.join(changed[:5])}; train to another --out"
            f"{as_base(weights)}, or pass --overwrite to lose it"
        )
    if is_finished(folder) and not changed:
        return
    if changed:
        manifest.empty(folder)
    manifest.write_whole(begun, text)


def _worth_keeping(folder: Path) -> str | None:
    """Weights in ``folder`` that took training: the run's own, its last checkpoint, or what its cold start left."""
    if is_finished(folder):
        return str(folder)
    base = folder / "base"
    made = base.is_dir() and has_cold_start(folder)
    return last_checkpoint(folder) or (str(base) if made else None)


def _prepare_base(state: PartialState, recipe: Recipe, folder: Path) -> str:
    """The name to load: a Hub id as it is, anything local as a copy in ``base/``, which is published as step 0.

    A recipe with a cold start makes its base itself.
    """
    if recipe.cold_start is not None:
        if not (folder / "base").exists():
            cold_start(recipe.cold_start, folder / "base.writing", overwrite=True)
            (folder / "base.writing" / manifest.FILE_NAME).rename(folder / "base.writing" / "cold_start.json")
            (folder / "base.writing").rename(folder / "base")
        return str(folder / "base")
    source = models.resolve(recipe.base)
    if source.revision is not None or not Path(source.path_or_id).is_dir():
        return recipe.base
    if state.is_main_process and not (folder / "base").exists():
        model, tokenizer = models.load(recipe.base)
        save_model(model, tokenizer, folder / "base.writing")
        record, kept = (Path(source.path_or_id) / name for name in (manifest.FILE_NAME, "cold_start.json"))
        if kept.exists() or (record.exists() and manifest.read(record.parent).stage == "cold_start"):
            shutil.copy(kept if kept.exists() else record, folder / "base.writing" / "cold_start.json")
        (folder / "base.writing").rename(folder / "base")
    state.wait_for_everyone()
    return str(folder / "base")


def _chosen(
    recipe: Recipe,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Mapping[str, Any]],
    folder: Path,
) -> list[Mapping[str, Any]]:
    """The rows that the curriculum keeps; all of them without one."""
    asked = recipe.curriculum
    if asked is None:
        return rows
    grpo = recipe.grpo or {}
    length = int(grpo.get("max_completion_length") or DEFAULT_LENGTH)
    sampling = (float(grpo.get("temperature", 1.0)), length, asked.batch_size, asked.seed)
    return list(choose_rows(asked, model, tokenizer, rows, folder, Decoding(*sampling, samples=asked.samples)))


def _base_record(folder: Path) -> dict[str, Any] | None:
    """Settings and results of the cold start that made the base, when it left a record."""
    path = folder / "base" / "cold_start.json"
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    return {key: values[key] for key in ("settings", "results", "seconds", "versions", "git_commit")}


def _sha_or_none(path: Path) -> str | None:
    return manifest.sha256(path) if path.is_file() else None
