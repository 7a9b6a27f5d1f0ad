"""Prompts: one template file per language and one rendering used by every stage.

A template is data (``templates/en.yaml``): ``language``, ``system``, ``user`` with ``{nums}`` and
``{target}``, and ``assistant_prefix``, which ends in ``<think>`` so that the model continues inside its
thought. Users add languages with a file of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute
import yaml
from jinja2 import TemplateError

from ..errors import InputError
from ..game.answer import THINK
from ..game.puzzle import Puzzle
from ..names import near

LANGUAGES = ("en", "zh")
Message = dict[str, str]
Column: TypeAlias = pa.Array | pa.ChunkedArray
pc: Any = pyarrow.compute  # its functions are made at import, out of a type checker's sight
_PLACES = re.compile(r"(\{nums\}|\{target\})")


class ChatTokenizer(Protocol):
    """What rendering needs of a Hugging Face tokenizer."""

    @property
    def chat_template(self) -> str | dict[str, str] | None: ...

    def apply_chat_template(
        self, conversation: list[Message], *, tokenize: bool, add_generation_prompt: bool
    ) -> object: ...


@dataclass(frozen=True)
class Template:
    """The words around a puzzle in one language."""

    language: str
    system: str
    user: str
    assistant_prefix: str


def load_template(language: str) -> Template:
    """The shipped template of a language (``en``, ``zh``) or the one in a YAML file of that path."""
    if language in LANGUAGES:
        text = (
            resources.files("countdown_r1.build_dataset")
            .joinpath(f"templates/{language}.yaml")
            .read_text(encoding="utf-8")
        )
    elif Path(language).is_file():
        text = Path(language).read_text(encoding="utf-8")
    else:
        raise InputError(
            f"no template '{language}'{near(language)}: use {' or '.join(LANGUAGES)}, or the path of a YAML file"
        )
    return _parse(text, language)


def _parse(text: str, where: str) -> Template:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"template {where} is not valid YAML: {str(error).splitlines()[0]}") from error
    names = [field.name for field in fields(Template)]
    if not isinstance(values, dict) or sorted(values) != sorted(names):
        raise InputError(f"template {where} needs exactly these keys: {', '.join(names)}")
    if not all(isinstance(value, str) for value in values.values()):
        raise InputError(f"template {where}: every value is a text")
    template = Template(**values)
    if "{nums}" not in template.user or "{target}" not in template.user:
        raise InputError(f"template {where}: 'user' needs both {{nums}} and {{target}}")
    if not template.assistant_prefix.endswith(THINK):
        raise InputError(f"template {where}: 'assistant_prefix' must end in {THINK}")
    return template


def messages(template: Template, puzzle: Puzzle) -> list[Message]:
    """The system and user turns that pose ``puzzle``."""
    return messages_column(template, *_one_row(puzzle))[0].as_py()


def chatml(template: Template, puzzle: Puzzle) -> str:
    """The prompt as one ChatML string, ending inside the assistant's thought."""
    return chatml_column(template, *_one_row(puzzle))[0].as_py()


def messages_column(template: Template, nums: Column, target: Column) -> pa.ListArray:
    """The turns of many puzzles: lists of (role, content), one system and one user turn each."""
    user = _filled(template.user, nums, target)
    place = np.empty(2 * len(user), np.int64)
    place[0::2], place[1::2] = len(user), np.arange(len(user))
    content = pa.concat_arrays([user, pa.array([template.system])]).take(pa.array(place))
    role = pa.array(["system", "user"]).take(pa.array(np.tile([0, 1], len(user))))
    turns = pa.StructArray.from_arrays([role, content], ["role", "content"])
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(place) + 1, 2), pa.int32()), turns)


def chatml_column(template: Template, nums: Column, target: Column) -> pa.StringArray:
    """The ChatML strings of many puzzles."""
    before = f"<|im_start|>system\n{template.system}<|im_end|>\n<|im_start|>user\n"
    after = f"<|im_end|>\n<|im_start|>assistant\n{template.assistant_prefix}"
    return pc.binary_join_element_wise(before, _filled(template.user, nums, target), after, "")


def _one_row(puzzle: Puzzle) -> tuple[pa.Array, pa.Array]:
    return pa.array([list(puzzle.nums)], pa.list_(pa.int64())), pa.array([puzzle.target], pa.int64())


def _filled(words: str, nums: Column, target: Column) -> pa.StringArray:
    """``words`` with numbers, as ``[55, 36, 7, 19]``, and target in place of ``{nums}`` and ``{target}``."""
    columns = {"{nums}": _number_texts(_whole(nums)), "{target}": _whole(target).cast(pa.string())}
    parts = [columns.get(part, part) for part in _PLACES.split(words)]
    return pc.binary_join_element_wise(*parts, "")


def _number_texts(nums: pa.ListArray) -> pa.Array:
    offsets = pc.subtract(nums.offsets, nums.offsets[0])  # a slice still holds the values before it
    texts = pa.ListArray.from_arrays(offsets, nums.flatten().cast(pa.string()))
    return pc.binary_join_element_wise("[", pc.binary_join(texts, ", "), "]", "")


def _whole(column: Column) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def render(tokenizer: ChatTokenizer, conversation: Sequence[Message], assistant_prefix: str) -> str:
    """The one string a model continues: its chat template over ``conversation``, then ``assistant_prefix``.

    A base model without a chat template gets the turns as plain paragraphs. Train, evaluate, solve and the
    Space all call this, so a model is always asked in the words it was trained on. Raises ``InputError``.
    """
    if tokenizer.chat_template:
        return f"{chat_text(tokenizer, conversation, add_generation_prompt=True)}{assistant_prefix}"
    return "\n\n".join(turn["content"] for turn in conversation) + f"\n\n{assistant_prefix}"


def chat_text(tokenizer: ChatTokenizer, conversation: Sequence[Message], *, add_generation_prompt: bool) -> str:
    """The chat template over ``conversation``. Raises ``InputError`` when it is broken or refuses such turns."""
    turns = list(conversation)
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt))
    except TemplateError as error:
        model, reason = getattr(tokenizer, "name_or_path", "the model"), " ".join(str(error).split())[:160]
        raise InputError(
            f"the chat template of {model} does not take the turns {', '.join(turn['role'] for turn in turns)} "
            f"({reason}): mend that template, or remove it to have the prompts in plain paragraphs"
        ) from error


def prompt_text(tokenizer: ChatTokenizer, template: Template, puzzle: Puzzle) -> str:
    """``render`` of a puzzle that is not in a dataset."""
    return render(tokenizer, messages(template, puzzle), template.assistant_prefix)
