"""Starting a training run: in this process, in several on this machine, or on a cluster."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import InputError, TrainingError
from ..extras import TRAINING, need
from ..manifest import PARTIAL
from .forecast import forecast
from .layout import Layout, plan
from .recipe import Recipe, recipe_text
from .servers import serving, visible_gpus
from .stopping import RUNNING_FILE, STOP_FILE, STOPPING, forget_request, hearing, say
from .timeline import METERED

if TYPE_CHECKING:
    from ..hub import Hub

COMMAND = "COUNTDOWN_R1_COMMAND"  # tells torchrun's processes what the user typed, for the manifest


@dataclass(frozen=True)
class Start:
    """One run to start: the recipe as placed on its GPUs, what it reads, where it writes, and how to tell the user."""

    recipe: Recipe
    layout: Layout
    dataset: str
    out: Path
    overwrite: bool
    dry_run: bool
    command: str
    echo: Callable[[str], object]
    hub: Hub | None = None
    callbacks: Sequence[Any] = ()
    forwarded: Sequence[str] = ()


def run_training(
    recipe: Recipe,
    dataset: str,
    out: Path,
    *,
    overwrite: bool,
    dry_run: bool,
    command: str,
    echo: Callable[[str], object],
    hub: Hub | None = None,
    callbacks: Sequence[Any] = (),
    forwarded: Sequence[str] = (),
) -> None:
    """Run ``recipe`` as its ``launch`` section says; with ``dry_run`` only print what would start.

    A process that a launcher started trains, with ``callbacks`` beside the trainer's own; ``forwarded`` are options
    of the command line that the started processes get too, wherever they run. Raises ``TrainingError`` when there are
    not as many of them as the recipe says, or when one of them fails; ``InputError`` for a layout that is impossible.
    """
    if {"LOCAL_RANK", "WORLD_SIZE"} <= os.environ.keys() and not dry_run:
        _work(recipe, dataset, out, overwrite, command, callbacks, echo)
    if not out.name:
        raise InputError(f"{out} is no folder that a run could make; name one, such as outputs/{recipe.name}/model")
    recipe, layout, memory = plan(recipe)
    for line in forecast(recipe, layout, memory):
        echo(line)
    start = Start(recipe, layout, dataset, out, overwrite, dry_run, command, echo, hub, callbacks, forwarded)
    {
        "local": _here,
        "accelerate": _on_this_machine,
        "slurm": _on_slurm,
        "kubernetes": _on_kubernetes,
        "hf-jobs": _on_hf_jobs,
    }[recipe.launch.launcher](start)


def _here(start: Start) -> None:
    if start.dry_run:
        start.echo(f"would train '{start.recipe.name}' in this process, from {start.dataset} to {start.out}")
        return
    from .stage import train

    began = {"overwrite": start.overwrite, "command": start.command, "callbacks": start.callbacks}
    train(start.recipe, start.dataset, start.out, **began)


def _work(
    recipe: Recipe,
    dataset: str,
    out: Path,
    overwrite: bool,
    command: str,
    callbacks: Sequence[Any],
    echo: Callable[[str], object],
) -> NoReturn:
    """Train as one of several processes; a stop that the starting process knows of is no failure."""
    _check_processes(recipe, int(os.environ["WORLD_SIZE"]))
    from .stage import end_process, train

    speaks = COMMAND not in os.environ and os.environ.get("RANK", "0") == "0"  # nobody else tells how it ended
    status, last = 0, str(out)
    try:
        typed = os.environ.get(COMMAND, command)
        train(recipe, dataset, out, overwrite=overwrite, command=typed, callbacks=callbacks)
    except KeyboardInterrupt:
        last = "stopped; run the same command again to go on from the checkpoint"
        status = 0 if COMMAND in os.environ else 130
    if speaks:
        echo(last)
    end_process(status)


def _on_this_machine(start: Start) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, f"{start.recipe.name}.yaml")
        path.write_text(recipe_text(start.recipe), encoding="utf-8")
        arguments = process_command(start.layout, path, start.dataset, start.out, start.overwrite)
        arguments += start.forwarded
        start.echo(shlex.join(arguments))
        if start.dry_run:
            return
        need(*TRAINING)
        log = start.out.with_name(f"{start.out.name}.vllm.log")
        server = serving(start.recipe, start.layout, log, start.echo) if start.layout.server_gpus else nullcontext()
        partial = start.out.with_name(start.out.name + PARTIAL)
        with hearing(signal.default_int_handler), server:
            if status := _run(arguments, _environment(start), partial):
                raise TrainingError(f"a training process ended with status {status}; its message stands above")


def process_command(layout: Layout, recipe: Path, dataset: str, out: Path, overwrite: bool) -> list[str]:
    """The torchrun command for the training processes of one machine."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    processes = ["--nproc_per_node", str(layout.per_node), "-m", "countdown_r1.train"]
    return [*torchrun, *processes, str(recipe), "--dataset", dataset, "--out", str(out)] + ["--overwrite"] * overwrite


def _environment(start: Start) -> dict[str, str]:
    """A server beside the training gets the last GPUs; the energy is that of all of them."""
    environment = os.environ | {COMMAND: start.command}
    if servers := start.layout.server_gpus:
        held = visible_gpus(start.layout.per_node + servers)
        environment |= {METERED: ",".join(held), "CUDA_VISIBLE_DEVICES": ",".join(held[: start.layout.per_node])}
    return environment


def _on_slurm(start: Start) -> None:
    from .slurm import submit

    submit(start)


def _on_kubernetes(start: Start) -> None:
    from .kubernetes import submit

    submit(start)


def _on_hf_jobs(start: Start) -> None:
    from .hf_jobs import submit

    submit(start)


def _check_processes(recipe: Recipe, running: int) -> None:
    launch = recipe.launch
    wanted = launch.gpus if launch.vllm in ("none", "colocate") else running
    if launch.launcher != "local" and running != wanted:
        raise TrainingError(
            f"section 'launch' says {wanted} processes, {running} run; start them with --launcher {launch.launcher}"
        )


def _run(arguments: list[str], environment: dict[str, str], partial: Path) -> int:
    """Exit status of torchrun, which has its own session: Ctrl-C reaches its processes once, through here.

    torchrun gives its processes 30 seconds to end, less than a step may take: so they are asked by a file, once they
    look for it. A second Ctrl-C ends them at once.
    """
    forget_request(partial)
    with subprocess.Popen(arguments, env=environment, start_new_session=True) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            _ask_to_stop(process, partial)
            raise


def _ask_to_stop(process: subprocess.Popen[bytes], partial: Path) -> None:
    try:
        if (partial / RUNNING_FILE).exists():
            (partial / STOP_FILE).touch()
            say(STOPPING)
        else:
            process.send_signal(signal.SIGINT)
        process.wait()
    except KeyboardInterrupt:
        kill_all(process)
        raise


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session, and everything below it.

    torchrun gives each of its processes a session of its own and, when it is killed, leaves them on their GPUs.
    """
    import psutil

    below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    for child in below:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
