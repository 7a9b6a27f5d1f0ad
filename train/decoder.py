"""Sampling from a small Llama at the speed of its memory: a cache of fixed address, and steps recorded as CUDA graphs.

For a model of a few million parameters a step of a thousand completions takes well under a millisecond of a GPU's
work, and ten of Python's. So the step is recorded once for each size and replayed without Python. Sizes come in
buckets: finished completions leave the batch whenever the rest fits the next smaller one, and attention looks at no
more columns of the cache than are in use, rounded up. On a CPU the same step runs directly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedModel

from .llama import Attend, forward_hidden, forward_layer, rotations

SEGMENT = 32  # steps between two looks at which completions are finished
COLUMNS = 256  # the cache is looked at in multiples of so many columns
PREFILL_ROWS = 512
MEMORY_SHARE = 0.4  # of what is free on the GPU, for the cache


class Decoder:
    """Writes completions with a copy of a plain Llama's weights (``llama.is_plain_llama``); see ``sample``.

    bfloat16 on a GPU, float32 on a CPU. ``refresh`` takes over the weights of a model that was trained since.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.device = model.device
        self.graphed = self.device.type == "cuda"
        self.dtype = torch.bfloat16 if self.graphed else torch.float32
        with torch.device("meta"):  # neither computes weights nor draws random numbers
            own = LlamaForCausalLM(model.config).to(self.dtype)  # pyright: ignore[reportArgumentType]
        self.model = own.to_empty(device=self.device).eval().requires_grad_(False)
        self.model.tie_weights()
        self.refresh(model)
        config: Any = model.config
        self.kv_heads, self.head_dim, self.layers = (
            config.num_key_value_heads,
            config.head_dim,
            config.num_hidden_layers,
        )
        self.rows, self.columns = 0, 0

    @torch.no_grad()
    def refresh(self, model: PreTrainedModel) -> None:
        """Take over the weights of ``model``; recorded steps stay valid, since addresses do not change."""
        for own, new in zip(self.model.parameters(), model.parameters(), strict=True):
            own.copy_(new)

    @torch.inference_mode()
    def sample(
        self,
        prompt_ids: Sequence[Sequence[int]],
        ends: Collection[int],
        max_new_tokens: int,
        temperature: float,
        draws: Tensor | None = None,
    ) -> list[list[int]]:
        """Token ids of one completion per prompt, each up to and with its first token of ``ends``.

        As ``generation.sample``: tokens come from the whole distribution at ``temperature``, 0 takes the likeliest;
        ``draws`` of shape (prompts, max_new_tokens), uniform in [0, 1), decide every token.
        """
        width = max(map(len, prompt_ids))
        at_once = min(len(prompt_ids), self._fitting_rows(width + max_new_tokens))
        self._allocate(_row_bucket(at_once), _column_bucket(width + max_new_tokens), ends)
        written: list[list[int]] = []
        for first in range(0, len(prompt_ids), at_once):
            part = slice(first, first + at_once)
            chosen = None if draws is None else draws[part].to(self.device)
            written += self._sample(prompt_ids[part], ends, max_new_tokens, temperature, chosen)
        return written

    def _fitting_rows(self, columns: int) -> int:
        """Completions whose cache fits into memory beside everything else."""
        if not self.graphed:
            return 2**31
        size = 2 * self.layers * self.kv_heads * self.head_dim * _column_bucket(columns) * self.dtype.itemsize
        free = torch.cuda.mem_get_info(self.device)[0] + self._cache_bytes()
        return max(1, int(MEMORY_SHARE * free) // size)

    def _cache_bytes(self) -> int:
        return 2 * self.keys.numel() * self.dtype.itemsize if self.rows else 0

    def _allocate(self, rows: int, columns: int, ends: Collection[int]) -> None:
        """Make room; what was recorded for a smaller cache is forgotten with it."""
        listed = torch.tensor(sorted(ends), device=self.device)
        if rows <= self.rows and columns <= self.columns and torch.equal(listed, self.ends):
            return
        self.graphs: dict[tuple[int, int, bool], torch.cuda.CUDAGraph] = {}
        self.rows, self.columns, self.ends = max(rows, self.rows), max(columns, self.columns), listed
        self.keys = self.values = torch.empty(0)  # the old ones are let go before the new ones are made
        shape = (self.layers, self.rows, self.kv_heads, self.columns, self.head_dim)
        self.keys, self.values = (torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in range(2))
        self.cos, self.sin = (table.to(self.dtype) for table in rotations(self.model, self.columns))
        whole = {"dtype": torch.int64, "device": self.device}
        self.tokens, self.position, self.start = (torch.zeros(self.rows, **whole) for _ in range(3))
        self.column, self.offset = torch.zeros(1, **whole), torch.zeros(1, **whole)
        self.finished = torch.zeros(self.rows, dtype=torch.bool, device=self.device)
        self.uniform = torch.zeros(self.rows, SEGMENT, dtype=torch.float64, device=self.device)
        self.written = torch.zeros(self.rows, SEGMENT, **whole)
        self.temperature = torch.ones((), device=self.device)
        self.pool: Any = None

    def _sample(
        self,
        prompt_ids: Sequence[Sequence[int]],
        ends: Collection[int],
        max_new_tokens: int,
        temperature: float,
        draws: Tensor | None,
    ) -> list[list[int]]:
        results: list[list[int]] = [[] for _ in prompt_ids]
        alive = list(range(len(prompt_ids)))
        rows = _row_bucket(len(alive))
        greedy = temperature == 0
        self.temperature.fill_(1.0 if greedy else temperature)
        first = self._prefill(prompt_ids, rows)
        self.finished[:rows] = torch.arange(rows, device=self.device) >= len(alive)
        self.tokens[:rows] = first  # the last token of each prompt is fed by the first step
        steps, done = 0, 0
        while alive and done < max_new_tokens:
            steps = min(SEGMENT, max_new_tokens - done)
            self._fill_uniform(alive, rows, draws, done, steps)
            self.offset.zero_()
            columns = _column_bucket(int(self.column) + steps)
            for _ in range(steps):
                self._run(rows, min(columns, self.columns), greedy)
            done += steps
            for place, row in enumerate(self.written[: len(alive), :steps].tolist()):
                results[alive[place]] += row
            open_places = (~self.finished[: len(alive)]).nonzero().flatten().tolist()
            alive, rows = self._compact(alive, open_places, rows)
        return [_cut(row, ends) for row in results]

    def _fill_uniform(self, alive: list[int], rows: int, draws: Tensor | None, done: int, steps: int) -> None:
        if draws is None:
            self.uniform[:rows].uniform_()
        else:
            self.uniform[: len(alive), :steps] = draws[torch.tensor(alive, device=self.device), done : done + steps]

    def _compact(self, alive: list[int], open_places: list[int], rows: int) -> tuple[list[int], int]:
        """Drop finished completions when the others fit a smaller bucket."""
        smaller = _row_bucket(len(open_places))
        if not open_places or smaller >= rows:
            return ([] if not open_places else alive), rows
        padded = open_places + open_places[:1] * (smaller - len(open_places))
        kept = torch.tensor(padded, device=self.device)
        used = int(self.column)
        for cache in (self.keys, self.values):
            for layer in cache:
                layer[:smaller, :, :used] = layer[kept, :, :used]
        for state in (self.tokens, self.position, self.start, self.finished):
            state[:smaller] = state[kept]
        self.finished[len(open_places) : smaller] = True
        return [alive[place] for place in open_places], smaller

    def _prefill(self, prompt_ids: Sequence[Sequence[int]], rows: int) -> Tensor:
        """Fill the cache with all but the last token of each prompt, left-padded. Returns those last tokens."""
        width = max(map(len, prompt_ids))
        padded = [[0] * (width - len(row)) + list(row) for row in prompt_ids]
        padded += padded[:1] * (rows - len(padded))
        ids = torch.tensor(padded, device=self.device)
        lengths = [len(row) for row in prompt_ids]
        lengths += lengths[:1] * (rows - len(lengths))
        self.start[:rows] = width - torch.tensor(lengths, device=self.device)
        self.column.fill_(width - 1)
        self.position[:rows] = width - 1 - self.start[:rows]
        columns = torch.arange(width - 1, device=self.device)
        for low in range(0, rows if width > 1 else 0, PREFILL_ROWS):
            part = slice(low, min(low + PREFILL_ROWS, rows))
            start = self.start[part, None]
            places = (columns - start).clamp(min=0)
            seen = (columns >= start)[:, None, None, :] & (columns[:, None] >= columns)
            seen = seen | torch.eye(width - 1, dtype=torch.bool, device=self.device)  # padding looks at itself
            self._forward(ids[part, :-1], places, partial(_Prompt, self, part, width - 1, seen))
        return ids[:, -1]

    def _forward(self, ids: Tensor, places: Tensor, attend_in: Callable[[int], Attend]) -> Tensor:
        cos, sin = self.cos[places][:, None], self.sin[places][:, None]

        def run_layer(number: int, layer: Any, x: Tensor) -> Tensor:
            return forward_layer(layer, x, cos, sin, attend_in(number))

        return forward_hidden(self.model, ids, self.dtype, run_layer)

    def _run(self, rows: int, columns: int, greedy: bool) -> None:
        """One step; on a GPU run directly the first time, then recorded, then replayed."""
        key = (rows, columns, greedy)
        if key in self.graphs:
            self.graphs[key].replay()
            return
        self._step(rows, columns, greedy)
        if self.graphed:
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool):
                self._step(rows, columns, greedy)
            self.graphs[key] = graph
            self.pool = self.pool or graph.pool()

    def _step(self, rows: int, columns: int, greedy: bool) -> None:
        """Feed every row's last token, write its next one; all state stays where it is."""
        places = torch.arange(columns, device=self.device)
        seen = (places >= self.start[:rows, None]) & (places <= self.column)
        bias = torch.zeros((rows, columns), dtype=self.dtype, device=self.device).masked_fill(~seen, float("-inf"))
        attend_in = partial(_Cached, self, rows, columns, bias[:, None, None])
        hidden = self._forward(self.tokens[:rows, None], self.position[:rows, None], attend_in)
        logits = self.model.lm_head(hidden[:, 0]).float()  # pyright: ignore[reportCallIssue]
        if greedy:
            chosen = logits.argmax(dim=-1)
        else:
            sums = (logits / self.temperature).softmax(dim=-1).double().cumsum(dim=-1)
            drawn = self.uniform[:rows].index_select(1, self.offset) * sums[:, -1:]
            chosen = torch.searchsorted(sums, drawn, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)
        self.written[:rows].index_copy_(1, self.offset, chosen[:, None])
        self.finished[:rows] |= (chosen[:, None] == self.ends).any(dim=-1)
        self.tokens[:rows] = chosen
        self.position[:rows].add_(1).clamp_(max=self.columns - 1)
        self.column.add_(1)
        self.offset.add_(1)


