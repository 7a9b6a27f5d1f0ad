"""The words of completions and prompts, whatever shape they come in: a text, chat turns, typed parts, or nothing.

A thought that a server keeps apart (``reasoning_content``, a part of type ``thinking``) is put before ``</think>``,
where a model without such a server writes it. Nothing here raises: what holds no words of the model's is an empty text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..game.answer import END_THINK

MODEL_ROLES = ("assistant", "model", "gpt", "ai", "bot")
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought")
_CONTENTS = ("content", "value", "text")
Turn = Mapping[str, Any]


def said(completion: object) -> str:
    r"""What the model wrote, the turns of others left out.

    >>> said([{"role": "assistant", "content": "<answer>3 * 5</answer>", "reasoning_content": "3 * 5 = 15."}])
    '3 * 5 = 15.</think>\n<answer>3 * 5</answer>'
    """
    completion = plain(completion)
    if isinstance(completion, str | bytes):
        return _text(completion)
    text, thought = "", ""
    for turn in turns_of(completion):
        if role_of(turn) not in MODEL_ROLES:
            continue
        apart, words = _turn(turn)
        thought = "\n".join(filter(None, (thought, apart)))
        if thought and words.strip():
            text += words if END_THINK in words else f"{thought}{END_THINK}\n{words.lstrip()}"
            thought = ""
        else:
            text += words
    return text + thought


def words_of(prompt: object) -> str:
    """The words of a prompt: a text as it is, of chat turns those of every role."""
    prompt = plain(prompt)
    return (
        _text(prompt) if isinstance(prompt, str | bytes) else "\n\n".join(_turn(turn)[1] for turn in turns_of(prompt))
    )


def shown(prompt: object) -> str:
    """A prompt as one string that a model would go on with: a text as it is, chat turns in the form of ChatML."""
    prompt = plain(prompt)
    turns = turns_of(prompt) if not isinstance(prompt, str | bytes) else ()
    written = "".join(f"<|im_start|>{role_of(turn)}\n{_turn(turn)[1]}<|im_end|>\n" for turn in turns)
    return f"{written}<|im_start|>assistant\n" if written else words_of(prompt)


def turns_of(value: object) -> Iterator[Turn]:
    """The chat turns of a list of them, or of one; a text among them is a turn of the model's."""
    value = plain(value)
    for turn in map(plain, value if isinstance(value, list | tuple) else [value]):
        if isinstance(turn, Mapping):
            yield turn
        elif isinstance(turn, str | bytes):
            yield {"content": turn}
        elif isinstance(turn, list | tuple) and len(turn) and all(isinstance(one, Mapping) for one in turn):
            yield from turn


def is_turn(value: object) -> bool:
    """Whether a value is a chat turn: something said by somebody."""
    return isinstance(value, Mapping) and any(name in value for name in ("role", "from")) and bool(value)


def role_of(turn: Turn) -> str:
    return str(turn.get("role") or turn.get("from") or MODEL_ROLES[0]).lower()


def plain(value: Any) -> Any:
    """A numpy, torch or Arrow value as the plain Python one."""
    for convert in ("as_py", "tolist"):
        if hasattr(value, convert):
            return getattr(value, convert)()
    return value


def _turn(turn: Turn) -> tuple[str, str]:
    """What a turn holds of a thought kept apart, and its words."""
    content = next((turn[name] for name in _CONTENTS if turn.get(name) is not None), None)
    thoughts, words = _parts(content)
    apart = next((text for name in THOUGHTS if (text := "".join(_parts(turn.get(name))))), "")
    return apart or thoughts, words


def _parts(content: object) -> tuple[str, str]:
    """Thought and words of a content: a text, a part, or a list of parts."""
    content = plain(content)
    thoughts, words = "", ""
    for part in content if isinstance(content, list | tuple) else [content]:
        if not isinstance(part, Mapping):
            words += _text(part)
        elif part.get("type") in THOUGHTS:
            thoughts += next((text for name in (*THOUGHTS, "text") if (text := _text(part.get(name)))), "")
        else:
            words += _text(part.get("text"))
    return thoughts, words


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return str(value) if isinstance(value, str) else ""
