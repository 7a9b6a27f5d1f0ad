"""The publish stage: every repository of a run pushed, read back and compared, then tagged and collected.

Every folder is built from an allow-list and scanned before the first byte leaves. Pushing again what is there already
makes no commit, and what was read back once is not read again, so the same command completes what was interrupted.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..hub import Hub
from ..hub_push import push_folder
from ..hub_verify import verify_folder
from . import repositories
from .adopt import check_adopted, read_adopted, shown_change
from .checkpoints import Run, base_model, read_run
from .ledger import Ledger, only_publisher
from .licences import licence_of
from .links import Links
from .record import Published, Pushed, check_record, last_record, place_of, published_by, pushed_from, write_record
from .source import fetch_dataset
from .staging import UNKNOWN_COMMIT, Part, fill, look_through, parts, repo_links


@dataclass(frozen=True)
class Wish:
    """How to publish: ``adopt`` takes the folder for another program's output, whose base model and ``evaluation`` may
    be named; with ``trust_code`` modules beside its weights are run and published. ``read_back`` compares every file
    again, those verified before included; ``addresses`` are e-mail addresses that may become public."""

    public: bool = False
    space: bool = True
    adopt: bool = False
    base: str | None = None
    read_back: bool = False
    addresses: tuple[str, ...] = ()
    evaluation: Path | None = None
    trust_code: bool = False

    def command(self, run: Run, hub: Hub, namespace: str) -> str:
        """What to type for it, but for where a folder lies on this computer."""
        flags = {"--hub rehearsal": hub.rehearsal, "--public": self.public, "--no-space": not self.space}
        flags |= {"--adopt": self.adopt, f"--base {self.base}": bool(self.base)}
        flags |= {"--trust-remote-code": self.trust_code}
        flags |= {f"--evaluation {self.evaluation.name}": True} if self.evaluation else {}
        command = f"countdown-r1 publish outputs/{run.name} --push-to {namespace}"
        return " ".join([command, *(flag for flag, given in flags.items() if given)])


def publish(
    run: Path,
    *,
    namespace: str,
    hub: Hub,
    wish: Wish | None = None,
    dry_run: bool = False,
    echo: Callable[[str], None] = print,
    overwrite: bool = False,
) -> Published:
    """Push ``run`` (a folder under ``outputs/``) to ``namespace``, verify all of it, and write ``RUN/published``.

    Repositories are created private; a public wish opens them at the very end, once everything is verified.
    ``dry_run`` shows every repository, revision, file, size and commit, and contacts nobody. A record of a
    publication elsewhere is only replaced with ``overwrite``.

    Raises ``StageError`` when a stage is missing, damaged, or made from something else, or another process
    publishes the run; ``HubError`` when a folder holds a secret, the Hub refuses, or what comes back differs.
    """
    wish = wish or Wish()
    began = time.monotonic()
    if not wish.adopt:
        fetch_dataset(run, hub, echo, dry_run=dry_run)
    finished = _read(run, wish, echo)
    if not dry_run and (base := base_model(finished)):
        finished = replace(finished, licence=licence_of(hub, base, must_exist=_named_by_files(finished, wish)))
        if finished.licence is None:
            echo(f"the card of {base} could not be read: the model's card names no licence but that of its base")
    links = repo_links(finished, namespace, hub, space=wish.space)
    check_record(finished.folder / "published", hub, namespace, overwrite)
    with TemporaryDirectory(prefix="countdown-r1-publish-") as temporary:
        planned = _plan(finished, hub, links, Path(temporary), wish.addresses)
        if dry_run:
            _show(planned, echo, shown_change(finished, links) if finished.adopted else [])
            return published_by(hub, links, wish.public, planned)
        with only_publisher(finished.folder, place_of(hub)) as ledger:
            one = _Publication(finished, hub, wish, ledger, Path(temporary), echo)
            pushed, links = one.push_all(links)
            collection = repositories.collect(hub, links, f"{finished.name}: Countdown R1") if not wish.adopt else None
            if wish.public:
                repositories.open_all(hub, links, collection)
            published = published_by(hub, links, wish.public, pushed, collection)
            write_record(finished, published, wish.command(finished, hub, namespace), time.monotonic() - began)
    for repo in published.repos:
        echo(f"published {repo.type:<8}{repo.url}")
    return published


def _read(run: Path, wish: Wish, echo: Callable[[str], None]) -> Run:
    """The run, or what another program trained, which is loaded before it counts as one."""
    if not wish.adopt:
        return read_run(run)
    found = read_adopted(run, wish.base, trust_code=wish.trust_code, evaluation=wish.evaluation)
    check_adopted(found, echo)
    return found


def _named_by_files(run: Run, wish: Wish) -> bool:
    """Whether an adapter's own files alone say what it belongs to."""
    return run.adopted is not None and run.adopted.relation == "adapter" and not wish.base


