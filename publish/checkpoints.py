"""A finished run as publishing sees it: its checkpoints, the best of them, and the files that may leave.

What may leave is an allow-list. Optimizer, scheduler and random states, ``training_args.bin`` and whatever else lies
in a run's folders are never looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import manifest
from ..errors import StageError
from ..manifest import Manifest, link
from ..places import without_paths, without_places
from ..space.trained_on import as_record, of_folder
from ..weights import MODEL_FILES, check_files, read_json, weight_files
from .licences import Licence

RUN_FILES = ("training.png", "completion_samples/*.txt")
RUN_MEASUREMENTS = ("metrics.jsonl", "aha.json", "cost.json", "recipe.yaml")
DATASET_FILES = ("*/*.parquet", "*.png")
_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@[\w./-]+)?", re.ASCII)
# First parts of paths below a working folder, which look like a namespace of the Hub.
_LOCAL_FOLDERS = {
    *("output", "outputs", "model", "models", "checkpoint", "checkpoints", "ckpt", "ckpts", "weights", "pretrained"),
    *("pretrained_models", "save", "saves", "saved", "saved_models", "results", "run", "runs", "data", "llm", "llms"),
    *("base_models", "hf_models", "exp", "experiments", "work_dirs", "workspace", "cache", "tmp", "home", "root"),
    *("mnt", "local"),
}
STAGES = {"dataset": "build-dataset", "model": "train", "evaluation": "evaluate"}


@dataclass(frozen=True)
class Checkpoint:
    """Weights in ``folder`` after ``step`` GRPO steps; ``label`` is their name in the evaluation."""

    label: str
    step: int
    folder: Path

    @property
    def branch(self) -> str:
        return f"step-{self.step}"


@dataclass(frozen=True)
class Adopted:
    """What the files of another program's output say: the base on the Hub, the folders they call it by, and how the
    weights relate to it; the library and the class that load them; the numbers of the trainer's log; ``licence``, the
    file or the word that states it. With ``code`` modules beside the weights go too; ``note`` is for the user."""

    base: str | None
    relation: str | None
    library: str
    log: tuple[dict[str, Any], ...]
    local_bases: tuple[str, ...] = ()
    loader: str = "AutoModelForCausalLM"
    licence: str | None = None
    code: bool = False
    note: str | None = None


@dataclass(frozen=True)
class Run:
    """A run whose stages are complete and undamaged. ``summary`` is the evaluation's ``summary.json``, empty
    without an evaluation; ``weights`` the folder with checkpoints; ``licence`` that of the base."""

    folder: Path
    dataset: Manifest | None
    model: Manifest
    evaluation: Manifest | None
    summary: dict[str, Any]
    checkpoints: tuple[Checkpoint, ...]
    best: Checkpoint
    weights: Path
    adopted: Adopted | None = None
    licence: Licence | None = None

    @property
    def name(self) -> str:
        return self.folder.name


def read_run(folder: Path) -> Run:
    """The run in ``folder``, every file compared with its manifest.

    Without ``evaluation/`` the last checkpoint counts as the best, and the card says that nothing was measured.
    Raises ``StageError`` naming the stage that is missing and the command that makes it, the first damaged
    file, or the stage that was made from something else.
    """
    folder = folder.resolve()
    evaluated = (folder / "evaluation").is_dir()
    manifests = {stage: _read_stage(folder, stage) for stage in STAGES if stage != "evaluation" or evaluated}
    _check_chain(folder, manifests)
    summary: dict[str, Any] = {}
    if evaluated:
        summary = json.loads((folder / "evaluation" / "summary.json").read_text(encoding="utf-8"))
    weights = folder / "model"
    checkpoints = find_checkpoints(weights, manifests["model"])
    wanted = summary.get("best") if evaluated else checkpoints[-1].label if checkpoints else None
    best = next((one for one in checkpoints if one.label == wanted), None)
    if best is None:
        raise StageError(f"{weights} has no weights for the best model, '{wanted}'; evaluate again")
    stages: dict[str, Any] = {"evaluation": None} | manifests
    return Run(folder, **stages, summary=summary, checkpoints=checkpoints, best=best, weights=weights)


def base_model(run: Run) -> str | None:
    """The Hub id of the model that was trained further, None for weights that are not from the Hub."""
    if run.adopted:
        return run.adopted.base
    return hub_id(run.model.results.get("base") or run.model.settings.get("base"))


def hub_id(name: object, *folders: Path) -> str | None:
    """The id of a model on the Hub without its revision; None for what is, or may well be, a folder of this computer or
    of the one that wrote the name, seen from here or from one of ``folders``.

    >>> hub_id("Qwen/Qwen2.5-3B@main"), hub_id("./Qwen2.5-3B"), hub_id("models/Qwen2.5-3B"), hub_id("a/b@](x)")
    ('Qwen/Qwen2.5-3B', None, None, None)
    """
    match = _HUB_ID.fullmatch(name) if isinstance(name, str) else None
    if match is None or ".." in match[1] or "--" in match[1] or match[1].endswith((".git", ".")) or len(match[1]) > 96:
        return None
    local = match[1].partition("/")[0].lower() in _LOCAL_FOLDERS
    return None if local or any((folder / match[1]).exists() for folder in (Path(), *folders)) else match[1]


def _read_stage(folder: Path, stage: str) -> Manifest:
    command = f"countdown-r1 {STAGES[stage]}"
    if not (folder / stage / manifest.FILE_NAME).is_file():
        raise StageError(f"{folder} has no finished {stage}/; make it with `{command}`")
    damaged = manifest.damaged_files(folder / stage)
    if damaged:
        more = f" and {len(damaged) - 1} more files" if len(damaged) > 1 else ""
        path = folder / stage / damaged[0]
        raise StageError(f"{path}{more} changed or went missing after `{command}` wrote it; make {stage}/ again")
    return manifest.read(folder / stage)


def _check_chain(folder: Path, manifests: dict[str, Manifest]) -> None:
    """A stage that says what it was made from must have been made from what lies here."""
    digests = {stage: manifest.sha256(folder / stage / manifest.FILE_NAME) for stage in manifests}
    sources = {"model": {digests["dataset"]}, "evaluation": {digests["model"], digests["dataset"]}}
    for stage, allowed in sources.items():
        if stage in manifests and manifests[stage].read is not None and manifests[stage].read not in allowed:
            before = "dataset" if stage == "model" else "model"
            command = f"countdown-r1 {STAGES[stage]}"
            raise StageError(f"{folder / stage} was made from another {before} than the one here; rerun `{command}`")


def find_checkpoints(model: Path, record: Manifest) -> tuple[Checkpoint, ...]:
    """Base and checkpoints of a ``model/`` folder in the order of steps; the final weights, labelled ``final``,
    only where no checkpoint was saved at the last step."""
    found = [Checkpoint("base", 0, model / "base")] if (model / "base").is_dir() else []
    for path in model.glob("checkpoint-*"):
        step = path.name.removeprefix("checkpoint-")
        if path.is_dir() and step.isascii() and step.isdigit():
            found.append(Checkpoint(path.name, int(step), path))
    last = record.results.get("steps")
    if isinstance(last, int) and last not in {one.step for one in found} and (model / "config.json").is_file():
        found.append(Checkpoint("final", last, model))
    return tuple(sorted(found, key=lambda one: one.step))


def stage_checkpoint(checkpoint: Checkpoint, out: Path) -> None:
    """Put a checkpoint's weights, tokenizer and configuration into ``out``, as they were measured.

    Raises ``StageError`` when a file is damaged, by the headers of the weights, or ``config.json`` is missing.
    """
    check_files(checkpoint.folder, str(checkpoint.folder))
    stage_files(checkpoint.folder, (*MODEL_FILES, *weight_files(checkpoint.folder)), out)
    if not (out / "config.json").is_file() and not (out / "adapter_config.json").is_file():
        raise StageError(f"{checkpoint.folder} lacks config.json; train again")
    for path in sorted(out.glob("*config.json")):
        _forget_local_name(path)


def stage_files(source: Path, patterns: Iterable[str], out: Path) -> None:
    """Put the files of ``source`` that match a pattern into ``out`` under their relative paths.

    Hard links where the file system allows, so a large model takes no second space.
    """
    for path in sorted({path for pattern in patterns for path in source.glob(pattern) if path.is_file()}):
        target = out / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        link(path, target)


def stage_measurements(run: Run, out: Path) -> None:
    """Put what was measured into ``out``, without local paths and host names."""
    stage_files(run.weights, RUN_FILES, out)
    stage_files(run.folder / "evaluation", ("evaluation.png",), out)
    for name in RUN_MEASUREMENTS:
        path = run.weights / name
        if path.is_file():
            write_text(out / name, _public_text(path, run.folder))
    if run.summary:
        known = {"trained_on": as_record(of_folder(run.weights))}
        write_json(out / "evaluation.json", without_places(run.summary | known, run.folder))


def _public_text(path: Path, run: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return _json_text(without_places(json.loads(text), run))
    return without_paths(text, run)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, _json_text(value))


def _json_text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _forget_local_name(path: Path) -> None:
    """Drop the folder that a configuration was loaded from; the file stays as it is when it names none."""
    values = read_json(path)
    kept = _without_local_names(values)
    if kept != values:
        path.unlink()  # it may be a link to the run's own file
        write_json(path, kept)


def _without_local_names(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_local_names(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    local = {name for name in ("_name_or_path", "name_or_path") if value.get(name) and hub_id(value[name]) is None}
    return {key: _without_local_names(inner) for key, inner in value.items() if key not in local}
