"""Token after token for one reader, as fast as a small model can be on a CPU.

A token of a model of ten million parameters is some three hundred small operations, and Python and transformers
spend more time between them than in them. So for a small dense model on a CPU one step is traced once, into a graph
that runs without Python (it lets other threads run meanwhile), and weights are laid out along their longer side.
The graph is held against the model itself before it is used. Every other model takes transformers' own way.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import DynamicCache

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SMALL_MODEL_PARAMETERS = 50_000_000
TRACEABLE = ("llama", "mistral", "qwen2", "qwen3")  # dense, and every layer looks back at everything
MAX_TRACED_TOKENS = 8192
_TOLERANCE = 1e-3
_log = logging.getLogger(__name__)


class Decoder:
    """A model that writes. Made for a small one on a CPU, it lays out its weights anew and uses one thread from then
    on: threads that wait for one another made one token several times slower on two busy cores."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.context: int = getattr(model.config, "max_position_embeddings", None) or 1_000_000
        self._graph = None
        if model.device.type == "cpu" and model.num_parameters() < SMALL_MODEL_PARAMETERS:
            torch.set_num_threads(1)
            if model.config.model_type in TRACEABLE and not getattr(model.config, "sliding_window", None):
                _lay_out(model)
                self._graph = _checked_graph(model)

    @property
    def traced(self) -> bool:
        """Whether its steps run as a graph."""
        return self._graph is not None

    def tokens(
        self, prompt_ids: Sequence[int], ends: Collection[int], max_new_tokens: int, temperature: float, seed: int
    ) -> Iterator[int]:
        """Ids of new tokens, up to and with the first of ``ends``.

        They are drawn from the whole distribution by inverting it, as in the evaluation: the same ``seed`` means the
        same random numbers for every model. ``temperature`` 0 takes the likeliest.
        """
        draws = np.random.default_rng(seed)
        logits, steps = self._begin(prompt_ids)
        for written in range(1, max_new_tokens + 1):
            token = _draw(logits, temperature, draws.random())
            yield token
            if token in ends or written == max_new_tokens:
                return
            logits = steps.after(token)

    @torch.inference_mode()
    def _begin(self, prompt_ids: Sequence[int]) -> tuple[torch.Tensor, _Steps]:
        """The logits behind the prompt, and what goes on from there."""
        cache: Any = DynamicCache(config=self.model.config)
        ids = torch.tensor([list(prompt_ids)], device=self.model.device)
        output = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return output.logits[0, -1], _Steps(self.model, self._graph, cache, len(prompt_ids))


class _Steps:
    """The state behind a text: what the model keeps of it, as a cache or, for the graph, as plain tensors."""

    def __init__(self, model: PreTrainedModel, graph: Any, cache: Any, n_tokens: int) -> None:
        self.model, self.graph, self.cache, self.n_tokens = model, graph, cache, n_tokens
        self.kept = _tensors(cache) if graph else []

    @torch.inference_mode()
    def after(self, token: int) -> torch.Tensor:
        """The logits after one more token, shape (vocabulary,)."""
        ids = torch.tensor([[token]], device=self.model.device)
        self.n_tokens += 1
        if self.graph and self.n_tokens <= MAX_TRACED_TOKENS:
            positions = torch.tensor([[self.n_tokens - 1]])
            logits, *self.kept = self.graph(ids, positions, _open_mask(self.n_tokens), *self.kept)
            return logits[0]
        if self.graph:
            self.cache, self.graph = _cache_of(self.model, self.kept), None
        return self.model(input_ids=ids, past_key_values=self.cache, use_cache=True).logits[0, -1]


class _Step(torch.nn.Module):
    """One token with tensors alone for arguments and results, so that it can be traced."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor, *kept: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        cache = _cache_of(self.model, kept)
        output: Any = self.model(
            input_ids=ids, position_ids=positions, attention_mask=mask, past_key_values=cache, use_cache=True
        )
        return output.logits[:, -1], *_tensors(cache)


def _tensors(cache: Any) -> list[torch.Tensor]:
    """Keys and values of every layer in turn, each of shape (1, heads, tokens, head size)."""
    return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]


def _cache_of(model: Any, kept: Sequence[torch.Tensor]) -> Any:
    cache: Any = DynamicCache(config=model.config)
    for layer, keys, values in zip(cache.layers, kept[::2], kept[1::2], strict=True):
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
    return cache


def _open_mask(n_tokens: int) -> torch.Tensor:
    """Every token may be looked at: nothing is added to its score."""
    return torch.zeros(1, 1, 1, n_tokens)


def _draw(logits: torch.Tensor, temperature: float, number: float) -> int:
    """The token that ``number``, uniform in [0, 1), falls on."""
    if temperature == 0:
        return int(logits.argmax())
    sums = (logits.float() / temperature).softmax(dim=-1).double().cumsum(dim=-1)
    found = int(torch.searchsorted(sums, number * sums[-1], right=True))
    return min(found, len(logits) - 1)


def _lay_out(model: PreTrainedModel) -> None:
    """Store each matrix along its longer side, which one row at a time is multiplied with up to twice as fast."""
    for part in model.modules():
        if isinstance(part, torch.nn.Linear) and part.out_features > part.in_features:
            weight = part.weight.detach().t().contiguous().t()
            part.weight = torch.nn.Parameter(weight, requires_grad=False)


@torch.inference_mode()
def _checked_graph(model: PreTrainedModel) -> Any:
    """The traced step; None when it cannot be traced, or says something else than the model."""
    length = 7
    ids = torch.arange(length + 3)[None] % model.config.vocab_size
    cache: Any = DynamicCache(config=model.config)
    model(input_ids=ids[:, :length], past_key_values=cache, use_cache=True)
    kept = _tensors(cache)
    arguments = (ids[:, length : length + 1], torch.tensor([[length]]), _open_mask(length + 1), *kept)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing: shapes that it takes as fixed are checked below
            graph: Any = torch.jit.freeze(torch.jit.trace(_Step(model).eval(), arguments, check_trace=False))
        for at in range(length, length + 3):
            logits, *kept = graph(ids[:, at : at + 1], torch.tensor([[at]]), _open_mask(at + 1), *kept)
            expected = model(input_ids=ids[:, : at + 1], use_cache=False).logits[0, -1]
            if not torch.allclose(logits[0], expected, atol=_TOLERANCE, rtol=_TOLERANCE):
                raise RuntimeError("the graph and the model differ")
    # Whatever a torch version refuses to trace, the model itself still writes.
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        _log.info("one step could not be traced (%s); using the model as it is", error)
        return None
    return graph


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token that ends a completion: the tokenizer's own and those that the model's settings list."""
    own: Any = model.generation_config.eos_token_id if model.generation_config else None
    listed = own if isinstance(own, list | tuple) else [own]
    return frozenset(end for end in (tokenizer.eos_token_id, *listed) if isinstance(end, int))
