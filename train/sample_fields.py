"""Completions, prompt and label of a row, by the names that training and evaluation programs give them.

The names are those of TRL, verl, TinyZero, reasoning-gym, lm-eval-harness and other programs. A completion is a text,
chat turns, or a list of several of either; names are read whatever their case.
"""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from .messages import MODEL_ROLES, is_turn, plain, role_of, said, words_of

Row = Mapping[str, Any]
COMPLETIONS = (
    *("generation", "completion", "response", "output", "raw_generation", "generated_text", "model_output"),
    *("model_response", "full_model_response", "raw_output", "raw_response", "output_text", "response_text"),
    *("completion_text", "generated", "prediction"),
)
SEVERAL = (
    *("generations", "completions", "responses", "outputs", "generated_texts", "predictions", "samples", "choices"),
    *("resps", "message", "best_full_model_response", "text"),
)
CHATS = ("messages", "conversations", "conversation", "chat")
PROMPTS = ("prompt", "input", "question", "problem", "query", "instruction", "prompt_input", "prompts", "prompt_text")
LABELS = ("checkpoint", "model", "model_name")
STEPS = ("step", "global_step", "training_step")
MAX_SPELT_CHARS = 200_000  # of a cell that spells a list or an object
MAX_DEPTH = 3  # of lists in each other
MAX_NAMED = 12  # keys in a message
_WHOLE = re.compile(r"\s{0,9}[-+]?[0-9]{1,12}(?:\.0{1,9})?\s{0,9}", re.ASCII)
# Where chat templates, and the prompts of base models, let the model speak.
SPEAKS = re.compile(
    r"<\|im_start\|>assistant\n?|<\|start_header_id\|>assistant<\|end_header_id\|>\s{0,4}|<｜Assistant｜>|<\|assistant\|>"
    r"|\[/INST\]|<start_of_turn>model\n?|\nAssistant:"
)


def texts_of(row: Row, depth: int = MAX_DEPTH) -> list[str]:
    """The completions of a row; none when it holds none."""
    values = _by_name(row)
    found = [texts for name in (*COMPLETIONS, *SEVERAL) if name in values and (texts := _texts(values[name], depth))]
    chats = [_spoken(values[name]) for name in CHATS if name in values]
    return next(
        (texts for texts in [*found, *([text] for text in chats if text)] if any(texts)), found[0] if found else []
    )


def has_context(row: Row) -> bool:
    """Whether an object has what makes it one row: a prompt, a chat, or a completion that is a text."""
    values = _by_name(row)
    return any(name in values for name in (*PROMPTS, *CHATS)) or any(
        isinstance(values.get(name), str) for name in COMPLETIONS
    )


def prompt_of(row: Row) -> str:
    """The words of the prompt, of every turn before the completion; '' where there is none."""
    values = _by_name(row)
    asked = [words_of(spelt(values[name])) for name in PROMPTS if name in values]
    asked += [_asked(values[name]) for name in (*CHATS, *COMPLETIONS, *SEVERAL) if name in values]
    return next((text for text in asked if text.strip()), "")


def label_of(row: Row) -> str | None:
    """What a row says of the model: its name, or the training step."""
    values = _by_name(row)
    named = next((str(values[name]) for name in LABELS if isinstance(values.get(name), str | int)), "")
    step = next((number for name in STEPS if (number := whole(values.get(name))) is not None), None)
    return named or (None if step is None else f"step {step}")


def whole(value: object) -> int | None:
    """A whole number that may be written as a text or a float; None for anything else."""
    value = plain(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value.partition(".")[0])
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else None


def spelt(value: Any) -> Any:
    """The list or object that a cell spells, as JSON or as Python prints it; anything else as it is."""
    value = plain(value)
    if not isinstance(value, str) or len(value) > MAX_SPELT_CHARS or not value.lstrip().startswith(("[", "{")):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            with warnings.catch_warnings(action="ignore"):  # of escapes that Python does not know
                return read(value.strip())
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return value


def wanting(keys: Iterable[str]) -> str:
    """What to say of rows with these keys and no completion: the keys, and the nearest name that is wanted."""
    there = list(dict.fromkeys(keys))
    named = ", ".join(there[:MAX_NAMED]) + (", ..." if len(there) > MAX_NAMED else "")
    wanted = [*COMPLETIONS, *CHATS, "text"]
    pairs = [(SequenceMatcher(None, _name(key), name).ratio(), key, name) for key in there[:100] for name in wanted]
    likeness, key, name = max(pairs, key=lambda pair: pair[0], default=(0.0, "", ""))
    if likeness < 0.5:
        return f"its rows have the keys {named or 'none'}; the completion is wanted as '{COMPLETIONS[0]}'"
    if likeness == 1.0:
        return f"its rows have the keys {named}, but '{key}' holds no text and no chat"
    return f"its rows have the keys {named}, and no completion: is '{key}' what is wanted as '{name}'?"


def _by_name(row: Row) -> dict[str, Any]:
    return {_name(key): value for key, value in row.items() if value is not None}


def _name(key: object) -> str:
    return re.sub(r"[\s.-]+", "_", str(key)[:80].strip().lower())


def _texts(value: Any, depth: int) -> list[str]:
    """One completion or several: a text, turns of one chat, or a list of such."""
    value = spelt(value)
    if isinstance(value, str | bytes):
        return [said(value)]
    if is_turn(value) or (isinstance(value, list | tuple) and len(value) and all(map(is_turn, value))):
        return [_spoken(value)]
    if isinstance(value, Mapping):
        own = _by_name(value)
        return [] if not depth or any(name in own for name in PROMPTS) else texts_of(value, depth - 1)
    if not isinstance(value, list | tuple) or not depth:
        return []
    return [text for one in value for text in ([one] if isinstance(one, str) else _texts(one, depth - 1))]


def _split(value: Any) -> tuple[Sequence[Row], Sequence[Row]]:
    """The turns of a chat up to the last that is not the model's, and those behind it."""
    value = spelt(value)
    turns = [turn for turn in (value if isinstance(value, list | tuple) else [value]) if is_turn(turn)]
    others = [place for place, turn in enumerate(turns) if role_of(turn) in ("user", "human")]
    cut = others[-1] + 1 if others else sum(role_of(turn) == "system" for turn in turns)
    return turns[:cut], turns[cut:]


def _spoken(value: Any) -> str:
    return said([turn for turn in _split(value)[1] if role_of(turn) in MODEL_ROLES])


def _asked(value: Any) -> str:
    return words_of(_split(value)[0])
