"""Checks of the machine: which GPUs train and write, whether memory and disk suffice, what must be installed."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..extras import installed, lacking
from .layout import Layout, choose, colocated_gib, gpu_gib
from .memory import GIB, Memory, Shape, checkpointed, estimate, shape_of, whole
from .recipe import Recipe, convert
from .resume import FULL_CHECKPOINTS

SPARE_BYTES = 2 * GIB
Finding = tuple[bool, str]  # whether it is good, and what to say


def machine_findings(recipe: Recipe, layout: Layout) -> Iterator[Finding]:
    """Layout, what it needs installed, GPUs that are there."""
    launch = recipe.launch
    yield True, layout.to_text()
    here = launch.launcher in ("local", "accelerate")
    for package in _needed(recipe, layout):
        if here and not installed(package):
            yield False, lacking(package)
    if here and launch.compile and not (shutil.which("cc") or shutil.which("gcc")):
        yield False, "section 'launch': compile needs a C compiler, none is found: install gcc, or set compile=false"
    import torch

    found = torch.cuda.device_count()
    if here and found and launch.gpus_per_node > found:
        yield False, f"section 'launch': {launch.gpus_per_node} GPUs are asked for, {found} found: lower gpus_per_node"
    if here and not found and launch.sharding != "none":
        yield (
            False,
            f"section 'launch': sharding '{launch.sharding}' needs GPUs, none is found here: set sharding=none, or a "
            "launcher of a cluster (slurm, kubernetes, hf-jobs)",
        )


def _needed(recipe: Recipe, layout: Layout) -> list[str]:
    vllm = ["vllm"] if layout.vllm != "none" or (recipe.grpo or {}).get("use_vllm") else []
    deepspeed = ["deepspeed"] if recipe.launch.sharding.startswith("zero") else []
    return [*vllm, *deepspeed, *(recipe.lora.packages if recipe.lora else ())]


def memory_findings(recipe: Recipe) -> Iterator[Finding]:
    """The estimate against the GPU's memory, with the changes that help most when it does not fit."""
    shape, layout = shape_of(recipe.base), choose(recipe)
    needed, available = estimate(recipe, shape, layout.processes), gpu_gib(recipe)
    if available is None:
        yield True, f"{needed.to_text()}; no GPU is found here and launch.gpu_gib is not set"
    else:
        most = colocated_gib(needed) if layout.vllm == "colocate" else needed.training
        text = f"{needed.to_text()}, of {available:.0f}"
        yield most <= available, text if most <= available else f"{text}: {_relief(recipe, layout, needed)}"
    yield from _disk(recipe, shape)


def _relief(recipe: Recipe, layout: Layout, needed: Memory) -> str:
    grpo = recipe.grpo or {}
    ways = []
    if not checkpointed(grpo):
        ways.append("grpo.gradient_checkpointing=true")
    if needed.parts["activations"] > 4 and whole(recipe, "per_device_train_batch_size", 8) > 1:
        ways.append("a smaller grpo.per_device_train_batch_size (completions_per_update keeps the update)")
    if recipe.launch.sharding in ("none", "zero1", "zero2") and layout.processes > 1 and recipe.lora is None:
        ways.append("launch.sharding=zero3" + " with launch.compile=false" * recipe.launch.compile)
    if layout.vllm == "colocate" and recipe.launch.gpus > 1:
        ways.append("launch.vllm=server")
    if recipe.lora is None:
        ways.append("a 'lora' section (see qwen2.5-3b-qlora)")
    return f"use {', or '.join(ways) or 'a larger GPU'}"


def _disk(recipe: Recipe, shape: Shape) -> Iterator[Finding]:
    """Weights of every checkpoint, and the optimizer of the last ones."""
    grpo = recipe.grpo or {}
    every = convert(float, grpo.get("save_steps", 500), "grpo", "save_steps")
    steps = whole(recipe, "max_steps", 0)
    every = every if every >= 1 else max(1.0, every * steps)  # a fraction is one of all steps
    count = max(1, math.ceil(steps / every))  # the last step is always saved
    trained = shape.parameters if recipe.lora is None else shape.parameters // 50
    weights = (2 if recipe.launch.sharding.startswith("zero") else 4) * trained
    needed = count * weights + (FULL_CHECKPOINTS + 1) * 12 * trained + 2 * shape.parameters + SPARE_BYTES
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / GIB:.1f} GiB of disk free, {count} checkpoint(s) need {needed / GIB:.1f}"
    good = free > needed
    yield good, text if good else f"{text}: free some space, or raise grpo.save_steps"
