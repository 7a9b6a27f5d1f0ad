"""Checks of a recipe before it costs anything: each finding says what is wrong and how to fix it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import models
from ..build_dataset.prompt import load_template, prompt_text
from ..errors import CountdownError
from ..game.answer import ANSWER, END_ANSWER, END_THINK, THINK
from ..game.puzzle import Puzzle
from .recipe import Recipe
from .reward_functions import load_reward

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl.trainer.grpo_config import GRPOConfig

LONGEST = Puzzle((99, 98, 97, 96, 95, 94), 100)
SPARE_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Report:
    """``facts`` worth knowing before a start, and ``problems``; an empty list of those means go."""

    facts: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_text(self) -> str:
        """One line per fact, then one per problem."""
        lines = [f"ok       {fact}" for fact in self.facts] + [f"problem  {problem}" for problem in self.problems]
        return "\n".join(lines)


def inspect(recipe: Recipe) -> Report:
    """Everything that can be known without training."""
    facts: list[str] = []
    problems: list[str] = []
    for check in (_configuration, _rewards, _model, _disk):
        try:
            for good, text in check(recipe):
                (facts if good else problems).append(text)
        except CountdownError as error:
            problems.append(str(error))
    return Report(tuple(facts), tuple(problems))


def _configuration(recipe: Recipe) -> Iterator[tuple[bool, str]]:
    if recipe.grpo is None:
        yield True, "no 'grpo' section: cold start only"
        return
    config, processes = _as_one_process(recipe), recipe.launch.nodes * recipe.launch.gpus_per_node
    completions = config.per_device_train_batch_size * config.gradient_accumulation_steps
    generations = config.num_generations or 1
    puzzles = completions / generations
    yield True, f"{completions} completions an update = {puzzles:g} puzzles x {generations}, on {processes} process(es)"


def _as_one_process(recipe: Recipe) -> GRPOConfig:
    """The configuration with the batches of all processes in one: TRL counts the processes that run now."""
    from trl.trainer.grpo_config import GRPOConfig

    from .grpo import grpo_config

    grpo = dict(recipe.grpo or {})
    batch = grpo.get("per_device_train_batch_size", GRPOConfig.per_device_train_batch_size)
    if isinstance(batch, int):  # anything else is refused below, with its key
        grpo["per_device_train_batch_size"] = batch * recipe.launch.nodes * recipe.launch.gpus_per_node
    return grpo_config(replace(recipe, grpo=grpo), Path("outputs", recipe.name))


def _rewards(recipe: Recipe) -> Iterator[tuple[bool, str]]:
    for name in recipe.rewards.functions:
        load_reward(name)
        yield True, f"reward {name}"


def _model(recipe: Recipe) -> Iterator[tuple[bool, str]]:
    if recipe.grpo is None or recipe.cold_start is not None:  # a cold start makes its own model
        return
    model, tokenizer = models.load(recipe.base)
    yield True, f"base {recipe.base}: {model.num_parameters() / 1e6:.1f} M parameters"
    yield from _tags(tokenizer)
    yield from _lengths(_as_one_process(recipe), tokenizer, model.config)


def _tags(tokenizer: PreTrainedTokenizerBase) -> Iterator[tuple[bool, str]]:
    """A trainer decodes without special tokens; tags that vanish there would never be rewarded."""
    for tag in (THINK, END_THINK, ANSWER, END_ANSWER):
        kept = tokenizer.decode(tokenizer(tag, add_special_tokens=False)["input_ids"], skip_special_tokens=True)
        if str(kept).strip() != tag:
            yield False, f"{tag} is lost when the tokenizer decodes: make it an ordinary token, not a special one"
            return
    yield True, "the tags survive the tokenizer"


def _lengths(
    config: GRPOConfig, tokenizer: PreTrainedTokenizerBase, model_config: object
) -> Iterator[tuple[bool, str]]:
    prompts = [prompt_text(tokenizer, load_template(language), LONGEST) for language in ("en", "zh")]
    from .grpo import DEFAULT_LENGTH

    longest = max(len(tokenizer(prompt, add_special_tokens=False)["input_ids"]) for prompt in prompts)
    new = config.max_completion_length or DEFAULT_LENGTH
    limit = getattr(model_config, "max_position_embeddings", longest + new)
    text = f"prompts of up to {longest} tokens + {new} new ones, the model takes {limit}"
    yield longest + new <= limit, text if longest + new <= limit else f"{text}: lower max_completion_length"


def _disk(recipe: Recipe) -> Iterator[tuple[bool, str]]:
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 2**30:.1f} GiB of disk free"
    yield free > SPARE_BYTES, text if free > SPARE_BYTES else f"{text}: free some space for checkpoints"
