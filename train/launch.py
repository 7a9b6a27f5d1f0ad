"""Starting a training run: in this process, in several on this machine, or on a cluster."""

from __future__ import annotations

import json
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

from ..errors import CountdownError, InputError, TrainingError
from ..extras import TRAINING, installed, lacking, need
from ..manifest import PARTIAL
from .agreement import check_data
from .forecast import forecast
from .layout import Layout, Plan, plan
from .reach import HERE, READING, on_hub
from .recipe import Recipe, recipe_text
from .resume import last_checkpoint
from .servers import SERVER_ENVIRONMENT, serve_command, serving, visible_gpus
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
    words: Sequence[str] = ()  # that name this very recipe on a command line


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
    words: Sequence[str] = (),
    named: bool = True,
) -> None:
    """Run ``recipe`` as its ``launch`` section says; with ``dry_run`` only check it and print what would start.

    A process that a launcher started trains, with ``callbacks`` beside the trainer's own; ``forwarded`` are options
    of the command line that the started processes get too, wherever they run; ``words`` name the recipe there, with
    its changes. A dataset that was not ``named`` by the user must be the recipe's own. Raises ``TrainingError`` when
    not as many of them run as the recipe says, or when one of them fails; ``InputError`` for a layout that is
    impossible and for what the run would refuse.
    """
    if {"LOCAL_RANK", "WORLD_SIZE"} <= os.environ.keys() and not dry_run:
        _work(recipe, dataset, out, overwrite, command, callbacks, echo)
    if not out.name:
        raise InputError(f"{out} is no folder that a run could make; name one, such as outputs/{recipe.name}/model")
    planned = plan(recipe, dry_run)
    if dry_run or recipe.launch.launcher != "local":  # there the run itself is as quick to say it
        _check(planned, dataset, out, overwrite, dry_run, echo)
    if not on_hub(dataset) or (recipe.launch.launcher in HERE and not dry_run):  # which downloads it anyway
        check_data(planned.recipe, dataset, named, echo)
    for line in forecast(planned):
        echo(line)
    words = [*(words or [recipe.name]), *_placing(recipe, planned.recipe)]
    start = Start(
        planned.recipe,
        planned.layout,
        dataset,
        out,
        overwrite,
        dry_run,
        command,
        echo,
        hub,
        callbacks,
        forwarded,
        words,
    )
    {
        "local": _here,
        "accelerate": _on_this_machine,
        "slurm": _on_slurm,
        "kubernetes": _on_kubernetes,
        "hf-jobs": _on_hf_jobs,
    }[recipe.launch.launcher](start)


def _check(
    planned: Plan, dataset: str, out: Path, overwrite: bool, dry_run: bool, echo: Callable[[str], object]
) -> None:
    """Raise what the run would refuse; where this machine only asks others to train it may lack the packages for it."""
    absent = [package for package in TRAINING if not installed(package)]
    if absent and (dry_run or planned.recipe.launch.launcher not in READING):
        echo(f"not checked, what the training would refuse: {lacking(absent[0], 'train')}")
        return
    need(*TRAINING)
    from .inputs import check_run

    check_run(planned.recipe, planned.layout, dataset, out, overwrite)


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
    typed = os.environ.get(COMMAND, command)
    try:
        train(recipe, dataset, out, overwrite=overwrite, command=typed, callbacks=callbacks)
    except KeyboardInterrupt:
        last = f"stopped{left_behind('local', out, typed)}"
        status = 0 if COMMAND in os.environ else 130
    if speaks:
        echo(last)
    end_process(status)


def _on_this_machine(start: Start) -> None:
    if start.dry_run:
        for line in _pasted(start):
            start.echo(line)
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, f"{start.recipe.name}.yaml")
        path.write_text(recipe_text(start.recipe), encoding="utf-8")
        arguments = process_command(start.layout, [str(path)], start.dataset, start.out, start.overwrite)
        arguments += start.forwarded
        start.echo(shlex.join(arguments))
        need(*TRAINING)
        log = start.out.with_name(f"{start.out.name}.vllm.log")
        server = serving(start.recipe, start.layout, log, start.echo) if start.layout.server_gpus else nullcontext()
        partial = start.out.with_name(start.out.name + PARTIAL)
        with hearing(signal.default_int_handler), server:
            if status := _run(arguments, _environment(start), partial):
                raise TrainingError(f"a training process ended with status {status}; its message stands above")


def _placing(asked: Recipe, placed: Recipe) -> list[str]:
    """The options that make the recipe as asked the one that was placed on its GPUs."""
    before, after = asked.grpo or {}, placed.grpo or {}
    changes = {key: value for key, value in after.items() if key not in before or before[key] != value}
    return [word for key, value in changes.items() for word in ("--set", f"grpo.{key}={json.dumps(value)}")]


def _pasted(start: Start) -> list[str]:
    """What would be started here, as lines for a shell."""
    training = process_command(start.layout, start.words, start.dataset, start.out, start.overwrite)
    line = shlex.join([*training, *start.forwarded])
    if not start.layout.server_gpus:
        return [line]
    first = start.layout.per_node
    held = visible_gpus(first + start.layout.server_gpus)
    settings = [f"{name}={value}" for name, value in SERVER_ENVIRONMENT.items()]
    server = shlex.join(serve_command(start.recipe, start.layout))
    return [
        f"CUDA_VISIBLE_DEVICES={','.join(held[first:])} {' '.join(settings)} {server} &",
        f"CUDA_VISIBLE_DEVICES={','.join(held[:first])} {line}",
    ]


def process_command(layout: Layout, recipe: Sequence[str], dataset: str, out: Path, overwrite: bool) -> list[str]:
    """The torchrun command for the training processes of one machine; ``recipe`` names it, with its options."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    processes = ["--nproc_per_node", str(layout.per_node), "-m", "countdown_r1.train"]
    return [*torchrun, *processes, *recipe, "--dataset", dataset, "--out", str(out)] + ["--overwrite"] * overwrite


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


def left_behind(launcher: str, out: Path, command: str) -> str:
    """What a training that was stopped leaves, and the command that goes on, as the end of a sentence."""
    if launcher not in ("local", "accelerate"):
        return f"; a job that was submitted goes on, and looked at again or ended as was said when it began ({command})"
    partial = out.with_name(out.name + PARTIAL)
    try:
        checkpoint = last_checkpoint(partial)
    except CountdownError as error:
        return f"; {error}, then run the same command again: {command}"
    if checkpoint:
        return f"; {checkpoint} was written, run the same command again to go on from there: {command}"
    if any(partial.glob("**/resume/progress.json")):
        return f"; run the same command again to go on from the weights in {partial}: {command}"
    return f" before any checkpoint; run the same command again to begin anew: {command}"


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
