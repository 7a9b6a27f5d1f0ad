"""Taking a published run back: what its record names and nothing else, listed before anything is deleted.

A repository goes as a whole or stays as a whole, since its history goes with it. It stays when others had a part in
it: a commit on any branch or tag or a pull request that this program did not make, a model that another folder
published over this one, a dataset that other models name.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import StageError
from ..hub import Hub, plain
from ..hub_changes import Branch, others_titles, refs_of, remote_files
from ..hub_errors import status_of
from ..hub_push import push_text
from .dataset_cards import other_models, without_model
from .ledger import FOLDER, only_publisher
from .links import Links
from .plan import own_commits
from .record import RECORD, forget_record, place_of, records
from .repositories import call, dataset_card_of

NOT_FOUND = 404


@dataclass(frozen=True)
class Withdrawal:
    """What would be deleted: repositories as (type, id), and the collection. ``kept`` are repositories that stay, with
    the reason; ``shared`` is a dataset that other models name, of whose card only this model's line goes."""

    run: Path
    record: Mapping[str, Any]
    repos: tuple[tuple[str, str], ...]
    kept: tuple[tuple[str, str, str], ...]
    collection: str | None
    shared: str | None

    @property
    def model(self) -> str:
        return self.record["model"]["id"]

    @property
    def left(self) -> bool:
        """Whether something of this run stays on the Hub that may go once the others' part in it is gone."""
        return any(kind != "collection" and repo_id != self.shared for kind, repo_id, _ in self.kept)

    def lines(self) -> list[str]:
        """One line for each thing that goes, and one for what stays."""
        found = [f"delete  {kind:<8}{repo_id}  with every branch, tag and file" for kind, repo_id in self.repos]
        found += [f"delete  collection {self.collection}"] if self.collection else []
        return found + [f"keep    {kind:<8}{repo_id}, {why}" for kind, repo_id, why in self.kept]


def plan(run: Path, hub: Hub, namespace: str | None = None) -> Withdrawal:
    """What taking ``run`` back from ``hub`` means; ``namespace`` says from whom where it was published to several.

    Raises ``StageError`` when it was not published there.
    """
    record = _record(run, hub, namespace)
    model, dataset = record["model"]["id"], record["dataset"]["id"] if record["dataset"] else None
    shared = dataset if dataset and other_models(_card(hub, dataset), model) else None
    repos: list[tuple[str, str]] = []
    kept: list[tuple[str, str, str]] = []
    for kind, repo_id in ((repo["type"], repo["id"]) for repo in record["repos"]):
        with plain(hub, f"looking at {repo_id}"):
            refs = refs_of(hub, repo_id, kind)
            if refs is None:
                continue
            why = (
                "which other models name" if repo_id == shared else _others_part(run, hub, record, repo_id, kind, refs)
            )
        kept += [(kind, repo_id, why)] if why else []
        repos += [] if why else [(kind, repo_id)]
    slug = record.get("collection")
    if slug and _lists_more(hub, slug, record):
        kept.append(("collection", slug, "which lists what this run did not publish"))
        slug = None
    return Withdrawal(run, record, tuple(repos), tuple(kept), slug, shared)


def _record(run: Path, hub: Hub, namespace: str | None) -> Mapping[str, Any]:
    """The record to take back. Raises ``StageError`` when there is none, or more than one."""
    found = records(run)
    if not found:
        path = run / "published" / RECORD
        raise StageError(f"{path} is missing: this run was not published, or was taken back already")
    here = [one for one in found if one["hub"] == place_of(hub) and namespace in (None, one["namespace"])]
    if not here:
        known = ", ".join(f"{one['namespace']} on {one['hub']}" for one in found)
        raise StageError(f"{run} was published to {known}; name one with --hub and --from")
    if len(here) > 1:
        names = " and ".join(one["namespace"] for one in here)
        raise StageError(f"{run} was published to {names} on {place_of(hub)}; say which with --from")
    return here[0]


def _others_part(
    run: Path, hub: Hub, record: Mapping[str, Any], repo_id: str, kind: str, refs: Mapping[str, str]
) -> str:
    """What of a repository is others', '' when nothing is."""
    if any(name.startswith("pr/") for name in refs):
        return "which has a pull request: delete it on its page if all of it may go"
    own = own_commits(run, hub, repo_id)
    if titles := others_titles(hub, repo_id, kind, refs, own):
        return f"which holds commits of others ({titles}): delete it on its page if all of it may go"
    if record["dataset"] and repo_id == record["dataset"]["id"]:
        replaced = _holds_other_data(hub, Branch(repo_id, kind), record)
    else:
        replaced = refs.get("heads/main") not in own
    return "which was published from another folder since" if replaced else ""


def _holds_other_data(hub: Hub, branch: Branch, record: Mapping[str, Any]) -> bool:
    """Whether a dataset's rows are not those of the record; its card changes with every model trained on it."""
    known = next(one["sha256"] for one in record["pushed"] if one["role"] == "dataset")
    there = {name: file.lfs and file.lfs.sha256 for name, file in remote_files(hub, branch).items()}
    data = {name for name in {*known, *there} if name.endswith(".parquet")}
    return any(known.get(name) != there.get(name) for name in data)


def _lists_more(hub: Hub, slug: str, record: Mapping[str, Any]) -> bool:
    """Whether a collection holds something that is not a repository of the record."""
    from huggingface_hub.errors import HfHubHTTPError

    def ask() -> list[Any]:
        try:
            return hub.api.get_collection(slug).items
        except HfHubHTTPError as error:
            if status_of(error) == NOT_FOUND:
                return []
            raise

    own = {(repo["type"], repo["id"]) for repo in record["repos"]}
    return any((item.item_type, item.item_id) not in own for item in call(hub, f"looking at {slug}", ask))


def withdraw(planned: Withdrawal, hub: Hub, echo: Callable[[str], None]) -> None:
    """Delete it; the model's own repositories go last, so that what is interrupted can be repeated.

    The record stays while something of the run stays that is not a shared dataset.
    """
    with only_publisher(planned.run, place_of(hub)) as ledger:
        if slug := planned.collection:
            call(hub, "deleting the collection", partial(hub.api.delete_collection, slug, missing_ok=True))
        if planned.shared:
            _take_name_off(planned, planned.shared, hub)
        for kind, name in sorted(planned.repos, key=lambda repo: repo[1] == planned.model):
            call(hub, f"deleting {name}", partial(hub.api.delete_repo, name, repo_type=kind, missing_ok=True))
            echo(f"deleted {kind:<8}{name}")
        if not planned.left:
            forget_record(planned.run, planned.record)
            ledger.forget({repo["id"] for repo in planned.record["repos"]})
    if not records(planned.run):
        shutil.rmtree(planned.run / FOLDER)


def _take_name_off(planned: Withdrawal, dataset: str, hub: Hub) -> None:
    card, own = without_model(_card(hub, dataset), planned.model), own_commits(planned.run, hub, dataset)
    push_text(hub, Branch(dataset, "dataset"), "README.md", card, message=f"Without {planned.model}", own=own)


def _card(hub: Hub, dataset: str) -> str:
    return dataset_card_of(hub, Links(dataset, "", None))
