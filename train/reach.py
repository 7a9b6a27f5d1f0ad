"""What a job on other machines can read: the Hub, and the job's own disk; nothing of this machine."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ..build_dataset.records import HUB_ID
from ..errors import InputError
from .recipe import Recipe


def check_reach(recipe: Recipe, dataset: str, disk: PurePosixPath | None = None) -> None:
    """Raise ``InputError`` for a dataset that the job could not read. What lies below its own ``disk`` is believed."""
    if recipe.grpo is not None and not on_hub(dataset) and not on_disk(dataset, disk):
        raise InputError(
            f"dataset {dataset} is not on the Hub, and the job cannot read this machine's files: push it with "
            f"build-dataset --push-to and give NAMESPACE/NAME{_or_copy(disk)}"
        )


def on_hub(name: str) -> bool:
    """Whether a name means a repository of the Hub: ``NAMESPACE/NAME[@REVISION]``, and no file or folder here."""
    return bool(HUB_ID.fullmatch(name)) and not name.startswith((".", "/")) and not Path(name).exists()


def on_disk(name: str, disk: PurePosixPath | None) -> bool:
    """Whether a name is a path on the disk of the job, when it has one."""
    return disk is not None and PurePosixPath(name).is_relative_to(disk)


def _or_copy(disk: PurePosixPath | None) -> str:
    return f", or copy it to the claim and give its path below {disk}" if disk else ""
