"""Stopping a run without losing it: a signal or a file asks for a checkpoint at the next safe step."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState

STOP_FILE = "stop"  # whoever cannot send a signal writes it: a pod's preStop hook, the process that started torchrun
RUNNING_FILE = "running"  # there while the file is looked for
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, a scheduler, a terminal that was closed
STOPPING = "\nstopping after this step, with a checkpoint; once more stops at once"


@contextmanager
def hearing(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """``handler`` hears every one of ``SIGNALS`` while the body runs, but SIGHUP under nohup, which ignores it."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        del before[signal.SIGHUP]
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def say(text: str) -> None:
    """To the terminal, if it is still there."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


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


def forget_request(folder: Path) -> None:
    """Remove what an earlier session may have left of the protocol."""
    for name in (STOP_FILE, RUNNING_FILE):
        (folder / name).unlink(missing_ok=True)
