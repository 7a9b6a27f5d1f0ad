"""Cards made of measurements alone: no number in them is typed by hand, and what was not measured is left out.

The keys of the metadata are those of the Hub's documentation ("Model Cards"), written through
huggingface_hub's own ``ModelCardData`` and ``EvalResult``, which give the ``model-index``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..build_dataset.prompt import Template, load_template
from ..errors import InputError
from ..rehearsal.card import validate_card
from . import tables
from .checkpoints import Checkpoint, Run, base_model, without_paths, without_places
from .licences import Licence
from .transcripts import Transcript, fence, pick_transcripts
from .usage import snippet

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

TEMPLATES = Path(__file__).parent / "templates"
PLACEHOLDER = "NAMESPACE/Countdown-r1-zero"  # how the dataset's card calls a repository it does not know yet
_MODELS_SECTION = "\n# Models trained on it · 用它训练的模型\n"  # the last section


@dataclass(frozen=True)
class Links:
    """The repositories of a run, None for what it has not. ``site`` is put before every path: the Hub's address, or
    nothing on a rehearsal Hub, whose port says nothing to a reader. Revisions are commits, None where not known yet:
    of the dataset, of the branch with the best weights, of the model's ``main``, which has a ``tag`` by then."""

    dataset: str | None
    model: str
    space: str | None
    site: str = ""
    dataset_revision: str | None = None
    weights_revision: str | None = None
    model_revision: str | None = None
    tag: str | None = None
    evaluation: str | None = None
    completions: str | None = None

    @property
    def repos(self) -> dict[str, tuple[str, str]]:
        """Type and id of each repository by its role, in the order in which they are pushed."""
        found = {"dataset": ("dataset", self.dataset), "model": ("model", self.model)}
        found |= {"evaluation": ("dataset", self.evaluation), "completions": ("dataset", self.completions)}
        found |= {"space": ("space", self.space)}
        return {role: (kind, name) for role, (kind, name) in found.items() if name}

    @property
    def urls(self) -> dict[str, str | None]:
        """``ROLE_url`` and ``ROLE_id`` for the templates; None for a repository that the run has not."""
        prefixes = {"model": "", "dataset": "datasets/", "space": "spaces/"}
        values: dict[str, str | None] = {}
        for role in ("dataset", "model", "evaluation", "completions", "space"):
            kind, name = self.repos.get(role, ("", None))
            values |= {f"{role}_id": name, f"{role}_url": f"{self.site}/{prefixes[kind]}{name}" if name else None}
        return values

    @property
    def namespace(self) -> str:
        return self.model.partition("/")[0]


def model_card(run: Run, links: Links) -> str:
    """The card of ``main``: metadata, how to run it, transcripts, results, training, data, limits; then Chinese."""
    return render("model_card.md", _card_data(run, links, run.best), _model_values(run, links))


def checkpoint_card(run: Run, checkpoint: Checkpoint, links: Links) -> str:
    """The short card of a branch, with this checkpoint's own results."""
    rows = [row for row in run.summary.get("models", []) if row["label"] == checkpoint.label]
    values = {"title": _title(links), "branch": checkpoint.branch, "step": checkpoint.step}
    values |= {"protocol": protocol(run), "results": tables.results(rows, None, [checkpoint.branch])}
    return render("checkpoint_card.md", _card_data(run, links, checkpoint), values | links.urls)


def dataset_card(card: str, links: Links, remote_card: str = "") -> str:
    """The dataset's card with a list of the models trained on it, those already named in ``remote_card`` included."""
    names = sorted({*_listed(remote_card), links.model})
    items = "\n".join(f"- [{name}]({links.site}/{name})" for name in names)
    body = card.partition(_MODELS_SECTION)[0].rstrip().replace(PLACEHOLDER, links.dataset or PLACEHOLDER)
    return f"{body}\n{_MODELS_SECTION}\n{items}\n"


def _listed(card: str) -> list[str]:
    """The models that a dataset's card names."""
    return re.findall(r"^- \[([^\]]+)\]", card.partition(_MODELS_SECTION)[2], re.MULTILINE)


def other_models(card: str, model: str) -> list[str]:
    """The models that a dataset's card names beside one."""
    return [name for name in _listed(card) if name != model]


