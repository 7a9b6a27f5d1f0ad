"""What a training run measured, in one small file: what the page tells of it when no model is there.

``collect`` reads a run's evaluation and training records; ``story.json`` of this package is that of the shipped model,
from its published measurements (``benchmarks/space_story.py``). Nothing in it is typed by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from .. import manifest
from ..errors import InputError
from ..game.puzzle import Puzzle
from ..models import SHIPPED
from ..train.aha import Aha, find_ahas
from ..train.samples import read_records
from .puzzles import random_puzzle
from .trained_on import TrainedOn, as_record, of_folder, spelled
from .words import Words

Story = dict[str, Any]
Record = Mapping[str, Any]
MAX_MOMENTS = 8  # base, checkpoints and best that are replayed
MAX_CHARS = 6_000  # of one recorded completion
MAX_STEPS, PER_STEP = 30, 3  # training steps, and completions of each, that are shown as they were logged
_AHAS, _CLAIMED = 4, 2
_KEPT = ("label", "step", "n", "solve_rate", "solve_interval", "format_rate", "mean_tokens")


class Failure(NamedTuple):
    """A puzzle that a model got wrong when it was measured."""

    model: str
    puzzle: Puzzle


def collect(run: Path) -> Story | None:
    """The story of ``outputs/NAME``; None when it holds no evaluation yet."""
    summary_file = run / "evaluation" / "summary.json"
    if not summary_file.is_file():
        return None
    summary = json.loads(summary_file.read_text(encoding="utf-8"))
    models = [_model(model) for model in summary["models"]]
    records = {model["label"]: _records(summary_file.parent / model["label"] / "records.jsonl") for model in models}
    moments = _moments([model["label"] for model in models], summary["best"])
    trained = of_folder(run / "model")
    return {
        "run": run.name,
        "n": summary["n"],
        "best": summary["best"],
        "models": models,
        "trained_on": as_record(trained),
        "cold_start": began_at_random(run / "model" / manifest.FILE_NAME),
        "opening": opening({label: records[label] for label in moments}, trained),
        "paid": paid(run / "model" / manifest.FILE_NAME),
        "rewards": rewards(run / "model" / "metrics.jsonl"),
        "cost": _json(run / "model" / "cost.json"),
        "aha_counts": [
            aha_count(model["label"], {"completions": model["n"]} | model["ahas"])
            for model in summary["models"]
            if model.get("ahas")
        ],
        "ahas": quotes(records[summary["best"]], summary["best"]),
        "replay": replays({label: records[label] for label in moments}),
        "written": written(run / "model"),
    }


def of_run(run: Path) -> Story:
    """``collect``, for a run that somebody named. Raises ``InputError`` when it was not evaluated."""
    found = collect(run)
    if found is None:
        raise InputError(f"{run} has no evaluation/summary.json: name the folder of a run, evaluated first")
    return found


def story_of(model_name: str, told: Path | None = None) -> Story | None:
    """The story that ``told`` holds, a run's folder or a file of ``collect``; without it that of the run which the
    model ``outputs/NAME/model`` is of, or the one that is shipped."""
    if told is not None and told.is_file():
        return json.loads(told.read_text(encoding="utf-8"))
    if told is not None:
        return of_run(told)
    found = collect(Path(model_name).parent) if Path(model_name).is_dir() else None
    return found or _borrowed(model_name)


def _borrowed(model_name: str) -> Story | None:
    """The shipped model's story, which of any other model says nothing: marked so."""
    shipped = shipped_story()
    own = model_name in SHIPPED and shipped is not None and shipped["run"] == model_name
    return shipped if own or shipped is None else shipped | {"borrowed": True}


def shipped_story() -> Story | None:
    file = resources.files("countdown_r1.space").joinpath("story.json")
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def own(story: Story | None) -> Story | None:
    """The story, if it is of the model that answers on the page."""
    return None if story is None or story.get("borrowed") else story