@dataclass(frozen=True)
class _Prompt:
    """Attention inside prompts, whose keys and values go into the cache."""

    decoder: Decoder
    rows: slice
    width: int
    seen: Tensor
    layer: int

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.decoder.keys[self.layer, self.rows, :, : self.width] = k
        self.decoder.values[self.layer, self.rows, :, : self.width] = v
        return F.scaled_dot_product_attention(q, k, v, attn_mask=self.seen, enable_gqa=True)


@dataclass(frozen=True)
class _Cached:
    """Attention of one new token to the cache; each key head serves its group of queries without being copied."""

    decoder: Decoder
    rows: int
    columns: int
    bias: Tensor
    layer: int

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        own = self.decoder
        keys, values = own.keys[self.layer, : self.rows], own.values[self.layer, : self.rows]
        keys.index_copy_(2, own.column, k)
        values.index_copy_(2, own.column, v)
        groups = q.view(self.rows, own.kv_heads, -1, own.head_dim) * own.head_dim**-0.5
        scores = groups @ keys[:, :, : self.columns].transpose(-1, -2) + self.bias
        return (scores.softmax(dim=-1) @ values[:, :, : self.columns]).view_as(q)


def _row_bucket(rows: int) -> int:
    """The smallest of 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48 ... that is not below ``rows``."""
    power = 1 << max(rows - 1, 0).bit_length()
    return power * 3 // 4 if power >= 4 and rows <= power * 3 // 4 else power


def _column_bucket(columns: int) -> int:
    return -(-columns // COLUMNS) * COLUMNS


def _cut(row: list[int], ends: Collection[int]) -> list[int]:
    """A completion up to and with its first end."""
    return next((row[: place + 1] for place, token in enumerate(row) if token in ends), row)
