"""The cold start: next-token training of a small Llama-shaped model on synthetic search traces.

DeepSeek-R1 (arXiv 2501.12948) starts its RL from a model that has seen a little long-form reasoning; a model
with random weights needs the same, or no completion would ever be rewarded. Only puzzles of the ``train``
split are used. Traces are written by the data loader's workers while the model trains.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Trainer,
)
from transformers.training_args import TrainingArguments

from .. import manifest
from ..build_dataset.generate import Wish, generate
from ..build_dataset.prompt import LANGUAGES, Template, chatml, load_template
from ..build_dataset.puzzles import as_puzzles
from ..errors import InputError
from ..game.puzzle import Puzzle
from .generation import token_id
from .recipe import ColdStart
from .tokenizer import END, train_tokenizer
from .traces import Habits, write_trace

IGNORED = -100  # label of positions that carry no loss
TOKENIZER_TEXTS = 20_000


class TraceRows(IterableDataset[dict[str, torch.Tensor]]):
    """An endless stream of packed rows, ``input_ids`` and ``labels`` of shape (row_tokens,).

    Prompts carry no loss. Each worker has a stream of its own, decided by the seed and its number. Raises
    ``InputError`` when samples do not fit into a row, since the stream would never yield one.
    """

    def __init__(self, settings: ColdStart, tokenizer: PreTrainedTokenizerFast, puzzles: list[list[Puzzle]]) -> None:
        self.settings, self.tokenizer, self.puzzles = settings, tokenizer, puzzles
        samples = islice(write_samples(settings, puzzles, Random(settings.seed)), 20)
        shortest = min(len(self._tokens(*sample)[0]) for sample in samples)
        if shortest > settings.row_tokens:
            raise InputError(f"section 'cold_start': a sample has {shortest} tokens and more, raise 'row_tokens'")

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = get_worker_info()
        rng = Random(f"{self.settings.seed}/{worker.id if worker else 0}")
        samples = (self._tokens(*sample) for sample in write_samples(self.settings, self.puzzles, rng))
        return _pack(samples, self.settings.row_tokens, token_id(self.tokenizer, "pad_token"))

    def _tokens(self, prompt: str, completion: str) -> tuple[list[int], list[int]]:
        asked = self.tokenizer(prompt)["input_ids"]
        written = self.tokenizer(completion + END)["input_ids"]
        return asked + written, [IGNORED] * len(asked) + written


def write_samples(settings: ColdStart, puzzles: list[list[Puzzle]], rng: Random) -> Iterator[tuple[str, str]]:
    """Endless (prompt, completion) pairs in both languages."""
    habits = Habits(settings.stop_chance, settings.reflect_chance, settings.max_branches)
    templates: list[Template] = [load_template(language) for language in LANGUAGES]
    while True:
        puzzle = rng.choice(rng.choices(puzzles, settings.number_weights)[0])
        template = rng.choice(templates)
        yield chatml(template, puzzle), write_trace(puzzle, template.language, rng, habits).completion


def _pack(samples: Iterator[tuple[list[int], list[int]]], length: int, pad: int) -> Iterator[dict[str, torch.Tensor]]:
    """Rows of whole samples, filled up with padding; samples longer than a row are left out."""
    ids: list[int] = []
    labels: list[int] = []
    for sample_ids, sample_labels in samples:
        if len(sample_ids) > length:
            continue
        if len(ids) + len(sample_ids) > length:
            gap = length - len(ids)
            yield {"input_ids": torch.tensor(ids + [pad] * gap), "labels": torch.tensor(labels + [IGNORED] * gap)}
            ids, labels = [], []
        ids, labels = ids + sample_ids, labels + sample_labels


def draw_puzzles(settings: ColdStart) -> list[list[Puzzle]]:
    """``settings.puzzles`` solvable puzzles of the ``train`` split for each count of numbers."""
    drawn = []
    for count in settings.numbers:
        wish = Wish(numbers=(count,), splits=("train",))
        drawn.append(as_puzzles(generate(settings.puzzles, wish, seed=settings.seed)))
    return drawn


def build_model(settings: ColdStart, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama with random weights: its tokenizer survives ``AutoTokenizer``, unlike that of a Qwen2 config."""
    config = LlamaConfig(
        vocab_size=settings.vocab_size,
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.max_positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=token_id(tokenizer, "eos_token"),
        pad_token_id=token_id(tokenizer, "pad_token"),
    )
    torch.manual_seed(settings.seed)
    return LlamaForCausalLM(config)


def cold_start(settings: ColdStart, out: Path, *, overwrite: bool = False, command: str = "") -> manifest.Manifest:
    """Train from random weights and write model, tokenizer and manifest to ``out``."""
    began = time.monotonic()
    with manifest.stage_folder(out, overwrite) as folder:
        puzzles = draw_puzzles(settings)
        texts = islice(write_samples(settings, puzzles, Random(settings.seed)), TOKENIZER_TEXTS)
        tokenizer = train_tokenizer(("".join(pair) for pair in texts), settings.vocab_size)
        model = build_model(settings, tokenizer)
        trainer = Trainer(
            model=model,
            args=_arguments(settings, folder),
            train_dataset=TraceRows(settings, tokenizer, puzzles),
        )
        outcome = trainer.train()
        _set_generation(model, tokenizer)
        save_model(model, tokenizer, folder)
        written = manifest.Manifest("cold_start", command, settings.seed, asdict(settings))
        written.results = _results(outcome.metrics, model, settings)
        written.seconds = round(time.monotonic() - began, 1)
        manifest.write(folder, written)
    return written


def _arguments(settings: ColdStart, folder: Path) -> TrainingArguments:
    cuda = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_rows,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=min(200, settings.steps // 10),
        weight_decay=0.05,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        bf16=cuda,
        use_cpu=not cuda,
        torch_compile=cuda,
        dataloader_num_workers=settings.workers,
        dataloader_drop_last=True,
        save_strategy="no",
        logging_steps=50,
        report_to="none",
        seed=settings.seed,
    )


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Weights in bfloat16, configuration and tokenizer, as ``from_pretrained`` and vLLM read them."""
    model.config.use_cache = True  # the trainer turns it off for its own passes
    model.to(torch.bfloat16).save_pretrained(folder)  # pyright: ignore[reportArgumentType]
    tokenizer.save_pretrained(folder)


def _results(metrics: dict[str, float], model: LlamaForCausalLM, settings: ColdStart) -> dict[str, Any]:
    return {
        "parameters": model.num_parameters(),
        "tokens": settings.steps * settings.batch_rows * settings.row_tokens,
        "train_loss": round(metrics["train_loss"], 4),
        "train_seconds": round(metrics["train_runtime"], 1),
    }


def _set_generation(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
