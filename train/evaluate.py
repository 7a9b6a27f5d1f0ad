"""Evaluation: base model and checkpoints on the same held-out puzzles, with the same renderer and seeds."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .. import manifest, models
from ..build_dataset.dataset import load
from ..build_dataset.prompt import render
from ..errors import InputError
from ..game.answer import judge, parse
from ..game.puzzle import Puzzle, Verdict
from .aha import summarise
from .generation import Completion, Decoding, complete
from .pictures import draw_evaluation
from .statistics import paired_difference, wilson_interval

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
            label = re.sub(r"[^\w.@-]+", "-", Path(name).name if Path(name).is_dir() else name)
            candidates.append(Candidate(label, name))
    seen: Counter[str] = Counter()
    for index, candidate in enumerate(candidates):
        seen[candidate.label] += 1
        if seen[candidate.label] > 1:
            candidates[index] = replace(candidate, label=f"{candidate.label}-{seen[candidate.label]}")
    return candidates


def run_candidates(folder: Path) -> list[Candidate]:
    """Base and checkpoints of a training folder."""
    base = manifest.read(folder).results["base"]
    checkpoints = sorted(folder.glob("checkpoint-*"), key=_step)
    first = str(folder / "base") if (folder / "base").is_dir() else base
    return [Candidate("base", first, 0), *(Candidate(path.name, str(path), _step(path)) for path in checkpoints)]


def _step(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def select_rows(questions: Questions, split: str, n: int) -> list[Row]:
    """The first ``n`` rows of a split, languages taking turns. Raises ``InputError`` when there are fewer."""
    languages = [questions.language] if questions.language else ["en", "zh"]
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


def summarise_records(candidate: Candidate, records: Sequence[Record], validation: Sequence[Record]) -> dict[str, Any]:
    """Rates with 95% intervals, slices by level and language, verdict counts and Ahas of one model."""
    n, solved = len(records), sum(record["score"] for record in records)
    formed = sum(record["format"] for record in records)
    summary = {
        "label": candidate.label,
        "step": candidate.step,
        "path": candidate.name,
        "n": n,
        "solve_rate": round(solved / n, 4),
        "solve_interval": _rounded(wilson_interval(solved, n)),
        "format_rate": round(formed / n, 4),
        "format_interval": _rounded(wilson_interval(formed, n)),
        "mean_tokens": round(sum(record["n_tokens"] for record in records) / n, 1),
        "by_level": _slices(records, "level"),
        "by_language": _slices(records, "language"),
        "verdicts": dict(Counter(record["verdict"] for record in records).most_common()),
        "ahas": summarise(records),
    }
    if validation:
        rate = sum(record["score"] for record in validation) / len(validation)
        summary["validation"] = {"n": len(validation), "solve_rate": round(rate, 4)}
    return summary


def _slices(records: Sequence[Record], key: str) -> dict[str, dict[str, float | int]]:
    groups: dict[str, list[int]] = {}
    for entry in sorted(records, key=lambda entry: str(entry[key])):
        groups.setdefault(str(entry[key]), []).append(entry["score"])
    return {
        name: {"n": len(scores), "solve_rate": round(sum(scores) / len(scores), 4)} for name, scores in groups.items()
    }


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(value, 4) for value in values]


def choose_best(summaries: Sequence[dict[str, Any]]) -> str:
    """Label with the highest validation solve rate, the later one of equals; without validation the last one."""
    if any("validation" not in summary for summary in summaries):
        return summaries[-1]["label"]
    return max(reversed(summaries), key=lambda summary: summary["validation"]["solve_rate"])["label"]


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
            summaries.append(summarise_records(candidate, answers[: len(rows)], answers[len(rows) :]))
            _write_records(folder / candidate.label, answers[: len(rows)])
        summary = {
            "dataset": {"id": questions.dataset, "split": questions.split},
            "n": len(rows),
            "seed": decoding.seed,
            "decoding": asdict(decoding) | {"samples": 1},
            "models": summaries,
            "best": choose_best(summaries),
            "command": command,
        }
        if len(summaries) > 1:
            summary["paired"] = _paired(results, summaries[0]["label"], summary["best"])
        _write_results(folder, summary)
        written = manifest.Manifest("evaluate", command, decoding.seed, asdict(questions) | asdict(decoding))
        written.results = {"best": summary["best"], "paired": summary.get("paired")}
        written.seconds = round(time.monotonic() - began, 1)
        manifest.write(folder, written)
    return summary


def _paired(results: Mapping[str, Sequence[Record]], base: str, best: str) -> dict[str, Any]:
    before, after = ([record["score"] for record in results[label]] for label in (base, best))
    difference, low, high = paired_difference(before, after)
    interval = _rounded((low, high))
    return {"base": base, "model": best, "difference": round(difference, 4), "interval": interval, "n": len(before)}


def _write_records(folder: Path, records: Sequence[Record]) -> None:
    folder.mkdir(parents=True)
    lines = (json.dumps(record, ensure_ascii=False) for record in records)
    (folder / "records.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_results(folder: Path, summary: dict[str, Any]) -> None:
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    draw_evaluation(summary, folder / "evaluation.png")
    (folder / "logs").mkdir()
    (folder / "logs" / "eval_countdown.log").write_text(table(summary), encoding="utf-8")


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
