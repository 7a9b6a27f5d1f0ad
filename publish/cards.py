"""Cards made of measurements alone: no number in them is typed by hand, and what was not measured is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..build_dataset.prompt import Template, load_template
from . import tables
from .checkpoints import Checkpoint, Run, base_model, without_paths, without_places
from .licences import Licence
from .links import Links
from .metadata import card_data
from .transcripts import Transcript, fence, pick_transcripts
from .usage import snippet

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

TEMPLATES = Path(__file__).parent / "templates"


def model_card(run: Run, links: Links) -> str:
    """The card of ``main``: metadata, how to run it, transcripts, results, training, data, limits; then Chinese."""
    return render("model_card.md", card_data(run, links, run.best, languages(run)), _model_values(run, links))


def checkpoint_card(run: Run, checkpoint: Checkpoint, links: Links) -> str:
    """The short card of a branch, with this checkpoint's own results."""
    rows = [row for row in run.summary.get("models", []) if row["label"] == checkpoint.label]
    values = {"title": _title(links), "branch": checkpoint.branch, "step": checkpoint.step}
    values |= {"protocol": protocol(run), "results": tables.results(rows, None, [checkpoint.branch])}
    return render("checkpoint_card.md", card_data(run, links, checkpoint, languages(run)), values | links.urls)


def tidy(card: str) -> str:
    """Without the blank lines that empty parts of a template leave."""
    return re.sub(r"\n{3,}(?=#|\||\*|-)", "\n\n", card).rstrip() + "\n"


def render(template: str, card_data: ModelCardData, values: dict[str, Any]) -> str:
    from huggingface_hub import ModelCard

    text = str(ModelCard.from_template(card_data, template_path=str(TEMPLATES / template), **values))
    return tidy(text)


def _title(links: Links) -> str:
    return links.model.partition("/")[2]


def _model_values(run: Run, links: Links) -> dict[str, Any]:
    """Everything the template of the model card names."""
    models = run.summary.get("models", [])
    sides = [row for row in models if row["label"] in ("base", run.best.label)]
    transcripts = _transcripts(run)
    hub_base = base_model(run)
    branches = [one.branch for one in run.checkpoints]
    revision = links.weights_revision or run.best.branch
    prompts = templates(run)
    language = transcripts[0].language if transcripts and transcripts[0].language in prompts else next(iter(prompts))
    return links.urls | {
        "title": _title(links),
        "dataset_revision": links.dataset_revision,
        "best": run.best.label,
        "best_branch": run.best.branch,
        "headline": _headline(models, run.best.label),
        "snippet": snippet(run, links.model, revision, prompts[language], transcripts[0] if transcripts else None),
        "transcripts": [_shown(transcript) for transcript in transcripts],
        "transcript_language": language,
        "protocol": protocol(run),
        "has_base": any(one.step == 0 for one in run.checkpoints),
        "results": tables.results(models, run.best.label, branches),
        "results_zh": tables.results(models, run.best.label, branches, "zh"),
        "paired": tables.paired(run.summary.get("paired")),
        "paired_zh": tables.paired(run.summary.get("paired"), "zh"),
        "checkpoints": tables.checkpoints(models, _branches(run, links)),
        "checkpoints_zh": tables.checkpoints(models, _branches(run, links), "zh"),
        "by_level": tables.breakdown(sides, "by_level", "level"),
        "by_language": tables.breakdown(sides, "by_language", "language"),
        "verdicts": tables.verdicts(sides),
        "ahas": tables.ahas(models),
        "curves": _curves(run),
        "training": _training(run),
        "cold_start": _cold_start(run),
        "recipe": _recipe(run),
        "data": data_table(run.folder / "dataset"),
        "commands": _commands(run, links),
        "provenance": _provenance(run),
        "licence": _licence(hub_base, run.licence),
        "licence_zh": f"基础模型 {hub_base} 的许可同样适用。" if hub_base else "权重采用 Apache License 2.0。",
    }


def _branches(run: Run, links: Links) -> list[tuple[str, str, int, str]]:
    """Label, branch, step and commit of every checkpoint."""
    return [(one.label, one.branch, one.step, links.checkpoints.get(one.branch, "")) for one in run.checkpoints]


def public(run: Run, text: str) -> str:
    """A text without local paths."""
    return without_paths(text, run.folder)


def _headline(models: Sequence[dict[str, Any]], best: str) -> str:
    rates = {row["label"]: row for row in models if row.get("solve_rate") is not None}
    if best not in rates:
        return ""
    row = rates[best]
    text = f"{best} solves {tables.percent(row['solve_rate'])} of {row['n']} held-out puzzles"
    if row.get("solve_interval"):
        text += f" (95% interval {' to '.join(map(tables.percent, row['solve_interval']))})"
    if best == "base":
        return f"{text}; no checkpoint did better on the validation split, so this is the base itself."
    return f"{text}; the base solves {tables.percent(rates['base']['solve_rate'])}." if "base" in rates else f"{text}."


