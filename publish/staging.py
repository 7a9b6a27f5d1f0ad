"""The folders that publishing pushes: one part for each revision, built from an allow-list and scanned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from .. import manifest
from ..errors import StageError
from ..hub import Hub
from ..space.package import Wishes, package_space
from ..space.story import collect
from .cards import Links, check_metadata, checkpoint_card, dataset_card, model_card
from .checkpoints import (
    DATASET_FILES,
    Checkpoint,
    Run,
    stage_checkpoint,
    stage_files,
    stage_measurements,
    without_places,
    write_json,
    write_text,
)
from .scan import refuse, scan

UNKNOWN_COMMIT = "f" * 40  # stands for a commit that does not exist yet; as long in YAML as a real one


@dataclass(frozen=True)
class Part:
    """A revision to push. ``stage`` fills a folder with exactly its files; ``known_as`` is the field of ``Links``
    that its commit becomes, for the parts after it."""

    repo_type: str
    revision: str
    message: str
    stage: Callable[[Path, Links], None]
    known_as: str | None = None


def repo_links(run: Run, namespace: str, hub: Hub) -> Links:
    """The run's three repositories; the recipe may name the dataset's."""
    name = (run.model.settings.get("publish") or {}).get("dataset_name", "Countdown-r1-zero")
    model = f"{namespace}/countdown-r1-{run.name}"
    return Links(f"{namespace}/{name}", model, f"{model}-demo", "" if hub.rehearsal else hub.endpoint.rstrip("/"))


def repos(links: Links) -> dict[str, str]:
    return {"dataset": links.dataset, "model": links.model, "space": links.space}


def parts(run: Run, hub: Hub, remote_card: str = "") -> list[Part]:
    """What to push, in an order in which nothing refers to what is not there yet."""
    branches = [
        Part("model", one.branch, f"Weights: {one.label}", partial(_stage_branch, run, one), _known_as(run, one))
        for one in run.checkpoints
    ]
    return [
        Part("dataset", "main", "Dataset", partial(_stage_dataset, run, remote_card), "dataset_revision"),
        *branches,
        Part("model", "main", f"Best model: {run.best.label}", partial(_stage_main, run), "model_revision"),
        Part("space", "main", "Space", partial(_stage_space, run, hub)),
    ]


def _known_as(run: Run, checkpoint: Checkpoint) -> str | None:
    return "weights_revision" if checkpoint == run.best else None


def _stage_dataset(run: Run, remote_card: str, out: Path, links: Links) -> None:
    """Data, card, and the manifest, by which this package knows a dataset of its own."""
    source = run.folder / "dataset"
    stage_files(source, DATASET_FILES, out)
    card = source / "README.md"
    if not card.is_file():
        raise StageError(f"{card} is missing; make it with `countdown-r1 build-dataset`")
    write_text(out / "README.md", dataset_card(card.read_text(encoding="utf-8"), links, remote_card))
    record = without_places(asdict(run.dataset), run.folder) | {"files": manifest.hashes(out)}
    write_json(out / manifest.FILE_NAME, record)


def _stage_branch(run: Run, checkpoint: Checkpoint, out: Path, links: Links) -> None:
    """A checkpoint, its own part of the evaluation, and a short card."""
    stage_checkpoint(checkpoint, out)
    rows = [row for row in run.summary.get("models", []) if row["label"] == checkpoint.label]
    if rows:
        about = {key: run.summary[key] for key in ("dataset", "n", "seed", "decoding") if key in run.summary}
        write_json(out / "evaluation.json", without_places(about | {"models": rows}, run.folder))
    write_text(out / "README.md", checkpoint_card(run, checkpoint, links))


def _stage_main(run: Run, out: Path, links: Links) -> None:
    """The best checkpoint, everything measured, and the card."""
    stage_checkpoint(run.best, out)
    stage_measurements(run, out)
    write_text(out / "README.md", model_card(run, links))


def _stage_space(run: Run, hub: Hub, out: Path, links: Links) -> None:
    """The page, with the story of the run."""
    package_space(
        out,
        model_repo=links.model,
        revision=links.model_revision or UNKNOWN_COMMIT,
        dataset_repo=links.dataset,
        endpoint=hub.endpoint,
        wishes=Wishes(collect(run.folder)),
    )


def fill(part: Part, out: Path, links: Links, hub: Hub) -> None:
    """Build a part's folder and look through it. Raises ``HubError`` when it must not leave."""
    out.mkdir()
    part.stage(out, links)
    refuse(scan(out, {"access token in use": hub.token or ""}))
    check_metadata((out / "README.md").read_text(encoding="utf-8"), f"{part.repo_type} {part.revision} README.md")
