"""Prompts: one template file per language and one rendering used by every stage.

A template is data (``templates/en.yaml``): ``language``, ``system``, ``user`` with ``{nums}`` and
``{target}``, and ``assistant_prefix``, which ends in ``<think>`` so that the model continues inside its
thought. Users add languages with a file of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Protocol

import yaml

from ..errors import InputError
from ..game.answer import THINK
from ..game.puzzle import Puzzle

LANGUAGES = ("en", "zh")
Message = dict[str, str]


class ChatTokenizer(Protocol):
    """What rendering needs of a Hugging Face tokenizer."""

    chat_template: str | dict[str, str] | None

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
        raise InputError(f"no template '{language}': use {' or '.join(LANGUAGES)}, or the path of a YAML file")
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
    user = template.user.replace("{nums}", str(list(puzzle.nums))).replace("{target}", str(puzzle.target))
    return [{"role": "system", "content": template.system}, {"role": "user", "content": user}]


def chatml(template: Template, puzzle: Puzzle) -> str:
    """The prompt as one ChatML string, ending inside the assistant's thought."""
    turns = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in messages(template, puzzle))
    return f"{turns}<|im_start|>assistant\n{template.assistant_prefix}"


def render(tokenizer: ChatTokenizer, conversation: Sequence[Message], assistant_prefix: str) -> str:
    """The one string a model continues: its chat template over ``conversation``, then ``assistant_prefix``.

    A base model without a chat template gets the turns as plain paragraphs. Train, evaluate, solve and the
    Space all call this, so a model is always asked in the words it was trained on.
    """
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(list(conversation), tokenize=False, add_generation_prompt=True)
        return f"{text}{assistant_prefix}"
    return "\n\n".join(turn["content"] for turn in conversation) + f"\n\n{assistant_prefix}"


def prompt_text(tokenizer: ChatTokenizer, template: Template, puzzle: Puzzle) -> str:
    """``render`` of a puzzle that is not in a dataset."""
    return render(tokenizer, messages(template, puzzle), template.assistant_prefix)
