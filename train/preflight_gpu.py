"""Checks of the machine: which GPUs train and write, whether memory and disk suffice, what must be installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from .disk import LESS_DISK, disk_bytes
from .forecast import memory_finding
from .layout import Layout, choose
from .memory import GIB, Shape, estimate, shape_of
from .packages import missing
from .recipe import Recipe

SPARE_BYTES = 2 * GIB
Finding = tuple[bool, str]  # whether it is good, and what to say


def machine_findings(recipe: Recipe, layout: Layout) -> Iterator[Finding]:
    """Layout, what it needs installed, GPUs that are there."""
    launch = recipe.launch
    yield True, layout.to_text()
    here = launch.launcher in ("local", "accelerate")
    for line in missing(recipe) if here else ():
        yield False, line
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


def memory_findings(recipe: Recipe) -> Iterator[Finding]:
    """The estimate against the GPU's memory, and what is written against the disk's room."""
    shape, layout = shape_of(recipe.base), choose(recipe)
    yield memory_finding(recipe, layout, estimate(recipe, shape, layout.processes))
    yield from _disk(recipe, shape)


def _disk(recipe: Recipe, shape: Shape) -> Iterator[Finding]:
    """Room for everything that the run writes."""
    count, needed = disk_bytes(recipe, shape.parameters)
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / GIB:.1f} GiB of disk free, {count} checkpoint(s) need {(needed + SPARE_BYTES) / GIB:.1f}"
    good = free > needed + SPARE_BYTES
    yield good, text if good else f"{text}: {LESS_DISK}"
