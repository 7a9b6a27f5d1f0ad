"""Which files of a folder hold data, and which split of which config each of them is.

It follows what ``datasets.load_dataset`` understands (documentation of 🤗 Datasets, "Structure your repository"):
``NAME-00000-of-00001.parquet`` with or without a hash at its end, or a split's name as a word in the name of the file
or of its folder; everything else is ``train``. Folders that are left name the config, ``data`` aside. Where there is
parquet, files of other kinds are not read.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path, PurePath

from .records import SUFFIXES

DEFAULT = "default"
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}(?:-[0-9a-f]{16})?")
_WORDS = {"train": "train|training", "validation": "validation|valid|val|dev", "test": "test|testing|eval|evaluation"}
_NO_PUZZLES = {"manifest.json", "rejected.jsonl", "dataset_infos.json", "dataset_info.json", "state.json"}


def data_files(root: Path) -> tuple[list[Path], list[Path]]:
    """Files of the kind that most of the data comes in, parquet before all, and files of other kinds."""
    if root.is_file():
        return [root], []
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)]
    found = [path for path in found if path.name not in _NO_PUZZLES]
    kinds = Counter(path.suffix.lower() for path in found)
    kind = ".parquet" if ".parquet" in kinds else max(kinds, key=kinds.__getitem__, default="")
    chosen = [path for path in found if path.suffix.lower() == kind]
    return chosen, [path for path in found if path.suffix.lower() != kind]


def place_of(path: PurePath) -> tuple[str, str, bool]:
    """Config and split of a file, and whether its name or folder tells the split.

    >>> place_of(PurePath("en/test-00000-of-00001.parquet")), place_of(PurePath("data/dev.csv"))
    (('en', 'test', True), ('default', 'validation', True))
    >>> place_of(PurePath("default/train/0000.parquet")), place_of(PurePath("puzzles.json"))
    (('default', 'train', True), ('default', 'train', False))
    """
    *folders, name = path.with_suffix("").parts
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