def protocol(run: Run) -> str:
    """How the results were measured, in one paragraph, as far as the evaluation says."""
    summary, decoding = run.summary, run.summary.get("decoding") or {}
    split = (summary.get("dataset") or {}).get("split")
    puzzles = f"{summary['n']} puzzles" if summary.get("n") is not None else "Puzzles"
    parts = [f"{puzzles} of the `{split}` split" if split else puzzles]
    if decoding.get("samples") is not None:
        parts.append(f"{decoding['samples']} completion{'s' if decoding['samples'] > 1 else ''} each")
    if decoding.get("temperature") is not None:
        parts.append(f"temperature {tables.plain(decoding['temperature'])}")
    if decoding.get("max_new_tokens") is not None:
        parts.append(f"at most {decoding['max_new_tokens']} new tokens")
    if summary.get("seed") is not None:
        parts.append(f"seed {summary['seed']}")
    command = f" Command: `{public(run, summary['command'])}`." if summary.get("command") else ""
    return f"{', '.join(parts)}; the same puzzles for every model.{command}"


def _transcripts(run: Run) -> list[Transcript]:
    records = run.folder / "evaluation" / run.best.label / "records.jsonl"
    return pick_transcripts(records) if records.is_file() else []


def _shown(transcript: Transcript) -> dict[str, str]:
    nums = ", ".join(map(str, transcript.nums))
    return {
        "heading": "Solved" if transcript.solved else "Failed",
        "facts": f"Numbers {nums}; target {transcript.target}; {transcript.n_tokens} tokens; "
        f"verdict: {transcript.verdict}. The prompt ends in `<think>`; what follows is the completion.",
        "text": fence(transcript.text),
    }


def templates(run: Run) -> dict[str, Template]:
    """The prompt templates of the run's dataset by language, the default one first."""
    recorded = (run.dataset.settings.get("templates") if run.dataset else None) or {}
    return {name: Template(**values) for name, values in recorded.items()} or {"en": load_template("en")}


def languages(run: Run) -> list[str]:
    return sorted({name.partition("-")[0] for name in templates(run)})


def data_table(dataset: Path) -> str:
    """Rows per config and split, counted in the parquet files."""
    import pyarrow.parquet as pq

    rows: dict[str, dict[str, int]] = {}
    for path in sorted(dataset.glob("*/*.parquet")):
        counts = rows.setdefault(path.parent.name, {})
        split = path.name.partition("-")[0]
        counts[split] = counts.get(split, 0) + pq.ParquetFile(path).metadata.num_rows
    splits = ("train", "validation", "test")
    body = ([config, *(tables.plain(counts.get(split)) for split in splits)] for config, counts in rows.items())
    return tables.table(("Config", *splits), body)


def _curves(run: Run) -> str:
    pictures = {"training.png": ("model", "Training"), "evaluation.png": ("evaluation", "Evaluation")}
    found = [(name, text) for name, (stage, text) in pictures.items() if (run.folder / stage / name).is_file()]
    return "\n\n".join(f"![{text} curves]({name})" for name, text in found)


def _training(run: Run) -> str:
    """What the training stage reported and what it cost, as far as either is there."""
    values = {key: value for key, value in run.model.results.items() if key not in ("cold_start", "base_manifest")}
    values |= {"seed": run.model.seed} if run.model.seed is not None else {}
    values |= {"seconds": run.model.seconds} if run.model.seconds else {}
    values |= {"cost": _cost(run)}
    return tables.facts(without_places(values, run.folder)) or "The training stage reported no measurements."


def _cost(run: Run) -> dict[str, Any]:
    """``cost.json``; a price of 0 means that none was stated, so no sum is shown either."""
    path = run.weights / "cost.json"
    values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    priced = bool(values.get("price_per_hour"))
    return {key: value for key, value in values.items() if priced or key not in ("price_per_hour", "currency", "total")}


def _cold_start(run: Run) -> str:
    """Settings and results of the cold start, '' when GRPO started from a model that had none."""
    record = run.model.results.get("cold_start") or run.model.results.get("base_manifest") or {}
    values = {key: value for key, value in record.items() if key != "versions"}
    return tables.facts(without_places(values, run.folder))


def _recipe(run: Run) -> str:
    path = run.weights / "recipe.yaml"
    return fence(public(run, path.read_text(encoding="utf-8")).rstrip(), "yaml") if path.is_file() else ""


def _commands(run: Run, links: Links) -> str:
    """What was typed, each command once; `run` does every stage, publishing included."""
    typed = [public(run, one.command) for one in (run.dataset, run.model, run.evaluation) if one and one.command]
    if not any(command.startswith("countdown-r1 run ") for command in typed):
        typed.append(f"countdown-r1 publish outputs/{run.name} --push-to {links.model.partition('/')[0]}")
    return fence("\n".join(dict.fromkeys(typed)), "sh")


def _provenance(run: Run) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run.model.versions.items())
    commit = f"Commit `{run.model.git_commit}`. " if run.model.git_commit else ""
    return f"{commit}Versions: {versions}." if versions else commit


def _licence(hub_base: str | None, licence: Licence | None) -> str:
    if hub_base is None:
        return "The weights are under the Apache License 2.0."
    if licence is None:
        return f"These weights were made from {hub_base}, whose licence applies."
    named = f"`{licence.id}`" + (f" ({licence.name})" if licence.name else "")
    return f"These weights were made from {hub_base}, whose licence, {named}, applies. {licence.notice}".strip()
