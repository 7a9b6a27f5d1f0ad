"""TRL's configuration behind a recipe's ``grpo`` section, and what follows from it before anything is loaded."""

from __future__ import annotations

import dataclasses
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_type_hints

import torch
from trl.trainer.grpo_config import GRPOConfig

from ..errors import InputError
from .clusters import one_of
from .recipe import Recipe, convert, nearest
from .renamed import gone
from .sharding import plain_cpu, sharding_values

CHOICES = {  # of TRL, which looks at them once a batch is sampled
    "loss_type": ("grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo"),
    "importance_sampling_level": ("token", "sequence"),
    "scale_rewards": ("group", "batch", "none"),
}
UNFIT = {
    "sync_ref_model": "no checkpoint holds the reference model that it changes, so no killed run could go on",
    "save_only_model": "without the optimizer no killed run could go on; older checkpoints are reduced anyway",
    "remove_unused_columns": "the rewards read nums and target",
}


def grpo_config(recipe: Recipe, out: Path) -> GRPOConfig:
    """TRL's configuration from the recipe's ``grpo`` section; float32 on the CPU when there is no GPU.

    Raises ``InputError`` for an unknown key, a value of the wrong kind, or a combination TRL refuses.
    """
    values = {"report_to": "tensorboard", "log_completions": True, "num_completions_to_print": 0}
    values |= {"logging_steps": 1}  # the safeguards look at what is logged
    values |= {"logging_nan_inf_filter": False}  # it would log the mean of earlier losses instead of a NaN
    values |= dict(recipe.grpo or {})
    hints = get_type_hints(GRPOConfig)
    names = [entry.name for entry in dataclasses.fields(GRPOConfig) if entry.init]
    for key in values:
        if key not in names or gone(key):
            raise InputError(f"section 'grpo' has no key '{key}'{gone(key) or nearest(key, names)}")
        values[key] = convert(hints[key], values[key], "grpo", key)
    if "LOCAL_RANK" in os.environ:  # elsewhere there is nothing to spread over
        values |= sharding_values(recipe.launch.sharding)
    if not torch.cuda.is_available():
        values |= {"use_cpu": plain_cpu(), "bf16": False}
    try:
        with warnings.catch_warnings():  # of names that an older transformers needs still
            warnings.simplefilter("ignore", FutureWarning)
            config = GRPOConfig(**values | {"output_dir": str(out)})  # pyright: ignore[reportArgumentType]
    except (ValueError, TypeError) as error:
        raise InputError(f"section 'grpo': {' '.join(str(error).split())}") from error
    for key, choices in CHOICES.items():
        one_of("grpo", key, getattr(config, key), choices)
    for key, reason in UNFIT.items():
        if getattr(config, key):
            raise InputError(f"section 'grpo', key '{key}' must stay false: {reason}")
    return config


@contextmanager
def refusals() -> Iterator[None]:
    """What TRL refuses, or misses, when it builds its trainer, as one line."""
    try:
        yield
    except (ValueError, ImportError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "requires" not in str(error):  # as of a package for report_to
            raise
        raise InputError(f"section 'grpo': {' '.join(str(error).split())}") from error


def check_reporters(config: GRPOConfig) -> None:
    """Raise ``InputError`` for a ``report_to`` that is unknown, or whose package is not installed."""
    from transformers.integrations.integration_utils import get_reporting_integration_callbacks

    with refusals():
        for reporter in get_reporting_integration_callbacks(config.report_to):
            reporter()


def rows_needed(config: GRPOConfig) -> int | None:
    """Puzzles that ``max_steps`` steps ask, None when the run goes by epochs; rendering more would be wasted.

    Whole batches of completions are asked, also where the last one is not used up.
    """
    if config.max_steps <= 0:
        return None
    micro_batches = config.max_steps * config.gradient_accumulation_steps
    batches = -(-micro_batches // ((config.steps_per_generation or 1) * config.num_iterations))
    return batches * max(1, (config.generation_batch_size or 1) // (config.num_generations or 1))


def check_rows(config: GRPOConfig, rows: int) -> None:
    """Raise ``InputError`` when the dataset cannot fill one batch: TRL would end well after no step at all."""
    asked = (config.generation_batch_size or 0) // (config.num_generations or 1)
    if rows < asked:
        raise InputError(
            f"section 'grpo': a batch asks {asked:,} prompts, the train split has {rows:,}: "
            "build a larger dataset or lower per_device_train_batch_size"
        )


def generation_steps(config: GRPOConfig) -> int:
    """Optimizer steps that one batch of completions lasts; only after them a checkpoint holds everything.

    Raises ``InputError`` when checkpoints would fall between: TRL saves no completions, so such a run cannot go on
    exactly.
    """
    batches = (config.steps_per_generation or 1) * config.num_iterations
    steps = math.lcm(batches, config.gradient_accumulation_steps) // config.gradient_accumulation_steps
    if steps == 1 or config.save_strategy == "no":
        return steps
    lasts = f"a batch of completions lasts {steps} steps, and only after it a checkpoint is whole"
    if config.save_strategy != "steps":
        raise InputError(f"section 'grpo', key 'save_strategy': {lasts}: use 'steps' or 'no'")
    every = math.ceil(config.save_steps * (config.max_steps if config.save_steps < 1 else 1))
    if every % steps:
        raise InputError(
            f"section 'grpo', key 'save_steps': {lasts}: use a multiple of {steps}, "
            f"such as {-(-every // steps) * steps}"
        )
    return steps
