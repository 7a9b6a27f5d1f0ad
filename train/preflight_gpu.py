"""Checks of the machine: which GPUs train and write, whether memory and disk suffice, what must be installed."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

from .layout import Layout, choose, colocated_gib, gpu_gib
from .memory import GIB, Memory, Shape, checkpointed, estimate, shape_of, whole
from .preflight_text import Finding
from .recipe import Recipe
from .saving import LESS_DISK, disk_bytes

SPARE_BYTES = 2 * GIB


def machine_findings(recipe: Recipe, layout: Layout) -> Iterator[Finding]:
    """Layout, what it needs installed, GPUs that are there."""
    import torch

    launch = recipe.launch
    yield True, layout.to_text()
    here = launch.launcher in ("local", "accelerate")
    found = torch.cuda.device_count()
    if here and found and launch.gpus_per_node > found:
        yield False, f"section 'launch': {launch.gpus_per_node} GPUs are asked for, {found} found: lower gpus_per_node"
    if here and not found and launch.sharding != "none":
        yield (
            False,
            f"section 'launch': sharding '{launch.sharding}' needs GPUs, none is found here: set sharding=none, or a "
            "launcher of a cluster (slurm, kubernetes, hf-jobs)",
        )
    if here and launch.compile and not (shutil.which("cc") or shutil.which("gcc")):
        yield False, "section 'launch': compile needs a C compiler, none is found: install gcc, or set compile=false"
    for module, extra in _needed(recipe, layout):
        if here and importlib.util.find_spec(module) is None:
            yield False, f"{module} is not installed: pip install 'countdown-r1[{extra}]'"


def _needed(recipe: Recipe, layout: Layout) -> list[tuple[str, str]]:
    vllm = [("vllm", "vllm")] if layout.vllm != "none" or (recipe.grpo or {}).get("use_vllm") else []
    deepspeed = [("deepspeed", "deepspeed")] if recipe.launch.sharding.startswith("zero") else []
    lora = [("peft", "qlora")] if recipe.lora else []
    quantized = [("bitsandbytes", "qlora")] if recipe.lora and recipe.lora.bits == 4 else []
    return vllm + deepspeed + lora + quantized


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
    """Room for everything that the run writes."""
    count, needed = disk_bytes(recipe, shape.parameters)
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / GIB:.1f} GiB of disk free, {count} checkpoint(s) need {(needed + SPARE_BYTES) / GIB:.1f}"
    good = free > needed + SPARE_BYTES
    yield good, text if good else f"{text}: {LESS_DISK}"
