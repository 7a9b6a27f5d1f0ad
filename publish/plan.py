"""What a publication would do, before it does anything: every folder built and scanned, and compared with the Hub.

``publish`` makes a plan to refuse in time, ``publish --dry-run`` to show it. The Hub is only read.
"""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import HubError
from ..hub import Hub, plain, read_text
from ..hub_changes import Branch, Changes, compare, local_files, others_titles, refs_of, refuse_taken
from . import repositories
from .checkpoints import Run
from .ledger import ledger_of
from .links import Links
from .record import Pushed, commits_of, place_of, pushed_from, record_of
from .staging import UNKNOWN_COMMIT, Part, fill, look_through, parts

MAX_CARD_LINES = 30
Refs = Mapping[str, dict[str, str] | None]  # by role: a repository's branches and tags, None where there is none


@dataclass(frozen=True)
class Planned:
    """One revision: what would be sent, what that changes (None where the Hub was not asked), and how its card changes
    as a unified diff."""

    part: Pushed
    changes: Changes | None
    card: tuple[str, ...] = ()


def ask_refs(hub: Hub, links: Links, attempts: int | None = None) -> Refs:
    """Branches and tags of every repository; after so many ``attempts`` that fail it raises ``HubError``."""
    often = {} if attempts is None else {"attempts": attempts}
    with plain(hub, "asking what is there"):
        return {role: refs_of(hub, name, kind, **often) for role, (kind, name) in links.repos.items()}


def own_commits(run: Path, hub: Hub, repo_id: str) -> set[str]:
    """The commits of a repository that this run's ledger and records call its own."""
    record = record_of(run, hub, repo_id.partition("/")[0])
    return ledger_of(run, place_of(hub)).commits(repo_id) | commits_of(record, repo_id)


def refuse_taken_names(run: Path, hub: Hub, links: Links, roles: Collection[str]) -> None:
    """Raise ``HubError`` when a repository of the run holds what others wrote: before hours of work, not after."""
    for role, (kind, repo_id) in links.repos.items():
        if role in roles:
            refuse_taken(hub, repo_id, kind, own_commits(run, hub, repo_id))


def refuse_opening(run: Path, hub: Hub, links: Links, refs: Refs) -> None:
    """Raise ``HubError`` when publishing openly would show a private repository's history that others wrote."""
    for role, (kind, repo_id) in links.repos.items():
        if refs[role] and not repositories.is_open(hub, repo_id, kind):
            with plain(hub, f"looking at {repo_id}"):
                titles = others_titles(hub, repo_id, kind, refs[role] or {}, own_commits(run, hub, repo_id))
            if titles:
                fix = "open it on its page yourself, or choose another name"
                raise HubError(f"{repo_id} is private, and --public would open commits of others ({titles}): {fix}")


def make_plan(
    run: Run, hub: Hub, links: Links, temporary: Path, refs: Refs | None, allowed: Collection[str]
) -> tuple[Planned, ...]:
    """Build, scan and compare every part; a commit that is not known yet has a stand-in in the cards after it.

    Without ``refs`` the Hub is not asked. Raises ``HubError`` for what must not become public.
    """
    planned: list[Planned] = []
    for part in parts(run, hub, links, repositories.dataset_card_of(hub, links) if refs else ""):
        out = temporary / f"plan-{len(planned)}"
        fill(part, out, links)
        look_through(out, hub, run.folder, allowed)
        one = pushed_from(part, out, links, hub, None)
        changes = _changes(run, hub, one, out, refs) if refs else None
        planned.append(Planned(one, changes, _card_changes(hub, changes, out) if changes else ()))
        links = learn(part, _commit(run, hub, one, changes), links)
        shutil.rmtree(out)
    return tuple(planned)


def learn(part: Part, commit: str, links: Links) -> Links:
    """``links`` with the commit that a part became."""
    if part.role == "model" and part.revision != "main":
        links = replace(links, checkpoints={**links.checkpoints, part.revision: commit})
    return replace(links, **{part.known_as: commit}) if part.known_as else links


def known_data(run: Run, hub: Hub, dataset: Pushed) -> str | None:
    """The commit that the run's last publication there names for its dataset, while that still holds the same data.

    Another run that adds its name to the dataset's card makes a commit, and that is no news for these cards.
    """
    record = record_of(run.folder, hub, dataset.repo_id.partition("/")[0])
    before = next((one for one in record.get("pushed", ()) if one["role"] == "dataset"), None)
    if before is None or before["repo_id"] != dataset.repo_id:
        return None
    data = {file for file in {*before["sha256"], *dataset.sha256} if file.endswith(".parquet")}
    if any(before["sha256"].get(file) != dataset.sha256.get(file) for file in data):
        return None
    name, revision, exists = dataset.repo_id, record["dataset"]["revision"], hub.api.revision_exists
    there = repositories.call(hub, f"reading {name}", lambda: exists(name, revision, repo_type="dataset"))
    return revision if there else None


def _changes(run: Run, hub: Hub, one: Pushed, out: Path, refs: Refs) -> Changes:
    branch, files = Branch(one.repo_id, one.repo_type, one.revision), local_files(out)
    head = (refs[one.role] or {}).get(f"heads/{one.revision}")
    if head is None:
        return Changes(branch, None, tuple(files))
    with plain(hub, f"looking at {branch}"):
        return compare(hub, branch, head, files, own_commits(run.folder, hub, one.repo_id))


