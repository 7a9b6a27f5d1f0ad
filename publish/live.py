"""Checkpoints on the Hub while training goes on: a branch ``step-N`` for each, pushed by a thread of the main process.

The trainer is never held up and never stopped: a checkpoint is linked aside when it is saved and waits in a queue;
what fails is said at once, tried again, and listed at the end. ``publish`` later replaces these branches by the
reduced weights, their evaluation and the full card.
"""

from __future__ import annotations

import queue
import shutil
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState

from ..errors import CountdownError
from ..hub import Hub, ensure_repo
from ..hub_push import push_folder
from ..hub_verify import verify_folder
from .checkpoints import Checkpoint, stage_checkpoint, write_text

AGAIN_SECONDS = 60.0  # between rounds for what the Hub would not take
LAST_SECONDS = 600.0  # how long the end of training waits for the queue
CARD = """---
library_name: transformers
pipeline_tag: text-generation
tags:
- countdown
- grpo
---

# {name}, `step-{step}`

Weights after {step} steps of GRPO, pushed while the training goes on: not evaluated, not reduced, and to be replaced
when the run is published.

## 中文

GRPO 训练 {step} 步后的权重,训练仍在进行:尚未评测,正式发布时会被替换。
"""


@dataclass(frozen=True)
class _Job:
    step: int
    folder: Path


class LivePush(TrainerCallback):
    """Pushes every saved checkpoint from the main process to ``repo_id``, made private when it is missing."""

    def __init__(
        self,
        hub: Hub,
        repo_id: str,
        *,
        replace: bool = False,
        again_seconds: float = AGAIN_SECONDS,
        last_seconds: float = LAST_SECONDS,
    ) -> None:
        self.hub, self.repo_id, self.replace = hub, repo_id, replace
        self.again_seconds, self.last_seconds = again_seconds, last_seconds
        self.waiting: queue.Queue[_Job | None] = queue.Queue()
        self.failed: dict[int, str] = {}
        self.thread: threading.Thread | None = None

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Link the checkpoint aside (a trainer may delete it later) and queue it."""
        if not state.is_world_process_zero:
            return
        step, source = state.global_step, Path(args.output_dir) / f"checkpoint-{state.global_step}"
        folder = Path(args.output_dir) / ".live" / f"step-{step}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
            stage_checkpoint(Checkpoint(f"checkpoint-{step}", step, source), folder)
            write_text(folder / "README.md", CARD.format(name=self.repo_id.partition("/")[2], step=step))
        except (CountdownError, OSError) as error:
            self._fails(step, str(error))
            return
        self.waiting.put(_Job(step, folder))
        if self.thread is None:
            self.thread = threading.Thread(target=self._work, name="live-push", daemon=True)
            self.thread.start()

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Give the queue a last, bounded time and say what did not arrive."""
        if not state.is_world_process_zero:
            return  # the folder is the main process's, which may still push from it
        if self.thread is not None:
            self.waiting.put(None)
            self.thread.join(self.last_seconds)
        if self.failed or (self.thread and self.thread.is_alive()):
            steps = ", ".join(f"step-{step}" for step in sorted(self.failed)) or "the last checkpoints"
            _say(f"{steps} did not reach {self.repo_id}; `countdown-r1 publish` sends what is missing")
        shutil.rmtree(Path(args.output_dir) / ".live", ignore_errors=True)

    def _work(self) -> None:
        """Push job after job. What failed is tried again when nothing else is due, and once more after the end."""
        late: list[_Job] = []
        while True:
            try:
                job = self.waiting.get(timeout=self.again_seconds if late else None)
            except queue.Empty:
                job = late.pop(0)
            if job is None:
                break
            if not self._pushed(job):
                late.append(job)
        for job in late:
            self._pushed(job)

    def _pushed(self, job: _Job) -> bool:
        """Whether a checkpoint is on the Hub now; why not is said."""
        try:
            self._push(job)
        except (CountdownError, OSError) as error:
            self._fails(job.step, str(error))
            return False
        self.failed.pop(job.step, None)
        shutil.rmtree(job.folder, ignore_errors=True)
        return True

    def _push(self, job: _Job) -> None:
        ensure_repo(self.hub, self.repo_id, "model")
        branch = f"step-{job.step}"
        wish: dict[str, Any] = {"message": f"Step {job.step} of the training", "replace": self.replace}
        commit = push_folder(self.hub, self.repo_id, "model", job.folder, revision=branch, **wish)
        verify_folder(self.hub, self.repo_id, "model", job.folder, revision=commit)

    def _fails(self, step: int, why: str) -> None:
        self.failed[step] = why
        _say(f"step-{step} is not on the Hub yet: {why}")


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} live push: {text}", file=sys.stderr, flush=True)
