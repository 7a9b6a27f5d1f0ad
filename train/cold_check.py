"""What a cold start looks at while it runs: loss and solve rate on puzzles of the ``validation`` split."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ..build_dataset.prompt import LANGUAGES, chatml, load_template
from ..build_dataset.puzzles import as_puzzles
from ..game.answer import judge
from .decoder import Decoder
from .generation import encode
from .packing import TraceRows, draw_puzzles
from .recipe import ColdStart

LOSS_BATCHES = 2
ROOM = 2048  # new tokens at most, as in the published evaluation


class HeldOut:
    """Held-out samples for the loss and held-out puzzles to solve, the same at every look."""

    def __init__(self, settings: ColdStart, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer, self.positions = tokenizer, settings.max_positions
        tables = draw_puzzles(settings, "validation", max(settings.check_puzzles, 20))
        rows = TraceRows(replace(settings, workers=0), tokenizer, tables, "held out")
        self.batches = list(islice(iter(rows), LOSS_BATCHES))
        self.puzzles = {
            count: as_puzzles(table)[: settings.check_puzzles]
            for count, table in zip(settings.numbers, tables, strict=True)
        }
        self.decoder: Decoder | None = None

    def measure(self, model: PreTrainedModel, loss_of: Any) -> dict[str, float]:
        """``held_out_loss``, and for each count of numbers the share solved greedily, languages taking turns."""
        model.eval()
        with torch.no_grad():
            losses = [
                loss_of(*(batch[name].to(model.device).long() for name in ("input_ids", "labels", "positions")))
                for batch in self.batches
            ]
        found = {"held_out_loss": round(float(torch.stack(losses).mean()), 4)}
        self.decoder = self.decoder or Decoder(model)
        self.decoder.refresh(model)
        for count, puzzles in self.puzzles.items():
            if puzzles:
                found[f"solved_{count}"] = self._solved(self.decoder, puzzles)
        model.train()
        return found

    def _solved(self, decoder: Decoder, puzzles: list[Any]) -> float:
        templates = [load_template(LANGUAGES[place % len(LANGUAGES)]) for place in range(len(puzzles))]
        prompts = [chatml(template, puzzle) for template, puzzle in zip(templates, puzzles, strict=True)]
        ends = (int(self.tokenizer.eos_token_id),)  # pyright: ignore[reportArgumentType]
        asked = encode(self.tokenizer, prompts)
        room = max(1, min(ROOM, self.positions - max(map(len, asked))))
        written = decoder.sample(asked, ends, room, 0.0)
        texts = self.tokenizer.batch_decode([row[:-1] if row[-1] in ends else row for row in written])
        right = sum(judge(puzzle, text).solved for puzzle, text in zip(puzzles, texts, strict=True))
        return round(right / len(puzzles), 4)