def _commit(run: Run, hub: Hub, one: Pushed, changes: Changes | None) -> str:
    """The commit that the cards of the parts after this one will name, as far as it exists."""
    if changes is None:
        return UNKNOWN_COMMIT
    same = known_data(run, hub, one) if one.role == "dataset" else None
    return same or (changes.head if changes.head and not changes.any else None) or UNKNOWN_COMMIT


def _card_changes(hub: Hub, changes: Changes, out: Path) -> tuple[str, ...]:
    if changes.head is None or "README.md" not in changes.changed:
        return ()
    at = changes.branch
    before = read_text(hub, at.repo_id, at.repo_type, "README.md", changes.head) or ""
    after = (out / "README.md").read_text(encoding="utf-8")
    return tuple(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0))[2:]


def show(planned: tuple[Planned, ...], hub: Hub, refs: Refs | None, public: bool, echo: Callable[[str], None]) -> None:
    """Every repository, commit, file and size; with ``refs`` what is new, changes or goes, and the tag to come."""
    for one in planned:
        _show_part(one, echo)
    for role in dict.fromkeys(one.part.role for one in planned) if refs else ():
        echo(_state([one for one in planned if one.part.role == role], hub, refs[role] if refs else None, public))
    total = sum(sum(one.part.sizes.values()) for one in planned)
    repos = len({one.part.repo_id for one in planned})
    commits = sum(one.changes is None or one.changes.any for one in planned)
    echo(f"{repos} repositories, {commits} commits at most, {total:,} bytes; nothing was sent")


def _show_part(one: Planned, echo: Callable[[str], None]) -> None:
    part, changes = one.part, one.changes
    echo(f"{part.repo_type} {part.repo_id}@{part.revision}: commit '{part.message}', {len(part.sizes)} files")
    for name, size in part.sizes.items():
        echo(f"  {size:>13,} bytes  {name}{_mark(name, changes)}")
    for name in changes.deleted if changes else ():
        echo(f"  {'deletes':>19}  {name}{_mark(name, changes)}")
    for line in one.card[:MAX_CARD_LINES]:
        echo(f"  {'README.md':>19}  {line[:150]}")
    if len(one.card) > MAX_CARD_LINES:
        echo(f"  {'README.md':>19}  and {len(one.card) - MAX_CARD_LINES} more lines")
    echo(f"  {sum(part.sizes.values()):>13,} bytes in all")


def _mark(name: str, changes: Changes | None) -> str:
    """What happens to a file, and whose it is; nothing to say where everything is new."""
    if changes is None or changes.head is None:
        return ""
    kind = "new" if name in changes.added else "changes" if name in changes.changed else "as it is"
    kind = "" if name in changes.deleted else kind
    words = [word for word in (kind, "others wrote it" if name in changes.foreign else "") if word]
    return f"  ({', '.join(words)})" if words else ""


def _state(parts_of_one: list[Planned], hub: Hub, refs: dict[str, str] | None, public: bool) -> str:
    """One repository as it is now and what publishing would do to it."""
    part = parts_of_one[0].part
    name = f"{part.repo_type} {part.repo_id}"
    if refs is None:
        seen = "" if hub.token else " (or it is private: there is no token to look with)"
        made = f"would be created {'public' if public else 'private'}"
        return f"{name}: does not exist{seen}; {made}{_tag(parts_of_one, {})}"
    found = [one.changes for one in parts_of_one if one.changes]
    counts = {"new": sum(len(one.added) for one in found), "changed": sum(len(one.changed) for one in found)}
    counts |= {"deleted": sum(len(one.deleted) for one in found), "of others": sum(len(one.foreign) for one in found)}
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing changes"
    is_open = repositories.is_open(hub, part.repo_id, part.repo_type)
    seen = f"public{'' if public else ', so it takes --public'}" if is_open else "private"
    refused = "; refused without --replace" if counts["of others"] else ""
    return f"{name}: is there, {seen}; files: {told}{refused}{_tag(parts_of_one, refs)}"


def _tag(parts_of_one: list[Planned], refs: Mapping[str, str]) -> str:
    """The tag that a model's ``main`` would get or has."""
    main = next((one for one in parts_of_one if one.part.role == "model" and one.part.revision == "main"), None)
    if main is None or main.changes is None:
        return ""
    tags = {name.removeprefix("tags/"): commit for name, commit in refs.items() if name.startswith("tags/")}
    name = repositories.next_tag(tags, None if main.changes.any else main.changes.head)
    return f"; {'keeps the tag' if name in tags else 'tag to come:'} {name}"


def replaced_model(run: Run, hub: Hub, planned: tuple[Planned, ...]) -> str | None:
    """The model that this program published from another folder under the same name, and that is replaced now."""
    main = next(one for one in planned if one.part.role == "model" and one.part.revision == "main")
    changes, repo_id = main.changes, main.part.repo_id
    if changes is None or changes.head is None or changes.foreign or not (changes.changed or changes.deleted):
        return None
    return None if changes.head in own_commits(run.folder, hub, repo_id) else repo_id
