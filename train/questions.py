"""The puzzles that every model is asked: held-out rows of a dataset, as prompts in the words of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..build_dataset.dataset import is_built, languages_of, load
from ..build_dataset.prompt import load_template, messages
from ..errors import InputError
from ..game.puzzle import Puzzle

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Questions:
    """Where held-out puzzles come from: ``n`` of ``split`` for the published figures, ``n_validation`` to choose.

    With ``allow_leak`` puzzles that a model may have been trained on are asked too, and counted in the summary.
    """

    dataset: str
    split: str = "test"
    language: str | None = None
    n: int = 500
    n_validation: int = 0
    allow_leak: bool = False

    @property
    def names_splits(self) -> bool:
        """Whether the dataset's splits are ours; those of others are asked as they are, whatever their rows are."""
        return is_built(self.dataset)


def select_rows(questions: Questions, split: str, n: int) -> list[Row]:
    """The first ``n`` rows of a split, languages taking turns. Raises ``InputError`` when there are fewer."""
    if n < 1:
        raise InputError(f"{n} puzzles of split '{split}' were asked for; ask at least 1 with --limit")
    languages = [questions.language] if questions.language else languages_of(questions.dataset)
    sources = {language: _first_rows(questions.dataset, language, split, n) for language in languages}
    found = min(n, *map(len, sources.values()))
    if found < n:
        raise InputError(
            f"{questions.dataset} has {found} puzzles in split '{split}', {n} were asked for: "
            "build a larger dataset or lower --limit"
        )
    asked = [(index, languages[index % len(languages)]) for index in range(n)]
    return [_posed(sources[language][index], language) for index, language in asked]


def _first_rows(dataset: str, language: str, split: str, n: int) -> list[Row]:
    rows = load(dataset, language, split)
    return rows.select(range(min(n, rows.num_rows))).to_list()


def _posed(row: Row, language: str) -> Row:
    """The row with its language, and with the shipped prompt when the dataset holds bare puzzles."""
    if "prompt" in row:
        return dict(row, language=language)
    template = load_template(language)
    turns = messages(template, Puzzle(tuple(row["nums"]), row["target"]))
    return dict(row, language=language, prompt=turns, assistant_prefix=template.assistant_prefix)
