"""Saving, rehearsed: before the first step a checkpoint is written and removed, so that no training ends at a save."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, GenerationConfig, PreTrainedTokenizerBase, TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState

from .. import models
from ..errors import CountdownError, StageError, disk_is_full
from .disk import LESS_DISK, disk_bytes
from .memory import GIB
from .recipe import Recipe

if TYPE_CHECKING:
    from .trainer import Trainer

PLACE = "rehearsal.writing"


class SaveRehearsal(TrainerCallback):
    """Writes a checkpoint of the prepared trainer before the first step, where the real ones go, and removes it."""

    def __init__(self, trainer: Trainer, recipe: Recipe, folder: Path) -> None:
        self.trainer, self.recipe, self.folder = trainer, recipe, folder

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        first = state.is_world_process_zero
        if first:
            check_room(self.recipe, event["model"].num_parameters(), self.folder)
        with rehearsed(self.folder, remove=first) as place:
            self.trainer.rehearse(place)
            self.trainer.accelerator.wait_for_everyone()
            for written in place.glob("checkpoint-*") if first else ():
                _load_again(written, adapters=not (written / "config.json").is_file())
            self.trainer.accelerator.wait_for_everyone()


@contextmanager
def rehearsed(folder: Path, remove: bool = True) -> Iterator[Path]:
    """A folder in ``folder`` to try a save in, gone afterwards; of several processes one should ``remove`` it.

    Errors as those of ``savable``.
    """
    place = folder / PLACE
    try:
        with savable(folder):
            place.mkdir(parents=True, exist_ok=True)
            yield place
    finally:
        if remove:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def savable(folder: Path) -> Iterator[None]:
    """Turns whatever a library has against saving to ``folder`` into a ``StageError``; a full disk stays one."""
    try:
        yield
    except CountdownError:
        raise
    # A part that cannot be written surfaces as OSError, ValueError, TypeError, RuntimeError, SafetensorError ...
    except Exception as error:
        if disk_is_full(error):
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise StageError(
            f"no checkpoint could be saved in {folder}, so no step is taken: {reason}; mend the base's files, or "
            "choose another --out if it is the disk's fault"
        ) from error


def save_parts(config: Any, generation: GenerationConfig, tokenizer: PreTrainedTokenizerBase, place: Path) -> None:
    """Save all of a model but its weights to ``place``, and load it again."""
    for part in (config, generation, tokenizer):
        part.save_pretrained(place)
    _load_again(place)


def _load_again(place: Path, adapters: bool = False) -> None:
    """What was written must also be read; ``adapters`` have no configuration of a model beside them."""
    models.load_tokenizer(place)
    if not adapters:
        AutoConfig.from_pretrained(place)
        GenerationConfig.from_pretrained(place, local_files_only=True)


def check_room(recipe: Recipe, parameters: int, folder: Path) -> None:
    """Raise ``StageError`` when the disk of ``folder`` cannot hold what the run writes, what it wrote included."""
    count, needed = disk_bytes(recipe, parameters)
    written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free
    if free + written < needed:
        raise StageError(
            f"no space for the run in {folder}: {free / GIB:.1f} GiB are free, {count} checkpoint(s) and what goes on "
            f"from them need {(needed - written) / GIB:.1f}; {LESS_DISK}"
        )
