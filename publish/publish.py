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

from ..errors import HubError
from ..hub import Hub
from ..hub_changes import refuse_foreign
from ..hub_push import push_folder
from ..hub_verify import verify_folder
from ..repo_names import check_namespace
from . import repositories
from .adopt import check_adopted, read_adopted, shown_change
from .checkpoints import Run, base_model, read_run
from .ledger import Ledger, only_publisher
from .licences import licence_of
from .links import Links, check_names
from .plan import Refs, ask_refs, known_data, learn, make_plan, own_commits, refuse_opening, replaced_model, show
from .record import Published, Pushed, place_of, published_by, pushed_from, write_record
from .source import fetch_dataset
from .staging import Part, fill, parts, repo_links


@dataclass(frozen=True)
class Wish:
    """How to publish: ``adopt`` takes the folder for another program's output, whose base model and ``evaluation`` may
    be named; with ``trust_code`` modules beside its weights are run and published. ``read_back`` compares every file
    again, those verified before included; ``allowed`` are e-mail addresses and findings (``Finding.key``) that may
    become public; ``replace`` lets go what others wrote in these repositories."""

    public: bool = False
    space: bool = True
    adopt: bool = False
    base: str | None = None
    read_back: bool = False
    allowed: tuple[str, ...] = ()
    replace: bool = False
    evaluation: Path | None = None
    trust_code: bool = False

    def command(self, run: Run, hub: Hub, namespace: str) -> str:
        """What to type for it, but for where a folder lies on this computer."""
        flags = {"--hub rehearsal": hub.rehearsal, "--public": self.public, "--no-space": not self.space}
        flags |= {"--adopt": self.adopt, f"--base {self.base}": bool(self.base)}
        flags |= {"--trust-remote-code": self.trust_code}
        flags |= {f"--evaluation {self.evaluation.name}": True} if self.evaluation else {}
        command = f"countdown-r1 publish outputs/{run.name} --push-to {namespace}"
        findings = [f"--allow-finding '{key}'" for key in self.allowed if "#" in key]
        return " ".join([command, *(flag for flag, given in flags.items() if given), *findings])


def publish(
    run: Path,
    *,
    namespace: str,
    hub: Hub,
    wish: Wish | None = None,
    dry_run: bool = False,
    echo: Callable[[str], None] = print,
) -> Published:
    """Push ``run`` (a folder under ``outputs/``) to ``namespace``, verify all of it, and write ``RUN/published``.

    Repositories are created private; a public wish opens them at the very end, once everything is verified.
    ``dry_run`` shows every repository, revision, file, size and commit, and how they differ from what the Hub holds,
    which is only read.

    Raises ``StageError`` when a stage is missing, damaged, or made from something else, or another process
    publishes the run; ``InputError`` for a name that the Hub would refuse; ``HubError`` when a folder holds a secret,
    when others' files would be lost and ``wish`` does not say so, the Hub refuses, or what comes back differs.
    """
    wish = wish or Wish()
    began = time.monotonic()
    check_namespace(namespace)
    if not wish.adopt:
        fetch_dataset(run, hub, echo, dry_run=dry_run)
    finished = _read(run, wish, echo)
    links = repo_links(finished, namespace, hub, space=wish.space)
    check_names(links)
    refs = _ask_refs(hub, links, dry_run, echo)
    if refs and (base := base_model(finished)):
        finished = replace(finished, licence=licence_of(hub, base, must_exist=_named_by_files(finished, wish)))
        if finished.licence is None:
            echo(f"the card of {base} could not be read: the model's card names no licence but that of its base")
    with TemporaryDirectory(prefix="countdown-r1-publish-") as temporary:
        planned = make_plan(finished, hub, links, Path(temporary), refs, wish.allowed)
        if before := replaced_model(finished, hub, planned):
            echo(f"{before} was published from another folder: a new version replaces it, and its tag keeps it")
        if dry_run:
            for line in shown_change(finished, links) if finished.adopted else ():
                echo(line)
            show(planned, hub, refs, wish.public, echo)
            return published_by(hub, links, wish.public, tuple(one.part for one in planned))
        if not wish.replace:
            refuse_foreign(one.changes for one in planned if one.changes)
        if wish.public and refs:
            refuse_opening(finished.folder, hub, links, refs)
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


def _ask_refs(hub: Hub, links: Links, dry_run: bool, echo: Callable[[str], None]) -> Refs | None:
    """What is there; a dry run goes on without when the Hub cannot be asked."""
    try:
        return ask_refs(hub, links, 2 if dry_run else None)
    except HubError as error:
        if not dry_run:
            raise
        echo(f"compared with nothing, for the Hub could not be asked: {error}")
        return None


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
        own = own_commits(self.run.folder, self.hub, repo_id)
        branch = {"revision": part.revision, "message": part.message, "allowed": self.wish.allowed}
        commit = push_folder(self.hub, repo_id, repo_type, out, **branch, own=own, replace=self.wish.replace)
        one = pushed_from(part, out, links, self.hub, commit)
        if self.wish.read_back or not self.ledger.holds(repo_id, commit, one.sha256):
            verify_folder(self.hub, repo_id, repo_type, out, revision=commit)
            self.ledger.add(repo_id, commit, one.sha256)
        return one

    def _learn(self, part: Part, one: Pushed, links: Links) -> Links:
        """``links`` with the commit that a part became; the best model's is tagged as well."""
        commit = str(one.commit)
        if part.known_as == "dataset_revision":
            commit = known_data(self.run, self.hub, one) or commit
        if part.known_as == "model_revision":
            verified = self.ledger.commits(one.repo_id)
            links = replace(links, tag=repositories.tag(self.hub, one.repo_id, commit, verified))
        return learn(part, commit, links)
