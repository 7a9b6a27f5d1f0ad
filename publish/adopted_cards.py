"""Cards of what another program trained: the owner's own with what was measured added, or one that says no more than
the files do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import tables
from .cards import TEMPLATES, render, tidy
from .checkpoints import Checkpoint, Run, hub_id
from .links import Links
from .metadata import eval_results, licence_metadata
from .owner import OwnersCard, card_change, read_owners_card, with_additions
from .sentences import protocol

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

_MEASURED = ("loss", "reward", "eval_loss", "learning_rate", "entropy", "kl")
_METRICS = {"Solve rate", "Right format"}  # the names of our own results in a model-index
Row = dict[str, Any]


def adopted_card(run: Run, links: Links, checkpoint: Checkpoint) -> str:
    """The owner's card with what was measured and logged between marks; without one a card that says how to load the
    weights and claims nothing else."""
    assert run.adopted is not None
    card = _owners(run, checkpoint)
    data = _card_data(run, links, checkpoint, card)
    values = _values(run, links, checkpoint)
    if card is None:
        return render("adopted_card.md", data, values | links.urls)
    ours = data.to_dict()
    changed = {key: value for key, value in ours.items() if key not in card.values}
    changed |= _model_index(card, ours.get("model-index")) | _without_folders(card, run.adopted.base)
    if (card.values | changed).get("base_model") != run.adopted.base:
        changed.pop("base_model_relation", None)  # the owner names another base, or several
    return with_additions(card, changed, _block(values))


def _owners(run: Run, checkpoint: Checkpoint) -> OwnersCard | None:
    """The README.md of the run's folder, else the checkpoint's own; where it calls the base by a folder, by its id."""
    assert run.adopted is not None
    for folder in (run.folder, checkpoint.folder):
        if card := read_owners_card(folder / "README.md"):
            return card.renamed(run.adopted.local_bases, run.adopted.base) if run.adopted.base else card
    return None


def shown_change(run: Run, links: Links) -> list[str]:
    """How the card on ``main`` differs from the owner's README.md, as a diff; [] without one."""
    path = next((path for path in _readmes(run) if path.is_file()), None)
    return card_change(path.read_text(encoding="utf-8"), adopted_card(run, links, run.best)) if path else []


def _readmes(run: Run) -> list[Path]:
    return [folder / "README.md" for folder in (run.folder, run.best.folder)]


def _card_data(run: Run, links: Links, checkpoint: Checkpoint, card: OwnersCard | None) -> ModelCardData:
    from huggingface_hub import ModelCardData

    adopted = run.adopted
    assert adopted is not None
    own_licence = adopted.licence or (card and card.values.get("license"))
    row = next((row for row in run.summary.get("models", []) if row["label"] == checkpoint.label), {})
    found = eval_results(run, links, row)
    return ModelCardData(
        library_name=adopted.library,
        pipeline_tag="text-generation" if adopted.loader.endswith("ForCausalLM") else None,
        base_model=adopted.base,
        base_model_relation=adopted.relation,
        tags=["trl"] if any("reward" in entry for entry in adopted.log) else None,
        **({"model_name": links.model.partition("/")[2], "eval_results": found} if found else {}),
        **({} if own_licence else licence_metadata(run.licence)),
    )


def _model_index(card: OwnersCard, ours: Any) -> dict[str, Any]:
    """The owner's entries, and ours instead of those of an earlier publication."""
    before = card.values.get("model-index")
    entries = before if isinstance(before, list) else []
    kept = [entry for entry in entries if not _is_ours(entry)]
    after = [*kept, *(ours or [])]
    return {"model-index": after or None} if after != entries else {}


def _is_ours(entry: Any) -> bool:
    results = entry.get("results") if isinstance(entry, dict) else None
    metrics = [one.get("metrics") for one in (results if isinstance(results, list) else []) if isinstance(one, dict)]
    flat = [metric for each in metrics if isinstance(each, list) for metric in each]
    return bool(flat) and all(isinstance(metric, dict) and metric.get("name") in _METRICS for metric in flat)


def _without_folders(card: OwnersCard, base: str | None) -> dict[str, Any]:
    """``base_model``, and the tags that repeat it, anew where they name a folder, which no page can link."""
    changed: dict[str, Any] = {}
    stated, tags = card.values.get("base_model"), card.values.get("tags")
    if stated is not None and not all(hub_id(name) for name in (stated if isinstance(stated, list) else [stated])):
        changed["base_model"] = base
    if isinstance(tags, list):
        named = [_with_base(tag, base) if isinstance(tag, str) else tag for tag in tags]
        changed |= {"tags": [tag for tag in named if tag]} if named != tags else {}
    return changed


def _with_base(tag: str, base: str | None) -> str:
    """The Hub's tag ``base_model:adapter:NAME`` with the id of the base; '' where that is not known."""
    kind, _, name = tag.removeprefix("base_model:").rpartition(":") if ":\\" not in tag else ("adapter", "", "")
    if not tag.startswith("base_model:") or hub_id(name):
        return tag
    return ":".join(filter(None, ("base_model", kind, base))) if base else ""


def _values(run: Run, links: Links, checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything that the templates name; what ends in ``_zh`` is for the Chinese part."""
    adopted = run.adopted
    assert adopted is not None
    rows = [row for row in run.summary.get("models", []) if row["label"] in ("base", checkpoint.label)]
    measured = any(row["label"] == checkpoint.label for row in rows)
    values = {
        "title": links.model.partition("/")[2],
        "model_id": links.model,
        "base": adopted.base,
        "adapter": adopted.library == "peft",
        "loader": adopted.loader,
        "code": adopted.code,
        "label": checkpoint.label,
        "branches": [one.branch for one in run.checkpoints],
        "log": _log_table(adopted.log),
        "last": tables.facts(_last(adopted.log)),
        "licence": run.licence,
        "own_licence": adopted.licence,
        "licence_file": bool(adopted.licence) and (run.folder / str(adopted.licence)).is_file(),
    }
    for end, language in (("", "en"), ("_zh", "zh")):
        values[f"results{end}"] = tables.results(rows, checkpoint.label, [], language) if measured else ""
        values[f"protocol{end}"] = protocol(run, language) if measured else ""
        values[f"paired{end}"] = tables.paired(run.summary.get("paired"), language) if measured else ""
    return values


def _block(values: dict[str, Any]) -> str:
    """What is added to the owner's card; '' when nothing was measured or logged and there is no branch to tell of."""
    told = ("results", "log", "branches")
    notice = values["licence"] and values["licence"].notice
    if not notice and not any(values[name] for name in told):
        return ""
    from jinja2 import Template

    return tidy(Template((TEMPLATES / "adopted_block.md").read_text(encoding="utf-8")).render(**values))


def _log_table(log: tuple[Row, ...]) -> str:
    """At most ten logged steps, evenly spread, with the measurements that were logged."""
    rows = [entry for entry in log if any(key in entry for key in _MEASURED)]
    shown = [rows[at * (len(rows) - 1) // 9] for at in range(10)] if len(rows) > 10 else rows
    body = ([tables.plain(row.get("step")), *(tables.plain(row.get(key)) for key in _MEASURED)] for row in shown)
    return tables.table(("step", *_MEASURED), body)


def _last(log: tuple[Row, ...]) -> Row:
    """The trainer's own summary: the entry with the run time."""
    return next((dict(entry) for entry in reversed(log) if "train_runtime" in entry), {})
