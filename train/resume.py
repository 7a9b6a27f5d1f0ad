"""Checkpoints that are complete or absent, and where an interrupted run goes on: the last complete one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml
from accelerate import PartialState
from transformers import TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState

from ..errors import StageError

ELSEWHERE = ("slurm", "kubernetes", "hf_jobs", "cost", "publish")  # where a run is, not what it learns
FULL_CHECKPOINTS = 2
WEIGHTS_ONLY = "weights_only"
SEAL = "sealed.json"  # names and sizes of a checkpoint's files, written when all of them are there


class Seal(TrainerCallback):
    """Closes each checkpoint once every process has written its part of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_save(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            seal(self.folder / f"checkpoint-{state.global_step}")
            thin(self.folder)


def seal(checkpoint: Path) -> None:
    """Write the list of a checkpoint's files, last and at once."""
    text = json.dumps(_sizes(checkpoint))
    partial = checkpoint / f"{SEAL}.writing"
    partial.write_text(text, encoding="utf-8")
    partial.rename(checkpoint / SEAL)


def thin(folder: Path, kept: int = FULL_CHECKPOINTS) -> None:
    """Reduce all but the last ``kept`` checkpoints to their weights: the rest is for going on, and is much larger."""
    whole = sorted((path for path in folder.glob("checkpoint-*") if (path / SEAL).is_file()), key=_step)
    for checkpoint in whole[:-kept]:
        (checkpoint / WEIGHTS_ONLY).touch()
        (checkpoint / SEAL).unlink()
        for pattern in ("optimizer*", "scheduler.pt", "rng_state*", "global_step*", "pytorch_model_fsdp*", "*.distcp"):
            for path in checkpoint.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def last_checkpoint(folder: Path) -> str | None:
    """The path of the checkpoint to go on from, None for a fresh start.

    A checkpoint without a seal was cut short by the interruption; the one before it serves. Raises ``StageError``
    when files of the chosen one are not what its seal says.
    """
    whole = [path for path in folder.glob("checkpoint-*") if _step(path) and (path / SEAL).is_file()]
    if not whole:
        return None
    last = max(whole, key=_step)
    if reason := _damage(last):
        raise StageError(f"{last} is damaged ({reason}); remove it to go on from the checkpoint before it")
    return str(last)


def drop_unfinished(folder: Path) -> None:
    """Remove checkpoints that were never sealed."""
    for path in folder.glob("checkpoint-*"):
        if _step(path) and not (path / SEAL).is_file() and not (path / WEIGHTS_ONLY).is_file():
            shutil.rmtree(path)


def same_run(left: str, right: str) -> bool:
    """Whether two recipes' texts mean the same training, wherever it runs and whatever it costs."""
    return _deciding(left) == _deciding(right)


def _deciding(text: str) -> dict[str, Any] | None:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        return None  # cut short by an interruption
    if not isinstance(values, dict):
        return None
    kept = {key: value for key, value in values.items() if key not in ELSEWHERE}
    kept["launch"] = {key: (values.get("launch") or {}).get(key) for key in ("nodes", "gpus_per_node", "sharding")}
    grpo = values.get("grpo") or {}
    kept["grpo"] = {key: value for key, value in grpo.items() if not key.startswith("vllm_server_")}
    return kept


def _damage(checkpoint: Path) -> str | None:
    try:
        listed = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{SEAL} cannot be read"
    here = _sizes(checkpoint)
    wrong = [name for name, size in listed.items() if here.get(name) != size]
    return f"{wrong[0]} has {here.get(wrong[0], 0):,} of {listed[wrong[0]]:,} bytes" if wrong else None


def _sizes(checkpoint: Path) -> dict[str, int]:
    files = [path for path in checkpoint.rglob("*") if path.is_file() and not path.name.startswith(SEAL)]
    return {path.relative_to(checkpoint).as_posix(): path.stat().st_size for path in sorted(files)}


def _step(path: Path) -> int:
    """The checkpoint's step, 0 for a name that is not one's."""
    number = path.name.removeprefix("checkpoint-")
    return int(number) if number.isdigit() else 0
