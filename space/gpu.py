"""ZeroGPU: a Space there holds a GPU only while a function that ``spaces.GPU`` decorates runs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from math import ceil

from .stream import Writer

_SECONDS_TO_START, _TOKENS_PER_SECOND = 10, 40
MAX_SECONDS = 120


def on_gpu(writer: Writer) -> Writer:
    """The writer, on ZeroGPU with its decoding inside the function that gets the GPU; elsewhere as it is.

    Its tokens are made in another process there, so a stopped thought goes on in it until its seconds are over.
    """
    if not os.environ.get("SPACES_ZERO_GPU"):
        return writer
    import spaces  # pyright: ignore[reportMissingImports] - only there

    decoder = writer.decoder

    def tokens(
        prompt_ids: Sequence[int], ends: Collection[int], max_new_tokens: int, temperature: float, seed: int
    ) -> Iterator[int]:
        yield from decoder.tokens(prompt_ids, ends, max_new_tokens, temperature, seed)

    return replace(writer, tokens=spaces.GPU(duration=seconds)(tokens))


def seconds(
    prompt_ids: Sequence[int], ends: Collection[int], max_new_tokens: int, temperature: float, seed: int
) -> int:
    """How long to ask for the GPU: by the length of the thought, since a visitor's quota is charged for it.

    >>> seconds([1, 2], {0}, 400, 1.0, 7), seconds([1, 2], {0}, 8_000, 1.0, 7)
    (20, 120)
    """
    return min(_SECONDS_TO_START + ceil(max_new_tokens / _TOKENS_PER_SECOND), MAX_SECONDS)
