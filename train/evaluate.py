"""Evaluation: base model and checkpoints on the same held-out puzzles, with the same renderer and seeds."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .. import manifest, models
from ..build_dataset.dataset import load
from ..build_dataset.prompt import LANGUAGES, render
from ..build_dataset.schema import CHATML
from ..errors import InputError, StageError
from ..game.answer import judge, parse
from ..game.puzzle import Puzzle, Verdict
from .aha import find_ahas, summarise
from .generation import Completion, Decoding, complete
from .pictures import draw_evaluation
from .summary import choose_best, paired, summarise_records

LOGS = "logs"
Row = Mapping[str, Any]
Record = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A model to evaluate: ``label`` names its folder in the results, ``name`` is what ``models.load`` takes."""

    label: str
    name: str
    step: int | None = None


@dataclass(frozen=True)
class Questions:
    """Where held-out puzzles come from: ``n`` of ``split`` for the published figures, ``n_validation`` to choose."""

    dataset: str
    split: str = "test"
    language: str | None = None
    n: int = 500
    n_validation: int = 0


def candidates_of(names: Iterable[str]) -> list[Candidate]:
    """A candidate per name; a training folder stands for its base and every checkpoint, in order of steps.

    Labels are made unique, since each names a folder.
    """
    candidates: list[Candidate] = []
    for name in names:
        if (Path(name) / "recipe.yaml").is_file():
            candidates += run_candidates(Path(name))
        else:
            label = re.sub(r"[^\w.@-]+", "-", Path(name).resolve().name if Path(name).is_dir() else name)
            candidates.append(Candidate(label, name))
    return _labelled_apart(candidates)


