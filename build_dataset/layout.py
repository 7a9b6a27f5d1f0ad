"""Which files of a folder hold data, and which split of which config each of them is.

It follows what ``datasets.load_dataset`` understands (documentation of 🤗 Datasets, "Structure your repository"): the
``configs`` in front of a ``README.md``, else ``NAME-00000-of-00001.parquet`` with or without a hash at its end, or a
split's name as a word in the name of the file or of its folder; everything else is ``train``. Folders that are left
name the config, ``data`` aside. What ``Dataset.save_to_disk`` wrote is known by its ``state.json``. Where there is
parquet, files of other kinds are only read for splits that have none.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from .. import manifest
from ..errors import InputError
from ..game.split import SPLITS
from .files import READABLE, kind_of, stem_of
from .front_matter import read_front_matter
from .prompt import LANGUAGES

DEFAULT = "default"
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}(?:-[0-9a-f]{16})?")
_WORDS = {"train": "train|training", "validation": "validation|valid|val|dev", "test": "test|testing|eval|evaluation"}
_NO_PUZZLES = {manifest.FILE_NAME, "rejected.jsonl", "dataset_infos.json", "dataset_info.json"}
_STATE, _SAVED_DICT = "state.json", "dataset_dict.json"


@dataclass(frozen=True)
class Part:
    """One split of one config; ``has_split`` is false where no name tells the split."""

    config: str
    split: str
    has_split: bool
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Layout:
    """What a folder holds, ``left_out`` aside.

    ``default`` is the config to read when none is named, None for all of them, '' when one has to be named.
    """

    parts: Sequence[Part]
    left_out: Sequence[Path] = ()
    default: str | None = None

    def default_parts(self, name: str) -> list[Part]:
        """The splits of the default config, in order. Raises ``InputError`` when there is none; ``name``: whose."""
        if not self.parts:
            raise InputError(f"{name} holds no puzzles in {READABLE}; name a folder or file that does")
        if self.default == "":
            configs = ", ".join(dict.fromkeys(part.config for part in self.parts))
            raise InputError(f"{name} has the configs {configs[:200]}: name a file or folder of one of them")
        its = [part for part in self.parts if self.default in (None, part.config)]
        return sorted(its, key=lambda part: split_rank(part.split))

    def default_files(self, name: str) -> list[Path]:
        return [file for part in self.default_parts(name) for file in part.files]


def split_rank(split: str) -> tuple[int, str]:
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS)), split


def is_built(folder: Path) -> bool:
    """Whether ``build-dataset`` made a folder: by its manifest, or by files where only that puts them."""
    try:
        values = json.loads((folder / manifest.FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return any(any((folder / language).glob("*-*-of-*.parquet")) for language in LANGUAGES)
    return isinstance(values, dict) and values.get("stage") == "dataset"


def layout_of(root: Path, base: Path | None = None) -> Layout:
    """The data of a folder or file, configs named by the path below ``base`` (``root`` unless given)."""
    base = base or (root if root.is_dir() else root.parent)
    if root.is_file():
        return Layout([Part(*place_of(root.relative_to(base)), (root,))])
    files, front, ours = _files_below(root), read_front_matter(root), is_built(root)
    declared = [] if ours else list(_declared(front, root, files))
    if declared:
        named = {file for part in declared for file in part.files}
        return Layout(declared, [file for file in files if file not in named], _default_of(front, declared))
    layout = _told_by_names(files, base)
    return replace(layout, default=_default_of(front, layout.parts)) if ours else layout


def _files_below(root: Path) -> list[Path]:
    """Files that may hold data, links to folders followed once."""
    found: list[Path] = []
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            found += [
                Path(folder, name)
                for name in names
                if not name.startswith(".") and name not in {*_NO_PUZZLES, _STATE, _SAVED_DICT}
            ]
        seen.add(real)
    return sorted(path for path in found if kind_of(path) and path.is_file() and _is_saved_data(path))


def _is_saved_data(path: Path) -> bool:
    """False for what ``save_to_disk`` left beside the data: its state, and the caches of later work."""
    state = _state_beside(path)
    if state is None:
        return True
    listed = {its.get("filename") for its in state.get("_data_files") or () if isinstance(its, dict)}
    return path.name in listed


def _state_beside(path: Path) -> Mapping[str, Any] | None:
    try:
        state = json.loads(path.with_name(_STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return state if isinstance(state, dict) and isinstance(state.get("_data_files"), list) else None


def _told_by_names(files: Sequence[Path], base: Path) -> Layout:
    kinds = Counter(kind_of(path) for path in files)
    kind = ".parquet" if ".parquet" in kinds else max(kinds, key=kinds.__getitem__, default="")
    groups: dict[tuple[str, str, bool], list[Path]] = {}
    left_out: list[Path] = []
    for path in sorted(files, key=lambda path: kind_of(path) != kind):
        place = _place(path, base)
        its = groups.get(place, [])
        if kind_of(path) == (kind_of(its[0]) if its else kind) or (not its and place[2]):
            groups.setdefault(place, []).append(path)
        else:
            left_out.append(path)
    return Layout([Part(*place, tuple(its)) for place, its in groups.items()], left_out)


def _place(path: Path, base: Path) -> tuple[str, str, bool]:
    state = _state_beside(path)
    relative = path.relative_to(base)
    if state is None:
        return place_of(relative)
    config, split, has_split = place_of(relative.with_name("data" + path.suffix))  # the folder's name goes first
    if not has_split and (path.parent.parent / _SAVED_DICT).is_file():
        return place_of(relative.parent.parent)[0], path.parent.name, True
    if not has_split and isinstance(state.get("_split"), str):
        return config, state["_split"], True
    return config, split, has_split


def place_of(path: PurePath) -> tuple[str, str, bool]:
    """Config and split of a file, and whether its name or folder tells the split.

    >>> place_of(PurePath("en/test-00000-of-00001.parquet")), place_of(PurePath("data/dev.csv.gz"))
    (('en', 'test', True), ('default', 'validation', True))
    >>> place_of(PurePath("default/train/0000.parquet")), place_of(PurePath("puzzles.json"))
    (('default', 'train', True), ('default', 'train', False))
    """
    folders, name = list(path.parent.parts), stem_of(path)
    shard = _SHARD.fullmatch(name)
    split = _split_in(name) or (shard[1] if shard else None)
    if split is None and folders and (found := _split_in(folders[-1], whole=True)):
        split = found
        folders.pop()
    config = "/".join(folder for folder in folders if folder != "data") or DEFAULT
    return config, split or "train", split is not None


def _split_in(name: str, *, whole: bool = False) -> str | None:
    """The split that a word of ``name``, or all of it, stands for."""
    for split, words in _WORDS.items():
        pattern = rf"(?:{words})" if whole else rf"(?:.*[^a-z])?(?:{words})(?:[^a-z].*)?"
        if re.fullmatch(pattern, name.lower()):
            return split
    return None


def _declared(front: Mapping[str, Any], root: Path, files: Sequence[Path]) -> Iterator[Part]:
    """The parts that a card's ``configs`` name, those whose files are there."""
    for config in _configs(front):
        name = str(config.get("config_name", DEFAULT))
        folder = root / str(config.get("data_dir") or "")
        if config.get("data_files") is None and config.get("data_dir"):
            below = [file for file in files if file.is_relative_to(folder)]
            yield from (replace(part, config=name) for part in _told_by_names(below, folder).parts)
        for split, patterns in _patterns(config.get("data_files")):
            its = [file for file in files if any(_matches(file, folder, pattern) for pattern in patterns)]
            if its:
                yield Part(name, split or "train", split is not None, tuple(its))


