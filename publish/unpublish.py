"""Taking a published run back: what its record names and nothing else, listed before anything is deleted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import StageError
from ..hub import Hub
from ..hub_push import Branch, push_text
from .dataset_cards import other_models, without_model
from .ledger import FOLDER
from .links import Links
from .record import RECORD, place_of
from .repositories import call, dataset_card_of


@dataclass(frozen=True)
class Withdrawal:
    """What would be deleted: repositories as (type, id), and the collection. ``shared`` is a dataset that other
    models name, which stays; only this model's line in its card goes."""

    run: Path
    model: str
    repos: tuple[tuple[str, str], ...]
    collection: str | None
    shared: str | None

    def lines(self) -> list[str]:
        """One line for each thing that goes, and one for what stays."""
        found = [f"delete  {kind:<8}{repo_id}  with every branch, tag and file" for kind, repo_id in self.repos]
        found += [f"delete  collection {self.collection}"] if self.collection else []
        return found + ([f"keep    dataset {self.shared}, which other models name"] if self.shared else [])


def plan(run: Path, hub: Hub) -> Withdrawal:
    """What taking ``run`` back means. Raises ``StageError`` when it was not published, or to another Hub."""
    path = run / "published" / RECORD
    if not path.is_file():
        raise StageError(f"{path} is missing: this run was not published, or was taken back already")
    record = json.loads(path.read_text(encoding="utf-8"))
    if record["hub"] != place_of(hub):
        raise StageError(f"{run} was published to {record['hub']}, not to {place_of(hub)}; name it with --hub")
    model = record["model"]["id"]
    repos = [(repo["type"], repo["id"]) for repo in record["repos"] if _exists(hub, repo)]
    dataset = record["dataset"]["id"] if record["dataset"] else None
    shared = dataset if dataset and other_models(_card(hub, dataset), model) else None
    kept = tuple((kind, repo_id) for kind, repo_id in repos if repo_id != shared)
    return Withdrawal(run, model, kept, record.get("collection"), shared)


def withdraw(planned: Withdrawal, hub: Hub, echo: Callable[[str], None]) -> None:
    """Delete it; the model's own repositories go last, so that what is interrupted can be repeated."""
    if slug := planned.collection:
        call(hub, "deleting the collection", partial(hub.api.delete_collection, slug, missing_ok=True))
    if planned.shared:
        card = without_model(_card(hub, planned.shared), planned.model)
        push_text(hub, Branch(planned.shared, "dataset"), "README.md", card, message=f"Without {planned.model}")
    for kind, name in sorted(planned.repos, key=lambda repo: repo[1] == planned.model):
        call(hub, f"deleting {name}", partial(hub.api.delete_repo, name, repo_type=kind, missing_ok=True))
        echo(f"deleted {kind:<8}{name}")
    shutil.rmtree(planned.run / "published")
    shutil.rmtree(planned.run / FOLDER, ignore_errors=True)


def _exists(hub: Hub, repo: dict[str, Any]) -> bool:
    return call(hub, f"looking for {repo['id']}", lambda: hub.api.repo_exists(repo["id"], repo_type=repo["type"]))


def _card(hub: Hub, dataset: str) -> str:
    return dataset_card_of(hub, Links(dataset, "", None))
