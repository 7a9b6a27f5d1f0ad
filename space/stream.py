"""One completion, piece by piece, while the model writes it.

``generate`` runs in a thread of its own and hands text over through a queue (transformers'
``TextIteratorStreamer``). Whatever ends it, a failure included, ends the queue, so a reader never hangs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import Empty
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from ..build_dataset.prompt import load_template, prompt_text
from ..errors import StageError
from ..game.answer import judge, parse
from ..game.puzzle import Puzzle, Verdict

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TextIteratorStreamer

# What the evaluation uses, so that the demo shows what its numbers describe.
MAX_NEW_TOKENS = 320
TEMPERATURE = 1.0
TOKEN_TIMEOUT_SECONDS = 300.0
CLOSING_SECONDS = 10.0
SMALL_MODEL_PARAMETERS = 50_000_000


@dataclass(frozen=True)
class Piece:
    """The completion so far. ``verdict`` is set on the last piece alone."""

    completion: str
    n_tokens: int
    seconds: float
    verdict: Verdict | None = None

    @property
    def thought(self) -> str:
        return parse(self.completion).thought

    @property
    def answer(self) -> str | None:
        return parse(self.completion).answer

    @property
    def thinking(self) -> bool:
        return not parse(self.completion).finished


@dataclass
class _Run:
    """What the generating thread shares with the reader; ``ids`` are the new tokens once it has ended well."""

    model: Any
    prompt: Any
    settings: dict[str, Any]
    streamer: TextIteratorStreamer
    halts: tuple[Event, ...]
    n_tokens: int = 0
    ids: list[int] = field(default_factory=list)
    error: Exception | None = None


def stream(  # noqa: PLR0913 - each is a setting of its own that a caller may want to leave alone
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    puzzle: Puzzle,
    language: str,
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    temperature: float = TEMPERATURE,
    seed: int = 0,
    stop: Event | None = None,
) -> Iterator[Piece]:
    """Pieces of the model's completion for ``puzzle``, each holding all the text so far; the last has a verdict.

    ``language`` names the prompt's template; ``temperature`` 0 takes the likeliest token; ``seed`` seeds torch.
    Setting ``stop``, or closing the iterator, ends the generation after the current token.
    Raises ``StageError`` when the model fails, or when the puzzle leaves no room in its context.
    """
    from transformers import TextIteratorStreamer

    text = prompt_text(tokenizer, load_template(language), puzzle)
    prompt = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    room = _room(model, prompt["input_ids"].shape[1])
    settings = _settings(model, tokenizer, min(max_new_tokens, room), temperature)
    streamer = TextIteratorStreamer(
        tokenizer, skip_prompt=True, timeout=TOKEN_TIMEOUT_SECONDS, skip_special_tokens=True
    )
    closed = Event()
    run = _Run(model, prompt, settings, streamer, (closed, stop or Event()))
    started = time.perf_counter()
    thread = Thread(target=_generate, args=(run, seed), daemon=True)
    thread.start()
    try:
        text = ""
        for part in _parts(streamer):
            text += part
            yield Piece(text, run.n_tokens, time.perf_counter() - started)
    finally:
        closed.set()
        thread.join(CLOSING_SECONDS)
    if run.error is not None:
        raise StageError(f"the model failed while writing: {run.error}") from run.error
    completion = str(tokenizer.decode(run.ids, skip_special_tokens=True))
    yield Piece(completion, len(run.ids), time.perf_counter() - started, judge(puzzle, completion))


def frames(pieces: Iterator[Piece], every_seconds: float = 0.06) -> Iterator[Piece]:
    """The pieces a page has time to draw: at most one per ``every_seconds``, and always the last."""
    drawn = 0.0
    for piece in pieces:
        if piece.verdict is not None or time.monotonic() - drawn >= every_seconds:
            drawn = time.monotonic()
            yield piece


def _parts(streamer: TextIteratorStreamer) -> Iterator[str]:
    """Text as it arrives, without the empty parts."""
    try:
        yield from (part for part in streamer if part)
    except Empty:
        raise StageError(f"the model wrote nothing for {TOKEN_TIMEOUT_SECONDS:.0f} seconds; reload it") from None


def _room(model: PreTrainedModel, n_prompt_tokens: int) -> int:
    """How many tokens fit behind the prompt. Raises ``StageError`` when none do."""
    context = getattr(model.config, "max_position_embeddings", None) or 1_000_000
    if n_prompt_tokens >= context:
        raise StageError(
            f"the prompt has {n_prompt_tokens} tokens and the model's context {context}; use a larger model"
        )
    return context - n_prompt_tokens


def _settings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_new_tokens: int, temperature: float
) -> dict[str, Any]:
    """Plain sampling, whatever a checkpoint's own generation_config says of top-k or penalties."""
    own: Any = model.generation_config.eos_token_id if model.generation_config else None
    ends: list[Any] = [tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    sampling = {"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature > 0 else {}
    return {
        "max_new_tokens": max_new_tokens,
        "do_sample": temperature > 0,
        "repetition_penalty": 1.0,
        "eos_token_id": sorted({end for end in ends if end is not None}) or None,
        "pad_token_id": tokenizer.pad_token_id,
        **sampling,
    }


def _threads(model: PreTrainedModel, available: int) -> int:
    """One token of a small model is too little to share out: threads that wait for one another made it 5 to 15
    times slower on two busy cores."""
    return 1 if model.num_parameters() < SMALL_MODEL_PARAMETERS else available


def _generate(run: _Run, seed: int) -> None:
    """The thread's body: generate into the streamer, keep the new ids or the failure, end the queue."""
    import torch
    from transformers import StoppingCriteriaList

    n_prompt = run.prompt["input_ids"].shape[1]

    def halted(ids: torch.Tensor, _scores: torch.Tensor, **_: object) -> torch.Tensor:
        run.n_tokens = ids.shape[1] - n_prompt
        halt = any(event.is_set() for event in run.halts)
        return torch.full((ids.shape[0],), halt, dtype=torch.bool, device=ids.device)

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(_threads(run.model, threads))
        torch.manual_seed(seed)
        inputs = {name: run.prompt[name].to(run.model.device) for name in ("input_ids", "attention_mask")}
        criteria: Any = StoppingCriteriaList([halted])  # any callable of this shape will do
        output = run.model.generate(**inputs, **run.settings, streamer=run.streamer, stopping_criteria=criteria)
        run.ids = output[0, n_prompt:].tolist()
    # Whatever generation raises belongs to the reader, who sits in another thread.
    except Exception as error:
        run.error = error
    finally:
        torch.set_num_threads(threads)
        run.streamer.on_finalized_text("", stream_end=True)
