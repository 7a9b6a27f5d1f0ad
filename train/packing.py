"""Cold start samples as packed rows: puzzles to prompts and traces, to token ids, to rows without waste.

A sample keeps its own positions and is only attended to by itself (``positions`` begin again at 0), so a model
learns each puzzle as it will meet it. Rows are written by the data loader's workers while the model trains.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import IterableDataset, get_worker_info
from transformers import PreTrainedTokenizerFast

from ..build_dataset.generate import Wish, generate
from ..build_dataset.prompt import LANGUAGES, chatml_column, load_template
from ..build_dataset.puzzles import as_puzzles
from ..errors import InputError
from .generation import token_id
from .recipe import ColdStart
from .tokenizer import END
from .traces import Habits, write_trace

IGNORED = -100  # label of positions that carry no loss
BLOCK = 256  # samples drawn together, which share out counts and languages exactly
_PIECES = re.compile(r"[0-9]|[^0-9]+")

Batch = dict[str, torch.Tensor]


class Encoder:
    """The tokenizer's ids, several times faster: text between digits repeats, so each piece is encoded once."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.known: dict[str, list[int]] = {}

    def __call__(self, text: str) -> list[int]:
        known, ids = self.known, []
        for piece in _PIECES.findall(text):
            found = known.get(piece)
            if found is None:
                found = known[piece] = self.tokenizer(piece)["input_ids"]
            ids += found
        return ids


class TraceRows(IterableDataset[Batch]):
    """An endless stream of batches: ``input_ids``, ``labels`` and ``positions``, each (batch_rows, row_tokens).

    Prompts and padding carry no loss. Each worker has a stream of its own, decided by the seed, ``sitting`` and its
    number, so that a second sitting does not see the first one's samples again. Raises ``InputError`` when samples do
    not fit into a row, since the stream would never yield one.
    """

    def __init__(
        self, settings: ColdStart, tokenizer: PreTrainedTokenizerFast, tables: Sequence[pa.Table], sitting: str = ""
    ) -> None:
        self.settings, self.tables, self.sitting = settings, tables, sitting
        self.encode = Encoder(tokenizer)
        self.pad = token_id(tokenizer, "pad_token")
        samples = islice(write_samples(settings, tables, Random(settings.seed)), 20)
        shortest = min(len(self._tokens(*sample)[0]) for sample in samples)
        if shortest > settings.row_tokens:
            raise InputError(f"section 'cold_start': a sample has {shortest} tokens and more, raise 'row_tokens'")

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        rng = Random(f"{self.settings.seed}/{self.sitting}/{worker.id if worker else 0}")
        samples = (self._tokens(*sample) for sample in write_samples(self.settings, self.tables, rng))
        rows = _packed(samples, self.settings.row_tokens, self.pad)
        while True:
            batch = np.array(list(islice(rows, self.settings.batch_rows)), dtype=np.int16)
            whole = torch.from_numpy(batch)
            yield {"input_ids": whole[:, 0], "labels": whole[:, 1], "positions": whole[:, 2]}

    def _tokens(self, prompt: str, completion: str) -> tuple[list[int], list[int]]:
        asked, written = self.encode(prompt), self.encode(completion + END)
        return asked + written, [IGNORED] * len(asked) + written


def draw_puzzles(settings: ColdStart, split: str = "train", rows: int | None = None) -> list[pa.Table]:
    """``settings.puzzles`` (or ``rows``) solvable puzzles of a split for each count of numbers."""
    wishes = [Wish(numbers=(count,), splits=(split,)) for count in settings.numbers]
    return [generate(rows or settings.puzzles, wish, seed=settings.seed).select(["nums", "target"]) for wish in wishes]


def write_samples(settings: ColdStart, tables: Sequence[pa.Table], rng: Random) -> Iterator[tuple[str, str]]:
    """Endless (prompt, completion) pairs, counts of numbers by their weights and both languages alike."""
    names = ("hint", "patience", "stop_chance", "reflect_chance", "reflective")
    habits = Habits(**{name: getattr(settings, name) for name in names})
    templates = [load_template(language) for language in LANGUAGES]
    total = sum(settings.number_weights) * len(templates)
    while True:
        block: list[tuple[str, str]] = []
        for table, weight in zip(tables, settings.number_weights, strict=True):
            for template in templates:
                share = BLOCK * weight / total
                rows = table.take([rng.randrange(len(table)) for _ in range(int(share + rng.random()))])
                prompts = chatml_column(template, rows["nums"], rows["target"]).to_pylist()
                traces = (write_trace(puzzle, template.language, rng, habits) for puzzle in as_puzzles(rows))
                block += zip(prompts, (trace.completion for trace in traces), strict=True)
        rng.shuffle(block)
        yield from block


def _packed(samples: Iterator[tuple[list[int], list[int]]], length: int, pad: int) -> Iterator[list[list[int]]]:
    """Rows (ids, labels, positions) of whole samples, filled up with padding; samples longer than a row are left out.

    Every padding token is at position 0: a sample of its own, which nothing looks at.
    """
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    for sample_ids, sample_labels in samples:
        if len(sample_ids) > length:
            continue
        if len(ids) + len(sample_ids) > length:
            gap = length - len(ids)
            yield [ids + [pad] * gap, labels + [IGNORED] * gap, positions + [0] * gap]
            ids, labels, positions = [], [], []
        ids += sample_ids
        labels += sample_labels
        positions += range(len(sample_ids))
