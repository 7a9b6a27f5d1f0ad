"""The puzzles that every model is asked: held-out rows of a dataset, as prompts in the words of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..build_dataset.dataset import load
from ..build_dataset.prompt import LANGUAGES, load_template, messages
from ..build_dataset.schema import BARE, CHATML
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
        """Whether the dataset says which split a row is in; a bare file is asked whole, whatever its rows are."""
        return not Path(self.dataset).is_file()


def select_rows(questions: Questions, split: str, n: int) -> list[Row]:
    """The first ``n`` rows of a split, languages taking turns. Raises ``InputError`` when there are fewer."""
    if n < 1:
        raise InputError(f"{n} puzzles of split '{split}' were asked for; ask at least 1 with --limit")
    languages = [questions.language] if questions.language else _languages(questions.dataset)
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
    config = BARE if _configs(dataset) == [BARE] else language
    rows = load(dataset, config, split)
    return rows.select(range(min(n, rows.num_rows))).to_list()


def _posed(row: Row, language: str) -> Row:
    """The row with its language, and with the shipped prompt when the dataset holds bare puzzles."""
    if "prompt" in row:
        return dict(row, language=language)
    template = load_template(language)
    turns = messages(template, Puzzle(tuple(row["nums"]), row["target"]))
    return dict(row, language=language, prompt=turns, assistant_prefix=template.assistant_prefix)


def _languages(dataset: str) -> list[str]:
    """The languages that a built folder holds; the shipped ones for any other source."""
    return [name for name in _configs(dataset) if name != BARE] or list(LANGUAGES)


def _configs(dataset: str) -> list[str]:
    """The chat configs of a built folder, or its bare one; nothing for any other source."""
    configs = {path.parent.name for path in Path(dataset).glob("*/*.parquet")}
    return sorted(name for name in configs if not name.endswith(CHATML))