def without_model(card: str, model: str) -> str:
    """A dataset's card without the line of one model."""
    return re.sub(rf"^- \[{re.escape(model)}\].*\n", "", card, flags=re.MULTILINE)


def size_category(n: int) -> str:
    """The Hub's name for a dataset's number of rows.

    >>> size_category(500), size_category(20_000)
    ('n<1K', '10K<n<100K')
    """
    bounds = [("1K", 10**3), ("10K", 10**4), ("100K", 10**5), ("1M", 10**6), ("10M", 10**7)]
    if n < bounds[0][1]:
        return "n<1K"
    return next((f"{low[0]}<n<{high[0]}" for low, high in pairwise(bounds) if n < high[1]), "10M<n<100M")


def with_front_matter(template: str, front: str, values: dict[str, Any]) -> str:
    """A card of YAML and a rendered template."""
    from jinja2 import Template as Jinja

    text = Jinja((TEMPLATES / template).read_text(encoding="utf-8"), trim_blocks=False).render(**values)
    return f"---\n{front}---\n\n{_tidy(text)}"


def _tidy(card: str) -> str:
    """Without the blank lines that empty parts of a template leave."""
    return re.sub(r"\n{3,}(?=#|\||\*|-)", "\n\n", card).rstrip() + "\n"


def render(template: str, card_data: ModelCardData, values: dict[str, Any]) -> str:
    from huggingface_hub import ModelCard

    text = str(ModelCard.from_template(card_data, template_path=str(TEMPLATES / template), **values))
    return _tidy(text)


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


def licence_metadata(licence: Licence | None) -> dict[str, Any]:
    """The card's keys for a licence that the base brings with it."""
    if licence is None:
        return {}
    return {"license": licence.id, "license_name": licence.name, "license_link": licence.link}


def _card_data(run: Run, links: Links, checkpoint: Checkpoint) -> ModelCardData:
    from huggingface_hub import ModelCardData

    hub_base = base_model(run)
    licence: dict[str, Any] = licence_metadata(run.licence) if hub_base else {"license": "apache-2.0"}
    row = next((row for row in run.summary.get("models", []) if row["label"] == checkpoint.label), {})
    return ModelCardData(
        model_name=_title(links),
        language=sorted({name.partition("-")[0] for name in templates(run)}),
        **licence,
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=hub_base,
        base_model_relation="finetune" if hub_base else None,
        datasets=[links.dataset] if links.dataset else None,
        tags=["countdown", "grpo", "reasoning", "reinforcement-learning", "trl"],
        eval_results=_eval_results(run, links, row) or None,
    )


def _eval_results(run: Run, links: Links, row: dict[str, Any]) -> list[EvalResult]:
    """The model-index: solve rate and format rate, those that were measured."""
    from huggingface_hub import EvalResult

    metrics = {"solve_rate": "Solve rate", "format_rate": "Right format"}
    arguments = {"n": row.get("n"), "seed": run.summary.get("seed"), **(run.summary.get("decoding") or {})}
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=links.dataset or "countdown",
            dataset_name=(links.dataset or "/countdown").partition("/")[2],
            dataset_split=(run.summary.get("dataset") or {}).get("split"),
            dataset_revision=links.dataset_revision,
            dataset_args={key: value for key, value in arguments.items() if value is not None},
            metric_type="accuracy" if key == "solve_rate" else key,
            metric_name=name,
            metric_value=row[key],
        )
        for key, name in metrics.items()
        if row.get(key) is not None
    ]


def check_metadata(card: str, repo_type: str, where: str) -> None:
    """Raise ``InputError`` when a card's YAML front matter is missing, empty or not a mapping, or a key in it has a
    value that the Hub would refuse (the rehearsal Hub's own rules, which are the Hub's)."""
    import yaml
    from huggingface_hub import RepoCard

    try:
        data = RepoCard(card).data.to_dict()
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"the metadata of {where} is not valid: {str(error).splitlines()[0]}") from error
    if not data:
        raise InputError(f"the card {where} has no metadata; it starts with a YAML block between '---' lines")
    errors, _ = validate_card(card, repo_type)
    if errors:
        raise InputError(f"the metadata of {where} is not valid: {errors[0]}")
