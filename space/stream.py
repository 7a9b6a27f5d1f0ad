"""One completion, piece by piece, while the model writes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from ..build_dataset.prompt import load_template, prompt_text
from ..errors import StageError
from ..game.answer import judge, parse
from ..game.language import language_of, mixed
from ..game.puzzle import Puzzle, Verdict
from .trained_on import of_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from . import decoding, plain

MAX_NEW_TOKENS = 2048
TEMPERATURE = 1.0  # what the evaluation uses, so that the demo shows what its numbers describe
_UNFINISHED_CHARACTER = "\ufffd"  # stands for the first bytes of a character whose others are still to come


@dataclass(frozen=True)
class Piece:
    """The completion so far. ``verdict``, and whether the languages are ``mixed``, are set on the last piece alone."""

    completion: str
    n_tokens: int
    seconds: float
    verdict: Verdict | None = None
    mixed: bool = False

    @property
    def thought(self) -> str:
        return parse(self.completion).thought

    @property
    def answer(self) -> str | None:
        return parse(self.completion).answer

    @property
    def thinking(self) -> bool:
        return not parse(self.completion).finished


@dataclass(frozen=True)
class Writer:
    """What writes: a decoder, its tokenizer, ``tokens``, which is ``decoder.tokens`` or runs it elsewhere, the tokens
    that end a completion, and after how many one ends at the latest."""

    decoder: decoding.Decoder | plain.Decoder
    tokenizer: PreTrainedTokenizerBase | plain.Tokenizer
    tokens: Callable[..., Iterator[int]]
    ends: frozenset[int]
    max_new_tokens: int = MAX_NEW_TOKENS


def load_writer(name: str) -> Writer:
    """The model of that name, ready to write as much as it did when it was measured, as far as that is recorded.

    Raises ``StageError``, ``InputError`` or ``HubError``.
    """
    import torch

    from .. import models
    from . import plain

    folder = models.local_folder(models.resolve(name))
    limit = min(of_folder(folder).max_new_tokens or MAX_NEW_TOKENS, MAX_NEW_TOKENS)
    found = None if torch.cuda.is_available() else plain.load(folder)
    if found:
        return Writer(found.decoder, found.tokenizer, found.decoder.tokens, found.ends, limit)
    from .decoding import Decoder, stop_ids

    model, tokenizer = models.load(name)
    decoder = Decoder(model)
    return Writer(decoder, tokenizer, decoder.tokens, stop_ids(model, tokenizer), limit)


def stream(
    writer: Writer,
    puzzle: Puzzle,
    language: str,
    *,
    max_new_tokens: int | None = None,
    temperature: float = TEMPERATURE,
    seed: int = 0,
    stop: Event | None = None,
) -> Iterator[Piece]:
    """Pieces of the model's completion for ``puzzle``, each holding all the text so far; the last has a verdict.

    ``language`` names the prompt's template. Setting ``stop`` ends the thought after the current token, with a
    verdict; closing the iterator ends it without one. It ends by itself after ``max_new_tokens``, by default the
    writer's. Raises ``StageError`` when the model fails, or when the puzzle leaves no room in its context.
    """
    prompt = prompt_text(writer.tokenizer, load_template(language), puzzle)
    prompt_ids = writer.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    limit = min(max_new_tokens or writer.max_new_tokens, _room(writer.decoder.context, len(prompt_ids)))
    began, text = time.perf_counter(), _Text(writer.tokenizer)
    ids: list[int] = []
    try:
        for token in writer.tokens(prompt_ids, writer.ends, limit, temperature, seed):
            ids.append(token)
            if token not in writer.ends:
                yield Piece(text.after(token), len(ids), time.perf_counter() - began)
            if stop and stop.is_set():
                break
    except (RuntimeError, ValueError, AttributeError, IndexError) as error:
        raise StageError(f"the model failed while writing: {error}") from error
    completion = str(writer.tokenizer.decode(ids, skip_special_tokens=True))
    seconds = time.perf_counter() - began
    yield Piece(completion, len(ids), seconds, judge(puzzle, completion), mixed(completion, language_of(prompt)))


class _Text:
    """Text of a growing list of tokens; whole lines are decoded once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase | plain.Tokenizer) -> None:
        self.tokenizer, self.lines = tokenizer, ""
        self.pending: list[int] = []

    def after(self, token: int) -> str:
        """All text up to ``token``, without a character of which bytes are still missing."""
        self.pending.append(token)
        line = _decoded(self.tokenizer, self.pending)
        if line.endswith("\n"):
            self.lines, self.pending = self.lines + line, []
            return self.lines
        return self.lines + line.rstrip(_UNFINISHED_CHARACTER)


def _decoded(tokenizer: PreTrainedTokenizerBase | plain.Tokenizer, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))


def _room(context: int, n_prompt_tokens: int) -> int:
    """How many tokens fit behind the prompt. Raises ``StageError`` when none do."""
    if n_prompt_tokens >= context:
        raise StageError(
            f"the prompt has {n_prompt_tokens} tokens and the model's context {context}; use a larger model"
        )
    return context - n_prompt_tokens
