"""How much memory a GPU needs for a recipe, estimated from the model's shape alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .recipe import Recipe, convert

GIB = 2**30
CONTEXT_GIB = 1.5  # CUDA context, NCCL buffers, fragments
PROMPT_TOKENS = 256  # an English or Chinese prompt in Qwen's tokens, rounded up
VLLM_LOWEST = 0.1
SHAPE_NEEDS = ("torch", "transformers")
INNER_SIZES = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")  # Llama, GPT-2, OPT, Falcon


@dataclass(frozen=True)
class Shape:
    """What decides a decoder's memory: ``kv_size`` is heads times head size of keys alone."""

    parameters: int
    layers: int
    hidden: int
    intermediate: int
    kv_size: int
    vocabulary: int

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values of every layer, two bytes each."""
        return 2 * 2 * self.layers * self.kv_size

    @property
    def activation_bytes_per_token(self) -> int:
        """What one layer keeps for its backward pass: 12 tensors of the hidden size, 4 of the MLP's, 4 of the keys'."""
        return 2 * (12 * self.hidden + 4 * self.intermediate + 4 * self.kv_size)


def shape_of(base: str) -> Shape:
    """The shape of a model by its configuration; of a Hub model only that file is read. Raises ``InputError``."""
    import torch  # first, so that nothing is downloaded where it is missing
    from transformers import AutoModelForCausalLM

    from .. import models

    config = models.load_config(base)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"base {base}: its configuration cannot be read ({reason})") from None
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    return Shape(
        model.num_parameters(),
        config.num_hidden_layers,
        config.hidden_size,
        _intermediate_size(config),
        kv_heads * head,
        config.vocab_size,
    )


def _intermediate_size(config: Any) -> int:
    """Width of the MLP's hidden layer; a family that does not say it has four times the hidden size."""
    stated = (getattr(config, name, None) for name in INNER_SIZES)
    return next((size for size in stated if size), 4 * config.hidden_size)


@dataclass(frozen=True)
class Memory:
    """GiB of one training GPU: ``parts`` by name, ``vllm`` what completions need beside or instead of them."""

    parts: Mapping[str, float]
    vllm: float

    @property
    def training(self) -> float:
        return sum(self.parts.values())

    def to_text(self) -> str:
        """One line with every part."""
        shown = ", ".join(f"{name} {value:.1f}" for name, value in self.parts.items() if value >= 0.05)
        vllm = f"; vLLM {self.vllm:.1f} while it writes" if self.vllm else ""
        return f"{self.training:.1f} GiB a training GPU ({shown}){vllm}"


def estimate(recipe: Recipe, shape: Shape, processes: int) -> Memory:
    """Memory of a training process, by the usual count of bytes a parameter.

    Whole copies are float32 with a bfloat16 autocast that keeps its casts (6 + 4 + 8 bytes a parameter for weights,
    gradients and Adam);
    ZeRO keeps bfloat16 weights and spreads 12 bytes of float32 state.
    """
    grpo = recipe.grpo or {}
    tokens = whole(recipe, "per_device_train_batch_size", 8) * (PROMPT_TOKENS + new_tokens(recipe))
    parts = _states(recipe, shape, processes)
    if convert(float, grpo.get("beta", 0.0), "grpo", "beta") and recipe.lora is None:
        spread = processes if recipe.launch.sharding in ("zero3", "fsdp2") else 1
        parts["reference"] = (2 if recipe.launch.sharding.startswith("zero") else 4) * shape.parameters / spread / GIB
    parts["activations"] = tokens * _bytes_per_token(shape, checkpointed(grpo)) / GIB
    parts["sampling"] = max(0.0, _sampling_gib(recipe, shape, processes) - parts["activations"])
    parts["context"] = CONTEXT_GIB
    return Memory(parts, _vllm_gib(recipe, shape, processes))


def _states(recipe: Recipe, shape: Shape, processes: int) -> dict[str, float]:
    """Weights, gradients and optimizer in GiB."""
    if recipe.lora is not None:
        weights = shape.parameters * (0.6 if recipe.lora.bits == 4 else 2)  # NF4 with its scales; embeddings stay whole
        adapters = 14 * shape.layers * recipe.lora.rank * (shape.hidden + shape.intermediate)
        embeddings = 2 * shape.vocabulary * shape.hidden if recipe.lora.bits == 4 else 0
        return {"weights": (weights + embeddings) / GIB, "adapters": 16 * adapters / 4 / GIB}
    n, share = shape.parameters / GIB, 1 / processes
    per_parameter = {
        "none": (6, 4, 8),
        "zero1": (2, 2 + 4 * share, 12 * share),
        "zero2": (2, 2 * share + 2, 12 * share),
        "zero3": (2 * share, 2 * share, 12 * share),
        "fsdp2": (4 * share, 4 * share, 8 * share),
    }[recipe.launch.sharding]
    return dict(zip(("weights", "gradients", "optimizer"), (n * each for each in per_parameter), strict=True))


def _bytes_per_token(shape: Shape, checkpointing: bool) -> float:
    """Activations of a token: every layer's, or every layer's input and one layer's inside. TRL never holds logits."""
    whole = shape.layers * shape.activation_bytes_per_token
    kept = shape.layers * 2 * shape.hidden + shape.activation_bytes_per_token
    return kept if checkpointing else whole


def _vllm_gib(recipe: Recipe, shape: Shape, processes: int) -> float:
    """Weights in bfloat16 and the keys and values of this GPU's completions."""
    if not _uses_vllm(recipe):
        return 0.0
    return 2 * shape.parameters / GIB + _keys_gib(recipe, shape, processes) + CONTEXT_GIB


def _sampling_gib(recipe: Recipe, shape: Shape, processes: int) -> float:
    """Keys and values of completions that the training processes write, twice: they are copied when they grow."""
    return 0.0 if _uses_vllm(recipe) else 2 * _keys_gib(recipe, shape, processes)


def _uses_vllm(recipe: Recipe) -> bool:
    return recipe.launch.vllm != "none" or bool((recipe.grpo or {}).get("use_vllm"))


def _keys_gib(recipe: Recipe, shape: Shape, processes: int) -> float:
    completions = completions_per_update(recipe, processes) / processes
    return completions * (PROMPT_TOKENS + new_tokens(recipe)) * shape.kv_bytes_per_token / GIB


def completions_per_update(recipe: Recipe, processes: int) -> int:
    """Completions that one optimizer step is made of."""
    own = whole(recipe, "per_device_train_batch_size", 8) * whole(recipe, "gradient_accumulation_steps", 1)
    return recipe.launch.completions_per_update or own * processes


def new_tokens(recipe: Recipe) -> int:
    """Tokens of the longest completion."""
    return whole(recipe, "max_completion_length", 256) or 256


def whole(recipe: Recipe, key: str, default: int) -> int:
    """A whole number of the ``grpo`` section. Raises ``InputError`` that names it when it is none."""
    value = (recipe.grpo or {}).get(key)
    return default if value is None else convert(int, value, "grpo", key)


def checkpointed(grpo: Mapping[str, Any]) -> bool:
    """Whether activations are computed a second time instead of kept; TRL's default is yes."""
    return bool(grpo.get("gradient_checkpointing", grpo.get("activation_checkpointing", True)))