def _plan(run: Run, hub: Hub, links: Links, temporary: Path, allowed: tuple[str, ...]) -> tuple[Pushed, ...]:
    """Build and scan everything before anything leaves; commits that are not known yet have a stand-in."""
    steps = {one.branch: UNKNOWN_COMMIT for one in run.checkpoints}
    unknown = {"dataset_revision": UNKNOWN_COMMIT, "weights_revision": UNKNOWN_COMMIT}
    links = replace(links, **unknown, checkpoints=steps)
    planned: list[Pushed] = []
    for part in parts(run, hub, links):
        out = temporary / f"plan-{len(planned)}"
        fill(part, out, links)
        look_through(out, hub, run.folder, allowed)
        planned.append(pushed_from(part, out, links, hub, None))
        shutil.rmtree(out)
    return tuple(planned)


@dataclass(frozen=True)
class _Publication:
    """One run on its way to one Hub."""

    run: Run
    hub: Hub
    wish: Wish
    ledger: Ledger
    temporary: Path
    echo: Callable[[str], None]

    def push_all(self, links: Links) -> tuple[tuple[Pushed, ...], Links]:
        """Push and verify part by part; the commit of one goes into the cards of the next.

        A repository is made when its first part is due, so that a Hub which refuses the Space still has the model.
        """
        pushed: list[Pushed] = []
        for part in parts(self.run, self.hub, links, repositories.dataset_card_of(self.hub, links)):
            out = self.temporary / f"push-{len(pushed)}"
            fill(part, out, links)
            repo_type, repo_id = links.repos[part.role]
            if part.role not in {one.role for one in pushed}:
                repositories.prepare(self.hub, repo_id, repo_type, self.wish.public)
            one = self._push(part, out, links)
            pushed.append(one)
            links = self._learn(part, one, links)
            size = sum(one.sizes.values())
            self.echo(f"verified {repo_type:<8}{repo_id}@{one.revision}  {len(one.sizes)} files, {size:,} bytes")
            shutil.rmtree(out)
        return tuple(pushed), links

    def _push(self, part: Part, out: Path, links: Links) -> Pushed:
        """Push a part and read it back, unless these files were found at this commit before."""
        repo_type, repo_id = links.repos[part.role]
        branch = {"revision": part.revision, "message": part.message}
        commit = push_folder(self.hub, repo_id, repo_type, out, **branch, allowed=self.wish.addresses)
        one = pushed_from(part, out, links, self.hub, commit)
        if self.wish.read_back or not self.ledger.holds(repo_id, commit, one.sha256):
            verify_folder(self.hub, repo_id, repo_type, out, revision=commit)
            self.ledger.add(repo_id, commit, one.sha256)
        return one

    def _learn(self, part: Part, one: Pushed, links: Links) -> Links:
        """``links`` with the commit that a part became; the best model's is tagged as well."""
        if part.known_as == "dataset_revision":
            return replace(links, dataset_revision=self._same_data(one) or one.commit)
        if part.known_as == "model_revision":
            verified = self.ledger.commits(one.repo_id)
            links = replace(links, tag=repositories.tag(self.hub, one.repo_id, str(one.commit), verified))
        if part.role == "model" and part.revision != "main":
            links = replace(links, checkpoints={**links.checkpoints, part.revision: str(one.commit)})
        return replace(links, **{part.known_as: one.commit}) if part.known_as else links

    def _same_data(self, dataset: Pushed) -> str | None:
        """The commit that the run's last publication names for its dataset, while that still holds the same data.

        Another run that adds its name to the dataset's card makes a commit, and that is no news for these cards.
        """
        record = last_record(self.run.folder)
        before = next((one for one in record.get("pushed", ()) if one["role"] == "dataset"), None)
        if before is None or record["hub"] != place_of(self.hub) or before["repo_id"] != dataset.repo_id:
            return None
        data = {file for file in {*before["sha256"], *dataset.sha256} if file.endswith(".parquet")}
        if any(before["sha256"].get(file) != dataset.sha256.get(file) for file in data):
            return None
        name, revision, exists = dataset.repo_id, record["dataset"]["revision"], self.hub.api.revision_exists
        asked = f"reading {name}"
        there = repositories.call(self.hub, asked, lambda: exists(name, revision, repo_type="dataset"))
        return revision if there else None


def _show(planned: tuple[Pushed, ...], echo: Callable[[str], None], change: list[str]) -> None:
    """Every repository, commit, file and size, and how an owner's card would ``change``; what is on the Hub already
    would not be sent again."""
    for part in planned:
        size = sum(part.sizes.values())
        echo(f"{part.repo_type} {part.repo_id}@{part.revision}: commit '{part.message}', {len(part.sizes)} files")
        for name, own in part.sizes.items():
            echo(f"  {own:>13,} bytes  {name}")
        echo(f"  {size:>13,} bytes in all")
    for line in change:
        echo(line)
    total = sum(sum(part.sizes.values()) for part in planned)
    repos = len({part.repo_id for part in planned})
    echo(f"{repos} repositories, {len(planned)} commits at most, {total:,} bytes; nothing was sent")