def _configs(front: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    configs = front.get("configs")
    return [one for one in configs if isinstance(one, dict)] if isinstance(configs, list) else []


def _patterns(values: object) -> Iterator[tuple[str | None, list[str]]]:
    """Splits and patterns of ``data_files``: a text, a list of texts, or a list of splits with paths."""
    listed = values if isinstance(values, list) else [values]
    if plain := [one for one in listed if isinstance(one, str)]:
        yield None, plain
    for one in (one for one in listed if isinstance(one, dict)):
        paths = one.get("path")
        split = str(one.get("split", "train"))
        yield (
            _split_in(split, whole=True) or split,
            [str(its) for its in (paths if isinstance(paths, list) else [paths])],
        )


def _matches(file: Path, folder: Path, pattern: str) -> bool:
    """Whether a pattern of the Hub's, in which ``**`` stands for any folders, names a file."""
    if not file.is_relative_to(folder):
        return False
    parts = re.split(r"(\*\*/|\*|\?)", pattern.removeprefix("./"))
    regex = "".join({"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part)) for part in parts)
    return re.fullmatch(regex.replace(r"[^/]*[^/]*", ".*"), file.relative_to(folder).as_posix()) is not None


def _default_of(front: Mapping[str, Any], parts: Sequence[Part]) -> str:
    """The config that a card calls the default, or whose name is that, or the only one; '' when there is no such."""
    there = list(dict.fromkeys(part.config for part in parts))
    told = [str(one.get("config_name", DEFAULT)) for one in _configs(front) if one.get("default") is True]
    return next((name for name in [*told, DEFAULT] if name in there), there[0] if len(there) == 1 else "")
