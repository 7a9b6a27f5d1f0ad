"""How much a run writes to its disk, by its recipe alone."""

from __future__ import annotations

import math

from .memory import whole
from .recipe import Recipe, convert
from .resume import FULL_CHECKPOINTS

LESS_DISK = "free some space, raise grpo.save_steps, or keep fewer with grpo.save_total_limit"


def disk_bytes(recipe: Recipe, parameters: int) -> tuple[int, int]:
    """How many checkpoints a run keeps, and the bytes that it writes at most.

    Weights of every kept checkpoint, the optimizer of the last ones, and base and final weights in bfloat16.
    """
    grpo = recipe.grpo or {}
    every = convert(float, grpo.get("save_steps", 500), "grpo", "save_steps")
    steps = whole(recipe, "max_steps", 0)
    every = every if every >= 1 else max(1.0, every * steps)  # a fraction is one of all steps
    count = max(1, math.ceil(steps / every))  # the last step is always saved
    count = min(count, whole(recipe, "save_total_limit", count))
    trained = parameters if recipe.lora is None else parameters // 50
    weights = (2 if recipe.launch.sharding.startswith("zero") else 4) * trained
    optimizer = (8 if recipe.launch.sharding == "none" else 12) * trained  # the others also save weights of their own
    full = min(FULL_CHECKPOINTS, count) + 1  # one is written before another goes
    return count, (count + 1) * weights + full * optimizer + 2 * 2 * parameters
