"""Where a dataset lies that was named by a folder, a file or a Hub id; what is on the Hub is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .. import manifest
from ..names import HUB_ID, repository
from .files import READABLE, SUFFIXES, check_file
from .front_matter import CARD
from .layout import Layout, is_built, layout_of

_SMALL = (CARD, manifest.FILE_NAME, "state.json", "*/state.json", "dataset_dict.json", "LICENSE*")
_DATA = tuple(f"*{suffix}{packed}" for suffix in SUFFIXES for packed in ("", ".gz"))


@dataclass(frozen=True)
class Location:
    """``name`` as the user wrote it; ``root`` is the folder or file here.

    ``repo_id`` and ``revision`` (a commit) are None for what was here already.
    """

    name: str
    root: Path
    repo_id: str | None = None
    revision: str | None = None

    @property
    def is_built(self) -> bool:
        """Whether it is a dataset that this program built."""
        return self.root.is_dir() and is_built(self.root)

    def layout(self) -> Layout:
        return layout_of(self.root)

    @property
    def label(self) -> str:
        """How cards and manifests call it: without the place where it lies on this computer."""
        here = Path(self.name)
        return self.name if self.repo_id else (here if here.name.strip(".") else here.resolve()).name


def locate(name: str, built_files: tuple[str, ...] = _DATA) -> Location:
    """The folder or file that ``name`` is, or a copy of the Hub dataset (``namespace/name@revision``).

    Of a dataset on the Hub that this program built only the ``built_files`` are downloaded. Card, manifest and data
    are of one commit. Raises ``InputError`` for what is neither, ``HubError`` when the Hub does not give it.
    """
    path = Path(name)
    if name and path.exists():
        if path.is_file():
            check_file(path)
        return Location(name, path)
    repo_id, revision = repository(name, "dataset", f"a folder, a file ({READABLE}) or a Hub id (namespace/name)")
    small = download(repo_id, revision, [*_SMALL])
    root = download(repo_id, small.name, [*_SMALL, *(built_files if is_built(small) else _DATA)])
    return Location(name, root, repo_id, root.name)


def download(repo_id: str, revision: str | None, patterns: list[str]) -> Path:
    """A local copy of a Hub dataset's files that match ``patterns``."""
    from huggingface_hub import constants, snapshot_download

    from ..hub_errors import plain_errors

    with plain_errors(constants.ENDPOINT, f"downloading the dataset {repo_id}", "run `hf auth login`"):
        return Path(snapshot_download(repo_id, repo_type="dataset", revision=revision, allow_patterns=patterns))


def pinned(name: str) -> str | None:
    """``namespace/name@commit`` of a dataset on the Hub, None for a folder or a file."""
    match = HUB_ID.fullmatch(name)
    if match is None or Path(name).exists():
        return None
    return f"{match[1]}@{download(match[1], match[2], [manifest.FILE_NAME]).name}"
