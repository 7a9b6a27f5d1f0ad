"""The YAML in front of a model's card, written through huggingface_hub's own classes and checked before a push.

The keys are those of the Hub's documentation ("Model Cards"); ``EvalResult`` gives the ``model-index``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..rehearsal.card import validate_card
from .checkpoints import Checkpoint, Run, base_model, hub_id
from .licences import Licence
from .links import Links

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData


def card_data(run: Run, links: Links, checkpoint: Checkpoint, languages: list[str]) -> ModelCardData:
    from huggingface_hub import ModelCardData

    hub_base = base_model(run)
    licence: dict[str, Any] = licence_metadata(run.licence) if hub_base else {"license": "apache-2.0"}
    row = next((row for row in run.summary.get("models", []) if row["label"] == checkpoint.label), {})
    return ModelCardData(
        model_name=links.model.partition("/")[2],
        language=languages,
        **licence,
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=hub_base,
        base_model_relation="finetune" if hub_base else None,
        datasets=[links.dataset] if links.dataset else None,
        tags=["countdown", "grpo", "reasoning", "reinforcement-learning", "trl"],
        eval_results=eval_results(run, links, row) or None,
    )


def eval_results(run: Run, links: Links, row: dict[str, Any]) -> list[EvalResult]:
    """The model-index: solve rate and format rate, those that were measured."""
    from huggingface_hub import EvalResult

    metrics = {"solve_rate": "Solve rate", "format_rate": "Right format"}
    dataset = run.summary.get("dataset") or {}
    puzzles = links.dataset or hub_id(dataset.get("id")) or "countdown"
    arguments = {"n": row.get("n"), "seed": run.summary.get("seed"), **(run.summary.get("decoding") or {})}
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=puzzles,
            dataset_name=puzzles.rpartition("/")[2],
            dataset_split=dataset.get("split"),
            dataset_revision=links.dataset_revision,
            dataset_args={key: value for key, value in arguments.items() if value is not None},
            metric_type="accuracy" if key == "solve_rate" else key,
            metric_name=name,
            metric_value=row[key],
            metric_args={"interval_95": interval} if (interval := row.get(key.replace("rate", "interval"))) else None,
        )
        for key, name in metrics.items()
        if row.get(key) is not None
    ]


def licence_metadata(licence: Licence | None) -> dict[str, Any]:
    """The card's keys for a licence that the base brings with it."""
    if licence is None:
        return {}
    return {"license": licence.id, "license_name": licence.name, "license_link": licence.link}


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
