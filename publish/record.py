"""What was published: every repository and revision with the SHA-256 of its files, kept as ``RUN/published``.

``published.json`` is the last publication; those to other Hubs or namespaces stand in ``elsewhere.json``, newest first.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import manifest
from ..hub import Hub, web_url
from ..hub_changes import sha256_of
from .checkpoints import Run, write_json
from .links import Links
from .staging import Part

RECORD, ELSEWHERE = "published.json", "elsewhere.json"


@dataclass(frozen=True)
class Pushed:
    """One revision of one repository: SHA-256 and size in bytes of its files. ``commit`` is None in a dry run."""

    role: str
    repo_id: str
    repo_type: str
    revision: str
    message: str
    url: str
    commit: str | None
    sha256: dict[str, str] = field(repr=False)
    sizes: dict[str, int] = field(repr=False)


@dataclass(frozen=True)
class Repo:
    """A repository: ``revision`` is the commit of ``main`` that the cards name, None in a dry run."""

    id: str
    type: str
    revision: str | None
    url: str


@dataclass(frozen=True)
class Published:
    """What lies on the Hub, verified; or, with ``tag`` None, what a dry run would push. A repository that the run
    has nothing for is None."""

    hub: str
    namespace: str
    public: bool
    tag: str | None
    collection: str | None
    model: Repo
    dataset: Repo | None
    evaluation: Repo | None
    completions: Repo | None
    space: Repo | None
    pushed: tuple[Pushed, ...]

    @property
    def repos(self) -> tuple[Repo, ...]:
        found = (self.dataset, self.model, self.evaluation, self.completions, self.space)
        return tuple(repo for repo in found if repo)


def pushed_from(part: Part, out: Path, links: Links, hub: Hub, commit: str | None) -> Pushed:
    """A part as its folder ``out`` was, at ``commit``."""
    repo_type, repo_id = links.repos[part.role]
    paths = {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()}
    digests = {name: sha256_of(path) for name, path in paths.items()}
    sizes = {name: path.stat().st_size for name, path in paths.items()}
    url = web_url(hub, repo_id, repo_type, commit or part.revision)
    return Pushed(part.role, repo_id, repo_type, part.revision, part.message, url, commit, digests, sizes)


def published_by(
    hub: Hub, links: Links, public: bool, pushed: tuple[Pushed, ...], collection: str | None = None
) -> Published:
    """A publication out of its parts."""
    commits = {one.role: one.commit for one in pushed if one.revision == "main"} | {"dataset": links.dataset_revision}
    repos: dict[str, Any] = dict.fromkeys(("dataset", "evaluation", "completions", "space"))
    for role, (kind, name) in links.repos.items():
        repos[role] = Repo(name, kind, commits[role], web_url(hub, name, kind))
    return Published(place_of(hub), links.namespace, public, links.tag, collection, **repos, pushed=pushed)


def records(run: Path) -> list[dict[str, Any]]:
    """Every publication of the run that is recorded, one for each Hub and namespace, the last one first."""
    last, others = (run / "published" / name for name in (RECORD, ELSEWHERE))
    found = [json.loads(last.read_text(encoding="utf-8"))] if last.is_file() else []
    return found + (json.loads(others.read_text(encoding="utf-8")) if others.is_file() else [])


def record_of(run: Path, hub: Hub, namespace: str) -> dict[str, Any]:
    """The record of the run's publication there, {} without one."""
    return next((one for one in records(run) if _where(one) == (place_of(hub), namespace)), {})


def commits_of(record: Mapping[str, Any], repo_id: str) -> set[str]:
    """Every commit of a repository that a record names."""
    return {one["commit"] for one in record.get("pushed", ()) if one["repo_id"] == repo_id}


def _where(record: Mapping[str, Any]) -> tuple[str, str]:
    return record["hub"], record["namespace"]


def place_of(hub: Hub) -> str:
    """Which Hub it is; the rehearsal one may come up on another port and is still the same."""
    return "the rehearsal Hub" if hub.rehearsal else hub.endpoint


def write_record(run: Run, published: Published, command: str, seconds: float) -> None:
    """Write ``RUN/published``: ids, revisions, sizes and SHA-256 of everything, and the manifest."""
    new = asdict(published) | {"repos": [asdict(repo) for repo in published.repos]}
    others = [one for one in records(run.folder) if _where(one) != _where(new)]
    before = run.folder / ("evaluation" if run.evaluation else "model") / manifest.FILE_NAME
    source = manifest.sha256(before) if before.is_file() else None
    results = {repo.type: repo.id for repo in published.repos} | {"tag": published.tag}
    _write(
        run.folder,
        [new, *others],
        manifest.Manifest("publish", command, results=results, read=source, seconds=round(seconds, 1)),
    )


def forget_record(run: Path, gone: Mapping[str, Any]) -> None:
    """Take a publication out of ``RUN/published``; the folder goes with the last one."""
    left = [one for one in records(run) if _where(one) != _where(gone)]
    if left:
        _write(run, left, manifest.read(run / "published"))
    else:
        shutil.rmtree(run / "published")


def _write(run: Path, found: list[dict[str, Any]], about: manifest.Manifest) -> None:
    with manifest.stage_folder(run / "published", overwrite=True) as folder:
        write_json(folder / RECORD, found[0])
        if found[1:]:
            write_json(folder / ELSEWHERE, found[1:])
        manifest.write(folder, about)
