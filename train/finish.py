"""The end of a training run: what is kept of it, in an order that lets an interruption cost no training."""

from __future__ import annotations

import shutil
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from .. import manifest
from .adapters import load_trained
from .cold_start import save_model
from .resume import put_reduced, step_of
from .watchdog import ALIVE_FOLDER

FINAL = "final.writing"


def finish(base: str, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Final weights in bfloat16; checkpoints reduced, one after the other, to what can be loaded and published.

    The last one, which a rerun would go on from, stays whole beside its copy until the manifest is written.
    """
    save_model(load_trained(folder / FINAL, base), tokenizer, folder)
    for leftover in (FINAL, ALIVE_FOLDER):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    checkpoints = sorted((path for path in folder.glob("checkpoint-*") if step_of(path)), key=step_of)
    for checkpoint in checkpoints:
        reduced = checkpoint.with_suffix(".writing")
        save_model(load_trained(checkpoint, base), tokenizer, reduced)
        put_reduced(checkpoint, reduced, keep=checkpoint == checkpoints[-1])
    (folder / "README.md").unlink(missing_ok=True)
    (folder / "training_args.bin").unlink(missing_ok=True)


def drop_passing(folder: Path) -> None:
    """Remove what only an interrupted run would need."""
    for leftover in [path for path in folder.iterdir() if path.name.endswith(manifest.PASSING)]:
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
