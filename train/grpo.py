"""GRPO with TRL's own GRPOTrainer: DeepSeekMath's group-relative policy optimisation (arXiv 2402.03300).

Prompts are rendered to strings first, so that the pre-filled ``<think>`` reaches the model as it is.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState
from transformers.trainer_utils import get_last_checkpoint
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from ..build_dataset.prompt import render
from ..errors import InputError, TrainingError
from .recipe import Recipe, convert, nearest
from .reward_functions import load_reward, recorded

ZERO_STEPS = 3  # logged steps without any reward before a run is stopped


def grpo_config(recipe: Recipe, out: Path) -> GRPOConfig:
    """TRL's configuration from the recipe's ``grpo`` section; float32 on the CPU when there is no GPU.

    Raises ``InputError`` for an unknown key, a value of the wrong kind, or a combination TRL refuses.
    """
    values = {"report_to": "tensorboard", "log_completions": True, "num_completions_to_print": 0}
    values |= dict(recipe.grpo or {})
    hints = get_type_hints(GRPOConfig)
    names = [entry.name for entry in dataclasses.fields(GRPOConfig) if entry.init]
    for key in values:
        if key not in names:
            raise InputError(f"section 'grpo' has no key '{key}'{nearest(key, names)}")
        values[key] = convert(hints[key], values[key], "grpo", key)
    if not torch.cuda.is_available():
        values |= {"use_cpu": True, "bf16": False}
    try:
        return GRPOConfig(**values | {"output_dir": str(out)})  # pyright: ignore[reportArgumentType]
    except (ValueError, TypeError) as error:
        raise InputError(f"section 'grpo': {' '.join(str(error).split())}") from error


def prompt_rows(rows: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Dataset rows as TRL wants them: ``prompt`` (the string to continue), ``nums``, ``target``."""
    return Dataset.from_list(
        [
            {
                "prompt": render(tokenizer, row["prompt"], row["assistant_prefix"]),
                "nums": list(row["nums"]),
                "target": row["target"],
            }
            for row in rows
        ]
    )


def run_grpo(
    recipe: Recipe,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
) -> GRPOTrainer:
    """Train ``model`` on ``rows``; checkpoints, metrics and samples go to ``folder``.

    Goes on from the last checkpoint when ``folder`` holds one. Raises ``TrainingError`` when the first steps
    earn no reward at all, since nothing could be learnt from them.
    """
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder / "runs")
    functions = [load_reward(name) for name in recipe.rewards.functions]
    functions[0] = recorded(functions[0], folder / "completion_samples")
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=functions,  # pyright: ignore[reportArgumentType]
        args=grpo_config(recipe, folder),
        train_dataset=prompt_rows(rows, tokenizer),
        processing_class=tokenizer,
        callbacks=[MetricsFile(folder / "metrics.jsonl"), RewardWatch()],
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)))
    return trainer


class MetricsFile(TrainerCallback):
    """Appends every logged step to a JSON-lines file; a resumed run first drops steps after its checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if state.is_world_process_zero and self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if json.loads(line)["step"] <= state.global_step]
            self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def on_log(self, args: object, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        if state.is_world_process_zero:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step} | event["logs"]) + "\n")


class RewardWatch(TrainerCallback):
    """Stops a run whose first logged steps earned nothing, and says what to look at."""

    def __init__(self) -> None:
        self.steps = 0
        self.rewarded = False

    def on_log(self, args: object, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        logs = event["logs"]
        if "reward" not in logs or self.rewarded:
            return
        self.steps += 1
        self.rewarded = bool(logs["reward"])
        if self.steps >= ZERO_STEPS and not self.rewarded:
            clipped = logs.get("completions/clipped_ratio", 0.0)
            reason = (
                f"{clipped:.0%} of the completions hit max_completion_length: raise it"
                if clipped > 0.5
                else "read completion_samples/: is the format wrong, or are the tags special tokens of the tokenizer?"
            )
            raise TrainingError(
                f"every reward of the first {self.steps} logged steps is 0, so nothing is learnt; {reason}"
            )
