"""Where an interrupted run goes on: its last whole checkpoint."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from safetensors import SafetensorError, safe_open
from transformers.trainer import TRAINER_STATE_NAME

from ..errors import StageError

OPTIMIZER = "optimizer.pt"


def last_checkpoint(folder: Path) -> str | None:
    """The path of the checkpoint to go on from, None for a fresh start.

    The trainer writes its state last, so a checkpoint without one was cut short by the interruption; the one
    before it serves. Raises ``StageError`` when files of the chosen one are damaged.
    """
    whole = [path for path in folder.glob("checkpoint-*") if _step(path) and (path / TRAINER_STATE_NAME).is_file()]
    if not whole:
        return None
    last = max(whole, key=_step)
    try:
        _read_a_little(last)
    except (SafetensorError, OSError, ValueError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise StageError(f"{last} is damaged ({reason}); remove it to go on from the checkpoint before it") from error
    return str(last)


def _step(path: Path) -> int:
    """The checkpoint's step, 0 for a name that is not one's."""
    number = path.name.removeprefix("checkpoint-")
    return int(number) if number.isdigit() else 0


def _read_a_little(checkpoint: Path) -> None:
    """Open every file that resuming needs; a file cut short shows in its header or its end."""
    json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    for weights in checkpoint.glob("*.safetensors"):
        with safe_open(weights, framework="pt"):
            pass
    if (checkpoint / OPTIMIZER).exists():
        with zipfile.ZipFile(checkpoint / OPTIMIZER):
            pass
