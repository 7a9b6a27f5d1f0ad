"""When a run's machines were held and what they did: one JSON line an event, over all sessions of a run.

``callbacks.Timeline`` writes it; reading it needs no torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

TIMELINE_FILE = "timeline.jsonl"
METERED = "COUNTDOWN_R1_METERED_GPUS"  # this machine's GPUs that a run holds, where it trains on some of them


def read_timeline(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a run in order; a line that was cut short is left out."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def joules() -> float | None:
    """Energy that this run's GPUs here have taken since their driver was loaded; None where NVML does not say.

    They are those this process may use, unless the launcher says that a server beside it holds more (``METERED``).
    Either is read as CUDA does: numbers or beginnings of UUIDs, separated by commas.
    """
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(place) for place in range(pynvml.nvmlDeviceGetCount())]
        if (visible := os.environ.get(METERED, os.environ.get("CUDA_VISIBLE_DEVICES"))) is not None:
            names = [name.strip() for name in visible.split(",")]
            handles = [handle for place, handle in enumerate(handles) if _named(pynvml, handle, place, names)]
        return sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in handles) / 1000
    return None


def _named(pynvml: Any, handle: Any, place: int, names: list[str]) -> bool:
    if str(place) in names:
        return True
    uuids = [name for name in names if name.startswith("GPU-")]
    return bool(uuids) and pynvml.nvmlDeviceGetUUID(handle).startswith(tuple(uuids))
