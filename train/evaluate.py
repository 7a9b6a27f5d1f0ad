"""Evaluation: base model and checkpoints on the same held-out puzzles, with the same renderer and seeds.

Completions are saved as they come, so that an interrupted evaluation goes on where it stopped (``records.py``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .. import manifest, models
from ..build_dataset.prompt import render
from ..errors import InputError
from ..weights import weights_sha256
from .aha import find_ahas, summarise
from .backends import Opened, choose_backend, opened
from .candidates import Candidate, candidates_of, run_candidates
from .generation import Ask, Decoding, encode
from .leak import check_leaks
from .questions import Questions, Row, select_rows
from .records import RESUME_FILE, Pass, Record, append, begin, record, resume, tidy
from .results import table, write_results
from .round_trip import check_tokenizer
from .summary import choose_best, differences, paired, summarise_records

__all__ = ["Candidate", "Questions", "candidates_of", "evaluate", "run_candidates", "table"]
SAMPLED, GREEDY, VALIDATION = "records.jsonl", "greedy.jsonl", "validation.jsonl"


def evaluate(
    candidates: Sequence[Candidate],
    questions: Questions,
    decoding: Decoding,
    out: Path,
    *,
    overwrite: bool = False,
    command: str = "",
) -> dict[str, Any]:
    """Evaluate every candidate, the base first, and write records, log, pictures, summary and manifest to ``out``.

    ``questions.split`` gives the figures; which model is best is decided on ``validation`` rows alone. Raises
    ``InputError`` when puzzles were trained on (``leak.py``), before any model is asked.
    """
    began = time.monotonic()
    decoding = replace(decoding, backend=choose_backend(decoding.backend))
    with _kept_folder(out, overwrite) as folder:
        summary = _measured(folder, candidates, questions, decoding) | {"command": command}
        write_results(folder, summary)
        written = manifest.Manifest("evaluate", command, decoding.seed, asdict(questions) | asdict(decoding))
        written.read = _origin(candidates) or _manifest_sha(Path(questions.dataset))
        written.results = {"best": summary["best"], "paired": summary.get("paired")}
        written.seconds = round(time.monotonic() - began, 1)
        (folder / RESUME_FILE).unlink(missing_ok=True)
        manifest.write(folder, written)
    return summary


def _measured(
    folder: Path, candidates: Sequence[Candidate], questions: Questions, decoding: Decoding
) -> dict[str, Any]:
    """Ask every model, save its records and Ahas, and sum them up."""
    rows = select_rows(questions, questions.split, questions.n)
    held_back = select_rows(questions, "validation", questions.n_validation) if questions.n_validation else []
    folders = {candidate.label: _model_folder(candidate) for candidate in candidates}
    leak = check_leaks(folders, questions, rows, held_back)
    asked = {label: _passes(label, place, rows, held_back, decoding) for label, place in folders.items()}
    results = _ask_all(folder, folders, asked)
    sampled = {label: files[SAMPLED] for label, files in results.items()}
    _write_ahas(folder, sampled)
    dataset = {"id": questions.dataset, "split": questions.split}
    summary: dict[str, Any] = {
        "dataset": dataset | {"manifest_sha256": _manifest_sha(Path(questions.dataset))},
        "n": len(rows),
        "seed": decoding.seed,
        "decoding": asdict(decoding),
        "models": [
            _about(one, folders[one.label], asked[one.label], leak) | _counted(one.label, results[one.label])
            for one in candidates
        ],
        "leak": leak,
    }
    summary["best"] = choose_best(summary["models"])
    if len(candidates) > 1 and len(rows) > 1:
        summary["paired"] = paired(sampled, candidates[0].label, summary["best"])
        summary["differences"] = differences(sampled)
    return summary


def _model_folder(candidate: Candidate) -> Path:
    folder = models.local_folder(models.resolve(candidate.name))
    if not (folder / "config.json").is_file():
        models.load(str(folder))  # raises, and says where a model may be instead
    return folder


def _passes(
    label: str, folder: Path, rows: Sequence[Row], held_back: Sequence[Row], decoding: Decoding
) -> dict[str, Pass]:
    """What a model is asked, by the name of the file that its answers go to."""
    sha256 = weights_sha256(folder)
    likeliest = replace(decoding, temperature=0.0, samples=1)
    wanted = {SAMPLED: (rows, decoding), GREEDY: (rows, likeliest), VALIDATION: (held_back, decoding)}
    if not decoding.greedy or decoding.temperature == 0:
        del wanted[GREEDY]
    return {name: Pass(f"{label}/{name}", label, asked, how, sha256) for name, (asked, how) in wanted.items() if asked}


def _about(candidate: Candidate, folder: Path, passes: Mapping[str, Pass], leak: Mapping[str, Any]) -> dict[str, Any]:
    """Which model it is; the cache of the Hub names a folder by its commit."""
    return {
        "label": candidate.label,
        "step": candidate.step,
        "path": candidate.name,
        "revision": folder.name if models.resolve(candidate.name).revision else None,
        "sha256": passes[SAMPLED].weights_sha256,
        "training_data": leak["models"][candidate.label]["training_data"],
    }


def _counted(label: str, files: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    return summarise_records(label, files[SAMPLED], files.get(VALIDATION, ()), files.get(GREEDY, ()))


@contextmanager
def _kept_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """The stage's folder, kept when interrupted; one in which nothing was saved yet is removed."""
    with manifest.stage_folder(out, overwrite, keep_partial=True) as folder:
        try:
            yield folder
        except BaseException:
            with suppress(OSError):  # it is not empty: that is what a rerun goes on with
                folder.rmdir()
            raise


