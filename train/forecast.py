"""What a run is going to take: time and money, said before anything starts."""

from __future__ import annotations

from .layout import Layout, Plan, colocated_gib, gpu_gib
from .memory import Memory, checkpointed, whole
from .recipe import Recipe

MEASURE = "measure a few steps (--set grpo.max_steps=3) and write {} into the recipe's 'cost' section"


def forecast(planned: Plan) -> list[str]:
    """Lines for people: where completions are written, memory when it was estimated, hours and money."""
    recipe, memory, lines = planned.recipe, [], [planned.layout.to_text()]
    if planned.memory is not None:
        good, text = memory_finding(recipe, planned.layout, planned.memory)
        memory = [text if good else f"too much: {text}"]
    elif planned.unknown:
        memory = [f"memory: not estimated, for {planned.unknown}"]
    return [*lines, *memory, expected(recipe)]


def memory_finding(recipe: Recipe, layout: Layout, needed: Memory) -> tuple[bool, str]:
    """Whether the estimate fits the GPU, and a line; with the changes that help most when it does not."""
    available = gpu_gib(recipe)
    if available is None:
        return True, f"{needed.to_text()}; no GPU is found here and launch.gpu_gib is not set"
    most = colocated_gib(needed) if layout.vllm == "colocate" else needed.training
    text = f"{needed.to_text()}, of {available:.0f}"
    return most <= available, text if most <= available else f"{text}: {_relief(recipe, layout, needed)}"


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


def expected(recipe: Recipe) -> str:
    """One line with hours and money, which says so where they are not known."""
    if recipe.grpo is None:
        return _cold_start(recipe)
    cost, steps = recipe.cost, whole(recipe, "max_steps", 0)
    if cost.seconds_per_step is None or steps < 1:
        return f"time and money: not known; {MEASURE.format('seconds_per_step')}"
    hours = steps * cost.seconds_per_step / 3600
    product = f"{steps} updates x {cost.seconds_per_step:g} s = {hours:.1f} h"
    nodes, gpus, where = recipe.launch.nodes, recipe.launch.gpus, cost.hardware or "this machine"
    if cost.gpus is not None and (cost.nodes, cost.gpus) != (nodes, gpus):
        return (
            f"time and money: not known for {_machines(gpus, nodes)}; the recipe states {product} for "
            f"{_machines(cost.gpus, cost.nodes)} ({where}), which would be {hours * cost.gpus / gpus:.1f} h here if it "
            f"scaled ideally; {MEASURE.format('seconds_per_step, price_per_hour, gpus and nodes')}"
        )
    money = f"{hours * nodes * cost.price_per_hour:.2f} {cost.currency}" if cost.price_per_hour else "no price stated"
    return f"expected: {product} on {where}{f' x {nodes}' if nodes > 1 else ''}, {hours * gpus:.1f} GPU-hours, {money}"


def _machines(gpus: int, nodes: int) -> str:
    """``4 GPUs``, ``12 GPUs on 3 machines``."""
    return f"{gpus} GPU{'s' * (gpus > 1)}" + (f" on {nodes} machines" if nodes > 1 else "")


def _cold_start(recipe: Recipe) -> str:
    minutes = recipe.cold_start.minutes if recipe.cold_start else 0
    if minutes:
        return f"expected: {minutes:g} minutes of training, and about two to compile and to check on a GPU"
    return "time and money: not known for a cold start by steps"
