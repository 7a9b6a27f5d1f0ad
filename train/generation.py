"""Batched sampling for evaluation and rollouts: finished rows leave the batch.

transformers' own ``generate`` carries every row to the length of the longest one. Thoughts differ in length by
a factor of ten, so most of that work is thrown away; on a CPU, where compute is what is short, dropping
finished rows from the cache is several times faster (``benchmarks/generation.py`` has the figures). On a GPU a plain
Llama is sampled by ``decoder.py``, whose steps need no Python.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import torch
from transformers import DynamicCache, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from ..errors import InputError, StageError
from .decoder import Decoder
from .llama import is_plain_llama

Sampler = Callable[[Sequence[Sequence[int]], Collection[int], int, float, torch.Tensor | None], list[list[int]]]
COMPACT_AT = 0.9  # drop finished rows once fewer than this share of the batch is still being written
# How torch says, in words alone, that memory ran out: its CPU allocator, and the GPU libraries below it.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decoding:
    """How completions are sampled; ``temperature`` 0 is greedy.

    Each puzzle gets ``samples`` completions and, with ``greedy``, one more that takes the likeliest tokens.
    ``batch_size`` counts completions; ``backend`` is ``transformers``, ``vllm``, or None for what fits this machine.
    """

    temperature: float = 1.0
    max_new_tokens: int = 320
    batch_size: int = 128
    seed: int = 0
    samples: int = 1
    greedy: bool = False
    backend: str | None = None

    def __post_init__(self) -> None:
        least = {"temperature": 0, "max_new_tokens": 0, "batch_size": 1, "seed": 0, "samples": 1}
        for name, bound in least.items():
            if not getattr(self, name) >= bound:  # this way round NaN is refused too
                raise InputError(f"{name.replace('_', '-')} is at least {bound}, got {getattr(self, name)}")
        if self.temperature == 0 and self.samples > 1:
            raise InputError(f"at temperature 0 all {self.samples} samples are the same; raise it, or take 1 sample")


@dataclass(frozen=True)
class Ask:
    """One completion to write: the prompt's token ids; ``puzzle`` and ``sample`` seed its random numbers."""

    prompt_ids: Sequence[int]
    puzzle: int
    sample: int = 0


@dataclass(frozen=True)
class Completion:
    """Text without special tokens, length in tokens with the closing one, and its share of the batch's seconds."""

    text: str
    n_tokens: int
    seconds: float


def complete(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], decoding: Decoding
) -> Iterator[Completion]:
    """One completion per prompt, in order; see ``write_batches``."""
    asks = [Ask(ids, puzzle) for puzzle, ids in enumerate(encode(tokenizer, prompts))]
    return chain.from_iterable(write_batches(model, tokenizer, asks, decoding))


def encode(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[list[int]]:
    """Token ids of each prompt; a chat template has put every special token there already."""
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in prompts]


def write_batches(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asks: Sequence[Ask], decoding: Decoding
) -> Iterator[list[Completion]]:
    """A completion for each of ``asks``, in order, a batch at a time.

    Random numbers belong to a puzzle and a sample, so two models are given the same ones, and a completion does not
    depend on what it is batched with (but for the last bits of a matrix product). A batch that does not fit into
    memory is halved, and so are those after it. Raises ``StageError`` when not even one completion fits.
    """
    ends, size, first = stop_ids(model.generation_config, tokenizer), decoding.batch_size, 0
    write = sampler(model)
    while first < len(asks):
        batch = asks[first : first + size]
        began = time.monotonic()
        rows = _sampled(write, batch, ends, decoding)
        if rows is None:
            size = len(batch) // 2
            if not size:
                raise StageError("not even one completion fits into memory: lower --max-new-tokens or free some")
            _log.warning("out of memory with %d completions at once, going on with %d", len(batch), size)
            continue
        yield completions(tokenizer, rows, ends, time.monotonic() - began)
        first += len(batch)


def completions(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[list[int]], ends: Collection[int], seconds: float
) -> list[Completion]:
    """Token ids of a batch as completions; ``seconds`` is the time that the whole batch took."""
    texts = (tokenizer.decode(row[:-1] if row and row[-1] in ends else row, skip_special_tokens=True) for row in rows)
    return [Completion(str(text), len(row), seconds / len(rows)) for text, row in zip(texts, rows, strict=True)]


