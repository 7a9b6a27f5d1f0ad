"""Stopping a run without losing it: a signal or a file asks for a checkpoint at the next safe step.

``callbacks.StopRequest`` listens; asking needs no torch.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

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


def forget_request(folder: Path) -> None:
    """Remove what an earlier session may have left of the protocol."""
    for name in (STOP_FILE, RUNNING_FILE):
        (folder / name).unlink(missing_ok=True)
