"""Whether a model was trained on the puzzles it is about to be asked, by what its folder records.

Puzzles are the same when their sorted numbers are: the split rule (``game/split.py``) keeps those apart, whatever
the target. A model of this program says what it was trained on: GRPO on the ``train`` rows of a dataset, known by
the hash of its manifest, and a cold start on puzzles drawn from the split ``train``. Of anybody else's model nothing
is known, and the summary says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from .. import manifest
from ..build_dataset.puzzles import numbers_of
from ..errors import InputError
from ..game.split import split_of
from .questions import Questions, Row

UNKNOWN = "unknown training data"
BY_RULE = "puzzles of split 'train' by the split rule"
COLD_START_FILE = "cold_start.json"  # the record of a cold start beside the base that it made
PUBLISHED_FILE = "evaluation.json"  # a summary of ours, published beside the weights
_EXAMPLES = 3
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Training:
    """What is known of a model's training data: in words, as hashes of sorted numbers, or by the split rule alone."""

    text: str = UNKNOWN
    by_rule: bool = False
    hashes: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64))

    def holds(self, rows: Sequence[Row]) -> list[bool]:
        """For each row whether its puzzle may have been trained on."""
        listed = np.isin(_hashes([row["nums"] for row in rows]), self.hashes)
        return [
            bool(known) or (self.by_rule and split_of(row["nums"]) == "train")
            for row, known in zip(rows, listed, strict=True)
        ]


def check_leaks(
    models: Mapping[str, Path], questions: Questions, rows: Sequence[Row], held_back: Sequence[Row]
) -> dict[str, Any]:
    """What is known of each model's training data (folders by label), and how many puzzles leak, for the summary.

    ``rows`` are of the split asked, ``held_back`` of ``validation``. Raises ``InputError`` with counts, examples and
    the fix when any puzzle leaks or breaks the split rule, unless ``questions`` allow it.
    """
    broken = _broken(rows, questions.split) + _broken(held_back, "validation") if questions.names_splits else []
    asked = [*rows, *held_back]
    trained = {label: training_of(folder, Path(questions.dataset)) for label, folder in models.items()}
    leaked = {label: _held(training, asked) for label, training in trained.items()}
    if not questions.allow_leak:
        _refuse_broken(broken, len(asked), questions)
        for label, found in leaked.items():
            _refuse_leak(label, trained[label], found, len(asked))
    every = {id(row): row for row in [*broken, *(row for found in leaked.values() for row in found)]}
    return {
        "allowed": questions.allow_leak,
        "asked": len(asked),
        "puzzles": len(every),
        "broken_rule": len(broken),
        "examples": [_puzzle(row) for row in list(every.values())[:_EXAMPLES]],
        "models": {
            label: {"training_data": trained[label].text, "leaked": len(found)} for label, found in leaked.items()
        },
    }


def _broken(rows: Sequence[Row], split: str) -> list[Row]:
    return [row for row in rows if split_of(row["nums"]) != split]


def _held(training: Training, rows: Sequence[Row]) -> list[Row]:
    return [row for row, held in zip(rows, training.holds(rows), strict=True) if held]


def _refuse_broken(rows: Sequence[Row], asked: int, questions: Questions) -> None:
    if rows:
        raise InputError(
            f"{len(rows)} of {asked} puzzles break the split rule: {questions.dataset} has them in '{questions.split}' "
            f"or 'validation', their numbers belong to another split ({_examples(rows)}); build the dataset again with "
            "countdown-r1 build-dataset --source, or pass --allow-leak to have them counted in the summary"
        )


def _refuse_leak(label: str, training: Training, rows: Sequence[Row], asked: int) -> None:
    if rows:
        raise InputError(
            f"{len(rows)} of {asked} puzzles may have been trained on: {label} learnt from {training.text}, which have "
            f"the same numbers ({_examples(rows)}); ask puzzles of split 'test' of a built dataset, or pass "
            "--allow-leak to have them counted in the summary"
        )


def _examples(rows: Sequence[Row]) -> str:
    more = ", ..." if len(rows) > _EXAMPLES else ""
    return ", ".join(map(_puzzle, rows[:_EXAMPLES])) + more


def _puzzle(row: Row) -> str:
    return f"{' '.join(map(str, row['nums']))} -> {row['target']}"


def training_of(model: Path, dataset: Path, generations: int = 4) -> Training:
    """What the folder of a model records of its training data, and what the models before it record of theirs.

    The rows that GRPO saw are read where the dataset they came from is at hand: ``dataset``, or ``dataset/`` beside
    the training folder. Where it is not, every puzzle of split ``train`` counts.
    """
    if _record(model).get("stage") == "train":
        return _of_run(model, dataset, generations)
    cold = _record(model).get("stage") == "cold_start" or (model / COLD_START_FILE).is_file()
    if cold or _published_by_us(model):
        return Training(BY_RULE, by_rule=True)
    if _record(model.parent).get("stage") == "train":
        if model.name.startswith("checkpoint-"):
            return _of_run(model.parent, dataset, generations)
        if model.name == "base":
            return _before(model.parent, dataset, generations)
    return Training()


def _of_run(run: Path, dataset: Path, generations: int) -> Training:
    """GRPO's rows and what the base had seen before."""
    before, read = _before(run, dataset, generations), _record(run).get("read")
    places = [place for place in (dataset, run.parent / "dataset") if _sha(place) == read]
    if not isinstance(read, str) or not places:
        return Training(BY_RULE, by_rule=True)
    seen = _train_hashes(places[0])
    text = f"{len(seen):,} sets of numbers in the train rows of dataset {read[:12]}; its base: {before.text}"
    return Training(text, before.by_rule, np.union1d(seen, before.hashes))


def _before(run: Path, dataset: Path, generations: int) -> Training:
    """The training data of the base that a run began from."""
    results = _record(run).get("results") or {}
    base = results.get("base")
    if results.get("base_manifest"):
        return Training(BY_RULE, by_rule=True)
    if generations and isinstance(base, str) and Path(base).is_dir():
        return training_of(Path(base), dataset, generations - 1)
    return Training()


def _record(folder: Path) -> dict[str, Any]:
    """The manifest in a folder, {} when there is none of this program's."""
    values = _mapping(folder / manifest.FILE_NAME)
    ours = values.get("schema_version") == manifest.SCHEMA_VERSION and isinstance(values.get("results"), dict)
    return values if ours else {}


def _published_by_us(folder: Path) -> bool:
    """Whether a summary lies beside the weights that says their training data is the split ``train``."""
    summary = _mapping(folder / PUBLISHED_FILE)
    rows = [row for row in _list(summary.get("models")) if isinstance(row, dict)]
    best = [row for row in rows if row.get("label") == summary.get("best")] or rows
    return len(best) == 1 and best[0].get("training_data", UNKNOWN) != UNKNOWN


def _mapping(path: Path) -> dict[str, Any]:
    """A JSON object, {} when the file is missing or anything else: other people's files may have our names."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _sha(folder: Path) -> str | None:
    path = folder / manifest.FILE_NAME
    return manifest.sha256(path) if path.is_file() else None


def _train_hashes(dataset: Path) -> Hashes:
    """The distinct sets of numbers in the ``train`` files of every config."""
    columns = [pq.read_table(path, columns=["nums"])["nums"] for path in sorted(dataset.glob("*/train-*.parquet"))]
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *(numbers_of(column).hashes() for column in columns)]))


def _hashes(nums: Iterable[Sequence[int]]) -> Hashes:
    return numbers_of(pa.array([list(row) for row in nums], pa.list_(pa.int64()))).hashes()
