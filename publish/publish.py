"""The publish stage: dataset, checkpoints, best model and Space of a run, pushed, read back and compared.

Every folder is built afresh from an allow-list and scanned before the first byte leaves. Pushing again what
is there already makes no commit, so a run that was interrupted is completed by the same command.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from .. import manifest
from ..errors import StageError
from ..hub import Hub, ensure_repo, push_folder, set_private, verify_folder, web_url
from ..hub_errors import plain_errors, retried
from .cards import Links
from .checkpoints import Run, read_run, write_json
from .staging import UNKNOWN_COMMIT, Part, fill, parts, repo_links, repos

RECORD = "published.json"
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Pushed:
    """One revision of one repository: SHA-256 and size in bytes of its files. ``commit`` is None in a dry run."""

    repo_id: str
    repo_type: str
    revision: str
    url: str
    commit: str | None
    sha256: dict[str, str] = field(repr=False)
    bytes: dict[str, int] = field(repr=False)


@dataclass(frozen=True)
class Repo:
    """A repository: ``revision`` is the commit of its ``main``, None in a dry run."""

    id: str
    type: str
    revision: str | None
    url: str


@dataclass(frozen=True)
class Published:
    """What lies on the Hub, verified; or, with ``tag`` None, what a dry run would push."""

    hub: str
    namespace: str
    public: bool
    tag: str | None
    dataset: Repo
    model: Repo
    space: Repo
    pushed: tuple[Pushed, ...]

    @property
    def repos(self) -> tuple[Repo, Repo, Repo]:
        return self.dataset, self.model, self.space


def publish(
    run: Path,
    *,
    namespace: str,
    hub: Hub,
    public: bool = False,
    dry_run: bool = False,
    echo: Callable[[str], None] = print,
    overwrite: bool = False,
) -> Published:
    """Push ``run`` (a folder under ``outputs/``) to ``namespace``, verify all of it, and write ``RUN/published``.

    Repositories are created private; with ``public`` they are opened at the very end, once everything is
    verified. ``dry_run`` shows every repository, revision, file and size, and contacts nobody. A record of a
    publication elsewhere is only replaced with ``overwrite``.

    Raises ``StageError`` when a stage is missing, damaged, or made from something else, and ``HubError`` when
    a folder holds a secret, the Hub refuses, or what comes back differs from what was sent.
    """
    finished = read_run(run)
    links = repo_links(finished, namespace, hub)
    _check_record(finished.folder / "published", hub, namespace, overwrite)
    with TemporaryDirectory(prefix="countdown-r1-publish-") as temporary:
        planned = _plan(finished, hub, links, Path(temporary))
        if dry_run:
            _show(planned, echo)
            return _published(hub, links, public, None, planned)
        _prepare_repos(hub, links, public)
        pushed = _push_all(finished, hub, links, Path(temporary), echo)
    main = next(one for one in pushed if one.repo_type == "model" and one.revision == "main")
    tag = _tag(hub, main)
    for repo_type, repo_id in repos(links).items():
        if public and not _is_open(hub, repo_id, repo_type):
            set_private(hub, repo_id, repo_type, False)
    published = _published(hub, links, public, tag, pushed)
    _record(finished, published, hub)
    for repo in published.repos:
        echo(f"published {repo.type:<8}{repo.url}")
    return published


def _plan(run: Run, hub: Hub, links: Links, temporary: Path) -> tuple[Pushed, ...]:
    """Build and scan everything before anything leaves; commits that are not known yet are zeros."""
    links = replace(links, dataset_revision=UNKNOWN_COMMIT, weights_revision=UNKNOWN_COMMIT)
    planned: list[Pushed] = []
    for part in parts(run, hub):
        out = temporary / f"plan-{len(planned)}"
        fill(part, out, links, hub)
        planned.append(_pushed(part, out, links, hub, None))
        shutil.rmtree(out)
    return tuple(planned)


def _push_all(run: Run, hub: Hub, links: Links, temporary: Path, echo: Callable[[str], None]) -> tuple[Pushed, ...]:
    """Push and verify part by part; the commit of one goes into the cards of the next."""
    from tqdm import tqdm

    pushed: list[Pushed] = []
    for part in tqdm(parts(run, hub, _remote_card(hub, links)), "publish", unit="revision", disable=None):
        out = temporary / f"push-{len(pushed)}"
        fill(part, out, links, hub)
        one = _push(part, out, links, hub)
        pushed.append(one)
        links = replace(links, **{part.known_as: one.commit}) if part.known_as else links
        size = sum(one.bytes.values())
        echo(f"verified {one.repo_type:<8}{one.repo_id}@{one.revision}  {len(one.bytes)} files, {size:,} bytes")
        shutil.rmtree(out)
    return tuple(pushed)


def _push(part: Part, out: Path, links: Links, hub: Hub) -> Pushed:
    repo_id = repos(links)[part.repo_type]
    commit = push_folder(hub, repo_id, part.repo_type, out, revision=part.revision, message=part.message)
    verify_folder(hub, repo_id, part.repo_type, out, revision=commit)
    return _pushed(part, out, links, hub, commit)


def _pushed(part: Part, out: Path, links: Links, hub: Hub, commit: str | None) -> Pushed:
    repo_id = repos(links)[part.repo_type]
    digests = manifest.hashes(out)
    sizes = {name: (out / name).stat().st_size for name in digests}
    url = web_url(hub, repo_id, part.repo_type, commit or part.revision)
    return Pushed(repo_id, part.repo_type, part.revision, url, commit, digests, sizes)


def _show(planned: tuple[Pushed, ...], echo: Callable[[str], None]) -> None:
    for part in planned:
        echo(f"{part.repo_type} {part.repo_id}@{part.revision}: {len(part.bytes)} files")
        for name, size in part.bytes.items():
            echo(f"  {size:>13,} bytes  {name}")


def _call(hub: Hub, doing: str, action: Callable[[], Answer]) -> Answer:
    """A call of the Hub's API, tried again where that helps; its last failure is one line."""
    with plain_errors(hub.endpoint, doing, "run `hf auth login` with a token that may write"):
        return retried(action)


