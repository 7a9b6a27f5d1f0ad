"""How weights, gradients and optimizer states are spread over the processes: DeepSpeed ZeRO or FSDP2."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import torch

from ..errors import InputError, TrainingError

SHARDED = {"zero1": "DEEPSPEED", "zero2": "DEEPSPEED", "zero3": "DEEPSPEED", "fsdp2": "FSDP"}


def sharding_values(sharding: str) -> dict[str, Any]:
    """What ``GRPOConfig`` needs for it. Raises ``InputError`` where DeepSpeed is not installed.

    ``auto`` fields take the trainer's batch sizes and precision. Checkpoints gather the weights, so that each holds
    a ``model.safetensors`` that anything can load.
    """
    if sharding == "none":
        return {}
    if sharding == "fsdp2":
        # Checkpoints with FULL_STATE_DICT are whole; layers are wrapped as the model's class says.
        return {"fsdp": True, "fsdp_config": {"version": 2, "state_dict_type": "FULL_STATE_DICT"}}
    if importlib.util.find_spec("deepspeed") is None:
        raise InputError(f"section 'launch': '{sharding}' needs DeepSpeed: pip install 'countdown-r1[deepspeed]'")
    return {"deepspeed": _zero(int(sharding[-1]))}


def _zero(stage: int) -> dict[str, Any]:
    # Stage 1 reduces gradients once an update; the others after every micro-batch, which pays to overlap.
    zero = {"stage": stage, "overlap_comm": stage > 1, "contiguous_gradients": stage > 1}
    if stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    return {
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,  # torch's own fused AdamW: nothing is compiled at start
        "bf16": {"enabled": "auto"},
        "gradient_clipping": "auto",
        "gradient_accumulation_steps": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
    }


def check_sharded(sharding: str, distributed_type: str) -> None:
    """Raise ``TrainingError`` when the libraries quietly fell back to whole copies, as they do without a GPU."""
    wanted = SHARDED.get(sharding)
    if wanted and distributed_type != wanted:
        raise TrainingError(
            f"section 'launch': sharding '{sharding}' was asked for, but the processes run as {distributed_type} with "
            "whole copies; it needs GPUs and a launcher, so start it with --launcher accelerate"
        )


def plain_cpu() -> bool:
    """Whether processes run on the CPU as whole copies; a rehearsal of sharding sets ``ACCELERATE_TORCH_DEVICE``."""
    return not torch.cuda.is_available() and os.environ.get("ACCELERATE_TORCH_DEVICE") != "cpu"


def forget_sharding() -> None:
    """From now on models are loaded whole again: under ZeRO-3 transformers would split them over all processes."""
    if importlib.util.find_spec("deepspeed") is not None:
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()
