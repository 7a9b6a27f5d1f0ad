"""The repositories of a publication: made private, opened on demand, tagged; every call with retry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from ..hub import Hub, ensure_repo, set_private
from ..hub_errors import plain_errors, retried
from .cards import Links
from .staging import repos

Answer = TypeVar("Answer")


def call(hub: Hub, doing: str, action: Callable[[], Answer]) -> Answer:
    """A call of the Hub's API, tried again where that helps; its last failure is one line."""
    with plain_errors(hub.endpoint, doing, "run `hf auth login` with a token that may write"):
        return retried(action)


def dataset_card_of(hub: Hub, links: Links) -> str:
    """The dataset's card as it is on the Hub, '' when there is none."""
    name = links.dataset

    def download() -> str:
        if not hub.api.file_exists(name, "README.md", repo_type="dataset"):
            return ""
        with TemporaryDirectory() as cache:
            path = hub.api.hf_hub_download(name, "README.md", repo_type="dataset", cache_dir=cache)
            return Path(path).read_text(encoding="utf-8")

    return call(hub, f"reading the card of {name}", download)


def prepare(hub: Hub, repo_id: str, repo_type: str, public: bool) -> None:
    """Create a private repository unless it exists.

    Raises ``HubError`` when it is public already and ``public`` was not asked for.
    """
    private = not (public and is_open(hub, repo_id, repo_type))
    ensure_repo(hub, repo_id, repo_type, private=private, space_sdk="gradio" if repo_type == "space" else None)


def open_all(hub: Hub, links: Links) -> None:
    """Make every repository public."""
    for repo_type, repo_id in repos(links).items():
        if not is_open(hub, repo_id, repo_type):
            set_private(hub, repo_id, repo_type, False)


def is_open(hub: Hub, repo_id: str, repo_type: str) -> bool:
    from huggingface_hub.errors import RepositoryNotFoundError

    def ask() -> bool:
        try:
            return not hub.api.repo_info(repo_id, repo_type=repo_type).private
        except RepositoryNotFoundError:
            return False

    return call(hub, f"looking for {repo_id}", ask)


def tag(hub: Hub, repo_id: str, commit: str) -> str:
    """The release tag of a model's commit: v1.0, or the next after a change, for a tag never moves."""
    refs = call(hub, f"reading the tags of {repo_id}", lambda: hub.api.list_repo_refs(repo_id))
    tags = {one.name: one.target_commit for one in refs.tags}
    number = 0
    while (name := f"v1.{number}") in tags:
        if tags[name] == commit:
            return name
        number += 1
    call(hub, f"tagging {repo_id}", lambda: hub.api.create_tag(repo_id, tag=name, revision=commit))
    return name
