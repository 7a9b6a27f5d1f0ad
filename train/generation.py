"""Batched sampling with transformers' own ``generate``: the evaluator's way to completions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Decoding:
    """How completions are sampled; ``temperature`` 0 is greedy."""

    temperature: float = 1.0
    max_new_tokens: int = 320
    batch_size: int = 128
    seed: int = 0


@dataclass(frozen=True)
class Completion:
    """Text without special tokens, its length in tokens with the closing one, and seconds of its batch per sample."""

    text: str
    n_tokens: int
    seconds: float


def complete(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], decoding: Decoding
) -> Iterator[Completion]:
    """One completion per prompt, in order.

    Every batch is seeded by its place alone, so two models are given the same random numbers and a rerun
    gives the same text on the same machine.
    """
    for first in range(0, len(prompts), decoding.batch_size):
        began = time.monotonic()
        texts = list(prompts[first : first + decoding.batch_size])
        torch.manual_seed(decoding.seed * 1_000_003 + first)
        ids = _generate(model, tokenizer, texts, decoding)
        lengths = _lengths(ids, tokenizer)
        seconds = (time.monotonic() - began) / len(texts)
        for row, length in zip(ids, lengths, strict=True):
            yield Completion(tokenizer.decode(row[:length], skip_special_tokens=True), length, seconds)


def _generate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str], decoding: Decoding
) -> torch.Tensor:
    """Token ids of shape (prompts, new tokens), padded on the right."""
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    batch = batch.to(model.device)
    sampling = {"temperature": decoding.temperature, "top_k": 0, "top_p": 1.0} if decoding.temperature else {}
    with torch.inference_mode():
        ids = model.generate(
            **batch,
            do_sample=bool(decoding.temperature),
            max_new_tokens=decoding.max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            **sampling,
        )
    return ids[:, batch["input_ids"].shape[1] :].cpu()


def _lengths(ids: torch.Tensor, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens of each row up to and with its first end token; the row's width when it has none."""
    ended = ids == tokenizer.convert_tokens_to_ids(str(tokenizer.eos_token))
    first = torch.where(ended.any(dim=1), ended.int().argmax(dim=1) + 1, ids.shape[1])
    return first.tolist()
