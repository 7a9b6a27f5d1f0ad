"""GRPO with TRL's GRPOTrainer: DeepSeekMath's group-relative policy optimisation (arXiv 2402.03300).

Prompts are rendered to strings first, so that the pre-filled ``<think>`` reaches the model as it is.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import parse_flag_from_env
from datasets import Dataset
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProgressCallback, TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState
from trl.trainer.grpo_config import GRPOConfig

from ..build_dataset.prompt import render
from ..errors import TrainingError
from .adapters import lora_config
from .callbacks import Seal, StopRequest, Timeline
from .decoder import Decoder
from .generation import sample, stop_ids
from .llama import is_plain_llama
from .patience import End, NothingLeft, Patience
from .recipe import Recipe
from .resume import last_checkpoint
from .reward_functions import load_reward, recorded, timed
from .safeguards import Sanity
from .saving import SaveRehearsal
from .sharding import check_sharded
from .timeline import TIMELINE_FILE
from .trainer import Trainer, compile_layers
from .trl_config import check_rows, generation_steps, grpo_config, refusals, rows_needed
from .watchdog import Watchdog

DEFAULT_LENGTH = 256  # new tokens when max_completion_length is null
ZERO_STEPS = 3  # logged steps without any reward before a run is stopped


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


def run_grpo(  # noqa: PLR0913, PLR0917
    recipe: Recipe,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
    validation: Sequence[Mapping[str, Any]] = (),
    callbacks: Sequence[TrainerCallback] = (),
    began: float | None = None,
) -> Trainer:
    """Train ``model`` on ``rows``; checkpoints, metrics and samples go to ``folder``.

    With ``evaluate.patience`` it stops early by the ``validation`` rows (``patience.py``). Goes on from the last
    checkpoint when ``folder`` holds one; ``began`` is when this session did, in seconds since 1970. Raises
    ``TrainingError`` when the first steps earn no reward at all, since nothing could be learnt from them, and when
    the run breaks; ``KeyboardInterrupt`` when it was asked to stop, after a checkpoint.
    """
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder / "runs")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # rollout_func is marked experimental
    config = grpo_config(recipe, folder)
    check_rows(config, len(rows))
    functions = [load_reward(name) for name in recipe.rewards.functions]
    held = recipe.launch.gpus if recipe.launch.vllm in ("server", "auto") else 0  # those that do not train write
    servers = max(0, held - config.world_size)
    timeline = Timeline(folder / TIMELINE_FILE, config.world_size, began or time.time(), servers)
    functions[0] = recorded(functions[0], folder / "completion_samples", timeline)
    functions[1:] = [timed(function, timeline) for function in functions[1:]]
    stop = StopRequest(folder, generation_steps(config))
    if recipe.launch.compile:
        compile_layers(model)
    sanity, asked = Sanity(folder), prompt_rows(rows[: rows_needed(config)], tokenizer)
    with refusals():
        trainer = Trainer(
            model=model,
            reward_funcs=functions,  # pyright: ignore[reportArgumentType]
            args=config,
            train_dataset=asked,
            processing_class=tokenizer,
            rollout_func=rollout_with(tokenizer, config) if _plain_sampling(config) else None,
            peft_config=lora_config(recipe.lora),
            callbacks=[
                MetricsFile(folder / "metrics.jsonl"),
                RewardWatch(),
                sanity,
                Progress(),
                Patience(recipe.evaluate, tokenizer, validation, folder, whole=_whole_weights(config)),
                timeline,
                Seal(folder),
                stop,
                Watchdog(folder, recipe.launch, config.vllm_server_base_url),
                *callbacks,
                End(folder, recipe.evaluate.patience),
            ],
        )
    trainer.remove_callback(ProgressCallback)  # it prints every log as a dictionary
    trainer.add_callback(SaveRehearsal(trainer, recipe, folder))
    check_sharded(recipe.launch.sharding, trainer.accelerator.distributed_type.value)
    with stop.listening():
        _train(trainer, sanity, last_checkpoint(folder))
    if stop.stopped:
        raise KeyboardInterrupt
    return trainer


def _train(trainer: Trainer, sanity: Sanity, checkpoint: str | None) -> None:
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    except NothingLeft:
        trainer.callback_handler.on_train_end(trainer.args, trainer.state, trainer.control)
    except RuntimeError as error:
        if "probability tensor" not in str(error):
            raise
        raise TrainingError(sanity.report("no token can be drawn from a NaN", trainer.state)) from error


def rollout_with(tokenizer: PreTrainedTokenizerBase, config: GRPOConfig) -> Callable[..., dict[str, Any]]:
    """TRL's rollout function over our own samplers: one completion per prompt, repeats included.

    A plain Llama on a GPU is sampled by ``decoder.py``, whose copy of the weights is brought up to date each time.
    """
    length = config.max_completion_length or DEFAULT_LENGTH
    decoders: list[Decoder] = []

    def rollout(prompts: list[str], trainer: Trainer) -> dict[str, Any]:
        prompt_ids = [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
        model: Any = trainer.accelerator.unwrap_model(trainer.model)
        ends = stop_ids(model.generation_config, tokenizer)
        if model.device.type == "cuda" and is_plain_llama(model):
            if not decoders:
                decoders.append(Decoder(model))
            decoders[0].refresh(model)
            completion_ids = decoders[0].sample(prompt_ids, ends, length, config.temperature)
        else:
            model.eval()
            completion_ids = sample(model, prompt_ids, ends, length, config.temperature)
            model.train()
        return {"prompt_ids": prompt_ids, "completion_ids": completion_ids, "logprobs": None}

    return rollout


def _plain_sampling(config: GRPOConfig) -> bool:
    """Whether ``rollout`` can serve: sampling shaped by a temperature alone, all weights in this process."""
    shaped = config.top_p != 1.0 or config.top_k or config.min_p or config.repetition_penalty != 1.0
    elsewhere = config.use_vllm or config.use_transformers_continuous_batching or not _whole_weights(config)
    return not (shaped or elsewhere or config.generation_kwargs)


def _whole_weights(config: GRPOConfig) -> bool:
    """Whether this process holds the whole model; ``accelerate launch`` asks for FSDP and others by environment."""
    asked = any(parse_flag_from_env(f"ACCELERATE_USE_{name}") for name in ("FSDP", "DEEPSPEED", "MEGATRON_LM"))
    return not (asked or config.deepspeed or config.fsdp)


class Progress(TrainerCallback):
    """One bar for the run, with what the last step's completions earned."""

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc="GRPO",
            unit="step",
            disable=not state.is_world_process_zero,
        )

    def on_step_end(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: object, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        logs = event["logs"]
        if "reward" in logs:
            self.bar.set_postfix(reward=f"{logs['reward']:.2f}", tokens=f"{logs['completions/mean_length']:.0f}")

    def on_train_end(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.bar.close()


class MetricsFile(TrainerCallback):
    """Appends every logged step to a JSON-lines file; a resumed run first drops steps after its checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if state.is_world_process_zero and self.path.exists():
            # A line without an end was cut short by the interruption; its step comes after the checkpoint.
            lines = [line for line in self.path.read_text(encoding="utf-8").splitlines(True) if line.endswith("\n")]
            kept = [line for line in lines if json.loads(line)["step"] <= state.global_step]
            self.path.write_text("".join(kept), encoding="utf-8")

    def on_log(self, args: object, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        if state.is_world_process_zero:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step} | event["logs"]) + "\n")


class RewardWatch(TrainerCallback):
    """Stops a run whose first logged steps earned nothing and told no completion from another."""

    def __init__(self) -> None:
        self.steps = 0
        self.rewarded = False

    def on_log(self, args: object, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        logs = event["logs"]
        if "reward" not in logs or self.rewarded:
            return
        self.steps += 1
        # Equal rewards deviate by rounding; groups may be alike inside and differ from each other.
        told_apart = logs["reward_std"] > 1e-6 and logs["frac_reward_zero_std"] < 1
        self.rewarded = logs["reward"] > 0 or told_apart
        if self.steps >= ZERO_STEPS and not self.rewarded:
            clipped = logs.get("completions/clipped_ratio", 0.0)
            reason = (
                f"{clipped:.0%} of the completions hit max_completion_length: raise it"
                if clipped > 0.5
                else "read completion_samples/: is the format wrong, or are the tags special tokens of the tokenizer?"
            )
            raise TrainingError(
                f"every reward of the first {self.steps} logged steps is 0 or as far below it, so nothing is learnt; "
                f"{reason}"
            )
