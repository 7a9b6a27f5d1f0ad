"""Ends a run that hangs: a process that stands still, or a vLLM server that no longer answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState

from ..manifest import write_whole
from .clusters import Launch
from .servers import answers

ALIVE_FOLDER = "alive"  # one small file a process, rewritten every few seconds
STUCK_STATUS = 75  # exit status, "try again" in sysexits.h
LOOK_SECONDS = 2.0
SERVER_FAILURES = 4  # looks in a row, each given SERVER_SECONDS to answer
SERVER_SECONDS = 10.0


class Watchdog(TrainerCallback):
    """A thread beside each process that trains together with others or with a server.

    Every process leaves a sign of life and how far it has come in ``alive/``. When this one has not come further
    for longer than ``launch`` allows, or another one leaves no sign, it says which one is behind, kills those of
    this host, and ends. Saving a checkpoint gets as long as the start.
    """

    def __init__(self, folder: Path, launch: Launch, server: str | None = None) -> None:
        self.folder, self.launch, self.server = folder, launch, server
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        self.ticks, self.step, self.longest, self.failures = 0, 0, 0.0, 0
        self.last, self.extra = time.monotonic(), float(launch.startup_seconds)
        self.ended = threading.Event()

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if self.world == 1 and self.server is None:
            return
        (self.folder / ALIVE_FOLDER).mkdir(exist_ok=True)
        self.last = time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    def on_step_begin(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._tick(state)

    def on_substep_end(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._tick(state)

    def on_step_end(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._tick(state)
        self.extra = float(self.launch.startup_seconds) if control.should_save else 0.0

    def on_save(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.extra, self.last = 0.0, time.monotonic()

    def on_train_end(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.ended.set()

    def _tick(self, state: TrainerState) -> None:
        now = time.monotonic()
        if not self.extra:
            self.longest = max(self.longest, now - self.last)
        self.ticks, self.step, self.last = self.ticks + 1, state.global_step, now

    def _watch(self) -> None:
        while not self.ended.wait(LOOK_SECONDS):
            with suppress(OSError):  # a full disk is found out, and told, by the training itself
                self._sign()
            if reason := self._silent_process() or self.standing_still() or self._dead_server():
                self._end(reason)

    def _sign(self) -> None:
        place = self.folder / ALIVE_FOLDER / str(self.rank)
        sign = {"ticks": self.ticks, "step": self.step, "pid": os.getpid(), "host": socket.gethostname()}
        write_whole(place, json.dumps(sign | {"time": time.time()}))

    def _signs(self) -> dict[int, dict[str, Any]]:
        found = {}
        for rank in range(self.world):
            with suppress(OSError, ValueError):
                found[rank] = json.loads((self.folder / ALIVE_FOLDER / str(rank)).read_text(encoding="utf-8"))
        return found

    def _silent_process(self) -> str | None:
        for rank, sign in self._signs().items():
            age = time.time() - sign["time"]
            if rank != self.rank and self.ticks > 1 and age > self.launch.stall_seconds and sign["ticks"]:
                return f"{_who(rank, sign)} has shown no sign of life for {age:.0f} s"
        return None

    def standing_still(self) -> str | None:
        """Why this process counts as stuck, and who holds it up; None while it comes further."""
        silent = time.monotonic() - self.last
        if silent <= max(self.launch.stall_seconds, 2 * self.longest) + self.extra:
            return None
        behind = [_who(rank, sign) for rank, sign in self._behind().items()]
        blamed = f"behind the others: {', '.join(behind)}" if behind else "all processes stand at the same place"
        return f"no progress for {silent:.0f} s in step {self.step + 1}; {blamed}; this one waits in {_place()}"

    def _behind(self) -> dict[int, dict[str, Any]]:
        """Processes that have come less far than another, or have stopped leaving signs; never this one for that."""
        signs = self._signs()
        ahead = max((sign["ticks"] for sign in signs.values()), default=0)
        old = time.time() - self.launch.stall_seconds / 2  # one stopped where the others wait is as far as they are
        silent = {rank for rank, sign in signs.items() if rank != self.rank and sign["time"] < old}
        return {rank: sign for rank, sign in signs.items() if sign["ticks"] < ahead or rank in silent}

    def _dead_server(self) -> str | None:
        if self.server is None:
            return None
        self.failures = 0 if answers(self.server, SERVER_SECONDS) else self.failures + 1
        if self.failures < SERVER_FAILURES:
            return None
        return f"the vLLM server at {self.server} no longer answers; see its log, memory ran out on it most often"

    def _end(self, reason: str) -> None:
        text = f"Error: training is stuck: {reason}. The same command goes on from the last checkpoint."
        print(f"\n{text}", file=sys.stderr, flush=True)
        with suppress(OSError):
            (self.folder / f"stuck-{self.rank}.txt").write_text(text + "\n", encoding="utf-8")
        for rank, sign in self._behind().items():
            if rank != self.rank and sign["host"] == socket.gethostname():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(sign["pid"], signal.SIGKILL)  # a stopped process takes no other
        os._exit(STUCK_STATUS)


def _who(rank: int, sign: dict[str, Any]) -> str:
    return f"process {rank} (pid {sign['pid']} on {sign['host']}, step {sign['step'] + 1})"


def _place() -> str:
    """Where this process's main thread is."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    last = traceback.extract_stack(frame)[-1] if frame else None
    return f"{Path(last.filename).name}:{last.lineno} {last.name}" if last else "an unknown place"
