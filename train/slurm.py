"""Training on a SLURM cluster: an sbatch script that resumes after a preemption, submitted and followed."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from ..errors import InputError, TrainingError
from ..extras import TRAINING, need
from ..manifest import PARTIAL, refuse_existing
from .layout import SERVER_PORT
from .reach import on_hub
from .recipe import Recipe, recipe_text
from .servers import SERVER_ENVIRONMENT, serve_command
from .timeline import METERED

if TYPE_CHECKING:
    from .launch import Start

GOING_ON = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")
LOOK_SECONDS = 1.0
SILENT_SECONDS = 120.0  # of a controller that does not answer; a busy one comes back
SILENT = "SILENT"
UNREADABLE = ('"', "\\", "%", "\n")  # sbatch gives them a meaning of their own in the name of a log


def submit(start: Start) -> None:
    """Write the script beside OUT, submit it, and show its log until the job ends.

    Ctrl-C stops looking, not the job. Raises ``InputError`` without SLURM's commands here and for a dataset that no
    node could read, ``StageError`` for an OUT that is there, ``TrainingError`` when SLURM refuses or the job fails.
    """
    if found := [sign for sign in UNREADABLE if sign in str(_logs(start))]:
        raise InputError(
            f"{_logs(start)} cannot hold SLURM's logs, its name has {found[0]!r} in it; choose another --out"
        )
    script = start.out.with_name(f"{start.out.name}.sbatch")
    text = sbatch_script(start)
    if start.dry_run:
        start.echo(f"would write {script} and submit it:\n\n{text}")
        return
    need(*TRAINING)  # the job runs this very installation
    refuse_existing(start.out, start.overwrite)
    if shutil.which("sbatch") is None:
        raise InputError("section 'launch': launcher 'slurm' needs sbatch; run this on the cluster's login node")
    _logs(start).mkdir(parents=True, exist_ok=True)
    _recipe_file(start).write_text(recipe_text(start.recipe), encoding="utf-8")
    script.write_text(text, encoding="utf-8")
    job = _submitted(script)
    log = _logs(start) / f"slurm-{job}.log"
    start.echo(f"job {job}, its log is {log}; Ctrl-C stops looking, `scancel {job}` ends it")
    state = follow(job, log, start.echo)
    if state == SILENT:
        raise TrainingError(f"SLURM does not answer; job {job} may go on, squeue -j {job} and {log} tell")
    if state != "COMPLETED":
        raise TrainingError(f"job {job} ended as {state}; see {log}")


def sbatch_script(start: Start) -> str:
    """The batch script: roles, rendezvous, requeue. Paths in it are absolute and must be on a shared disk."""
    recipe, layout = start.recipe, start.layout
    slurm, launch = recipe.slurm, recipe.launch
    beside = layout.server_gpus and not layout.server_nodes
    template = resources.files("countdown_r1.train").joinpath("templates/train.sbatch").read_text(encoding="utf-8")
    names: dict[str, Any] = {
        "name": recipe.name,
        "layout": layout.to_text(),
        "nodes": launch.nodes,
        "tasks": launch.gpus_per_node,
        "gpus_per_node": launch.gpus_per_node,
        "minutes": max(1, round(60 * slurm.hours)),
        "slurm": slurm,
        "logs": _logs(start),
        "quoted_logs": shlex.quote(str(_logs(start))),
        "here": shlex.quote(str(Path.cwd())),
        "partial": shlex.quote(str(_absolute(start.out.with_name(start.out.name + PARTIAL)))),
        "train_nodes": layout.train_nodes,
        "per_node": layout.per_node,
        "processes": layout.processes,
        "metered": METERED,
        # GPUs of a node that trains and serves, where SLURM does not say which ones the job has
        "shared": ",".join(map(str, range(launch.gpus_per_node))) if beside else "",
        "startup_seconds": launch.startup_seconds,
        "command": _training_command(start),
        "server_key": "grpo.vllm_server_base_url",
        "server": _server(recipe, start) if layout.server_gpus else None,
    }
    return jinja2.Template(template, undefined=jinja2.StrictUndefined, keep_trailing_newline=True).render(names)


def follow(job: str, log: Path, echo: Any) -> str:
    """Print what the job logs until it ends; its last state. A requeued job goes on."""
    shown, heard = 0, time.monotonic()
    while True:
        state = job_state(job)
        heard = heard if state == SILENT else time.monotonic()
        if log.exists():
            with log.open(encoding="utf-8", errors="replace") as file:
                file.seek(shown)
                if text := file.read():
                    echo(text.rstrip("\n"))
                shown = file.tell()
        if state not in GOING_ON and (state != SILENT or time.monotonic() - heard > SILENT_SECONDS):
            return state
        time.sleep(LOOK_SECONDS)


def job_state(job: str) -> str:
    """What the controller says of a job, ``UNKNOWN`` once it has forgotten it, ``SILENT`` when it does not answer."""
    command = ["scontrol", "show", "job", "-o", job]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\bJobState=(\w+)", done.stdout)
    return found[1] if found else "UNKNOWN" if "invalid job id" in done.stderr.lower() else SILENT


def _submitted(script: Path) -> str:
    command = ["sbatch", "--parsable", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TrainingError(f"sbatch refused {script}: {done.stderr.strip()}")
    return done.stdout.strip().partition(";")[0]


def _training_command(start: Start) -> str:
    words = [sys.executable, "-m", "countdown_r1.train", str(_recipe_file(start)), "--dataset", _dataset(start)]
    words += ["--out", str(_absolute(start.out)), *(["--overwrite"] if start.overwrite else [])]
    return shlex.join([*words, *start.forwarded])


def _server(recipe: Recipe, start: Start) -> dict[str, Any]:
    layout = start.layout
    return {
        "node": layout.train_nodes if layout.server_nodes else 0,
        "environment": " ".join(f"{name}={value}" for name, value in SERVER_ENVIRONMENT.items()),
        "command": shlex.join(serve_command(recipe, layout)),
        "port": SERVER_PORT,
    }


def _dataset(start: Start) -> str:
    """A folder's absolute path, or the Hub id."""
    folder = Path(start.dataset)
    if start.recipe.grpo is not None and not folder.exists() and not start.dry_run and not on_hub(start.dataset):
        raise InputError(f"no dataset at {folder}; build one there, or name another (a folder or NAMESPACE/NAME)")
    return str(_absolute(folder)) if folder.exists() else start.dataset


def _recipe_file(start: Start) -> Path:
    return _absolute(start.out.with_name(f"{start.out.name}.yaml"))


def _logs(start: Start) -> Path:
    return _absolute(start.out.with_name("logs"))


def _absolute(path: Path) -> Path:
    return path if path.is_absolute() else Path.cwd() / path
