"""What a run does beside its steps: it notes times and energy, hears that it should stop, and seals its checkpoints."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch.distributed
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState

from .resume import seal, thin
from .stopping import RUNNING_FILE, STOP_FILE, STOPPING, forget_request, hearing, say
from .timeline import METERED, joules


class Seal(TrainerCallback):
    """Closes each checkpoint once every process has written its part of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_save(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            seal(self.folder / f"checkpoint-{state.global_step}")
            thin(self.folder)


class StopRequest(TrainerCallback):
    """Ends training after the step in which any process was asked to, with a checkpoint.

    Only a step that ends a generation batch is safe: buffered completions are in no checkpoint. ``boundary`` is how
    many steps such a batch lasts. ``stopped`` tells afterwards.
    """

    def __init__(self, folder: Path, boundary: int = 1) -> None:
        self.folder, self.boundary = folder, boundary
        self.asked = self.stopped = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Signals ask while the body runs; the second one ends it at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        with hearing(self._hear):
            yield

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        if PartialState().is_main_process:
            say(STOPPING)

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if state.is_world_process_zero:
            (self.folder / RUNNING_FILE).touch()

    def on_step_end(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if state.global_step % self.boundary:
            return
        asked = self.asked or (state.is_world_process_zero and (self.folder / STOP_FILE).exists())
        if any(gather_object([asked])):
            control.should_save = control.should_training_stop = self.stopped = True

    def on_train_end(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if state.is_world_process_zero:
            forget_request(self.folder)


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