def _remote_card(hub: Hub, links: Links) -> str:
    """The dataset's card as it is on the Hub, '' when there is none."""
    name = links.dataset

    def download() -> str:
        if not hub.api.file_exists(name, "README.md", repo_type="dataset"):
            return ""
        with TemporaryDirectory() as cache:
            path = hub.api.hf_hub_download(name, "README.md", repo_type="dataset", cache_dir=cache)
            return Path(path).read_text(encoding="utf-8")

    return _call(hub, f"reading the card of {name}", download)


def _prepare_repos(hub: Hub, links: Links, public: bool) -> None:
    """Create what is missing, all of it private.

    Raises ``HubError`` when a repository is public already and ``public`` was not asked for.
    """
    for repo_type, repo_id in repos(links).items():
        sdk = "gradio" if repo_type == "space" else None
        ensure_repo(hub, repo_id, repo_type, private=not (public and _is_open(hub, repo_id, repo_type)), space_sdk=sdk)


def _is_open(hub: Hub, repo_id: str, repo_type: str) -> bool:
    from huggingface_hub.errors import RepositoryNotFoundError

    def ask() -> bool:
        try:
            return not hub.api.repo_info(repo_id, repo_type=repo_type).private
        except RepositoryNotFoundError:
            return False

    return _call(hub, f"looking for {repo_id}", ask)


def _tag(hub: Hub, main: Pushed) -> str:
    """The release tag of ``main``: v1.0, and the next one whenever the content changed, for a tag never moves."""
    refs = _call(hub, f"reading the tags of {main.repo_id}", lambda: hub.api.list_repo_refs(main.repo_id))
    tags = {tag.name: tag.target_commit for tag in refs.tags}
    number = 0
    while (name := f"v1.{number}") in tags:
        if tags[name] == main.commit:
            return name
        number += 1
    _call(hub, f"tagging {main.repo_id}", lambda: hub.api.create_tag(main.repo_id, tag=name, revision=main.commit))
    return name


def _published(hub: Hub, links: Links, public: bool, tag: str | None, pushed: tuple[Pushed, ...]) -> Published:
    heads = {one.repo_type: one.commit for one in pushed if one.revision == "main"}
    found = {kind: Repo(name, kind, heads[kind], web_url(hub, name, kind)) for kind, name in repos(links).items()}
    return Published(_place(hub), links.model.partition("/")[0], public, tag, **found, pushed=pushed)


def _check_record(folder: Path, hub: Hub, namespace: str, overwrite: bool) -> None:
    """Publishing to the same place again resumes; the record of another place is not lost by accident."""
    if overwrite or not (folder / RECORD).is_file():
        return
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    before, now = f"{record['namespace']} on {record['hub']}", f"{namespace} on {_place(hub)}"
    if before != now:
        raise StageError(f"{folder} records a publication to {before}; pass --overwrite to record {now} instead")


def _place(hub: Hub) -> str:
    """Which Hub it is; the rehearsal one may come up on another port and is still the same."""
    return "the rehearsal Hub" if hub.rehearsal else hub.endpoint


def _record(run: Run, published: Published, hub: Hub) -> None:
    target = " --hub rehearsal" if hub.rehearsal else ""
    opened = " --public" if published.public else ""
    command = f"countdown-r1 publish outputs/{run.name} --push-to {published.namespace}{target}{opened}"
    with manifest.stage_folder(run.folder / "published", overwrite=True) as folder:
        write_json(folder / RECORD, asdict(published) | {"repos": [asdict(repo) for repo in published.repos]})
        source = manifest.sha256(run.folder / "evaluation" / manifest.FILE_NAME)
        results = {repo.type: repo.id for repo in published.repos} | {"tag": published.tag}
        manifest.write(folder, manifest.Manifest("publish", command, results=results, read=source))
