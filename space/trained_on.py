"""What the model of a page was trained on: its puzzles and its longest completion, as the records beside it say.

Random puzzles, examples, notices, cards and the end of a thought all follow from this one record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from .. import manifest, models
from ..errors import CountdownError
from ..game.puzzle import MAX_NUMBERS, Puzzle

Record = Mapping[str, Any]
_SPELLED = {
    "en": ("no", "one", "two", "three", "four", "five", "six"),
    "zh": ("零个", "一个", "两个", "三个", "四个", "五个", "六个"),
}


@dataclass(frozen=True)
class TrainedOn:
    """How many numbers a puzzle had, and from where to where numbers and targets went, ends included.

    ``max_new_tokens`` is the length at which its completions ended when it was measured, else trained; None when
    nobody wrote that down. Without a record all is what this project's datasets have by default and ``recorded`` is
    False.
    """

    numbers: tuple[int, ...] = (3, 4)
    number_range: tuple[int, int] = (1, 99)
    target_range: tuple[int, int] = (10, 100)
    max_new_tokens: int | None = None
    recorded: bool = False

    def covers(self, puzzle: Puzzle) -> bool:
        """Whether a puzzle is like those.

        >>> TrainedOn((3,)).covers(Puzzle((13, 19, 76), 82)), TrainedOn((3,)).covers(Puzzle((55, 36, 7, 19), 65))
        (True, False)
        """
        ends = [(puzzle.target, self.target_range), *((number, self.number_range) for number in puzzle.nums)]
        return len(puzzle.nums) in self.numbers and all(low <= value <= high for value, (low, high) in ends)

    def described(self, language: str) -> str:
        """The puzzles in words, in English or Chinese.

        >>> TrainedOn((3,)).described("en")
        'puzzles of three numbers from 1 to 99 with targets from 10 to 100'
        """
        (low, high), (first, last) = self.number_range, self.target_range
        sizes = spelled(self.numbers, language)
        if language == "zh":
            return f"{sizes}（{low} 到 {high}）、目标在 {first} 到 {last} 之间的题目"
        return f"puzzles of {sizes} from {low} to {high} with targets from {first} to {last}"


def spelled(numbers: Sequence[int], language: str = "en") -> str:
    """Counts of numbers in words.

    >>> spelled((3, 4)), spelled((3,), "zh")
    ('three or four numbers', '三个数字')
    """
    words, join = _SPELLED[language], ("、", "或") if language == "zh" else (", ", " or ")
    *most, last = [words[number] for number in sorted(numbers)]
    counted = join[0].join(most) + (join[1] if most else "") + last
    return f"{counted}数字" if language == "zh" else f"{counted} {'number' if counted == 'one' else 'numbers'}"


def trained_on(model_name: str, story: Record | None = None) -> TrainedOn:
    """What the model of that name was trained on: as a story of its own run says, else the records in its folder."""
    told = (story or {}).get("trained_on")
    if told and not (story or {}).get("borrowed"):
        return of_record(told)
    try:
        return of_folder(models.local_folder(models.resolve(model_name)))
    except CountdownError:  # a page may open without its model
        return TrainedOn()


def of_folder(folder: Path) -> TrainedOn:
    """What the records in a model's folder say: the training's manifest or, as published, its recipe and evaluation.

    A checkpoint and the base that a run kept are of the run above them.
    """
    run = folder if _is_record(folder) else folder.parent
    written = _json(run / manifest.FILE_NAME)
    settings = written.get("settings") or _yaml(run / "recipe.yaml")
    results = written.get("results") or {}
    own = run == folder or folder.name != "base"  # what the run kept of before it began is not of its training
    puzzles = _json(folder / "evaluation.json").get("trained_on") or (
        _puzzles(run.parent / "dataset", written, settings, results) if own else {}
    )
    found = of_record({"recorded": bool(puzzles)} | puzzles)
    return replace(found, max_new_tokens=_longest(folder, run, settings))


def of_record(record: Record | None) -> TrainedOn:
    """A record; what is missing in it, or makes no sense, is as by default."""
    record = record or {}
    default, length = TrainedOn(), record.get("max_new_tokens")
    sizes = {int(size) for size in record.get("numbers") or () if str(size).isdecimal()}
    numbers = tuple(sorted(size for size in sizes if 1 <= size <= MAX_NUMBERS))
    return TrainedOn(
        numbers or default.numbers,
        _range(record.get("number_range")) or default.number_range,
        _range(record.get("target_range")) or default.target_range,
        length if isinstance(length, int) and length > 0 else None,
        bool(record.get("recorded")) and bool(numbers),
    )


def as_record(found: TrainedOn) -> dict[str, Any]:
    """As JSON, in which it travels with a story."""
    return json.loads(json.dumps(asdict(found)))


def _is_record(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (manifest.FILE_NAME, "recipe.yaml", "evaluation.json"))


def _puzzles(dataset: Path, written: Record, settings: Record, results: Record) -> dict[str, Any]:
    """The training's own note of its rows, the dataset that it read, or what the recipe asked for; and for weights
    that began at random in this very training, the puzzles of the cold start too."""
    if written.get("stage") == "cold_start":
        return {"numbers": settings.get("numbers") or ()}
    found = results.get("dataset_about") or _of_dataset(dataset, written.get("read")) or settings.get("dataset") or {}
    cold = settings.get("cold_start") or (results.get("base_manifest") or {}).get("settings") or {}
    if found and cold and results.get("base") not in models.SHIPPED:
        found = {**found, "numbers": [*(found.get("numbers") or ()), *(cold.get("numbers") or ())]}
    return dict(found)


def _of_dataset(folder: Path, sha256: object) -> dict[str, Any]:
    """What was counted in the rows of a dataset, when it is the one that the training names."""
    path = folder / manifest.FILE_NAME
    if not path.is_file() or manifest.sha256(path) != sha256:
        return {}
    return _json(path).get("results") or {}


def _longest(folder: Path, run: Path, settings: Record) -> int | None:
    evaluations = (folder / "evaluation.json", run / "evaluation.json", run.parent / "evaluation" / "summary.json")
    measured = next((found for path in evaluations if (found := _json(path).get("decoding"))), {})
    evaluate, grpo = settings.get("evaluate") or {}, settings.get("grpo") or {}
    for length in (measured.get("max_new_tokens"), evaluate.get("max_new_tokens"), grpo.get("max_completion_length")):
        if isinstance(length, int) and length > 0:
            return length
    return None


def _range(ends: object) -> tuple[int, int] | None:
    if isinstance(ends, list | tuple) and len(ends) == 2 and all(isinstance(end, int) for end in ends):
        return (ends[0], ends[1]) if ends[0] <= ends[1] else None
    return None


def _json(path: Path) -> dict[str, Any]:
    return _parsed(path, json.loads)


def _yaml(path: Path) -> dict[str, Any]:
    return _parsed(path, yaml.safe_load)


def _parsed(path: Path, parse: Any) -> dict[str, Any]:
    """A mapping in a file, empty when there is none: a record that cannot be read says nothing."""
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
