"""Cards made of measurements alone: no number in them is typed by hand, and what was not measured is left out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..build_dataset.prompt import Template, load_template
from ..places import without_paths, without_places
from . import tables
from .checkpoints import Checkpoint, Run, base_model
from .links import Links
from .metadata import card_data
from .reproduction import made_by, measured_again
from .sentences import (
    dataset_licence_sentence,
    headline,
    licence_sentence,
    mixed,
    protocol,
    provenance,
    rewarded,
)
from .transcripts import Transcript, fence, pick_transcripts
from .usage import snippet

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

TEMPLATES = Path(__file__).parent / "templates"
LANGUAGES = {"": "en", "_zh": "zh"}  # by the end of a value's name in a template


def model_card(run: Run, links: Links) -> str:
    """The card of ``main``: metadata, how to run it, transcripts, results, training, data, limits; then Chinese."""
    return render("model_card.md", card_data(run, links, run.best, languages(run)), _model_values(run, links))


def checkpoint_card(run: Run, checkpoint: Checkpoint, links: Links) -> str:
    """The short card of a branch, with this checkpoint's own results."""
    rows = [row for row in run.summary.get("models", []) if row["label"] == checkpoint.label]
    values = {"title": _title(links), "branch": checkpoint.branch, "step": checkpoint.step}
    for suffix, language in LANGUAGES.items():
        values[f"protocol{suffix}"] = protocol(run, language)
        values[f"results{suffix}"] = tables.results(rows, None, [checkpoint.branch], language)
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
    """Everything the template of the model card names; what ends in ``_zh`` is for the Chinese half."""
    transcripts = _transcripts(run)
    prompts = templates(run)
    language = transcripts[0].language if transcripts and transcripts[0].language in prompts else next(iter(prompts))
    revision = links.weights_revision or run.best.branch
    measured = [
        {f"{name}{end}": text for name, text in _measured(run, links, own).items()} for end, own in LANGUAGES.items()
    ]
    return (
        links.urls
        | measured[0]
        | measured[1]
        | {
            "title": _title(links),
            "dataset_revision": links.dataset_revision,
            "best": run.best.label,
            "best_branch": run.best.branch,
            "snippet": snippet(run, links.model, revision, prompts[language], transcripts[0] if transcripts else None),
            "transcripts": [_shown(transcript) for transcript in transcripts],
            "transcript_language": language,
            "has_base": any(one.step == 0 for one in run.checkpoints),
            "curves": _curves(run),
            "recipe": _recipe(run),
            "commands": fence(made_by(run, links), "sh"),
            "check": fence(again, "sh") if (again := measured_again(run, links)) else "",
        }
    )


def _measured(run: Run, links: Links, language: str) -> dict[str, str]:
    """Every table and sentence that says what was measured, in one language."""
    models, branches = run.summary.get("models", []), [one.branch for one in run.checkpoints]
    sides = [row for row in models if row["label"] in ("base", run.best.label)]
    hub_base = base_model(run)
    return {
        "headline": headline(models, run.best.label, language),
        "rewarded": rewarded(run, language),
        "protocol": protocol(run, language),
        "results": tables.results(models, run.best.label, branches, language),
        "paired": tables.paired(run.summary.get("paired"), language),
        "checkpoints": tables.checkpoints(models, _branches(run, links), language),
        "by_level": tables.breakdown(sides, "by_level", "level", language),
        "by_language": tables.breakdown(sides, "by_language", "language", language),
        "mixing": tables.breakdown(sides, "by_language", "language", language, "mixed_rate", "mixed_interval"),
        "mixed": mixed(sides, run.best.label, language),
        "verdicts": tables.verdicts(sides, language),
        "ahas": tables.ahas(models, language),
        "training": _training(run, language),
        "cost": tables.cost(_cost(run), language),
        "cold_start": _cold_start(run, language),
        "data": data_table(run.folder / "dataset", language),
        "provenance": provenance(run, links, language),
        "licence": licence_sentence(hub_base, run.licence, language),
        "dataset_licence": dataset_licence_sentence(run, language),
    }


def _branches(run: Run, links: Links) -> list[tuple[str, str, int, str]]:
    """Label, branch, step and commit of every checkpoint."""
    return [(one.label, one.branch, one.step, links.checkpoints.get(one.branch, "")) for one in run.checkpoints]


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


def data_table(dataset: Path, language: str = "en") -> str:
    """Rows per config and split, counted in the parquet files."""
    import pyarrow.parquet as pq

    rows: dict[str, dict[str, int]] = {}
    for path in sorted(dataset.glob("*/*.parquet")):
        counts = rows.setdefault(path.parent.name, {})
        split = path.name.partition("-")[0]
        counts[split] = counts.get(split, 0) + pq.ParquetFile(path).metadata.num_rows
    splits = ("train", "validation", "test")
    body = ([config, *(tables.plain(counts.get(split)) for split in splits)] for config, counts in rows.items())
    return tables.table(("配置" if language == "zh" else "Config", *splits), body)


def _curves(run: Run) -> str:
    pictures = {"training.png": ("model", "Training"), "evaluation.png": ("evaluation", "Evaluation")}
    found = [(name, text) for name, (stage, text) in pictures.items() if (run.folder / stage / name).is_file()]
    return "\n\n".join(f"![{text} curves]({name})" for name, text in found)


def _training(run: Run, language: str) -> str:
    """What the training stage reported."""
    values = {key: value for key, value in run.model.results.items() if key not in ("cold_start", "base_manifest")}
    values |= {"seed": run.model.seed} if run.model.seed is not None else {}
    values |= {"seconds": run.model.seconds} if run.model.seconds else {}
    nothing = {"en": "The training stage reported no measurements.", "zh": "训练阶段没有记录任何测量值。"}
    return tables.facts(without_places(values, run.folder), language) or nothing[language]


def _cost(run: Run) -> dict[str, Any]:
    """``cost.json``, {} without one."""
    path = run.weights / "cost.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _cold_start(run: Run, language: str) -> str:
    """Settings and results of the cold start, '' when GRPO started from a model that had none."""
    record = run.model.results.get("cold_start") or run.model.results.get("base_manifest") or {}
    values = {key: value for key, value in record.items() if key != "versions"}
    return tables.facts(without_places(values, run.folder), language)


def _recipe(run: Run) -> str:
    path = run.weights / "recipe.yaml"
    return fence(without_paths(path.read_text(encoding="utf-8"), run.folder).rstrip(), "yaml") if path.is_file() else ""
