"""Which GPUs train and which write completions, and what that means for TRL's batch sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import HubError, InputError, StageError
from ..extras import installed, need
from .memory import SHAPE_NEEDS, Memory, Shape, estimate, shape_of, whole
from .recipe import Recipe

SERVER_PORT = 8000
SLEEPING_GIB = 2.0  # vLLM's graphs and buffers, which stay while it sleeps
VLLM_HEADROOM = 1.25  # of vLLM's own estimate: its activations, graphs and sampler


@dataclass(frozen=True)
class Layout:
    """``train_nodes`` nodes train with ``per_node`` processes each; ``server_gpus`` of each server node write."""

    vllm: str
    train_nodes: int
    per_node: int
    server_nodes: int = 0
    server_gpus: int = 0
    reason: str = ""

    @property
    def processes(self) -> int:
        return self.train_nodes * self.per_node

    def to_text(self) -> str:
        """One line for people."""
        where = {
            "none": "completions by the training processes",
            "colocate": "vLLM beside the training on every GPU, asleep while weights are updated",
            "server": f"vLLM server on {self.server_gpus} GPU(s)"
            + (f" of {self.server_nodes} node(s) of its own" if self.server_nodes else " of the same node"),
        }[self.vllm]
        return f"{self.processes} training process(es) on {self.train_nodes} node(s), {where}{self.reason}"


def choose(recipe: Recipe, shape: Callable[[], Shape] | None = None) -> Layout:
    """The layout a recipe's ``launch`` section means; ``auto`` compares an estimate with the GPU's memory.

    Raises ``InputError`` for a server without a GPU left to train on.
    """
    launch = recipe.launch
    if launch.vllm in ("none", "colocate"):
        return Layout(launch.vllm, launch.nodes, launch.gpus_per_node)
    if launch.vllm == "server":
        return _with_server(recipe)
    available = gpu_gib(recipe)
    if available is None:
        raise InputError("section 'launch': vllm: auto needs the GPU's memory; set gpu_gib, no GPU is found here")
    needed = estimate(recipe, shape() if shape else shape_of(recipe.base), launch.gpus)
    fits = colocated_gib(needed) <= available
    compared = f" ({colocated_gib(needed):.0f} of {available:.0f} GiB)"
    if fits or launch.gpus == 1:
        return Layout("colocate", launch.nodes, launch.gpus_per_node, reason=compared)
    return replace(_with_server(recipe), reason=f"; beside the training it would need{compared}")


def colocated_gib(memory: Memory) -> float:
    """The larger of two moments: weights are updated while vLLM sleeps; it writes while activations are gone."""
    writing = memory.training - memory.parts.get("activations", 0.0) + VLLM_HEADROOM * memory.vllm
    return max(memory.training + SLEEPING_GIB, writing)


def gpu_gib(recipe: Recipe) -> float | None:
    """Memory of one GPU: as the recipe says, or of the first one here; None when there is neither, or no torch."""
    if recipe.launch.gpu_gib is not None:
        return recipe.launch.gpu_gib
    if not installed("torch"):
        return None
    import torch

    return torch.cuda.get_device_properties(0).total_memory / 2**30 if torch.cuda.is_available() else None


def _with_server(recipe: Recipe) -> Layout:
    """The last GPU of a single node, or the whole last node of several; TRL talks to one server."""
    launch = recipe.launch
    if launch.nodes > 1:
        return Layout("server", launch.nodes - 1, launch.gpus_per_node, 1, launch.gpus_per_node)
    if launch.gpus_per_node < 2:
        raise InputError("section 'launch': vllm: server needs a GPU beside those that train; use vllm: colocate")
    return Layout("server", 1, launch.gpus_per_node - 1, 0, 1)


def placed(recipe: Recipe, layout: Layout, memory: Memory | None = None) -> Recipe:
    """The recipe with everything that follows from the layout written into its ``grpo`` section, if it has one.

    Values that the recipe states itself stay. Raises ``InputError`` when the update's completions cannot be divided
    among the processes.
    """
    if recipe.grpo is None:
        return recipe
    grpo = dict(recipe.grpo)
    if (wanted := recipe.launch.completions_per_update) is not None:
        grpo["gradient_accumulation_steps"] = accumulation(recipe, wanted, layout.processes)
    if layout.vllm != "none":
        grpo = {"use_vllm": True, "vllm_mode": layout.vllm} | grpo
    if layout.vllm == "colocate":
        grpo.setdefault("vllm_enable_sleep_mode", True)
        available = gpu_gib(recipe)
        if memory is not None and available:
            share = math.ceil(100 * VLLM_HEADROOM * memory.vllm / available) / 100
            grpo.setdefault("vllm_gpu_memory_utilization", min(0.9, max(0.1, share)))
    if layout.vllm == "server":
        grpo.setdefault("vllm_server_base_url", f"http://127.0.0.1:{SERVER_PORT}")
    return replace(recipe, grpo=grpo)


def accumulation(recipe: Recipe, wanted: int, processes: int) -> int:
    """Accumulation steps that make ``wanted`` completions an update out of ``processes`` micro-batches."""
    batch = whole(recipe, "per_device_train_batch_size", 8) * processes
    if wanted % batch:
        near = [size for size in range(1, wanted + 1) if wanted % (size * processes) == 0]
        sizes = f"a per_device_train_batch_size of {', '.join(map(str, near[-4:]))}"
        raise InputError(
            f"section 'launch': {wanted} completions an update are no whole number of micro-batches of {batch} "
            f"(on {processes} processes); use {sizes if near else 'another number of GPUs'}"
        )
    return wanted // batch


@dataclass(frozen=True)
class Plan:
    """The recipe as placed on its GPUs, and the memory that it needs there, where that can be compared with a GPU's.

    ``unknown`` says why there is no estimate although one was wanted.
    """

    recipe: Recipe
    layout: Layout
    memory: Memory | None = None
    unknown: str = ""


def plan(recipe: Recipe, dry_run: bool = False) -> Plan:
    """Layout, placed recipe and memory. Raises ``HubError`` when a layout needs an estimate that cannot be had.

    In a ``dry_run`` only a layout that depends on it does.
    """
    layout, memory, unknown = choose(recipe), None, ""
    needed = layout.vllm == "colocate"
    if recipe.grpo is not None and recipe.cold_start is None and (needed or gpu_gib(recipe) is not None):
        try:
            need(*SHAPE_NEEDS)
            memory = estimate(recipe, shape_of(recipe.base), layout.processes)
        except StageError as error:
            unknown = str(error)
        except HubError as error:
            if needed and not dry_run:
                raise
            unknown = str(error)
    return Plan(placed(recipe, layout, memory), layout, memory, unknown)
