"""What a job on other machines can read: the Hub, and the job's own disk; nothing of this machine."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ..errors import InputError
from ..models import SHIPPED
from ..names import HUB_ID, is_path
from .recipe import Recipe

HERE = ("local", "accelerate")  # launchers whose processes run on this machine
READING = (*HERE, "slurm")  # and those whose processes see its disk


def check_reach(recipe: Recipe, dataset: str, disk: PurePosixPath | None = None) -> None:
    """Raise ``InputError`` for a dataset, model or reward that the job could not read.

    What lies below ``disk``, which the job has and this machine need not have, is believed.
    """
    datasets = [] if recipe.grpo is None else [dataset]
    started = recipe.cold_start.start if recipe.cold_start else recipe.base
    models = [started] if started and started not in SHIPPED else []
    for name in [name for name in datasets if not on_hub(name)]:
        _refuse("dataset", name, "push it with build-dataset --push-to and give NAMESPACE/NAME", disk)
    for name in [name for name in models if not on_hub(name)]:
        _refuse("model", name, f"push it and give NAMESPACE/NAME@REVISION, or use {' or '.join(SHIPPED)}", disk)
    for name in [name for name in recipe.rewards.functions if ":" in name]:
        _refuse("reward", name, "use the rewards that are shipped", disk)


def on_hub(name: str) -> bool:
    """Whether a name means a repository of the Hub: ``NAMESPACE/NAME[@REVISION]``, and no file or folder here.

    >>> on_hub("someone/puzzles@v1"), on_hub("outputs/x/dataset"), on_hub("./puzzles")
    (True, False, False)
    """
    return bool(HUB_ID.fullmatch(name)) and not is_path(name) and not Path(name).exists()


def on_disk(name: str, disk: PurePosixPath | None) -> bool:
    """Whether a name is a path on the disk of the job, when it has one."""
    return disk is not None and PurePosixPath(name).is_relative_to(disk)


def _refuse(kind: str, name: str, fix: str, disk: PurePosixPath | None) -> None:
    if not on_disk(name, disk):
        copy = f", or copy it to the claim and give its path below {disk}" if disk and kind != "model" else ""
        raise InputError(f"{kind} {name} is not on the Hub, and the job cannot read this machine's files: {fix}{copy}")
