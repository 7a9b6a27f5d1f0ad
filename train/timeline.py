"""When a run's machines were held and what they did: one JSON line an event, over all sessions of a run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch.distributed
from transformers import TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState

TIMELINE_FILE = "timeline.jsonl"
METERED = "COUNTDOWN_R1_METERED_GPUS"  # this machine's GPUs that a run holds, where it trains on some of them


class Timeline(TrainerCallback):
    """Writes ``timeline.jsonl``, from the first process alone.

    ``start``: a session began, with the GPUs that train and those of vLLM servers. ``step``: seconds of generation,
    rewards and update, and tokens. ``save``: a checkpoint, with the energy so far of all nodes that train, and of a
    server on one of them. ``end``: the session left the training loop. A killed session has no end; its last event
    stands for it. Reward functions tell when they begin and end (``rewarding``, ``rewarded``).
    """

    def __init__(self, path: Path, gpus: int, began: float, server_gpus: int = 0) -> None:
        """``began`` is the session's start in seconds since 1970."""
        self.path, self.gpus, self.first = path, gpus, True
        self.step = self.rewards_began = self.rewards_ended = began
        self.tokens = 0.0
        self.energy = joules()
        _drop_cut_line(path)
        self._write("start", at=began, gpus=gpus, server_gpus=server_gpus, servers_metered=METERED in os.environ)

    def rewarding(self) -> None:
        """Completions are there, rewards begin."""
        self.rewards_began = time.time()

    def rewarded(self) -> None:
        """Rewards end, the update begins."""
        self.rewards_ended = time.time()

    def on_step_begin(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.step = self.rewards_began = self.rewards_ended = time.time()

    def on_step_end(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._write(
            "step",
            step=state.global_step,
            generate=round(self.rewards_began - self.step, 3),
            reward=round(self.rewards_ended - self.rewards_began, 3),
            update=round(time.time() - self.rewards_ended, 3),
        )

    def on_log(self, args: object, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        if (tokens := event["logs"].get("num_tokens")) is not None:
            self.tokens = tokens

    def on_save(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._write("save", step=state.global_step, joules=self._joules_so_far())

    def on_train_end(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._write("end", step=state.global_step, tokens=self.tokens, joules=self._joules_so_far())

    def _joules_so_far(self) -> float | None:
        """Of every node, each read by its first process, all at the same moment; None when one cannot tell."""
        now = joules()
        taken = now - self.energy if now is not None and self.energy is not None else None
        if not torch.distributed.is_initialized():
            return taken
        counts = os.environ.get("LOCAL_RANK", "0") == "0"
        found: list[tuple[bool, float | None]] = [(False, None)] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(found, (counts, taken))
        nodes = [joules for first, joules in found if first]
        return None if None in nodes else sum(joules or 0.0 for joules in nodes)

    def _write(self, event: str, at: float | None = None, **values: object) -> None:
        if os.environ.get("RANK", "0") != "0":
            return
        line = {"event": event, "time": round(time.time() if at is None else at, 3)} | values
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _drop_cut_line(path: Path) -> None:
    """What a kill left of a last line goes, so that the next one does not continue it."""
    if os.environ.get("RANK", "0") == "0" and path.is_file():
        text = path.read_text(encoding="utf-8")
        if not text.endswith("\n"):
            path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")


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