def sampler(model: PreTrainedModel) -> Sampler:
    """What writes completions fastest here: recorded steps for a plain Llama on a GPU, else ``sample``."""
    if model.device.type == "cuda" and is_plain_llama(model):
        return Decoder(model).sample
    return partial(sample, model)


def _sampled(write: Sampler, batch: Sequence[Ask], ends: Collection[int], decoding: Decoding) -> list[list[int]] | None:
    """Completions of one batch; None when memory ran out."""
    draws = None if decoding.temperature == 0 else _draws(batch, decoding)
    try:
        prompt_ids = [ask.prompt_ids for ask in batch]
        return write(prompt_ids, ends, decoding.max_new_tokens, decoding.temperature, draws)
    except (MemoryError, RuntimeError) as error:
        if not _memory_ran_out(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _memory_ran_out(error: MemoryError | RuntimeError) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY)


def _draws(batch: Sequence[Ask], decoding: Decoding) -> torch.Tensor:
    """Uniform random numbers of shape (batch, max_new_tokens), decided by seed, puzzle and sample alone."""
    streams = (np.random.default_rng((decoding.seed, ask.puzzle, ask.sample)) for ask in batch)
    return torch.from_numpy(np.stack([stream.random(decoding.max_new_tokens) for stream in streams]))


def token_id(tokenizer: PreTrainedTokenizerBase, name: str) -> int:
    """Id of a special token such as ``eos_token``."""
    return tokenizer.convert_tokens_to_ids(str(getattr(tokenizer, name)))  # pyright: ignore[reportReturnType]


def stop_ids(config: GenerationConfig | None, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Every token that ends a completion: the tokenizer's own and those of the model's generation ``config``.

    Chat models end a turn with one token and a text with another, and list both there.
    """
    own = config.eos_token_id if config else None
    listed = own if isinstance(own, list | tuple) else [own]
    return tuple(sorted({end for end in (tokenizer.eos_token_id, *listed) if isinstance(end, int)}))


@torch.inference_mode()
def sample(
    model: PreTrainedModel,
    prompt_ids: Sequence[Sequence[int]],
    end: int | Collection[int],
    max_new_tokens: int,
    temperature: float,
    draws: torch.Tensor | None = None,
) -> list[list[int]]:
    """Token ids of one completion per prompt, each up to and with its first ``end`` token (any of several).

    Tokens are drawn from the whole distribution at ``temperature``; 0 takes the most likely one. ``draws`` of shape
    (prompts, max_new_tokens) are uniform in [0, 1) and decide every token; without them torch's own generator does.
    """
    ends = frozenset((end,)) if isinstance(end, int) else frozenset(end)
    ids, mask = _left_padded(prompt_ids, model.device)
    cache = DynamicCache(config=model.config)
    written: list[list[int]] = [[] for _ in prompt_ids]
    alive = list(range(len(prompt_ids)))
    draws = None if draws is None else draws.to(model.device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    for step in range(max_new_tokens):
        output = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
        )
        tokens = _draw(output.logits[:, -1].float(), temperature, None if draws is None else draws[:, step])
        for row, token in zip(alive, tokens.tolist(), strict=True):
            if not written[row] or written[row][-1] not in ends:
                written[row].append(token)
        open_rows = [place for place, row in enumerate(alive) if written[row][-1] not in ends]
        if not open_rows:
            break
        positions = positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
        ids = tokens[:, None]
        if len(open_rows) < COMPACT_AT * len(alive):
            kept = torch.tensor(open_rows, device=model.device)
            cache.batch_select_indices(kept)
            ids, mask, positions = ids[kept], mask[kept], positions[kept]
            draws = None if draws is None else draws[kept]
            alive = [alive[place] for place in open_rows]
    return written


def _left_padded(prompt_ids: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask of shape (prompts, longest prompt); what stands in the padding is never looked at."""
    width = max(map(len, prompt_ids))
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in prompt_ids], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompt_ids], device=device)
    return ids, mask


def _draw(logits: torch.Tensor, temperature: float, draws: torch.Tensor | None) -> torch.Tensor:
    """One token id per row of ``logits``, shape (rows, vocabulary), by inverting its cumulative distribution."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    chances = (logits / temperature).softmax(dim=-1)
    if draws is None:
        return torch.multinomial(chances, 1)[:, 0]
    sums = chances.double().cumsum(dim=-1)  # in float32 a large vocabulary's rare tokens would be lost
    found = torch.searchsorted(sums, draws[:, None] * sums[:, -1:], right=True)[:, 0]
    return found.clamp(max=logits.shape[-1] - 1)
