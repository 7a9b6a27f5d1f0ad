"""Optional packages that a recipe needs on the machine where it trains."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from ..extras import installed, lacking, need
from .recipe import Recipe


def missing(recipe: Recipe) -> Iterator[str]:
    """One line for each package that is not installed here."""
    yield from (lacking(package) for package in _needed(recipe) if not _is_here(package))


def check_installed(recipe: Recipe, vllm: bool = True) -> None:
    """Raise ``StageError`` for the first package that is not installed here; ``vllm``: look for that one too."""
    need(*(package for package in _needed(recipe) if (vllm or package != "vllm") and not _is_here(package)))


def _is_here(package: str) -> bool:
    return installed(package) or (package == "vllm" and shutil.which(package) is not None)  # as a program of its own


def _needed(recipe: Recipe) -> list[str]:
    vllm = ["vllm"] if recipe.launch.vllm != "none" or (recipe.grpo or {}).get("use_vllm") else []
    deepspeed = ["deepspeed"] if recipe.launch.sharding.startswith("zero") else []
    return [*vllm, *deepspeed, *(recipe.lora.packages if recipe.lora else ())]
