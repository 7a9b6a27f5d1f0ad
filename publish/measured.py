"""What an earlier ``countdown-r1 evaluate`` measured of weights that another program trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import manifest
from ..errors import InputError, StageError
from ..weights import read_json, weights_sha256
from .checkpoints import Checkpoint

SUMMARY = "summary.json"
Row = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """An evaluation's summary with the rows of the weights that are published, by their labels here, and of their base;
    empty without an evaluation, of which ``note`` may say why."""

    summary: dict[str, Any]
    note: str | None = None


def find_measured(
    run: Path, checkpoints: Sequence[Checkpoint], best: Checkpoint, base: str | None, given: Path | None
) -> Measured:
    """The evaluation in the folder ``given``, else in RUN/evaluation or beside RUN, when it measured these weights.

    Raises ``InputError`` when the one given measured others, or is none.
    """
    weights = {one.label: one for one in (best, *checkpoints)}
    if given:
        found = _measured(given, weights, best, base)
        if found is None:
            raise InputError(_mismatch(given, best))
        return Measured(found)
    for folder in (run / "evaluation", run.parent / "evaluation"):
        if (folder / SUMMARY).is_file() and (found := _measured(folder, weights, best, base)):
            return Measured(found)
    inside = run / "evaluation"
    return Measured({}, f"not used: {_mismatch(inside, best)}" if (inside / SUMMARY).is_file() else None)


def _mismatch(folder: Path, best: Checkpoint) -> str:
    rows = _rows(read_json(folder / SUMMARY), folder)
    labels = ", ".join(str(row.get("label")) for row in rows)
    fix = f"countdown-r1 evaluate {best.folder} --dataset ..."
    return f"{folder} measured other weights ({labels}) than those in {best.folder}; measure these with `{fix}`"


def _measured(
    folder: Path, weights: Mapping[str, Checkpoint], best: Checkpoint, base: str | None
) -> dict[str, Any] | None:
    """The summary cut down to what concerns ``weights``; None when the best of them was not measured."""
    if not (folder / SUMMARY).is_file():
        raise InputError(f"{folder} has no {SUMMARY}: give a folder that `countdown-r1 evaluate --out` wrote")
    if (folder / manifest.FILE_NAME).is_file() and (damaged := manifest.damaged_files(folder)):
        raise StageError(f"{folder / damaged[0]} changed or went missing after `countdown-r1 evaluate` wrote it")
    summary = read_json(folder / SUMMARY)
    digests: dict[str, str] = {}
    named: dict[str, str] = {}
    kept: dict[str, Row] = {}
    for row in _rows(summary, folder):
        labels = [label for label, one in weights.items() if _is_of(row, one, digests)]
        if not labels and base and str(row.get("path")).partition("@")[0] == base:
            labels = ["base"]
        named |= {row["label"]: labels[0]} if labels else {}
        kept = {label: row | {"label": label} for label in labels} | kept
    if best.label not in kept:
        return None
    pair = summary.get("paired") or {}
    both = {"base": named.get(str(pair.get("base"))), "model": named.get(str(pair.get("model")))}
    paired = pair | both if all(both.values()) else None
    return summary | {"models": list(kept.values()), "best": best.label, "paired": paired}


def _is_of(row: Row, checkpoint: Checkpoint, digests: dict[str, str]) -> bool:
    """Whether a row measured a checkpoint's weights: by their digest, or by the folder where none is recorded."""
    if not row.get("sha256"):
        path = row.get("path")
        return isinstance(path, str) and Path(path).resolve() == checkpoint.folder.resolve()
    if checkpoint.label not in digests:
        digests[checkpoint.label] = weights_sha256(checkpoint.folder)
    return row["sha256"] == digests[checkpoint.label]


def _rows(summary: Mapping[str, Any], folder: Path) -> list[Row]:
    """The summary's models. Raises ``InputError`` when they are no measurements."""
    rows = summary.get("models")
    rows = rows if isinstance(rows, list) else []
    about = all(isinstance(summary.get(key), dict | None) for key in ("dataset", "decoding", "paired"))
    if not rows or not about or not all(isinstance(row, dict) and _is_measurement(row) for row in rows):
        raise InputError(f"{folder / SUMMARY} is not what `countdown-r1 evaluate` writes: it has no models with rates")
    return rows


def _is_measurement(row: Row) -> bool:
    interval = row.get("solve_interval") or []
    rates = [row.get("solve_rate"), *(interval if isinstance(interval, list) else [None])]
    whole = isinstance(row.get("n"), int) and isinstance(row.get("label"), str)
    return whole and all(isinstance(rate, int | float) and 0 <= rate <= 1 for rate in rates)
