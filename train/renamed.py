"""Keys that other recipes of GRPO have and this program does not take: what became of each."""

from __future__ import annotations

_GONE = {
    "deepspeed": "launch.sharding says it, and also saves whole checkpoints",
    "fsdp": "launch.sharding says it, and also saves whole checkpoints",
    "fsdp_config": "launch.sharding says it, and also saves whole checkpoints",
    "torch_dtype": "it is called dtype now, and this program chooses it",
    "warmup_ratio": "a fraction in warmup_steps means the same",
    "max_prompt_length": "prompts are never cut; countdown-r1 doctor measures them",
    "vllm_device": "section 'launch', key 'vllm', says which GPUs write",
    "vllm_dtype": "vLLM takes the model's own",
    "vllm_max_model_len": "it is called vllm_max_model_length now",
    "vllm_guided_decoding_regex": "it is called vllm_structured_outputs_regex now",
    "logging_dir": "TensorBoard's files go to runs/ in the output folder",
    "overwrite_output_dir": "use --overwrite",
    "evaluation_strategy": "evaluate with countdown-r1 evaluate",
    "use_flash_attention_2": "torch's own attention is used",
    "attn_implementation": "torch's own attention is used",
    "model_name_or_path": "it is the recipe's 'base'",
    "dataset_id_or_path": "give the dataset with --dataset, or its source in section 'dataset'",
    "use_liger_loss": "TRL's loss is computed in chunks without it",
    "push_to_hub_model_id": "publish with countdown-r1 publish",
}


def gone(key: object) -> str | None:
    """The end of an error message for a key that once was valid, None for any other."""
    return f" any more: {_GONE[str(key)]}" if str(key) in _GONE else None