def _labelled_apart(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates with a number behind every label that stands already for a folder."""
    taken, apart = {LOGS}, []
    for candidate in candidates:
        names = chain([candidate.label], (f"{candidate.label}-{number}" for number in count(2)))
        label = next(name for name in names if name not in taken)
        taken.add(label)
        apart.append(replace(candidate, label=label))
    return apart


def run_candidates(folder: Path) -> list[Candidate]:
    """Base and checkpoints of a training folder; also its final weights when no checkpoint holds them.

    Raises ``StageError`` when the folder is not a finished GRPO run's.
    """
    results = manifest.read(folder).results
    if "base" not in results:
        raise StageError(
            f"{folder} was not written by GRPO: it has no base to compare with; name the models one by one"
        )
    first = str(folder / "base") if (folder / "base").is_dir() else results["base"]
    checkpoints = [Candidate(path.name, str(path), _step(path)) for path in folder.glob("checkpoint-*")]
    if results["steps"] not in [checkpoint.step for checkpoint in checkpoints]:
        checkpoints.append(Candidate("final", str(folder), results["steps"]))
    return [Candidate("base", first, 0), *sorted(checkpoints, key=lambda checkpoint: checkpoint.step or 0)]


def _step(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def select_rows(questions: Questions, split: str, n: int) -> list[Row]:
    """The first ``n`` rows of a split, languages taking turns. Raises ``InputError`` when there are fewer."""
    if n < 1:
        raise InputError(f"{n} puzzles of split '{split}' were asked for; ask at least 1 with --limit")
    languages = [questions.language] if questions.language else _languages(questions.dataset)
    sources = [load(questions.dataset, language, split).to_list() for language in languages]
    mixed: list[Row] = [
        dict(sources[index % len(sources)][index], language=languages[index % len(sources)])
        for index in range(min(n, *map(len, sources)))
    ]
    if len(mixed) < n:
        raise InputError(
            f"{questions.dataset} has {len(mixed)} puzzles in split '{split}', {n} were asked for: "
            "build a larger dataset or lower --limit"
        )
    return mixed


def _languages(dataset: str) -> list[str]:
    """The languages that a built folder holds; the shipped ones for any other source."""
    configs = {path.parent.name for path in Path(dataset).glob("*/*.parquet")}
    return sorted(name for name in configs if not name.endswith(CHATML)) or list(LANGUAGES)


def answer_rows(candidate: Candidate, rows: Sequence[Row], decoding: Decoding) -> list[Record]:
    """One evaluation record per row; see ``record`` for its fields."""
    model, tokenizer = models.load(candidate.name)
    prompts = [render(tokenizer, row["prompt"], row["assistant_prefix"]) for row in rows]
    completions = complete(model, tokenizer, prompts, decoding)
    progress = tqdm(completions, total=len(rows), desc=f"evaluate {candidate.label}", unit="puzzle", leave=False)
    return [
        record(number, row, prompt, completion, candidate.label)
        for number, (row, prompt, completion) in enumerate(zip(rows, prompts, progress, strict=True))
    ]


def record(number: int, row: Row, prompt: str, completion: Completion, label: str) -> Record:
    """The DataCanvas article's fields, and what is needed to slice the results."""
    puzzle = Puzzle(tuple(row["nums"]), row["target"])
    verdict = judge(puzzle, completion.text)
    return {
        "test_id": number,
        "score": int(verdict.solved),
        "prompt": prompt,
        "nums": list(puzzle.nums),
        "generation": completion.text,
        "gen_calculation": _number(verdict),
        "target": puzzle.target,
        "verdict": verdict.status.value,
        "format": int(parse(completion.text).well_formed),
        "language": row["language"],
        "level": row["level"],
        "checkpoint": label,
        "n_tokens": completion.n_tokens,
        "seconds": round(completion.seconds, 4),
    }


def _number(verdict: Verdict) -> float | int | None:
    if verdict.value is None or abs(verdict.value) > 10**15:
        return None
    return int(verdict.value) if verdict.value.denominator == 1 else float(verdict.value)


def evaluate(
    candidates: Sequence[Candidate],
    questions: Questions,
    decoding: Decoding,
    out: Path,
    *,
    overwrite: bool = False,
    command: str = "",
) -> dict[str, Any]:
    """Evaluate every candidate, the base first, and write records, log, picture, summary and manifest to ``out``.

    ``test`` rows give the figures; which model is best is decided on ``validation`` rows alone.
    """
    began = time.monotonic()
    rows = select_rows(questions, questions.split, questions.n)
    held_back = select_rows(questions, "validation", questions.n_validation) if questions.n_validation else []
    with manifest.stage_folder(out, overwrite) as folder:
        results = {}
        summaries = []
        for candidate in candidates:
            answers = answer_rows(candidate, [*rows, *held_back], decoding)
            results[candidate.label] = answers[: len(rows)]
            measured = summarise_records(candidate.label, answers[: len(rows)], answers[len(rows) :])
            summaries.append({"label": candidate.label, "step": candidate.step, "path": candidate.name} | measured)
            _write_records(folder / candidate.label, answers[: len(rows)])
        _write_ahas(folder, results)
        summary = {
            "dataset": {
                "id": questions.dataset,
                "split": questions.split,
                "manifest_sha256": _manifest_sha(Path(questions.dataset)),
            },
            "n": len(rows),
            "seed": decoding.seed,
            "decoding": asdict(decoding) | {"samples": 1},
            "models": summaries,
            "best": choose_best(summaries),
            "command": command,
        }
        if len(summaries) > 1 and len(rows) > 1:
            summary["paired"] = paired(results, summaries[0]["label"], summary["best"])
        _write_results(folder, summary)
        written = manifest.Manifest("evaluate", command, decoding.seed, asdict(questions) | asdict(decoding))
        written.read = _origin(candidates) or _manifest_sha(Path(questions.dataset))
        written.results = {"best": summary["best"], "paired": summary.get("paired")}
        written.seconds = round(time.monotonic() - began, 1)
        manifest.write(folder, written)
    return summary


def _origin(candidates: Iterable[Candidate]) -> str | None:
    """SHA-256 of the manifest of the training folder that candidates lie in; None when there is none or several."""
    places = {place for one in candidates for place in (Path(one.name), Path(one.name).parent)}
    runs = [place for place in places if all((place / name).is_file() for name in ("recipe.yaml", manifest.FILE_NAME))]
    return _manifest_sha(runs[0]) if len(runs) == 1 else None


def _manifest_sha(folder: Path) -> str | None:
    path = folder / manifest.FILE_NAME
    return manifest.sha256(path) if path.is_file() else None


def _write_records(folder: Path, records: Sequence[Record]) -> None:
    folder.mkdir(parents=True)
    lines = (json.dumps(record, ensure_ascii=False) for record in records)
    (folder / "records.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_ahas(folder: Path, results: Mapping[str, Sequence[Record]]) -> None:
    """``aha.json``: for every model the counts and each reflective turn, true or not."""
    found = {
        label: summarise(records) | {"moments": [asdict(aha) for aha in find_ahas(records)]}
        for label, records in results.items()
    }
    (folder / "aha.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_results(folder: Path, summary: dict[str, Any]) -> None:
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    draw_evaluation(summary, folder / "evaluation.png")
    (folder / LOGS).mkdir()
    (folder / LOGS / "eval_countdown.log").write_text(table(summary), encoding="utf-8")


def table(summary: Mapping[str, Any]) -> str:
    """The results as a small text table, one line per model."""
    head = f"{'model':<16}{'n':>6}{'solved':>9}{'95% interval':>18}{'format':>9}{'tokens':>9}{'Ahas':>7}{'true':>6}\n"
    lines = [
        f"{model['label']:<16}{model['n']:>6}{model['solve_rate']:>9.1%}"
        f"{'{:.1%} to {:.1%}'.format(*model['solve_interval']):>18}{model['format_rate']:>9.1%}"
        f"{model['mean_tokens']:>9.1f}{model['ahas']['n']:>7}{model['ahas']['solved']:>6}\n"
        for model in summary["models"]
    ]
    return head + "".join(lines)
