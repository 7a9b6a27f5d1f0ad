"""Token after token for one reader, as transformers computes them: for every model that ``plain`` does not take."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import DynamicCache

from .plain import MAX_PARAMETERS, draw

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Decoder:
    """A model that writes. A small one on a CPU uses one thread from then on, as in ``plain``."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.context: int = getattr(model.config, "max_position_embeddings", None) or 1_000_000
        if model.device.type == "cpu" and model.num_parameters() <= MAX_PARAMETERS:
            torch.set_num_threads(1)

    def tokens(
        self, prompt_ids: Sequence[int], ends: Collection[int], max_new_tokens: int, temperature: float, seed: int
    ) -> Iterator[int]:
        """Ids of new tokens, up to and with the first of ``ends``; see ``plain.draw``."""
        draws = np.random.default_rng(seed)
        cache: Any = DynamicCache(config=self.model.config)
        logits = self._after(prompt_ids, cache)
        for written in range(1, max_new_tokens + 1):
            token = draw(logits, temperature, draws.random())
            yield token
            if token in ends or written == max_new_tokens:
                return
            logits = self._after([token], cache)

    @torch.inference_mode()
    def _after(self, ids: Sequence[int], cache: Any) -> torch.Tensor:
        """The logits behind these further tokens, shape (vocabulary,)."""
        asked = torch.tensor([list(ids)], device=self.model.device)
        return self.model(input_ids=asked, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1]


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token that ends a completion: the tokenizer's own and those that the model's settings list."""
    own: Any = model.generation_config.eos_token_id if model.generation_config else None
    listed = own if isinstance(own, list | tuple) else [own]
    return frozenset(end for end in (tokenizer.eos_token_id, *listed) if isinstance(end, int))
