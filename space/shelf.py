"""The models that a page may ask: the one it was started with, its training steps, and others that its owner names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from .. import manifest
from ..errors import CountdownError, StageError
from ..models import SHIPPED, Source, local_folder, resolve
from .gpu import on_gpu
from .stream import Writer, load_writer

MAX_LOADED = 3
_BRANCH = "step-"  # a training step's branch in a model's repository, as publishing makes them


class Volume(NamedTuple):
    """A model: what the page calls it, what ``models.load`` takes, and its training step where that is known."""

    label: str
    name: str
    step: int | None = None


@dataclass(frozen=True)
class Main:
    """The model that the page was started with; ``trouble`` says why it could not be loaded."""

    source: Source
    commit: str | None = None
    trouble: str | None = None


class Shelf:
    """Models by label, loaded when they are first asked; the last ``MAX_LOADED`` used and the first one stay."""

    def __init__(self, name: str, others: Sequence[str] = (), *, may_be_missing: bool = False) -> None:
        """Loads the model ``name``. Raises ``InputError``, ``StageError`` or ``HubError`` when that fails, unless it
        ``may_be_missing``: then ``main.trouble`` says why."""
        self._loaded: OrderedDict[str, Writer] = OrderedDict()
        self._lock = Lock()
        source = resolve(name)
        first = Volume(_label(name), name)
        others = [*others, *(SHIPPED if name in SHIPPED else ())]  # small, and loaded only when asked
        self.volumes = [first]
        try:
            self.writer(first.label)
            self.main = Main(source, local_folder(source).name if source.revision else None)
            self.volumes += _apart([*_steps(source), *(Volume(_label(other), other) for other in others)], first)
        except CountdownError as error:
            if not may_be_missing:
                raise
            self.main = Main(source, trouble=str(error))

    @property
    def labels(self) -> list[str]:
        return [volume.label for volume in self.volumes]

    @property
    def steps(self) -> list[Volume]:
        """The models whose training step is known, in order."""
        known = [volume for volume in self.volumes if volume.step is not None]
        return sorted(known, key=lambda volume: volume.step or 0)

    def writer(self, label: str | None = None) -> Writer:
        """The model of that label, by default the main one. Raises ``StageError`` when there is none of it."""
        volume = next((one for one in self.volumes if label in (None, one.label)), None)
        if volume is None:
            raise StageError("this page has no model of that name; choose one of its list")
        with self._lock:
            if volume.label not in self._loaded:
                self._loaded[volume.label] = on_gpu(load_writer(volume.name))
                extra = [one for one in self._loaded if one != self.volumes[0].label][:-MAX_LOADED]
                for one in extra:
                    del self._loaded[one]
            self._loaded.move_to_end(volume.label)
            return self._loaded[volume.label]


def _label(name: str) -> str:
    path = Path(name)
    return name if name in SHIPPED or not path.is_dir() else "/".join(path.resolve().parts[-2:])


def _apart(volumes: Sequence[Volume], first: Volume) -> list[Volume]:
    """The volumes without doubles."""
    known = {first.label}
    return [volume for volume in volumes if not (volume.label in known or known.add(volume.label))]


def _steps(source: Source) -> list[Volume]:
    """The training steps of a model: base and checkpoints of a training folder, or the branches of a repository."""
    if source.revision is not None:
        return _branches(source.path_or_id)
    folder = Path(source.path_or_id)
    return _checkpoints(folder) if (folder / "recipe.yaml").is_file() else []


def _checkpoints(folder: Path) -> list[Volume]:
    """The base that a training run started from, and its checkpoints, in order."""
    base = str(folder / "base") if (folder / "base").is_dir() else manifest.read(folder).results.get("base")
    found = [Volume(path.name, str(path), int(path.name.rpartition("-")[2])) for path in folder.glob("checkpoint-*")]
    return [*([Volume("base", base, 0)] if base else []), *sorted(found, key=lambda volume: volume.step or 0)]


def _branches(repo_id: str) -> list[Volume]:
    from huggingface_hub import list_repo_refs
    from huggingface_hub.errors import HfHubHTTPError

    try:
        names = [branch.name for branch in list_repo_refs(repo_id).branches]
    except (HfHubHTTPError, OSError):  # offline, with the model in the cache
        return []
    steps = [name for name in names if name.startswith(_BRANCH) and name.removeprefix(_BRANCH).isdecimal()]
    found = [Volume(name, f"{repo_id}@{name}", int(name.removeprefix(_BRANCH))) for name in steps]
    return sorted(found, key=lambda volume: volume.step or 0)
