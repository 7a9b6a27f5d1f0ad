"""Batched sampling for evaluation and rollouts: finished rows leave the batch.

transformers' own ``generate`` carries every row to the length of the longest one. Thoughts differ in length by
a factor of ten, so most of that work is thrown away; on a CPU, where compute is what is short, dropping
finished rows from the cache is several times faster (``benchmarks/generation.py`` has the figures).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

COMPACT_AT = 0.9  # drop finished rows once fewer than this share of the batch is still being written


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
        texts = prompts[first : first + decoding.batch_size]
        prompt_ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        generator = torch.Generator(model.device).manual_seed(decoding.seed * 1_000_003 + first)
        end = token_id(tokenizer, "eos_token")
        rows = sample(model, prompt_ids, end, decoding.max_new_tokens, decoding.temperature, generator)
        seconds = (time.monotonic() - began) / len(texts)
        for row in rows:
            yield Completion(str(tokenizer.decode(row, skip_special_tokens=True)), len(row), seconds)


def token_id(tokenizer: PreTrainedTokenizerBase, name: str) -> int:
    """Id of a special token such as ``eos_token``."""
    return tokenizer.convert_tokens_to_ids(str(getattr(tokenizer, name)))  # pyright: ignore[reportReturnType]


@torch.inference_mode()
def sample(
    model: PreTrainedModel,
    prompt_ids: Sequence[Sequence[int]],
    end: int,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator | None = None,
) -> list[list[int]]:
    """Token ids of one completion per prompt, each up to and with its first ``end`` token.

    Tokens are drawn from the whole distribution at ``temperature``; 0 takes the most likely one.
    """
    ids, mask = _left_padded(prompt_ids, end, model.device)
    cache = DynamicCache(config=model.config)
    written: list[list[int]] = [[] for _ in prompt_ids]
    alive = list(range(len(prompt_ids)))
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    for _ in range(max_new_tokens):
        output = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
        )
        tokens = _draw(output.logits[:, -1].float(), temperature, generator)
        for row, token in zip(alive, tokens.tolist(), strict=True):
            if not written[row] or written[row][-1] != end:
                written[row].append(token)
        open_rows = [place for place, row in enumerate(alive) if written[row][-1] != end]
        if not open_rows:
            break
        positions = positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
        ids = tokens[:, None]
        if len(open_rows) < COMPACT_AT * len(alive):
            kept = torch.tensor(open_rows, device=model.device)
            cache.batch_select_indices(kept)
            ids, mask, positions = ids[kept], mask[kept], positions[kept]
            alive = [alive[place] for place in open_rows]
    return written


def _left_padded(
    prompt_ids: Sequence[Sequence[int]], pad: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask of shape (prompts, longest prompt)."""
    width = max(map(len, prompt_ids))
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in prompt_ids], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompt_ids], device=device)
    return ids, mask


def _draw(logits: torch.Tensor, temperature: float, generator: torch.Generator | None) -> torch.Tensor:
    """One token id per row of ``logits``, shape (rows, vocabulary)."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial((logits / temperature).softmax(dim=-1), 1, generator=generator)[:, 0]
