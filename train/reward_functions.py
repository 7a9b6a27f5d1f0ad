"""Reward functions by name, and the files that show what the model wrote while it was rewarded."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import rewards

RewardFunction = Callable[..., list[float]]
SHIPPED = ("equation_reward", "format_reward")
SAMPLES, SUCCESSES = "completion_samples.txt", "success_completion_samples.txt"
SAMPLE_CHANCE = 0.1


def load_reward(name: str) -> RewardFunction:
    """A shipped reward, or FUNCTION of ``FILE.py:FUNCTION``. Raises ``InputError`` when there is none."""
    if name in SHIPPED:
        return getattr(rewards, name)
    path, colon, function = name.rpartition(":")
    if not colon or not Path(path).is_file():
        raise InputError(f"no reward '{name}': use {', '.join(SHIPPED)}, or FILE.py:FUNCTION")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"reward file {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's own code, which may raise anything
        raise InputError(f"reward file {path} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(getattr(module, function, None)):
        raise InputError(f"reward file {path} has no function '{function}'")
    return getattr(module, function)


def recorded(reward: RewardFunction, folder: Path) -> RewardFunction:
    """``reward``, which also appends one in ten completions to a text file, and those that earned something to another.

    The files are the ones the Mini-R1 tutorial writes, so that readers of it find their way; the first completion
    of its kind always stands there. ``reward`` may be async and may score None, as TRL allows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples, successes = folder / SAMPLES, folder / SUCCESSES
    rng = random.Random(0)

    def write(prompts: list[str], completions: list[str], scores: list[float]) -> list[float]:
        for prompt, completion, score in zip(prompts, completions, scores, strict=False):  # TRL checks the length
            drawn = rng.random() < SAMPLE_CHANCE
            if drawn or not samples.exists():
                _append(samples, prompt, completion, score)
            if score and (drawn or not successes.exists()):
                _append(successes, prompt, completion, score)
        return scores

    @functools.wraps(reward)
    def record(completions: list[str], prompts: list[str], **columns: object) -> list[float]:
        return write(prompts, completions, reward(completions=completions, prompts=prompts, **columns))

    @functools.wraps(reward)
    async def record_later(completions: list[str], prompts: list[str], **columns: object) -> list[float]:
        scores: Any = reward(completions=completions, prompts=prompts, **columns)
        return write(prompts, completions, await scores)

    return record_later if inspect.iscoroutinefunction(reward) else record  # pyright: ignore[reportReturnType]


def _append(path: Path, prompt: str, completion: str, score: float | None) -> None:
    shown = "none" if score is None else f"{score:g}"
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n\n==============\n[reward {shown}]\n{prompt}{completion}\n")
