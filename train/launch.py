"""Starting a training run: in this process, or in several that torchrun connects."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..errors import InputError, TrainingError
from .recipe import Launch, Recipe, recipe_text


def run_training(
    recipe: Recipe,
    dataset: str,
    out: Path,
    *,
    overwrite: bool,
    dry_run: bool,
    command: str,
    echo: Callable[[str], None],
) -> None:
    """Run ``recipe`` as its ``launch`` section says; with ``dry_run`` only print what would start."""
    if recipe.launch.launcher == "local":
        if dry_run:
            echo(f"would train '{recipe.name}' in this process, from {dataset} to {out}")
            return
        from .stage import finish_processes, train

        train(recipe, dataset, out, overwrite=overwrite, command=command)
        finish_processes()
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, f"{recipe.name}.yaml")
        path.write_text(recipe_text(replace(recipe, launch=Launch())), encoding="utf-8")
        arguments = process_command(recipe.launch, path, dataset, out, overwrite)
        echo(shlex.join(arguments))
        if not dry_run and (status := subprocess.run(arguments, check=False).returncode):
            raise TrainingError(f"a training process ended with status {status}; its message stands above")


def process_command(launch: Launch, recipe: Path, dataset: str, out: Path, overwrite: bool) -> list[str]:
    """The torchrun command for the processes of one machine. Raises ``InputError`` for several machines."""
    if launch.nodes != 1:
        raise InputError("section 'launch': several nodes need a cluster launcher; this one starts processes on one")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    processes = ["--nproc_per_node", str(launch.gpus_per_node), "-m", "countdown_r1.train"]
    return [*torchrun, *processes, str(recipe), "--dataset", dataset, "--out", str(out)] + ["--overwrite"] * overwrite
