"""The publish stage: dataset, checkpoints, best model and Space of a run, pushed, read back and compared.

Every folder is built afresh from an allow-list and scanned before the first byte leaves. Pushing again what
is there already makes no commit, so a run that was interrupted is completed by the same command.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from .. import manifest
from ..errors import StageError
from ..hub import Hub, push_folder, verify_folder, web_url
from . import repositories
from .cards import Links
from .checkpoints import Run, read_run, write_json
from .staging import UNKNOWN_COMMIT, Part, fill, parts, repo_links, repos

RECORD = "published.json"
SMALL_BYTES = 50_000_000


@dataclass(frozen=True)
class Pushed:
    """One revision of one repository: SHA-256 and size in bytes of its files. ``commit`` is None in a dry run."""

    repo_id: str
    repo_type: str
    revision: str
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
    began = time.monotonic()
    links = repo_links(finished, namespace, hub)
    _check_record(finished.folder / "published", hub, namespace, overwrite)
    with TemporaryDirectory(prefix="countdown-r1-publish-") as temporary:
        planned = _plan(finished, hub, links, Path(temporary))
        if dry_run:
            _show(planned, echo)
            return _published(hub, links, public, planned)
        with _quiet_if_small(planned):
            pushed, links = _push_all(finished, hub, links, public, Path(temporary), echo)
    if public:
        repositories.open_all(hub, links)
    published = _published(hub, links, public, pushed)
    _record(finished, published, hub, time.monotonic() - began)
    for repo in published.repos:
        echo(f"published {repo.type:<8}{repo.url}")
    return published


def _plan(run: Run, hub: Hub, links: Links, temporary: Path) -> tuple[Pushed, ...]:
    """Build and scan everything before anything leaves; commits that are not known yet have a stand-in."""
    links = replace(links, dataset_revision=UNKNOWN_COMMIT, weights_revision=UNKNOWN_COMMIT)
    planned: list[Pushed] = []
    for part in parts(run, hub):
        out = temporary / f"plan-{len(planned)}"
        fill(part, out, links, hub)
        planned.append(_pushed(part, out, links, hub, None))
        shutil.rmtree(out)
    return tuple(planned)


def _push_all(
    run: Run, hub: Hub, links: Links, public: bool, temporary: Path, echo: Callable[[str], None]
) -> tuple[tuple[Pushed, ...], Links]:
    """Push and verify part by part; the commit of one goes into the cards of the next.

    A repository is made when its first part is due, so that a Hub which refuses the Space still has the model.
    """
    pushed: list[Pushed] = []
    for part in parts(run, hub, repositories.dataset_card_of(hub, links)):
        out = temporary / f"push-{len(pushed)}"
        fill(part, out, links, hub)
        if part.repo_type not in {one.repo_type for one in pushed}:
            repositories.prepare(hub, repos(links)[part.repo_type], part.repo_type, public)
        one = _push(part, out, links, hub)
        pushed.append(one)
        links = _learn(part, one, run, hub, links)
        size = sum(one.sizes.values())
        echo(f"verified {one.repo_type:<8}{one.repo_id}@{one.revision}  {len(one.sizes)} files, {size:,} bytes")
        shutil.rmtree(out)
    return tuple(pushed), links


@contextmanager
def _quiet_if_small(planned: tuple[Pushed, ...]) -> Iterator[None]:
    """Without huggingface_hub's bars for each file while there is little to send: the lines of ``echo`` suffice."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    quiet = sum(sum(one.sizes.values()) for one in planned) < SMALL_BYTES and not are_progress_bars_disabled()
    if quiet:
        disable_progress_bars()
    try:
        yield
    finally:
        if quiet:
            enable_progress_bars()


def _learn(part: Part, one: Pushed, run: Run, hub: Hub, links: Links) -> Links:
    """``links`` with the commit that a part became; the best model's is tagged as well."""
    if part.known_as == "dataset_revision":
        return replace(links, dataset_revision=_same_data(run, hub, one) or one.commit)
    if part.known_as == "model_revision":
        links = replace(links, tag=repositories.tag(hub, one.repo_id, str(one.commit)))
    return replace(links, **{part.known_as: one.commit}) if part.known_as else links


def _same_data(run: Run, hub: Hub, dataset: Pushed) -> str | None:
    """The commit that the run's last publication names for its dataset, while that still holds the same data.

    Another run that adds its name to the dataset's card makes a commit, and that is no news for these cards.
    """
    path = run.folder / "published" / RECORD
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    before, revision, name = record["pushed"][0]["sha256"], record["dataset"]["revision"], dataset.repo_id
    data = {file for file in {*before, *dataset.sha256} if file.endswith(".parquet")}
    same = all(before.get(file) == dataset.sha256.get(file) for file in data)
    if record["hub"] != _place(hub) or record["dataset"]["id"] != name or not same:
        return None
    exists = repositories.call(
        hub, f"reading {name}", lambda: hub.api.revision_exists(name, revision, repo_type="dataset")
    )
    return revision if exists else None


def _push(part: Part, out: Path, links: Links, hub: Hub) -> Pushed:
    repo_id = repos(links)[part.repo_type]
    commit = push_folder(hub, repo_id, part.repo_type, out, revision=part.revision, message=part.message)
    verify_folder(hub, repo_id, part.repo_type, out, revision=commit)
    return _pushed(part, out, links, hub, commit)


def _pushed(part: Part, out: Path, links: Links, hub: Hub, commit: str | None) -> Pushed:
    repo_id = repos(links)[part.repo_type]
    paths = {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()}
    digests = {name: manifest.sha256(path) for name, path in paths.items()}
    sizes = {name: path.stat().st_size for name, path in paths.items()}
    url = web_url(hub, repo_id, part.repo_type, commit or part.revision)
    return Pushed(repo_id, part.repo_type, part.revision, url, commit, digests, sizes)


def _show(planned: tuple[Pushed, ...], echo: Callable[[str], None]) -> None:
    for part in planned:
        echo(f"{part.repo_type} {part.repo_id}@{part.revision}: {len(part.sizes)} files")
        for name, size in part.sizes.items():
            echo(f"  {size:>13,} bytes  {name}")


def _published(hub: Hub, links: Links, public: bool, pushed: tuple[Pushed, ...]) -> Published:
    commits = {one.repo_type: one.commit for one in pushed if one.revision == "main"}
    commits["dataset"] = links.dataset_revision
    found = {kind: Repo(name, kind, commits[kind], web_url(hub, name, kind)) for kind, name in repos(links).items()}
    return Published(_place(hub), links.model.partition("/")[0], public, links.tag, **found, pushed=pushed)


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


def _record(run: Run, published: Published, hub: Hub, seconds: float) -> None:
    target = " --hub rehearsal" if hub.rehearsal else ""
    opened = " --public" if published.public else ""
    command = f"countdown-r1 publish outputs/{run.name} --push-to {published.namespace}{target}{opened}"
    with manifest.stage_folder(run.folder / "published", overwrite=True) as folder:
        write_json(folder / RECORD, asdict(published) | {"repos": [asdict(repo) for repo in published.repos]})
        source = manifest.sha256(run.folder / "evaluation" / manifest.FILE_NAME)
        results = {repo.type: repo.id for repo in published.repos} | {"tag": published.tag}
        record = manifest.Manifest("publish", command, results=results, read=source, seconds=round(seconds, 1))
        manifest.write(folder, record)
