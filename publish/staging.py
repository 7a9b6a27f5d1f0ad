"""The folders that publishing pushes: one part for each revision, built from an allow-list and scanned."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from .. import manifest
from ..errors import StageError
from ..hub import Hub
from ..places import without_places
from ..scan import refuse, scan
from ..space.package import Wishes, package_space
from ..space.story import collect
from ..space.trained_on import as_record, of_folder
from .adopt import adopted_card, stage_adopted
from .cards import checkpoint_card, model_card
from .checkpoints import (
    DATASET_FILES,
    Checkpoint,
    Run,
    stage_checkpoint,
    stage_files,
    stage_measurements,
    write_json,
    write_text,
)
from .dataset_cards import COMPLETIONS, completions_card, dataset_card, evaluation_card, stage_records
from .events import stage_events
from .links import Links, every_link
from .metadata import check_metadata
from .sentences import headline

UNKNOWN_COMMIT = "f" * 40  # stands for a commit that does not exist yet; as long in YAML as a real one


@dataclass(frozen=True)
class Part:
    """A revision of the repository that plays a ``role``. ``stage`` fills a folder with exactly its files;
    ``known_as`` is the field of ``Links`` that its commit becomes, for the parts after it."""

    role: str
    revision: str
    message: str
    stage: Callable[[Path, Links], None]
    known_as: str | None = None


def repo_links(run: Run, namespace: str, hub: Hub, *, space: bool = True) -> Links:
    """The run's repositories; the recipe may name the dataset's."""
    site = "" if hub.rehearsal else hub.endpoint.rstrip("/")
    if run.adopted:
        return Links(None, f"{namespace}/{run.name}", None, site)
    name = (run.model.settings.get("publish") or {}).get("dataset_name", "Countdown-r1-zero")
    links = every_link(namespace, run.name, name, site)
    return replace(
        links,
        space=links.space if space else None,
        evaluation=links.evaluation if run.evaluation else None,
        completions=links.completions if any(run.weights.glob(COMPLETIONS)) else None,
    )


def parts(run: Run, hub: Hub, links: Links, remote_card: str = "") -> list[Part]:
    """What to push, in an order in which nothing refers to what is not there yet."""
    branches = [
        Part("model", one.branch, f"Weights: {one.label}", partial(_stage_branch, run, one), _known_as(run, one))
        for one in run.checkpoints
    ]
    main = _stage_adopted if run.adopted else _stage_main
    compared = "Weights" if run.adopted else "Best model"
    found = [
        Part("dataset", "main", "Dataset", partial(_stage_dataset, run, remote_card), "dataset_revision"),
        *branches,
        Part("model", "main", f"{compared}: {run.best.label}", partial(main, run), "model_revision"),
        Part("evaluation", "main", "Evaluation records", partial(_stage_evaluation, run)),
        Part("completions", "main", "Completions of the training", partial(_stage_completions, run)),
        Part("space", "main", "Space", partial(_stage_space, run, hub)),
    ]
    return [part for part in found if part.role in links.repos]


def _known_as(run: Run, checkpoint: Checkpoint) -> str | None:
    return "weights_revision" if checkpoint == run.best else None


def _stage_dataset(run: Run, remote_card: str, out: Path, links: Links) -> None:
    """Data, card, and the manifest, by which this package knows a dataset of its own; it does not vouch for the card,
    whose list of models changes with each publication."""
    source = run.folder / "dataset"
    stage_files(source, DATASET_FILES, out)
    card = source / "README.md"
    if run.dataset is None or not card.is_file():
        raise StageError(f"{card} is missing; make it with `countdown-r1 build-dataset`")
    record = without_places(asdict(run.dataset), run.folder) | {"files": manifest.hashes(out)}
    write_text(out / "README.md", dataset_card(card.read_text(encoding="utf-8"), links, remote_card))
    write_json(out / manifest.FILE_NAME, record)


def _stage_branch(run: Run, checkpoint: Checkpoint, out: Path, links: Links) -> None:
    """A checkpoint, its own part of the evaluation, and a short card."""
    (stage_adopted if run.adopted else _stage_weights)(run, checkpoint, out)
    rows = [row for row in run.summary.get("models", []) if row["label"] == checkpoint.label]
    if rows:
        about = {key: run.summary[key] for key in ("dataset", "n", "seed", "decoding") if key in run.summary}
        about |= {"models": rows, "trained_on": as_record(of_folder(checkpoint.folder))}
        write_json(out / "evaluation.json", without_places(about, run.folder))
    card = adopted_card(run, links, checkpoint) if run.adopted else checkpoint_card(run, checkpoint, links)
    write_text(out / "README.md", card)


def _stage_main(run: Run, out: Path, links: Links) -> None:
    """The best checkpoint, everything measured, and the card."""
    stage_checkpoint(run.best, out)
    stage_measurements(run, out)
    stage_events(run.weights / "runs", out)
    write_text(out / "README.md", model_card(run, links))


def _stage_weights(run: Run, checkpoint: Checkpoint, out: Path) -> None:
    stage_checkpoint(checkpoint, out)


def _stage_adopted(run: Run, out: Path, links: Links) -> None:
    """What others trained: the weights, the scalars of its log, what was measured of it, and its owner's card."""
    stage_adopted(run, run.best, out)
    stage_events(run.weights / "runs", out)
    if run.summary:
        write_json(out / "evaluation.json", without_places(run.summary, run.folder))
    write_text(out / "README.md", adopted_card(run, links, run.best))


def _stage_evaluation(run: Run, out: Path, links: Links) -> None:
    labels = stage_records(run, out)
    write_text(out / "README.md", evaluation_card(run, links, labels))


def _stage_completions(run: Run, out: Path, links: Links) -> None:
    stage_files(run.weights, (COMPLETIONS,), out)
    write_text(out / "README.md", completions_card(run, links, out))


def _stage_space(run: Run, hub: Hub, out: Path, links: Links) -> None:
    """The page, with the story of the run."""
    package_space(
        out,
        model_repo=links.model,
        revision=links.model_revision or UNKNOWN_COMMIT,
        dataset_repo=links.dataset,
        space_repo=str(links.space),
        endpoint=hub.endpoint,
        wishes=Wishes(collect(run.folder), measured=_measured(run)),
    )


def _measured(run: Run) -> tuple[str, str]:
    """What the Space's card says of its model, in English and Chinese."""
    models = run.summary.get("models", [])
    english, chinese = (headline(models, run.best.label, language) for language in ("en", "zh"))
    return (
        english or "This model has not been evaluated.",
        chinese or "本模型没有经过评测。",
    )


def fill(part: Part, out: Path, links: Links) -> None:
    """Build a part's folder and check its card."""
    out.mkdir()
    part.stage(out, links)
    where = f"{links.repos[part.role][1]}@{part.revision}: README.md"
    check_metadata((out / "README.md").read_text(encoding="utf-8"), links.repos[part.role][0], where)


def look_through(out: Path, hub: Hub, run: Path, allowed: Collection[str] = ()) -> None:
    """Raise ``HubError`` when a folder holds something that must not leave: a secret, a person (but for the
    ``allowed`` e-mail addresses), this computer. What was ``allowed`` as a false alarm is none."""
    name = socket.gethostname()
    telling = len(name) > 5 and bool(re.search(r"[\d-]", name))  # 'debian' or 'localhost' would be found everywhere
    private = {"access token in use": hub.token or "", "folder of this run": f"{run}/"}
    found = scan(out, private | ({"name of this computer": name} if telling else {}), allowed=allowed)
    refuse(found, allow=True)
