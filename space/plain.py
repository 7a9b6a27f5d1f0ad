"""A small Llama for one reader on a CPU without transformers, whose import alone takes a third of the page's start.

A token of a model of ten million parameters is a few hundred small operations, and Python spends more time between
them than in them. So one step is traced once, into a graph that runs without Python (it lets other threads run
meanwhile); keys and values lie in a cache that is written in place; and matrices that read the same vector are one.
The architecture is that of LLaMA (arXiv 2302.13971) with grouped queries (arXiv 2305.13245). ``load`` takes exactly
the models of which that is all; transformers takes the others, and says what is wrong with a damaged one.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MAX_PARAMETERS = 50_000_000  # of at most four bytes each
_PLAIN = {"model_type": "llama", "hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
_TOKENIZERS = ("TokenizersBackend", "PreTrainedTokenizerFast")


@dataclass(frozen=True)
class Tokenizer:
    """What the page needs of a tokenizer, as transformers' own answer (``backend`` is the tokenizers library's)."""

    backend: Any
    chat_template: str | None

    def __call__(self, text: str, add_special_tokens: bool = False) -> dict[str, list[int]]:
        return {"input_ids": self.backend.encode(text, add_special_tokens=add_special_tokens).ids}

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        return self.backend.decode(list(ids), skip_special_tokens=skip_special_tokens)

    def apply_chat_template(
        self, conversation: Sequence[Mapping[str, str]], *, tokenize: bool = False, add_generation_prompt: bool = True
    ) -> str:
        """The conversation in the template's form, in the sandbox and with the spacing that transformers uses."""
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        template = environment.from_string(self.chat_template or "")
        return template.render(messages=list(conversation), add_generation_prompt=add_generation_prompt)


@dataclass(frozen=True)
class Plain:
    """A model that ``load`` read: its decoder, its tokenizer and every token that ends a completion."""

    decoder: Decoder
    tokenizer: Tokenizer
    ends: frozenset[int]