def _ask_all(
    folder: Path, models_at: Mapping[str, Path], asked: Mapping[str, Mapping[str, Pass]]
) -> dict[str, dict[str, list[Record]]]:
    """The records of every model, by the file they are in; what an interrupted evaluation saved is not asked again."""
    every = [one for passes in asked.values() for one in passes.values()]
    tidy(folder, every)
    saved = {one.name: resume(folder, one) for one in every}
    total, done = sum(one.n_completions for one in every), sum(map(len, saved.values()))
    with tqdm(total=total, initial=done, desc="evaluate", unit="completion", leave=False) as bar:
        for label, passes in asked.items():
            if any(len(saved[one.name]) < one.n_completions for one in passes.values()):
                bar.set_description(f"evaluate {label}")
                _ask(folder, models_at[label], list(passes.values()), saved, bar)
    return {label: {name: saved[one.name] for name, one in passes.items()} for label, passes in asked.items()}


def _ask(
    folder: Path, model_at: Path, passes: Sequence[Pass], saved: Mapping[str, list[Record]], bar: tqdm[Any]
) -> None:
    """Save and add to ``saved`` what is missing of one model; it is let go before the next one is loaded."""
    with opened(model_at, passes[0].decoding) as model:
        for one in passes:
            for batch in _answers(model, one, model_at, len(saved[one.name])):
                if not saved[one.name]:
                    begin(folder, one)
                append(folder / one.name, batch)
                saved[one.name].extend(batch)
                bar.update(len(batch))


def _answers(model: Opened, one: Pass, folder: Path, skip: int) -> Iterator[list[Record]]:
    """Records of a pass from the completion ``skip`` on, a batch at a time."""
    prompts = [render(model.tokenizer, row["prompt"], row["assistant_prefix"]) for row in one.rows]
    check_tokenizer(model.tokenizer, folder, prompts, [row["language"] for row in one.rows])
    ids = encode(model.tokenizer, prompts)
    longest, new = max(map(len, ids)), one.decoding.max_new_tokens
    if model.context is not None and longest + new > model.context:
        raise InputError(
            f"{one.label}: prompts of up to {longest} tokens and {new} new ones do not fit, the model takes "
            f"{model.context}; lower --max-new-tokens to {max(0, model.context - longest)}"
        )
    asks = [Ask(ids[puzzle], puzzle, sample) for puzzle in range(len(ids)) for sample in range(one.decoding.samples)]
    written = iter(asks[skip:])  # zip takes of it what a batch needs, since the batch comes first
    for batch in model.write(asks[skip:], one.decoding):
        yield [
            record(ask.puzzle, one.rows[ask.puzzle], prompts[ask.puzzle], completion, one.label, ask.sample)
            for completion, ask in zip(batch, written, strict=False)
        ]


def _origin(candidates: Iterable[Candidate]) -> str | None:
    """SHA-256 of the manifest of the training folder that candidates lie in; None when there is none or several."""
    places = {place for one in candidates for place in (Path(one.name), Path(one.name).parent)}
    runs = [place for place in places if all((place / name).is_file() for name in ("recipe.yaml", manifest.FILE_NAME))]
    return _manifest_sha(runs[0]) if len(runs) == 1 else None


def _manifest_sha(folder: Path) -> str | None:
    path = folder / manifest.FILE_NAME
    return manifest.sha256(path) if path.is_file() else None


def _write_ahas(folder: Path, results: Mapping[str, Sequence[Record]]) -> None:
    """``aha.json``: for every model the counts and each reflective turn, true or not."""
    found = {
        label: summarise(records) | {"moments": [asdict(aha) for aha in find_ahas(records)]}
        for label, records in results.items()
    }
    (folder / "aha.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
