"""One process of a timed GRPO run; ``grpo_step.py`` starts it. Timed is TRL's own trainer, by wrapping its methods."""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    TrainerCallback,
)
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import compute_flops_per_token

from countdown_r1.build_dataset.generate import Wish, generate
from countdown_r1.build_dataset.prompt import load_template, prompt_text
from countdown_r1.build_dataset.puzzles import as_puzzles
from countdown_r1.train.adapters import load_trainable, lora_config
from countdown_r1.train.grpo import rollout_with
from countdown_r1.train.recipe import Recipe, load_recipe
from countdown_r1.train.sharding import check_sharded
from countdown_r1.train.trainer import Trainer, compile_layers
from countdown_r1.train.trl_config import grpo_config

PROFILED = 3  # micro-batches that --profile looks at
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bfloat16, from the vendor's data sheets
REPORTED = ("torch", "transformers", "trl", "accelerate", "deepspeed", "vllm", "peft", "bitsandbytes")


def main() -> None:
    """``grpo_worker.py JOB.json``: train a few steps as the job says, and write times after every one of them."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    signal.alarm(int(job["budget"]) + 30)  # should nobody be left to end this process
    try:
        train(job)
        status = 0
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # vLLM's engine and DeepSpeed may abort on the way out, or wait for a process that failed; everything is written.
    os._exit(status)


def train(job: dict[str, Any]) -> None:
    """Train as the job says, in step with the other processes."""
    if job["memory_gib"] and torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory / 2**30
        torch.cuda.set_per_process_memory_fraction(min(1.0, job["memory_gib"] / total))
    recipe = load_recipe(job["recipe"])
    adapters = lora_config(recipe.lora)  # before anything is loaded: it says what is not installed
    tokenizer = PreTrainedTokenizerFast.from_pretrained(recipe.base, padding_side="left")
    config = grpo_config(recipe, Path(job["scratch"]))
    model, _ = load_trainable(recipe, recipe.base)
    clock = Clock(job, recipe, config, model)
    random_tokens = random_rollout(config.max_completion_length or 256, model.config.vocab_size, job["spread"])
    rollout = random_tokens if job["random_tokens"] else clock.timed(rollout_with(tokenizer, config), "generate")
    if recipe.launch.compile:
        compile_layers(model)
    trainer = (GRPOTrainer if job["stock"] else Trainer)(
        model=model,
        reward_funcs=checksum_reward,  # pyright: ignore[reportArgumentType]
        args=config,
        train_dataset=prompts(tokenizer, job["steps"] * job["completions"] // (config.num_generations or 1)),
        processing_class=tokenizer,
        rollout_func=None if config.use_vllm else rollout,
        peft_config=adapters,
        callbacks=[clock],
    )
    clock.watch(trainer)
    check_sharded(recipe.launch.sharding, trainer.accelerator.distributed_type.value)
    trainer.train()
    if torch.distributed.is_initialized():
        torch.distributed.barrier()


def checksum_reward(completions: list[str], **_: object) -> list[float]:
    """Something between 0 and 1 that differs within a group, so that there are advantages to learn from."""
    return [(1 + sum(map(ord, text)) % 97) / 98 for text in completions]


def prompts(tokenizer: PreTrainedTokenizerBase, rows: int) -> Dataset:
    """English prompts of four numbers."""
    template = load_template("en")
    found = as_puzzles(generate(max(rows, 8), Wish((4,))))
    return Dataset.from_list([{"prompt": prompt_text(tokenizer, template, puzzle)} for puzzle in found])


def random_rollout(length: int, vocabulary: int, spread: bool) -> Callable[..., dict[str, Any]]:
    """Completions of random tokens: the update alone is timed, or there is no vLLM here.

    Each is of ``length`` tokens, or, ``spread``, of an eighth of that up to all of it, drawn evenly.
    """
    generator = torch.Generator().manual_seed(0)

    def rollout(texts: Sequence[str], trainer: GRPOTrainer) -> dict[str, Any]:
        tokenizer: Any = trainer.processing_class
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        lowest = length // 8 if spread else length
        lengths = torch.randint(lowest, length + 1, (len(texts),), generator=generator).tolist()
        drawn = [torch.randint(8, vocabulary, (each,), generator=generator).tolist() for each in lengths]
        return {"prompt_ids": ids, "completion_ids": drawn, "logprobs": None}

    return rollout


class Clock(TrainerCallback):
    """Seconds of each part of a step, written by the first process after every step.

    ``generate`` (vLLM, or our own sampling), ``sync`` (weights to vLLM), ``score`` (log probabilities without
    gradients: reference and old policy), ``other`` (rewards, gathering, decoding), ``update`` (forward, backward,
    optimizer). ``used_peak`` is the memory of the GPU that was in use between micro-batches, by all processes: torch's
    own counters take a sleeping vLLM for awake.
    """

    def __init__(self, job: dict[str, Any], recipe: Recipe, config: Any, model: PreTrainedModel) -> None:
        self.job, self.recipe, self.config, self.model = job, recipe, config, model.config
        # Under ZeRO-3 the model holds empty places of its parameters.
        self.parameters = sum(getattr(p, "ds_numel", 0) for p in model.parameters()) or model.num_parameters()
        self.parts: defaultdict[str, float] = defaultdict(float)
        self.steps: list[dict[str, float]] = []
        self.tokens: Any = 0
        self.rows = 0
        self.began, self.until_first = 0.0, 0.0
        self.used_peak = 0
        self.profiler: torch.profiler.profile | None = None
        self.profiled = 0 if job["profile"] else PROFILED

    def watch(self, trainer: GRPOTrainer) -> None:
        """Time the trainer's methods from now on."""
        # Only where it generates: to wait for the GPU before every micro-batch would slow them down.
        batches = self.config.steps_per_generation * self.config.num_iterations
        self._time(trainer, "_prepare_inputs", "prepare", lambda: trainer._step % batches == 0)
        self._time(trainer, "_get_per_token_logps_and_entropies", "score", lambda: not torch.is_grad_enabled())
        if self.config.use_vllm:
            self._time(trainer.vllm_generation, "generate", "generate")
            self._time(trainer.vllm_generation, "sync_weights", "sync")
        count = trainer._compute_loss

        def counted(model: Any, inputs: dict[str, Any]) -> Any:
            if self.profiled == 0 and self.profiler is None and len(self.steps) == self.job["steps"] - 1:
                _now()
                self.profiler = torch.profiler.profile()
                self.profiler.start()
            self.tokens += inputs["prompt_mask"].sum() + inputs["completion_mask"].sum()  # no waiting for the GPU here
            self.rows += len(inputs["prompt_ids"])
            return count(model, inputs)

        trainer._compute_loss = counted  # pyright: ignore[reportAttributeAccessIssue]

    def _time(self, owner: Any, name: str, part: str, when: Callable[[], bool] = lambda: True) -> None:
        setattr(owner, name, self.timed(getattr(owner, name), part, when))

    def timed(self, method: Callable[..., Any], part: str, when: Callable[[], bool] = lambda: True) -> Any:
        """``method``, whose seconds are added to ``part`` while ``when`` holds."""

        def call(*arguments: Any, **named: Any) -> Any:
            if not when():
                return method(*arguments, **named)
            began = _now()
            try:
                return method(*arguments, **named)
            finally:
                self.parts[part] += _now() - began

        return call

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.parts.clear()
        self.tokens, self.rows = 0, 0
        self.began = _now()
        self.until_first = self.until_first or time.time() - self.job["began"]

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._look()

    def _look(self) -> None:
        """After a micro-batch: memory in use, and the profile once it has seen enough."""
        if torch.cuda.is_available():
            free, total = torch.cuda.mem_get_info()
            self.used_peak = max(self.used_peak, total - free)
        if self.profiler is not None and self.profiled < PROFILED:
            self.profiled += 1
            if self.profiled == PROFILED or self.config.gradient_accumulation_steps == 1:
                self.profiled = PROFILED
                _now()
                self.profiler.stop()
                if os.environ.get("RANK", "0") == "0":
                    Path(self.job["out"]).with_suffix(".profile.txt").write_text(_tables(self.profiler), "utf-8")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._look()
        total = _now() - self.began
        parts = {name: round(self.parts[name], 3) for name in ("generate", "sync", "score")}
        parts["other"] = round(self.parts["prepare"] - sum(parts.values()), 3)
        parts["update"] = round(total - self.parts["prepare"], 3)
        self.steps.append({"total": round(total, 3), **parts})
        if state.is_world_process_zero:
            Path(self.job["out"]).write_text(
                json.dumps(self.result(args.world_size), indent=1) + "\n", encoding="utf-8"
            )

    def result(self, world: int) -> dict[str, Any]:
        """Everything measured so far; the first step warms up and is left out of the medians."""
        measured = self.steps[1:] or self.steps
        median = {name: sorted(step[name] for step in measured)[len(measured) // 2] for name in measured[0]}
        own = int(self.tokens)
        tokens, gpu_seconds = own * world, median["update"] * world
        return {
            "job": {
                name: value for name, value in self.job.items() if name not in ("out", "scratch", "recipe", "began")
            },
            "training_processes": world,
            "micro_batch": self.config.per_device_train_batch_size,
            "accumulation": self.config.gradient_accumulation_steps,
            "sharding": self.recipe.launch.sharding,
            "compile": self.recipe.launch.compile,
            "beta": self.config.beta,
            "activation_checkpointing": bool(self.config.gradient_checkpointing),
            "parameters": self.parameters,
            "tokens_an_update": tokens,
            "seconds": median,
            "steps": self.steps,
            "model_flops_utilisation": None
            if self.recipe.lora
            else _utilisation(self.model, tokens, own // self.rows, gpu_seconds),
            "seconds_until_first_step": round(self.until_first, 1),
            **_machine(self.used_peak),
        }


def _tables(profiler: torch.profiler.profile) -> str:
    """What takes most time in the kernels of the GPU, where there is one, and in the calls of the CPU."""
    keys = (["self_cuda_time_total"] if torch.cuda.is_available() else []) + ["self_cpu_time_total"]
    averages = profiler.key_averages()
    return "\n".join(averages.table(sort_by=key, row_limit=25, max_name_column_width=80) for key in keys)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic()


def _utilisation(model: PreTrainedConfig, tokens: int, length: int, gpu_seconds: float) -> float | None:
    """Operations of forward and backward with attention, 6N + 12LHQT a token (PaLM, arXiv 2204.02311, appendix B).

    What is computed a second time, for want of memory, does not count.
    """
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    peak = next((flops for chip, flops in PEAK_FLOPS.items() if chip in name), None)
    return round(compute_flops_per_token(model, length) * tokens / gpu_seconds / peak, 4) if peak else None


def _machine(used_peak: int) -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for name in REPORTED:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if not torch.cuda.is_available():
        return {"device": "CPU", "load": os.getloadavg()[0], "versions": versions}
    gib = {
        "used_peak": used_peak,
        "allocated_peak": torch.cuda.max_memory_allocated(),
        "reserved_peak": torch.cuda.max_memory_reserved(),
        "total": torch.cuda.mem_get_info()[1],
    }
    return {
        "device": torch.cuda.get_device_name(),
        "gib": {name: round(size / 2**30, 2) for name, size in gib.items()},
        "allocator_retries": torch.cuda.memory_stats().get("num_alloc_retries", 0),  # each waits and frees everything
        "versions": versions,
    }


if __name__ == "__main__":
    main()