def failures(story: Story | None, limit: int = 2) -> list[Failure]:
    """Puzzles of the replay that the story's best model got wrong."""
    if story is None:
        return []
    wrong = [one for one in story["replay"] if not one["thoughts"][-1]["solved"]]
    return [Failure(story["run"], Puzzle(tuple(one["nums"]), one["target"])) for one in wrong[:limit]]


def opening(records: Mapping[str, Sequence[Record]], trained: TrainedOn) -> dict[str, Any] | None:
    """The puzzle to begin with: the first that every model of the run solved and the last one with a thought of medium
    length (the middle third of them); without one, that the last one solved. None when it solved none.

    ``records`` by label, from the first model to the last.
    """
    *earlier, last = records.values()
    scores = [_scores(one) for one in earlier]
    solved = [one for one in last if one["score"] and trained.covers(Puzzle(tuple(one["nums"]), one["target"]))]
    easy = [one for one in solved if all(score.get(one["test_id"], True) for score in scores)] or solved
    if not easy:
        return None
    lengths = sorted(one.get("n_tokens", 0) for one in easy)
    low, high = lengths[len(lengths) // 3], lengths[2 * len(lengths) // 3]
    first = next(one for one in easy if low <= one.get("n_tokens", 0) <= high)
    return {"nums": list(first["nums"]), "target": first["target"]}


def opening_puzzle(story: Story | None, trained: TrainedOn) -> Puzzle:
    """What the page opens with: the story's puzzle, where it is of this page's model, else one that was drawn."""
    found = (own(story) or {}).get("opening")
    if found:
        return Puzzle(tuple(found["nums"]), found["target"])
    try:
        return random_puzzle(Random(0), trained)
    except InputError:  # what it was trained on leaves nothing held out
        return random_puzzle(Random(0), TrainedOn())


def rate(story: Story | None, words: Words) -> str:
    """What the story's best model solves of which puzzles, in a sentence; '' where that is not of this page's model or
    was not measured."""
    story = own(story)
    rows = [model for model in story["models"] if model["label"] == story["best"]] if story else []
    known = [(row, row.get("sizes") or [row["numbers"]]) for row in rows if row.get("sizes") or row.get("numbers")]
    if story is None or not known:
        return ""
    language = words["code"][:2]
    parts = [
        words["rate.part"].format(rate=f"{row['solve_rate']:.1%}", sizes=spelled(sizes, language))
        for row, sizes in known
    ]
    return words["rate"].format(model=story["run"], rates=words["rate.and"].join(parts))


def _model(model: Record) -> dict[str, Any]:
    sizes = [int(size) for size in model.get("by_numbers") or {}]
    return {key: model.get(key) for key in _KEPT} | ({"sizes": sorted(sizes)} if sizes else {})


def aha_count(label: str, ahas: Record) -> dict[str, Any]:
    """How many of a model's thoughts say something like an Aha, and how many of those Ahas are true."""
    return {"label": label, "said": ahas["n"], "true": ahas["solved"], "completions": ahas["completions"]}


def _records(path: Path) -> list[dict[str, Any]]:
    """First completions; a puzzle may have several samples."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [record for line in lines if not (record := json.loads(line)).get("sample")]


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def paid(path: Path) -> list[str]:
    """Names of the reward functions that a training's manifest records."""
    settings = (_json(path) or {}).get("settings") or {}
    return [str(name).rpartition(":")[2] for name in (settings.get("rewards") or {}).get("functions") or []]


def began_at_random(path: Path) -> bool:
    """Whether a training's manifest says that its model first imitated written-out searches, here or as shipped."""
    written = _json(path) or {}
    base = (written.get("results") or {}).get("base")
    return base == "cold_start" or base in SHIPPED or bool((written.get("results") or {}).get("base_manifest"))


def rewards(path: Path) -> list[tuple[int, float]]:
    """The mean reward of each training step."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    logged = [json.loads(line) for line in lines]
    return [(line["step"], round(line["reward"], 4)) for line in logged if "reward" in line and "step" in line]


def _moments(labels: Sequence[str], best: str) -> list[str]:
    """At most ``MAX_MOMENTS`` labels from the first to the best, evenly spread."""
    return _spread(labels[: labels.index(best) + 1], MAX_MOMENTS)


def _quotable(ahas: Sequence[Aha]) -> list[Aha]:
    """Some true Ahas, then some that were only claimed."""
    true = [aha for aha in ahas if aha.solved]
    return [*true[:_AHAS], *[aha for aha in ahas if not aha.solved][:_CLAIMED]]


def quotes(records: Sequence[Record], label: str) -> list[dict[str, Any]]:
    """Ahas of the completions of one model, word for word."""
    return [_quoted(aha, records, label) for aha in _quotable(find_ahas(records))]


def _quoted(aha: Aha, records: Sequence[Record], label: str) -> dict[str, Any]:
    record = next(record for record in records if record["test_id"] == aha.test_id)
    about = {"label": label, "nums": list(record["nums"]), "target": record["target"]}
    return about | {"cue": aha.cue, "excerpt": aha.excerpt, "solved": aha.solved, "why": aha.why}


def replays(records: Mapping[str, Sequence[Record]]) -> list[dict[str, Any]]:
    """Some puzzles with what each model wrote about them; ``records`` by label, from the first model to the last."""
    return [_replayed(test_id, list(records), records) for test_id in _chosen(records, list(records))]


def _chosen(records: Mapping[str, Sequence[Record]], moments: Sequence[str]) -> list[Any]:
    """Two puzzles with an Aha that the first model could not solve, two more like that, one always solved, and two
    that the last one gets wrong."""
    first, last = _scores(records[moments[0]]), _scores(records[moments[-1]])
    asked = [test_id for test_id in first if test_id in last]
    true = {aha.test_id for aha in find_ahas(records[moments[-1]]) if aha.solved}
    gained = [test_id for test_id in asked if last[test_id] and not first[test_id]]
    groups = (
        [test_id for test_id in gained if test_id in true][:2],
        [test_id for test_id in gained if test_id not in true][:2],
        [test_id for test_id in asked if first[test_id] and last[test_id]][:1],
        [test_id for test_id in asked if not last[test_id]][:2],
    )
    return [test_id for group in groups for test_id in group]


def _scores(records: Sequence[Record]) -> dict[Any, bool]:
    return {record["test_id"]: bool(record["score"]) for record in records}


def _replayed(test_id: Any, moments: Sequence[str], records: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    asked = {label: [one for one in records[label] if one["test_id"] == test_id] for label in moments}
    found = [(label, ones[0]) for label, ones in asked.items() if ones]
    record = found[0][1]
    return {
        "nums": list(record["nums"]),
        "target": record["target"],
        "thoughts": [_thought(label, one) for label, one in found],
    }


def _thought(label: str, record: Record) -> dict[str, Any]:
    completion = str(record["generation"])[:MAX_CHARS]
    return {
        "label": label,
        "solved": bool(record["score"]),
        "n_tokens": record.get("n_tokens", 0),
        "completion": completion,
    }


def written(model: Path) -> Story | None:
    """The first completions of some of the steps, as the trainer logged them; None when it logged none.

    ``model`` is a training run's folder. No completion is chosen by what it says: those of the first ``PER_STEP``
    puzzles of a step are taken.
    """
    files = sorted((model / "completions").glob("completions_*.parquet"))
    steps = [_step(path) for path in _spread(files, MAX_STEPS)]
    known = [step for step in steps if step["completions"]]
    return {"run": model.parent.name, "steps": known} if known else None


def _spread(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the items, evenly spread from the first to the last."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def _step(path: Path) -> dict[str, Any]:
    """One step's file; the trainer writes the completions of a puzzle one after the other."""
    records = [record for record in read_records(path) if record["nums"]]
    firsts = {(tuple(one["nums"]), one["target"], one["prompt"]): one for one in reversed(records)}
    kept = list(reversed(firsts.values()))[:PER_STEP]
    return {"step": int(path.stem.rpartition("_")[2]), "completions": [_completion(record) for record in kept]}


def _completion(record: Record) -> dict[str, Any]:
    text = str(record["generation"])[:MAX_CHARS]
    return {"nums": list(record["nums"]), "target": record["target"], "completion": text}
