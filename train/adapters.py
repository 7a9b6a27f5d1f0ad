"""Models as training wants them: float32 or bfloat16, or 4-bit with adapters (QLoRA); and whole again afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from .. import models
from ..errors import StageError
from ..extras import need
from ..weights import check_files
from .recipe import Lora, Recipe

if TYPE_CHECKING:
    from peft import LoraConfig

ADAPTER_FILE = "adapter_config.json"


def load_trainable(recipe: Recipe, base: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base in the precision that its updates need, and its tokenizer.

    Weights that are trained whole are float32: at a learning rate of 5e-7 an update is smaller than bfloat16 can
    tell apart. DeepSpeed keeps float32 copies of its own, frozen weights need none.
    """
    if recipe.lora is not None and recipe.lora.bits == 4:
        need(*recipe.lora.packages)
        return _four_bit(base)
    model, tokenizer = models.load(base)
    whole = recipe.lora is None and not recipe.launch.sharding.startswith("zero")
    return model.float() if whole else model, tokenizer


def lora_config(lora: Lora | None) -> LoraConfig | None:
    """PEFT's configuration for the ``lora`` section. Raises ``StageError`` where PEFT is missing."""
    if lora is None:
        return None
    need(*lora.packages)
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        task_type="CAUSAL_LM",
    )


def load_trained(checkpoint: Path, base: str) -> PreTrainedModel:
    """The whole model of a checkpoint; adapters are merged into the base they were trained on."""
    if not (checkpoint / ADAPTER_FILE).is_file():
        return models.load(str(checkpoint))[0]
    from peft import PeftModel

    check_files(checkpoint, str(checkpoint))
    try:
        merged: Any = PeftModel.from_pretrained(models.load(base)[0], str(checkpoint)).merge_and_unload()
    except (OSError, ValueError, RuntimeError) as error:
        raise StageError(f"{checkpoint}: its adapters do not fit {base} ({str(error).splitlines()[0]})") from error
    return merged


def _four_bit(base: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """NF4 weights with a second quantisation of their scales (arXiv 2305.14314), computed in bfloat16."""
    from transformers import BitsAndBytesConfig

    folder = models.local_folder(models.resolve(base))
    check_files(folder, base)
    tokenizer = models.load_tokenizer(folder)
    quantized = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        quantization_config=quantized,
        dtype=torch.bfloat16,
        local_files_only=True,
        generation_config=models.generation_settings(folder)[0],
        device_map={"": torch.cuda.current_device() if torch.cuda.is_available() else "cpu"},
    )
    return model, tokenizer
