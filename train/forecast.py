"""What a run is going to take: time and money, said before anything starts."""

from __future__ import annotations

from .layout import Layout
from .memory import Memory, whole
from .recipe import Recipe

MEASURE = "measure a few steps (--set grpo.max_steps=3) and write {} into the recipe's 'cost' section"


def forecast(recipe: Recipe, layout: Layout, memory: Memory | None = None) -> list[str]:
    """Lines for people: where completions are written, memory when it was estimated, hours and money."""
    lines = [layout.to_text()]
    if memory is not None:
        lines.append(memory.to_text())
    elif layout.vllm == "colocate":
        lines.append("memory: not estimated here, for that takes the 'train' extra; `doctor` says more where it is")
    return [*lines, expected(recipe)]


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
            f"time and money: not known on {gpus} GPU(s) of {nodes} node(s); {product} on {cost.gpus} of {cost.nodes} "
            f"({where}), here {hours * cost.gpus / gpus:.1f} h if that scaled ideally; "
            f"{MEASURE.format('seconds_per_step, price_per_hour, gpus and nodes')}"
        )
    money = f"{hours * nodes * cost.price_per_hour:.2f} {cost.currency}" if cost.price_per_hour else "no price stated"
    return f"expected: {product} on {where}{f' x {nodes}' if nodes > 1 else ''}, {hours * gpus:.1f} GPU-hours, {money}"


def _cold_start(recipe: Recipe) -> str:
    minutes = recipe.cold_start.minutes if recipe.cold_start else 0
    if minutes:
        return f"expected: {minutes:g} minutes of training, and about two to compile and to check on a GPU"
    return "time and money: not known for a cold start by steps"
