"""What a run is going to take: time and money, said before anything starts."""

from __future__ import annotations

from .layout import Layout
from .memory import Memory, whole
from .recipe import Recipe


def forecast(recipe: Recipe, layout: Layout, memory: Memory | None = None) -> list[str]:
    """Lines for people: where completions are written, memory when it was estimated, hours and money."""
    lines = [layout.to_text()]
    if memory is not None:
        lines.append(memory.to_text())
    return [*lines, _expected(recipe, layout)]


def _expected(recipe: Recipe, layout: Layout) -> str:
    cost, steps = recipe.cost, whole(recipe, "max_steps", 0)
    where = cost.hardware or "this machine"
    if recipe.grpo is None:
        minutes = recipe.cold_start.minutes if recipe.cold_start else 0
        if minutes:
            return f"expected: {minutes:g} minutes of training, and about two to compile and to check on a GPU"
        return "time and money: not known for a cold start by steps"
    if cost.seconds_per_step is None or steps < 1:
        return (
            "time and money: not known; measure a few steps (--set grpo.max_steps=3) and write seconds_per_step into "
            "the recipe's 'cost' section"
        )
    hours = steps * cost.seconds_per_step / 3600
    machines = recipe.launch.nodes
    gpu_hours = hours * max(1, recipe.launch.gpus)
    price = hours * machines * cost.price_per_hour
    money = f"{price:.2f} {cost.currency}" if cost.price_per_hour else "no price stated"
    return (
        f"expected: {steps} updates x {cost.seconds_per_step:g} s = {hours:.1f} h on {where}"
        f"{f' x {machines}' if machines > 1 else ''}, {gpu_hours:.1f} GPU-hours, {money}"
    )
