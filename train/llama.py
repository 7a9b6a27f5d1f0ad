"""A Llama's forward pass over the weights of ``LlamaForCausalLM``, with attention left to the caller.

transformers' own forward is general; two places need less and faster. The cold start attends inside packed samples
with one compiled kernel, and the sampler writes into a cache of fixed address, so that a step can be recorded as a
CUDA graph. Both read the very parameters of the transformers model, which stays what is trained and saved. The
architecture is that of Touvron et al., "LLaMA" (arXiv 2302.13971), with grouped queries (arXiv 2305.13245).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedModel

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``(queries, keys, values)``, each (rows, heads, tokens, head_dim), to what is attended to, like queries."""
RunLayer = Callable[[int, Any, Tensor], Tensor]
"""``(number, layer, hidden states)`` to the hidden states after the layer; most call ``forward_layer``."""


def is_plain_llama(model: PreTrainedModel) -> bool:
    """Whether ``forward_hidden`` computes what the model itself would: no biases, no scaled positions."""
    config: Any = model.config
    plain = isinstance(model, LlamaForCausalLM) and not (config.attention_bias or config.mlp_bias)
    return plain and config.rope_parameters["rope_type"] == "default" and config.hidden_act == "silu"


def rotations(model: PreTrainedModel, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary positions 0 to ``length``, each (length, head_dim), float32 on the model's device."""
    config: Any = model.config
    size = config.head_dim
    steps = torch.arange(0, size, 2, device=model.device, dtype=torch.float32) / size
    angles = torch.outer(
        torch.arange(length, device=model.device).float(), config.rope_parameters["rope_theta"] ** -steps
    )
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def forward_hidden(model: PreTrainedModel, ids: Tensor, dtype: torch.dtype, run_layer: RunLayer) -> Tensor:
    """Final hidden states of ``ids`` (rows, tokens), of shape (rows, tokens, hidden), computed in ``dtype``."""
    inner: Any = model.model
    x = inner.embed_tokens(ids).to(dtype)
    for number, layer in enumerate(inner.layers):
        x = run_layer(number, layer, x)
    return _normed(x, inner.norm)


def forward_layer(layer: Any, x: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
    """One layer; ``cos`` and ``sin`` are the rotations of each position, (rows, 1, tokens, head_dim)."""
    part = layer.self_attn
    y = _normed(x, layer.input_layernorm)
    q, k, v = (_heads(project(y), part.head_dim) for project in (part.q_proj, part.k_proj, part.v_proj))
    attended = attend(_rotated(q, cos, sin), _rotated(k, cos, sin), v)
    x = x + part.o_proj(attended.transpose(1, 2).flatten(2))
    y = _normed(x, layer.post_attention_layernorm)
    return x + layer.mlp.down_proj(F.silu(layer.mlp.gate_proj(y)) * layer.mlp.up_proj(y))


def _heads(x: Tensor, size: int) -> Tensor:
    return x.unflatten(-1, (-1, size)).transpose(1, 2)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def _normed(x: Tensor, norm: Any) -> Tensor:
    wide = x.float()
    scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + norm.variance_epsilon)
    return scaled.to(x.dtype) * norm.weight.to(x.dtype)
