"""Starting a training run: in this process, or in several that torchrun connects."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError, TrainingError
from .recipe import Launch, Recipe, recipe_text

COMMAND = "COUNTDOWN_R1_COMMAND"  # tells torchrun's processes what the user typed, for the manifest


def run_training(
    recipe: Recipe,
    dataset: str,
    out: Path,
    *,
    overwrite: bool,
    dry_run: bool,
    command: str,
    echo: Callable[[str], object],
    callbacks: Sequence[Any] = (),
    forwarded: Sequence[str] = (),
) -> None:
    """Run ``recipe`` as its ``launch`` section says; with ``dry_run`` only print what would start.

    A process that torchrun started trains, with ``callbacks`` beside the trainer's own; ``forwarded`` are options of
    the command line that it gets too. Raises ``TrainingError`` when there are not as many of them as the recipe says,
    or when one of them fails.
    """
    started = "LOCAL_RANK" in os.environ
    if recipe.launch.launcher == "local" or started:
        if dry_run:
            echo(f"would train '{recipe.name}' in this process, from {dataset} to {out}")
            return
        _check_processes(recipe.launch, int(os.environ["WORLD_SIZE"]) if started else 1)
        from .stage import finish_processes, train

        typed = os.environ.get(COMMAND, command)
        train(recipe, dataset, out, overwrite=overwrite, command=typed, callbacks=callbacks)
        finish_processes()
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, f"{recipe.name}.yaml")
        path.write_text(recipe_text(recipe), encoding="utf-8")
        arguments = [*process_command(recipe.launch, path, dataset, out, overwrite), *forwarded]
        echo(shlex.join(arguments))
        if not dry_run and (status := _run(arguments, os.environ | {COMMAND: command})):
            raise TrainingError(f"a training process ended with status {status}; its message stands above")


def process_command(launch: Launch, recipe: Path, dataset: str, out: Path, overwrite: bool) -> list[str]:
    """The torchrun command for the processes of one machine. Raises ``InputError`` for several machines."""
    if launch.nodes != 1:
        raise InputError("section 'launch': several nodes need a cluster launcher; this one starts processes on one")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    processes = ["--nproc_per_node", str(launch.gpus_per_node), "-m", "countdown_r1.train"]
    return [*torchrun, *processes, str(recipe), "--dataset", dataset, "--out", str(out)] + ["--overwrite"] * overwrite


def _check_processes(launch: Launch, running: int) -> None:
    wanted = launch.nodes * launch.gpus_per_node
    if launch.launcher != "local" and running != wanted:
        raise TrainingError(
            f"section 'launch' says {wanted} processes, {running} run; start them with --launcher {launch.launcher}"
        )


def _run(arguments: list[str], environment: dict[str, str]) -> int:
    """Exit status of a command that has its own session: Ctrl-C reaches it once, through here, and is waited for.

    Without that the processes torchrun started would train on without anybody watching.
    """
    with subprocess.Popen(arguments, env=environment, start_new_session=True) as process:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
        finally:
            signal.signal(signal.SIGTERM, before)