def load(folder: Path) -> Plain | None:
    """The model of ``folder``; None when it is larger or other than a plain Llama, lacks something, or is damaged."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer as Backend

    try:
        config, own = _json(folder / "config.json"), _json(folder / "tokenizer_config.json")
        if not _is_plain(config) or own.get("tokenizer_class") not in _TOKENIZERS:
            return None
        if (folder / "model.safetensors").stat().st_size > 4 * MAX_PARAMETERS:
            return None
        weights = load_file(folder / "model.safetensors")
        template = folder / "chat_template.jinja"
        backend = Backend.from_file(str(folder / "tokenizer.json"))
        tokenizer = Tokenizer(backend, template.read_text("utf-8") if template.is_file() else own.get("chat_template"))
        ends = _ends(folder, config, backend.token_to_id(own["eos_token"]))
    # A damaged file is transformers' to name; the tokenizers library raises a plain Exception.
    except Exception:
        return None
    try:
        return Plain(Decoder(weights, config), tokenizer, ends)
    except KeyError:  # a weight that the file lacks
        return None


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _is_plain(config: Mapping[str, Any]) -> bool:
    rotation = config.get("rope_parameters") or {}
    sizes = config["head_dim"] * config["num_attention_heads"]
    return (
        all(config.get(name) == value for name, value in _PLAIN.items())
        and rotation.get("rope_type") == "default"
        and sizes == config["hidden_size"]
        and not config.get("quantization_config")
    )


def _ends(folder: Path, config: Mapping[str, Any], own: int | None) -> frozenset[int]:
    """The tokenizer's own end and those that the model's settings list."""
    settings = folder / "generation_config.json"
    listed = (_json(settings) if settings.is_file() else config).get("eos_token_id")
    every = (own, *(listed if isinstance(listed, list) else [listed]))
    return frozenset(end for end in every if isinstance(end, int))


class Decoder:
    """Writes with these weights, in float32 and on one thread: threads that wait for one another made one token several
    times slower on two busy cores. ``context`` is how many tokens it can look back on."""

    def __init__(self, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        torch.set_num_threads(1)
        self.context: int = config["max_position_embeddings"]
        self.step = _Step(weights, config).eval()
        self.cos, self.sin = _rotations(self.context, config["head_dim"], config["rope_parameters"]["rope_theta"])
        self.graph = _traced(self)

    def tokens(
        self, prompt_ids: Sequence[int], ends: Collection[int], max_new_tokens: int, temperature: float, seed: int
    ) -> Iterator[int]:
        """Ids of new tokens, up to and with the first of ``ends``; see ``draw``."""
        draws = np.random.default_rng(seed)
        text = _Text(self, min(self.context, len(prompt_ids) + max_new_tokens))
        logits = text.after(prompt_ids)
        for written in range(1, max_new_tokens + 1):
            token = draw(logits, temperature, draws.random())
            yield token
            if token in ends or written == max_new_tokens:
                return
            logits = text.after([token])


class _Text:
    """What the model keeps of a growing text: keys and values of every layer, (layers, heads, tokens, head size)."""

    def __init__(self, decoder: Decoder, room: int) -> None:
        self.decoder, self.n_tokens = decoder, 0
        shape = (decoder.step.layers, decoder.step.kv_heads, room, decoder.step.head_dim)
        self.keys, self.values = torch.empty(shape), torch.empty(shape)

    @torch.inference_mode()
    def after(self, ids: Sequence[int]) -> Tensor:
        """The logits behind these further tokens, shape (vocabulary,)."""
        places = torch.arange(self.n_tokens, self.n_tokens + len(ids))
        self.n_tokens += len(ids)
        seen = torch.arange(self.n_tokens) <= places[:, None]
        mask = torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))
        run = self.decoder.graph if len(ids) == 1 else self.decoder.step
        cos, sin = self.decoder.cos[places], self.decoder.sin[places]
        return run(torch.tensor(ids), places, cos, sin, mask, self.keys, self.values)


class _Step(torch.nn.Module):
    """Some tokens of one text: from their ids to the logits behind the last of them."""

    def __init__(self, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        super().__init__()
        self.head_dim: int = config["head_dim"]
        self.heads, self.kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        self.layers: int = config["num_hidden_layers"]
        self.eps: float = config["rms_norm_eps"]
        wide = {name.removeprefix("model."): weight.float() for name, weight in weights.items()}
        self.embedding = wide["embed_tokens.weight"]
        self.head = _laid_out(wide.get("lm_head.weight", self.embedding))
        self.norm = wide["norm.weight"]
        self.parts = [_layer(wide, f"layers.{number}.") for number in range(self.layers)]

    def forward(
        self, ids: Tensor, places: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, keys: Tensor, values: Tensor
    ) -> Tensor:
        """``mask`` (tokens, text so far) is added to the scores; ``keys`` and ``values`` are written at ``places``."""
        x = F.embedding(ids, self.embedding)
        for number, part in enumerate(self.parts):
            y = self._normed(x, part["input_layernorm"])
            heads = F.linear(y, part["qkv"]).unflatten(-1, (-1, self.head_dim)).transpose(0, 1)
            q, k, v = heads.split([self.heads, self.kv_heads, self.kv_heads])
            q, k = _rotated(q, cos, sin), _rotated(k, cos, sin)
            x = x + F.linear(self._attended(q, k, v, places, mask, keys[number], values[number]), part["o_proj"])
            y = self._normed(x, part["post_attention_layernorm"])
            gate, up = F.linear(y, part["gate_up"]).chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate) * up, part["down_proj"])
        return F.linear(self._normed(x[-1], self.norm), self.head)

    def _attended(
        self, q: Tensor, k: Tensor, v: Tensor, places: Tensor, mask: Tensor, keys: Tensor, values: Tensor
    ) -> Tensor:
        """Each key head serves its group of queries, none of them copied; (tokens, heads * head size)."""
        keys.index_copy_(1, places, k)
        values.index_copy_(1, places, v)
        so_far = mask.shape[1]
        groups = q.unflatten(0, (self.kv_heads, -1)).flatten(1, 2) * self.head_dim**-0.5
        scores = (groups @ keys[:, :so_far].transpose(1, 2)).unflatten(1, (-1, mask.shape[0])) + mask
        mixed = scores.softmax(dim=-1).flatten(1, 2) @ values[:, :so_far]
        return mixed.unflatten(1, (-1, mask.shape[0])).flatten(0, 1).transpose(0, 1).flatten(1)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (weight.shape[0],), weight, self.eps)


def _layer(wide: Mapping[str, Tensor], before: str) -> dict[str, Tensor]:
    """One layer's weights, those that read the same vector in one matrix."""

    def joined(*names: str) -> Tensor:
        return _laid_out(torch.cat([wide[f"{before}{name}.weight"] for name in names]))

    return {
        "input_layernorm": wide[f"{before}input_layernorm.weight"],
        "post_attention_layernorm": wide[f"{before}post_attention_layernorm.weight"],
        "qkv": joined("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "o_proj": joined("self_attn.o_proj"),
        "gate_up": joined("mlp.gate_proj", "mlp.up_proj"),
        "down_proj": joined("mlp.down_proj"),
    }


def _laid_out(weight: Tensor) -> Tensor:
    """Stored along its longer side, which one row at a time is multiplied with up to twice as fast."""
    return weight.t().contiguous().t() if weight.shape[0] > weight.shape[1] else weight.contiguous()


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def _rotations(length: int, size: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary positions 0 to ``length``, each (length, size)."""
    steps = torch.arange(0, size, 2, dtype=torch.float32) / size
    angles = torch.outer(torch.arange(length).float(), theta**-steps)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


@torch.inference_mode()
def _traced(decoder: Decoder) -> Any:
    """The step of one token as a graph; the step itself where this version of torch refuses to trace it."""
    step = decoder.step
    shape = (step.layers, step.kv_heads, 8, step.head_dim)
    place = torch.tensor([5])
    arguments = (place, place, decoder.cos[place], decoder.sin[place], torch.zeros(1, 6), *torch.zeros(2, *shape))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of shapes that tracing takes as fixed, such as the number of heads
            return torch.jit.freeze(torch.jit.trace(step, arguments, check_trace=False))
    except (RuntimeError, TypeError, ValueError):
        return step


def draw(logits: Tensor, temperature: float, number: float) -> int:
    """The token that ``number``, uniform in [0, 1), falls on in the whole distribution, inverted as in the evaluation:
    the same numbers mean the same draws for every model. ``temperature`` 0 takes the likeliest."""
    if temperature == 0:
        return int(logits.argmax())
    sums = (logits.float() / temperature).softmax(dim=-1).double().cumsum(dim=-1)
    found = int(torch.searchsorted(sums, number * sums[-1], right=True))
    return min(found, len(logits) - 1)
