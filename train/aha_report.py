"""What ``countdown-r1 aha`` says of a set of completions: per model the Ahas, their controls and the behaviours."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .. import manifest
from ..errors import InputError
from ..game.answer import END_THINK
from ..game.language import asked_in, mixed
from .aha import Analysis, analyse, moment, summarise_analyses
from .aha_text import plain
from .samples import Samples, place_of, step_of
from .statistics import wilson_interval

MAX_MOMENTS = 1_000  # of all models together, in the JSON
RULE = (
    "An Aha counts when a cue, after something was tried, begins a line of attack that comes to a complete expression "
    "which differs from every earlier one in its operators, grouping or first step, and which is the right answer."
)

UNCLOSED = {
    "never_closed": f"completions never write {END_THINK}, so none of them can count",
    "untagged": "completions have no think tags, as their prompts ask: what stands before the answer is the thought",
}


@dataclass(frozen=True)
class Group:
    """The completions of one model or training step, taken apart."""

    label: str
    analyses: Sequence[Analysis]


def group(samples: Samples) -> list[Group]:
    """The completions by label, in the order of training steps."""
    labels: dict[str, list[Analysis]] = {}
    for record in tqdm(samples.records, desc="reading thoughts", unit="completion", leave=False, delay=2):
        labels.setdefault(plain(str(record["checkpoint"])).replace("\n", " "), []).append(analyse(record))
    return [Group(label, labels[label]) for label in sorted(labels, key=place_of)]


def measure(groups: Sequence[Group], samples: Samples, source: str, base: str | None = None) -> dict[str, Any]:
    """Everything measured, ready for JSON. ``base`` is the label to compare with; the one of step 0 where None.

    Raises ``InputError`` when there is no such label.
    """
    moments = [
        {"checkpoint": one.label} | asdict(aha)
        for one in groups
        for aha in map(moment, one.analyses)
        if aha is not None
    ]
    models = [_model(one) for one in groups]
    labels = [model["label"] for model in models]
    if base is not None and base not in labels:
        raise InputError(f"no completion is of '{base}'; --base is one of {', '.join(labels[:8]) or 'none'}")
    whole = summarise_analyses([each for one in groups for each in one.analyses])
    known = [base] if base else [model["label"] for model in models if model["step"] == 0]
    return {
        "source": source,
        "rule": RULE,
        "completions": sum(len(one.analyses) for one in groups),
        "puzzle_from": dict(Counter(str(record.get("puzzle_from")) for record in samples.records)),
        "notes": dict(samples.notes + Counter({said: whole[name] for name, said in UNCLOSED.items()})),
        "base": known[0] if known and len(models) > 1 else None,
        "all_turns": _rates(whole["turns"]),
        "models": models,
        "moments_left_out": max(len(moments) - MAX_MOMENTS, 0),
        "moments": sorted(moments, key=lambda one: not one["solved"])[:MAX_MOMENTS],
    }


def _model(one: Group) -> dict[str, Any]:
    found = summarise_analyses(one.analyses)
    n = max(found["completions"], 1)
    tokens = [analysis.record.get("n_tokens") for analysis in one.analyses]
    known = [count for count in tokens if isinstance(count, int | float)]
    return {
        "label": one.label,
        "step": step_of(one.label),
        **found,
        "turns": _rates(found["turns"]),
        "aha_rate": round(found["solved"] / n, 4),
        "aha_interval": [round(bound, 4) for bound in wilson_interval(found["solved"], n)],
        "mixing": _mixing([analysis.record for analysis in one.analyses]),
        "mean_tokens": round(sum(known) / len(known), 1) if known and len(known) == len(tokens) else None,
    }


def _mixing(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """By the language that was asked in, where it is known: completions, those that mix it, the rate's interval."""
    found: dict[str, list[bool]] = {}
    for record in records:
        if language := asked_in(record):
            found.setdefault(language, []).append(mixed(str(record["generation"]), language))
    return {
        language: {
            "n": len(mixes),
            "mixed": sum(mixes),
            "rate": round(sum(mixes) / len(mixes), 4),
            "interval": [round(bound, 4) for bound in wilson_interval(sum(mixes), len(mixes))],
        }
        for language, mixes in sorted(found.items())
    }


def _rates(turns: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, Any]]:
    """Turns with and without a cue: how many, how many end in the right answer, and the rate with its interval."""
    return {
        kind: {
            **counts,
            "rate": round(counts["solved"] / counts["n"], 4) if counts["n"] else None,
            "interval": [round(bound, 4) for bound in wilson_interval(counts["solved"], counts["n"])],
        }
        for kind, counts in turns.items()
    }


def report(
    samples: Samples, source: str, out: Path | None, *, base: str | None = None, overwrite: bool, command: str
) -> dict[str, Any]:
    """What was measured; with ``out`` also ``report.html``, ``aha.json``, ``aha.png`` and a manifest in that folder.

    Raises ``StageError`` when the folder is there and is not to be overwritten, and as ``measure`` does.
    """
    groups = group(samples)
    measured = measure(groups, samples, source, base)
    if out:
        _write(out, groups, measured, overwrite, command)
    return measured


def _write(out: Path, groups: Sequence[Group], measured: Mapping[str, Any], overwrite: bool, command: str) -> None:
    from .aha_page import page
    from .aha_picture import draw_ahas

    models = measured["models"]
    pictures = {"light": draw_ahas(models), "dark": draw_ahas(models, dark=True)} if models else {}
    with manifest.stage_folder(out, overwrite) as folder:
        text = json.dumps(measured, indent=2, ensure_ascii=False)
        (folder / "aha.json").write_text(text + "\n", encoding="utf-8")
        (folder / "report.html").write_text(page(groups, measured, pictures), encoding="utf-8")
        if pictures:
            (folder / "aha.png").write_bytes(pictures["light"])
        written = manifest.Manifest("aha", command, settings={"source": measured["source"]})
        written.results = {"completions": measured["completions"], "all_turns": measured["all_turns"]}
        manifest.write(folder, written)
