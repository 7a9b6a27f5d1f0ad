"""TRL's ``GRPOTrainer`` without padding in its forward passes, with layers compiled once for every length, and with a
vLLM that returns token ids alone. What is learnt stays the same; ``benchmarks/grpo_step.py`` measures what it saves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from trl.trainer.grpo_trainer import GRPOTrainer

from ..errors import InputError

IGNORED = -100  # a label that is no target
LARGE_BYTES = 2**30  # of weights that are not written twice to see whether they can be
RECOMPILE_LIMIT = 64  # with adapters, a reference, windows and odd batches a model needs up to 15; torch stops at 8


class Trainer(GRPOTrainer):
    """GRPO whose log probabilities are computed without padding before or between tokens.

    TRL pads prompts on the left and every completion to the longest of the whole batch, so that attention needs a
    mask, which keeps it from its fastest kernel. Here each micro-batch is as wide as its own longest row, and its
    rows begin with their first token; what follows a row's last token is hidden from it by causality alone.

    vLLM in this process spells no text, and returns no log probabilities unless something compares them with the
    trainer's (``vllm_importance_sampling_correction``, ``off_policy_mask_threshold``): both are Python's work for every
    single token.
    """

    rehearsing = False  # a save that is removed again, before the first step

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        beside = self.use_vllm and self.vllm_mode == "colocate"
        compared = self.vllm_importance_sampling_correction or self.off_policy_mask_threshold is not None
        self.ids_alone = beside and not compared
        if beside:
            self.lighten(self.vllm_generation)

    def lighten(self, generation: Any) -> None:
        """Ask TRL's ``VLLMGeneration`` for nothing that is thrown away; strings to stop at need the text."""
        if "stop" not in generation.generation_kwargs:
            generation.generation_kwargs = {"detokenize": False} | generation.generation_kwargs
        if self.ids_alone:
            generation.logprobs = None

    def rehearse(self, place: Path) -> None:
        """Save a checkpoint below ``place`` by the way of the real ones, without what takes long: large weights, an
        optimizer that has run before, and what several processes hold in shares."""
        model: Any = self.model
        kept, self.args.output_dir, self.rehearsing = self.args.output_dir, str(place), True
        try:
            self._save_checkpoint(model, None)
        finally:
            self.args.output_dir, self.rehearsing = kept, False

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        if self.rehearsing and (self._in_shares or self._trained_bytes > LARGE_BYTES):
            self._save(output_dir, state_dict={})
        else:
            super().save_model(output_dir, _internal_call)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        optimizer: Any = self.optimizer
        if not (self.rehearsing and (self._in_shares or len(optimizer.state))):
            super()._save_optimizer_and_scheduler(output_dir)

    @property
    def _in_shares(self) -> bool:
        return self.is_deepspeed_enabled or self.is_fsdp_enabled

    @property
    def _trained_bytes(self) -> int:
        model: Any = self.model
        return sum(weight.nbytes for weight in model.parameters() if weight.requires_grad)

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, *others: Any, **named: Any
    ) -> tuple[list[list[int]], Any]:
        """Token ids of a completion for each prompt, and their log probabilities or None."""
        if not self.ids_alone:
            return super()._generate_single_turn(prompt_ids, images, *others, **named)
        if self.state.global_step != self._last_loaded_step:
            self.vllm_generation.sync_weights()
            self._last_loaded_step = self.state.global_step
        found = self.vllm_generation.generate(prompts=prompt_ids, images=images, num_generations=1)  # of each prompt
        return found[1], None

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **others: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Log probabilities and entropies of the last ``logits_to_keep`` tokens, (rows, logits_to_keep), 0 at padding.

        ``input_ids`` and ``attention_mask`` are (rows, tokens). Images, and a mixture of experts' loss, go TRL's way.
        """
        if any(value is not None and value is not False for value in others.values()):
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **others
            )
        size = batch_size or len(input_ids)
        batches = zip(input_ids.split(size), attention_mask.split(size), strict=True)
        found = [self._of_rows(model, ids, mask, logits_to_keep) for ids, mask in batches]
        logps, entropies = (torch.cat(parts) for parts in zip(*found, strict=True))
        return logps, entropies if compute_entropy else None, None

    def _of_rows(self, model: Any, ids: torch.Tensor, mask: torch.Tensor, kept: int) -> list[torch.Tensor]:
        width = max(1, int(mask.sum(dim=1).max()))
        order = mask.argsort(dim=1, descending=True, stable=True)[:, :width]  # each row's tokens, then its padding
        tokens = ids.gather(1, order)
        asked = mask.gather(1, order).bool() & (order >= ids.shape[1] - kept)
        with self.accelerator.autocast():
            out = model(input_ids=tokens, labels=tokens.masked_fill(~asked, IGNORED), fused_lm_head=True)
        entropy = torch.zeros_like(out.log_probs) if out.entropy is None else out.entropy  # a reference model has none
        return [
            values.new_zeros(ids.shape).scatter(1, order[:, 1:], values)[:, -kept:]
            for values in (out.log_probs, entropy)
        ]


def compile_layers(model: PreTrainedModel) -> None:
    """Compile the model's repeated blocks, for training alone; fused kernels keep less and move less.

    All blocks share their compilations: one for the first length, one for every other, and so on for each kind of
    pass. With keys and values of earlier tokens each block would be compiled for itself, so that sampling runs as
    before. Raises ``InputError`` for a model that does not say which blocks repeat.
    """
    names = set(model._no_split_modules or ())
    blocks = [module for module in model.modules() if type(module).__name__ in names and "forward" not in vars(module)]
    if not blocks:
        raise InputError(
            f"section 'launch': compile: {type(model).__name__} does not tell its repeated blocks; set compile=false"
        )
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    compiled = torch.compile(_forward)
    for block in blocks:
        block.forward = partial(_choose, compiled, block)


def _forward(block: Any, *arguments: Any, **named: Any) -> Any:
    return type(block).forward(block, *arguments, **named)  # looked up now: FSDP2 changes the class later


def _choose(compiled: Callable[..., Any], block: Any, *arguments: Any, **named: Any) -> Any:
    cached = any(hasattr(value, "get_seq_length") for value in (*arguments, *named.values()))
    return (_forward if cached else compiled)(block, *arguments, **named)
