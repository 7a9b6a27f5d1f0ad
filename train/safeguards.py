"""Ends a run that has broken, before it overwrites good checkpoints: NaN, explosion, collapse; with a report."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from accelerate.utils import gather_object
from transformers import TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState

from ..errors import TrainingError
from .resume import as_base, last_checkpoint

REPORT_FILE = "stopped.json"
KEPT = 20  # logged steps that a report shows and a limit is measured against
EXPLODED = 100.0  # times the median of the steps before; for a reward, times the most that they earned
FEWEST = 5  # steps before anything is compared
LOWEST = {"grad_norm": 10.0, "kl": 1.0, "entropy": 5.0, "loss": 10.0}  # below it nothing counts as exploded
LOWEST_REWARD = 10.0  # the same, in points
HIGHEST_KL = 50.0  # nats a token: the policy has left its reference altogether
COLLAPSED_STEPS = 10
FALLEN = 3.0  # to less than one in so many of the best mean of COLLAPSED_STEPS
SURE = 5.0  # standard errors that such a fall has to be, so that small batches do not end a run by chance


class Sanity(TrainerCallback):
    """Looks at every logged step, and raises ``TrainingError`` on the first one that shows a broken run.

    Broken is: a loss, gradient, reward, KL or entropy that is no finite number; one of them exploded; an equation
    reward that had been earned and then stays 0 (outputs of one repeated token end so too) or falls to a third.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logged: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.best, self.empty = 0.0, 0
        self.recent: deque[float] = deque(maxlen=COLLAPSED_STEPS)
        self.best_mean = 0.0

    def on_log(self, args: object, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        logs = event["logs"]
        if "reward" not in logs:
            return
        completions = COLLAPSED_STEPS * (getattr(args, "generation_batch_size", None) or 1)
        reason = _not_finite(logs) or _exploded(logs, self.logged) or self._collapsed(logs, completions)
        self.logged.append({"step": state.global_step} | logs)
        if reason:
            raise TrainingError(self.report(reason, state))

    def on_save(self, args: object, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        """Before the checkpoint is sealed: a run that has lost its weights must not go on from them."""
        lost = any(not bool(weight.isfinite().all()) for weight in event["model"].parameters())
        if any(gather_object([lost])):
            raise TrainingError(self.report("weights are not finite", state))

    def _collapsed(self, logs: Mapping[str, Any], completions: int) -> str | None:
        """``completions`` is how many a mean over COLLAPSED_STEPS logged steps is taken of, at least."""
        name = next((key for key in logs if "equation" in key and key.endswith("/mean")), "reward")
        self.best = max(self.best, logs[name] or 0.0)
        self.empty = 0 if logs[name] else self.empty + 1
        if self.best > 0 and self.empty >= COLLAPSED_STEPS:
            return f"{name} was {self.best:.2f} and has been 0 for {self.empty} logged steps"
        self.recent.append(logs[name] or 0.0)
        if "equation" not in name or len(self.recent) < COLLAPSED_STEPS:
            return None
        mean = sum(self.recent) / COLLAPSED_STEPS
        self.best_mean = max(self.best_mean, mean)
        error = math.sqrt(max(0.0, self.best_mean * (1 - self.best_mean)) / completions)
        if mean < self.best_mean / FALLEN and self.best_mean - mean > SURE * error:
            return f"{name} fell from {self.best_mean:.2f} to {mean:.2f} (means of {COLLAPSED_STEPS} logged steps)"
        return None

    def report(self, reason: str, state: TrainerState) -> str:
        """Writes the last steps beside the metrics; the line that names the way out."""
        checkpoint = last_checkpoint(self.folder)
        if state.is_world_process_zero:
            report = {"reason": reason, "step": state.global_step, "checkpoint": checkpoint, "steps": [*self.logged]}
            (self.folder / REPORT_FILE).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        from_there = as_base(checkpoint) if checkpoint else ""
        return (
            f"stopped at step {state.global_step}: {reason}; see {self.folder / REPORT_FILE} and completion_samples/, "
            f"then train to another --out{from_there} with a lower grpo.learning_rate or a higher grpo.beta"
        )


def _not_finite(logs: Mapping[str, Any]) -> str | None:
    for name in ("loss", "grad_norm", "reward", "kl", "entropy"):
        value = logs.get(name)
        if value is not None and not math.isfinite(value):
            return f"{name} is {value}"
    return None


def _exploded(logs: Mapping[str, Any], before: deque[dict[str, Any]]) -> str | None:
    """A reward may grow from 0, and on any scale: a single completion that earned some of it shows the scale in the
    standard deviation, and before one did there is none to compare with."""
    if (kl := logs.get("kl") or 0.0) > HIGHEST_KL:
        return f"kl is {kl:.1f}, more than {HIGHEST_KL:.0f} nats a token"
    if len(before) < FEWEST:
        return None
    for name, lowest in LOWEST.items():
        value = logs.get(name)
        usual = median(abs(entry.get(name) or 0.0) for entry in before)
        if value is not None and abs(value) > max(lowest, EXPLODED * usual):
            return f"{name} jumped from {usual:.3g} to {value:.3g}"
    most = max(abs(entry["reward"]) + (entry.get("reward_std") or 0.0) for entry in before)
    if most > 0 and abs(logs["reward"]) > max(LOWEST_REWARD, EXPLODED * most):
        return f"reward jumped from at most {most:.3g} to {logs['reward']:.3g} (look at the reward functions first)"
    return None
