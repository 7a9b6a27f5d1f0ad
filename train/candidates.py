"""Which models an evaluation compares: a run's base and checkpoints, or any names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

from .. import manifest
from ..errors import StageError
from .records import RESUME_FILE
from .results import LOGS, SUMMARY_FILES

_TAKEN = (LOGS, RESUME_FILE, "aha.json", *SUMMARY_FILES, manifest.FILE_NAME)


@dataclass(frozen=True)
class Candidate:
    """A model to evaluate: ``label`` names its folder in the results, ``name`` is what ``models.load`` takes."""

    label: str
    name: str
    step: int | None = None


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
    taken: set[str] = set(_TAKEN)
    apart: list[Candidate] = []
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
