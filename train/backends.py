"""Who writes the completions: transformers anywhere, vLLM where it is installed and there is a GPU.

Both get the same token ids, stop at the same tokens, draw from the whole distribution and are decoded by the same
tokenizer. They do not agree token by token (bfloat16 sums depend on the batch) but in what is measured:
``benchmarks/eval_backends.py`` compares the two on a GPU.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from .. import models
from ..errors import InputError, StageError
from .generation import Ask, Completion, Decoding, completions, stop_ids, write_batches

BACKENDS = ("transformers", "vllm")
PROMPT_ROOM = 1024  # tokens of context that vLLM keeps for a prompt
VLLM_BATCH = 2048  # completions handed to vLLM at once: it batches them itself, this is how often they are saved


@dataclass(frozen=True)
class Opened:
    """A model ready to write: ``write`` yields a completion for each ask, in order and in batches.

    ``context`` is how many tokens prompt and completion may have together, None when there is no such limit.
    """

    tokenizer: PreTrainedTokenizerBase
    context: int | None
    write: Callable[[Sequence[Ask], Decoding], Iterator[list[Completion]]]


def choose_backend(name: str | None) -> str:
    """The backend asked for, or by default vLLM where it can run. Raises ``InputError`` where it cannot."""
    missing = "vLLM is not installed" if find_spec("vllm") is None else "there is no GPU"
    can_run = find_spec("vllm") is not None and torch.cuda.is_available()
    if name == "vllm" and not can_run:
        raise InputError(f"--backend vllm: {missing}; use --backend transformers, or pip install 'countdown-r1[vllm]'")
    if name not in (None, *BACKENDS):
        raise InputError(f"no backend '{name}'; it is one of {', '.join(BACKENDS)}")
    return name or ("vllm" if can_run else "transformers")


@contextmanager
def opened(folder: Path, decoding: Decoding) -> Iterator[Opened]:
    """The model in ``folder`` on ``decoding``'s backend. Raises ``StageError`` when it cannot be loaded."""
    if decoding.backend == "vllm":
        with _vllm(folder, decoding) as model:
            yield model
        return
    model, tokenizer = models.load(str(folder))
    context = getattr(model.config, "max_position_embeddings", None)
    yield Opened(tokenizer, context, partial(write_batches, model, tokenizer))


@contextmanager
def _vllm(folder: Path, decoding: Decoding) -> Iterator[Opened]:
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    # Its engine would be forked from this process, which has asked torch about the GPU: CUDA refuses to start there.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    from vllm import LLM  # pyright: ignore[reportMissingImports]

    # Whatever a model, a driver or vLLM itself has against it surfaces here, in as many kinds of exceptions.
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        limit = getattr(AutoConfig.from_pretrained(folder), "max_position_embeddings", None)
        context = min(limit or 2**31, PROMPT_ROOM + decoding.max_new_tokens)
        engine = LLM(model=str(folder), max_model_len=context, seed=decoding.seed)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise StageError(f"vLLM cannot run {folder} ({reason}); pass --backend transformers") from error
    try:
        ends = stop_ids(models.generation_settings(folder)[0], tokenizer)
        yield Opened(tokenizer, context, partial(_write_with_vllm, engine, tokenizer, ends))
    finally:
        engine.llm_engine.engine_core.shutdown()  # gives the GPU's memory back to the next model
        gc.collect()
        torch.cuda.empty_cache()


def _write_with_vllm(
    engine: Any, tokenizer: PreTrainedTokenizerBase, ends: Sequence[int], asks: Sequence[Ask], decoding: Decoding
) -> Iterator[list[Completion]]:
    from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

    plain = {"temperature": decoding.temperature, "max_tokens": decoding.max_new_tokens, "stop_token_ids": list(ends)}
    for first in range(0, len(asks), VLLM_BATCH):
        began = time.monotonic()
        groups = [list(group) for _, group in groupby(asks[first : first + VLLM_BATCH], lambda ask: ask.puzzle)]
        prompts = [{"prompt_token_ids": list(group[0].prompt_ids)} for group in groups]
        settings = [
            SamplingParams(n=len(group), seed=vllm_seed(group[0], decoding), detokenize=False, **plain)
            for group in groups
        ]
        outputs = engine.generate(prompts, settings, use_tqdm=False)
        rows = [list(one.token_ids) for output in outputs for one in sorted(output.outputs, key=lambda one: one.index)]
        yield completions(tokenizer, rows, ends, time.monotonic() - began)


def vllm_seed(ask: Ask, decoding: Decoding) -> int:
    """The seed of a group of samples. vLLM adds 0, 1, 2 ... to it for the samples, so the next ones belong to them."""
    return decoding.seed * 1_000_000_007 + ask.puzzle * 10_007 + ask.sample
