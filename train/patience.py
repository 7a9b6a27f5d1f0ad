"""Stopping GRPO when checkpoints no longer get better on held-out puzzles.

The DataCanvas article saw its results fall after step 200; a reward that still climbs does not show that, puzzles
of the ``validation`` split do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase, TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState

from ..build_dataset.prompt import render
from ..errors import InputError
from ..game.answer import judge
from ..game.puzzle import Puzzle
from .generation import Ask, Decoding, encode, write_batches
from .questions import Row
from .recipe import Evaluate

VALIDATION_FILE = "validation.jsonl"


def exhausted(rates: Sequence[float], patience: int) -> bool:
    """Whether the last ``patience`` checkpoints are all no better than the best before them, the base included.

    >>> exhausted([0.2, 0.5, 0.5, 0.4], patience=2), exhausted([0.2, 0.5, 0.5, 0.6], patience=2)
    (True, False)
    """
    before, last = rates[:-patience], rates[-patience:]
    return bool(before) and max(last) <= max(before)


class Patience(TrainerCallback):
    """Solves ``rows`` before training and at each checkpoint; ends it after ``patience`` checkpoints without a best.

    Every process answers its share of the puzzles, the first one decides for all. The rates are kept in
    ``validation.jsonl``, from which a resumed run goes on. Without patience it does nothing.
    """

    def __init__(
        self, settings: Evaluate, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], folder: Path, *, whole: bool
    ) -> None:
        """``whole``: each process holds all weights. Raises ``InputError`` when there is nothing to measure with."""
        self.patience, self.tokenizer, self.rows = settings.patience, tokenizer, rows[: settings.validation]
        self.decoding = Decoding(settings.temperature, settings.max_new_tokens, settings.batch_size, settings.seed)
        self.path = folder / VALIDATION_FILE
        if self.patience and not self.rows:
            raise InputError("section 'evaluate', key 'patience': there are no validation puzzles; raise 'validation'")
        if self.patience and not whole:
            raise InputError(
                "section 'evaluate', key 'patience': FSDP and DeepSpeed spread the weights over processes, which "
                "cannot answer alone; set patience to 0 and evaluate the checkpoints after training"
            )

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        if not self.patience:
            return
        missing = [False]
        if state.is_world_process_zero:  # what comes after the checkpoint that a run goes on from is measured again
            kept = [entry for entry in _history(self.path) if entry["step"] <= state.global_step]
            self.path.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
            missing = [state.global_step not in [entry["step"] for entry in kept]]
        broadcast_object_list(missing)
        if missing[0]:
            self._measure(event["model"], state)

    def on_save(self, args: object, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        if not self.patience:
            return
        self._measure(event["model"], state)
        decision = [state.is_world_process_zero and exhausted(self._rates(), self.patience)]
        broadcast_object_list(decision)
        if decision[0]:
            control.should_training_stop = True
            if state.is_world_process_zero:
                best = max(_history(self.path), key=lambda entry: entry["solve_rate"])
                tqdm.write(
                    f"stopped at step {state.global_step}: nothing better on validation in {self.patience} "
                    f"checkpoint(s); the best was {best['solve_rate']:.1%} at step {best['step']}"
                )

    def _measure(self, model: Any, state: TrainerState) -> None:
        """Append the solve rate of the weights as they are; each process answers every n-th puzzle."""
        here = PartialState()
        share = list(range(len(self.rows)))[here.process_index :: here.num_processes]
        prompts = [render(self.tokenizer, row["prompt"], row["assistant_prefix"]) for row in self.rows]
        ids = encode(self.tokenizer, prompts)
        training = model.training
        model.eval()
        batches = write_batches(model, self.tokenizer, [Ask(ids[place], place) for place in share], self.decoding)
        texts = [completion.text for batch in batches for completion in batch]
        model.train(training)
        solved = [self._solved(place, text) for place, text in zip(share, texts, strict=True)]
        scores = gather_object(solved)
        if state.is_world_process_zero:
            entry = {"step": state.global_step, "n": len(scores), "solve_rate": round(sum(scores) / len(scores), 4)}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    def _solved(self, place: int, text: str) -> int:
        row = self.rows[place]
        return int(judge(Puzzle(tuple(row["nums"]), row["target"]), text).solved)

    def _rates(self) -> list[float]:
        return [entry["solve_rate"] for entry in _history(self.path)]


class NothingLeft(Exception):
    """A run was resumed whose training is over: its last weights are loaded, and no step is to be taken."""


class End(TrainerCallback):
    """Ends a resumed run that was killed between its last checkpoint and its end, which HF's loop takes a step past.

    It stands behind the others, which have begun by then: whoever catches ``NothingLeft`` tells them of the end.
    """

    def __init__(self, folder: Path, patience: int) -> None:
        self.path, self.patience = folder / VALIDATION_FILE, patience

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        rates = [entry["solve_rate"] for entry in _history(self.path)]
        over = state.global_step >= state.max_steps or (self.patience > 0 and exhausted(rates, self.patience))
        if state.global_step and over:
            raise NothingLeft


def _history(path: Path) -> list[dict[str, Any]]:
    """What was measured so far; a line without an end was cut short by an interruption."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
