"""The repositories of a publication: made private, opened on demand, tagged, collected; every call with retry."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, TypeVar

from ..errors import HubError
from ..hub import Hub, ensure_repo, plain, read_text, set_private
from ..hub_errors import retried
from .links import Links

Answer = TypeVar("Answer")
MAX_TITLE_CHARS = 59  # a collection's title (huggingface_hub, create_collection)


def call(hub: Hub, doing: str, action: Callable[[], Answer]) -> Answer:
    """A call of the Hub's API, tried again where that helps; its last failure is one line."""
    with plain(hub, doing):
        return retried(action)


def dataset_card_of(hub: Hub, links: Links) -> str:
    """The dataset's card as it is on the Hub, '' when there is none."""
    from huggingface_hub.errors import RepositoryNotFoundError

    if not links.dataset:
        return ""
    try:
        return read_text(hub, links.dataset, "dataset", "README.md") or ""
    except HubError as error:
        if isinstance(error.__cause__, RepositoryNotFoundError):
            return ""
        raise


def prepare(hub: Hub, repo_id: str, repo_type: str, public: bool) -> None:
    """Create a private repository unless it exists.

    Raises ``HubError`` when it is public already and ``public`` was not asked for.
    """
    private = not (public and is_open(hub, repo_id, repo_type))
    ensure_repo(hub, repo_id, repo_type, private=private, space_sdk="gradio" if repo_type == "space" else None)


def open_all(hub: Hub, links: Links, collection: str | None) -> None:
    """Make every repository, and the collection, public."""
    for repo_type, repo_id in links.repos.values():
        if not is_open(hub, repo_id, repo_type):
            set_private(hub, repo_id, repo_type, False)
    if collection:
        call(hub, "opening the collection", lambda: hub.api.update_collection_metadata(collection, private=False))


def is_open(hub: Hub, repo_id: str, repo_type: str) -> bool:
    from huggingface_hub.errors import RepositoryNotFoundError

    def ask() -> bool:
        try:
            return not hub.api.repo_info(repo_id, repo_type=repo_type).private
        except RepositoryNotFoundError:
            return False

    return call(hub, f"looking for {repo_id}", ask)


def tag(hub: Hub, repo_id: str, commit: str, verified: Collection[str]) -> str:
    """The release tag of a model's commit: v1.0, or the next after a change, for a tag never moves.

    Raises ``HubError`` for a commit that was not read back and found equal.
    """
    if commit not in verified:
        raise HubError(f"{repo_id} at {commit} was not verified, so it gets no tag; publish again")
    tags = _tags(hub, repo_id)
    if (name := next_tag(tags, commit)) not in tags:
        make = hub.api.create_tag
        call(hub, f"tagging {repo_id}", lambda: make(repo_id, tag=name, revision=commit, exist_ok=True))
        if _tags(hub, repo_id).get(name) != commit:
            raise HubError(f"{repo_id}: another process used the tag {name} just now; publish again")
    return name


def next_tag(tags: Mapping[str, str], commit: str | None) -> str:
    """The release tag that a commit has or would get; None is a commit that is not there yet.

    >>> next_tag({"v1.0": "a"}, "a"), next_tag({"v1.0": "a"}, None)
    ('v1.0', 'v1.1')
    """
    number = 0
    while (name := f"v1.{number}") in tags and tags[name] != commit:
        number += 1
    return name


def _tags(hub: Hub, repo_id: str) -> dict[str, str]:
    refs = call(hub, f"reading the tags of {repo_id}", lambda: hub.api.list_repo_refs(repo_id))
    return {one.name: one.target_commit for one in refs.tags}


def collect(hub: Hub, links: Links, title: str) -> str:
    """A private collection that holds every repository of the run; returns its slug. Nothing is added twice."""
    title, owner = title[:MAX_TITLE_CHARS], links.namespace
    make = hub.api.create_collection
    doing = f"collecting the repositories of {owner}"
    slug = call(hub, doing, lambda: make(title, namespace=owner, private=True, exists_ok=True)).slug
    there = {(item.item_type, item.item_id) for item in call(hub, doing, lambda: hub.api.get_collection(slug)).items}
    add: Any = hub.api.add_collection_item
    for repo_type, repo_id in links.repos.values():
        if (repo_type, repo_id) not in there:
            call(hub, doing, partial(add, slug, repo_id, repo_type, exists_ok=True))
    return slug
