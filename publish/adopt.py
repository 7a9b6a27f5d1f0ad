"""What another program trained, read for publishing: an output folder of TRL or transformers, full model or adapter.

Only what its files say is taken over: the base model, the log of the trainer, the checkpoints. Nothing is unpickled.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..manifest import Manifest
from . import tables
from .cards import render
from .checkpoints import HUB_ID, Adopted, Checkpoint, Run, find_checkpoints
from .links import Links
from .metadata import licence_metadata

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

_MEASURED = ("loss", "reward", "eval_loss", "learning_rate", "entropy", "kl")


@dataclass(frozen=True)
class _Config:
    """What a folder's own JSON files say."""

    model: dict[str, Any]
    adapter: dict[str, Any]
    trainer: dict[str, Any]


def read_adopted(folder: Path, base: str | None = None) -> Run:
    """The output in ``folder`` as a run: its final weights, or the best or last checkpoint where there are none.

    ``base`` names the base model where the files name a path of some computer. Raises ``InputError`` when there are
    no safetensors weights, or an adapter whose base nobody else could load.
    """
    folder = folder.resolve()
    checkpoints = tuple(one for one in find_checkpoints(folder, Manifest("train", "")) if _has_weights(one.folder))
    final = Checkpoint("final", max((one.step for one in checkpoints), default=0), folder)
    best = final if _has_weights(folder) else _best(folder, checkpoints)
    if best is None:
        raise InputError(f"{folder} holds no *.safetensors weights, nor does any checkpoint-N in it: nothing to adopt")
    config = _config(best.folder, folder)
    named = base or config.adapter.get("base_model_name_or_path") or config.model.get("_name_or_path")
    found = named if isinstance(named, str) and HUB_ID.fullmatch(named) and not Path(named).is_dir() else None
    if config.adapter and found is None:
        fix = "pass --base NAMESPACE/NAME"
        raise InputError(f"the adapter in {best.folder} names its base '{named}', which is no Hub id: {fix}")
    relation = "adapter" if config.adapter else "finetune"
    log = tuple(config.trainer.get("log_history") or ())
    adopted = Adopted(found, relation if found else None, "peft" if config.adapter else "transformers", log)
    return Run(folder, None, Manifest("train", ""), None, {}, checkpoints, best, folder, adopted)


def _has_weights(folder: Path) -> bool:
    named = (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file()
    return named and any(folder.glob("*.safetensors"))


def _best(folder: Path, checkpoints: tuple[Checkpoint, ...]) -> Checkpoint | None:
    """What the trainer called the best checkpoint, else the last one."""
    if not checkpoints:
        return None
    named = Path(str(_json(checkpoints[-1].folder / "trainer_state.json").get("best_model_checkpoint"))).name
    return next((one for one in checkpoints if one.label == named), checkpoints[-1])


def _config(weights: Path, folder: Path) -> _Config:
    states = [weights / "trainer_state.json", folder / "trainer_state.json"]
    steps = sorted(folder.glob("checkpoint-*/trainer_state.json"), key=lambda path: path.stat().st_mtime)
    trainer = next((path for path in [*states, *reversed(steps)] if path.is_file()), states[0])
    return _Config(_json(weights / "config.json"), _json(weights / "adapter_config.json"), _json(trainer))


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error
    return values if isinstance(values, dict) else {}


def adopted_card(run: Run, links: Links, checkpoint: Checkpoint) -> str:
    """A card that says how to load the weights, what the trainer logged, and that nothing was evaluated here."""
    assert run.adopted is not None
    values = {
        "title": links.model.partition("/")[2],
        "model_id": links.model,
        "revision": links.weights_revision or checkpoint.branch if run.checkpoints else "main",
        "base": run.adopted.base,
        "adapter": run.adopted.library == "peft",
        "label": checkpoint.label,
        "branches": [one.branch for one in run.checkpoints],
        "log": _log_table(run.adopted.log),
        "last": tables.facts(_last(run.adopted.log)),
        "licence": run.licence,
    }
    return render("adopted_card.md", _card_data(run, links), values | links.urls)


def _card_data(run: Run, links: Links) -> ModelCardData:
    from huggingface_hub import ModelCardData

    assert run.adopted is not None
    return ModelCardData(
        library_name=run.adopted.library,
        pipeline_tag="text-generation",
        base_model=run.adopted.base,
        base_model_relation=run.adopted.relation,
        tags=["trl"] if any("reward" in entry for entry in run.adopted.log) else None,
        **licence_metadata(run.licence),
    )


def _log_table(log: tuple[dict[str, Any], ...]) -> str:
    """At most ten logged steps, evenly spread, with the measurements that were logged."""
    rows = [entry for entry in log if any(key in entry for key in _MEASURED)]
    shown = [rows[at * (len(rows) - 1) // 9] for at in range(10)] if len(rows) > 10 else rows
    body = ([tables.plain(row.get("step")), *(tables.plain(row.get(key)) for key in _MEASURED)] for row in shown)
    return tables.table(("step", *_MEASURED), body)


def _last(log: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """The trainer's own summary: the entry with the run time."""
    return next((dict(entry) for entry in reversed(log) if "train_runtime" in entry), {})
