"""Checks of what a model reads and writes: prompts, special tokens, the pre-filled thought, lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from .. import models
from ..build_dataset.prompt import chat_text, load_template, messages, prompt_text
from ..errors import InputError
from ..game.answer import ANSWER, END_ANSWER, END_THINK, THINK
from ..game.puzzle import Puzzle
from .generation import encode, stop_ids
from .preflight_gpu import Finding
from .round_trip import check_tokenizer

LONGEST = Puzzle((99, 98, 97, 96, 95, 94), 100)
# A chat template that says what ``render`` does without one.
PARAGRAPHS = "{% for turn in messages %}{{ turn.content }}\n\n{% endfor %}"
# Beside a tokenizer.json the key of tokenizer_config.json is not read.
_NOT_ADDED = "in Python, set tokenizer.add_{}_token = False and save it again"


def text_findings(
    tokenizer: PreTrainedTokenizerBase, config: Any, folder: Path, languages: Sequence[str], new_tokens: int
) -> Iterator[Finding]:
    """Everything about text; ``config`` is the model's, ``new_tokens`` the longest completion."""
    prompts = [prompt_text(tokenizer, load_template(language), LONGEST) for language in languages]
    yield from _tags(tokenizer)
    yield from _special(tokenizer, config)
    yield from _prefill(tokenizer, prompts)
    check_tokenizer(tokenizer, folder, prompts, languages)
    yield True, "prompts and answers survive the tokenizer"
    yield from _lengths(tokenizer, prompts, config, new_tokens)


def _tags(tokenizer: PreTrainedTokenizerBase) -> Iterator[Finding]:
    """A trainer decodes without special tokens; tags that vanish there would never be rewarded."""
    for tag in (THINK, END_THINK, ANSWER, END_ANSWER):
        kept = tokenizer.decode(tokenizer(tag, add_special_tokens=False)["input_ids"], skip_special_tokens=True)
        if str(kept).strip() != tag:
            yield False, f"{tag} is lost when the tokenizer decodes: make it an ordinary token, not a special one"
            return
    yield True, "the tags survive the tokenizer"


def _special(tokenizer: PreTrainedTokenizerBase, config: Any) -> Iterator[Finding]:
    """Tokens that end a completion and that fill a batch; without a pad token the end token does (``models.py``)."""
    if surplus := surplus_tokens(tokenizer, config):
        yield False, surplus
    if tokenizer.eos_token_id is None:
        yield (
            False,
            "the tokenizer has no eos_token, so no completion would ever end: set it to a turn's end",
        )
        return
    closing = _closing_token(tokenizer)
    ends = stop_ids(None, tokenizer) + tuple(_listed(getattr(config, "eos_token_id", None)))
    if closing is not None and closing not in ends:
        shown = tokenizer.decode([closing])
        yield (
            False,
            f"a turn ends with {shown!r}, which is no end token of the model, so every completion would be cut: "
            "set the tokenizer's eos_token to it",
        )
        return
    yield True, f"a completion ends with {tokenizer.eos_token!r}, batches are filled with {tokenizer.pad_token!r}"


def surplus_tokens(tokenizer: PreTrainedTokenizerBase, config: Any) -> str | None:
    """What is wrong when the tokenizer has tokens that the model has no embedding for."""
    rows = getattr(config, "vocab_size", len(tokenizer))
    if len(tokenizer) <= rows:
        return None
    return f"the tokenizer has {len(tokenizer):,} tokens, the model {rows:,}: resize its embeddings"


def check_text(
    tokenizer: PreTrainedTokenizerBase, config: Any, folder: Path, base: str, languages: Sequence[str]
) -> None:
    """Raise for a tokenizer that evaluation would refuse afterwards, or with tokens that the model lacks, or no end."""
    if tokenizer.eos_token_id is None:
        raise InputError(f"the tokenizer of {base} has no eos_token, so no completion would end")
    if surplus := surplus_tokens(tokenizer, config):
        raise InputError(f"base {base}: {surplus}")
    with models.undamaged(base):
        check_tokenizer(tokenizer, folder, (), languages)


def _listed(value: Any) -> list[int]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _closing_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The first token after an assistant's words in the chat template; None without a template."""
    if not tokenizer.chat_template:
        return None
    said = "countdown"
    turns = [*messages(load_template("en"), LONGEST), {"role": "assistant", "content": said}]
    tail = chat_text(tokenizer, turns, add_generation_prompt=False).rpartition(said)[2].strip()
    ids = tokenizer(tail, add_special_tokens=False)["input_ids"]
    return ids[0] if ids else None


def _prefill(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> Iterator[Finding]:
    """The prompt must reach the model ending in an open thought, begun once and closed by nobody."""
    for prompt in prompts:
        ids = tokenizer(prompt)["input_ids"]  # as TRL and vLLM encode it
        if ids[-1] == tokenizer.eos_token_id:
            yield False, f"the tokenizer closes every prompt with its end token: {_NOT_ADDED.format('eos')}"
            return
        if not str(tokenizer.decode(ids)).rstrip(" ").endswith(THINK) or END_THINK in prompt.rpartition("\n")[2]:
            yield (
                False,
                f"prompts must end in an open {THINK}; this chat template adds something behind it: remove that",
            )
            return
        if prompt.count(THINK) - prompt.count(END_THINK) != 1 and not _named(prompt):
            yield (
                False,
                "the chat template opens a thought of its own, the pre-filled one would be a second: "
                f"remove {THINK} from the template",
            )
            return
        if beginning := _beginning(tokenizer, prompt, ids):
            yield False, beginning
            return
    yield True, f"prompts end in an open {THINK}"


def _beginning(tokenizer: PreTrainedTokenizerBase, prompt: str, ids: list[int]) -> str | None:
    """What is wrong with what the tokenizer puts before a prompt of these ``ids``; None when it puts nothing there."""
    (plain,) = encode(tokenizer, [prompt])
    added = ids[: len(ids) - len(plain)]
    if not added:
        return None
    shown = str(tokenizer.decode(added))
    if plain[: len(added)] == added:
        return (
            f"prompts begin with {shown!r} twice, since the chat template and the tokenizer add it: "
            f"{_NOT_ADDED.format('bos')}"
        )
    template = f"{shown!r} + tokenizer.chat_template" if tokenizer.chat_template else repr(shown + PARAGRAPHS)
    return (
        f"prompts begin with {shown!r} where TRL or vLLM encodes them and without it elsewhere, evaluation included: "
        f"in Python, set tokenizer.add_bos_token = False and tokenizer.chat_template = {template}, and save it again"
    )


def _named(prompt: str) -> bool:
    """Whether the instructions themselves name the tags, once each, as the articles' do."""
    return prompt.count(THINK) == 2 and prompt.count(END_THINK) == 1


def _lengths(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], config: Any, new_tokens: int
) -> Iterator[Finding]:
    longest = max(len(tokenizer(prompt, add_special_tokens=False)["input_ids"]) for prompt in prompts)
    limit = getattr(config, "max_position_embeddings", None) or longest + new_tokens
    text = f"prompts of up to {longest} tokens + {new_tokens} new ones, the model takes {limit}"
    good = longest + new_tokens <= limit
    yield good, text if good else f"{text}: lower max_completion_length"
