"""Packages beside the basic installation that a recipe needs, and the extra that brings each."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator

from ..errors import InputError
from .recipe import Recipe


def missing(recipe: Recipe, vllm: bool = True) -> Iterator[str]:
    """One line for each package that is not installed here; without ``vllm`` that one is not looked for."""
    for module, extra in _needed(recipe):
        program = shutil.which(module) if module == "vllm" else None
        if importlib.util.find_spec(module) is None and not program and (vllm or module != "vllm"):
            yield f"{module} is not installed: pip install 'countdown-r1[{extra}]'"


def check_installed(recipe: Recipe, vllm: bool = True) -> None:
    """Raise ``InputError`` for the first package that is not installed here."""
    for line in missing(recipe, vllm):
        raise InputError(line)


def _needed(recipe: Recipe) -> list[tuple[str, str]]:
    asked = recipe.launch.vllm != "none" or (recipe.grpo or {}).get("use_vllm")
    vllm = [("vllm", "vllm")] if asked else []
    deepspeed = [("deepspeed", "deepspeed")] if recipe.launch.sharding.startswith("zero") else []
    lora = [("peft", "qlora")] if recipe.lora else []
    quantized = [("bitsandbytes", "qlora")] if recipe.lora and recipe.lora.bits == 4 else []
    return vllm + deepspeed + lora + quantized
