"""The dataset stage: build a folder from generated or given puzzles, load it anywhere, push it."""

from __future__ import annotations

import json
import logging
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .. import manifest
from ..errors import InputError, StageError
from ..game.puzzle import Puzzle
from ..game.split import SPLITS
from .card import card_text
from .generate import Rows, generate
from .prompt import Template, chatml, load_template
from .records import HUB_ID
from .schema import CHATML, read_split, table, write_configs
from .source import Rejected, Source, read_source

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

    from ..hub import Hub

DEFAULT_ROWS = 10_000
REJECTED_NAME = "rejected.jsonl"
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_log = logging.getLogger(__name__)


def build(  # noqa: PLR0913 - one argument for each choice that `build-dataset` offers
    out: Path,
    *,
    rows: int | None = None,
    numbers: Sequence[int] = (3, 4),
    languages: Sequence[str] = ("en", "zh"),
    seed: int = 0,
    source: str | None = None,
    number_range: tuple[int, int] = (1, 99),
    target_range: tuple[int, int] = (10, 100),
    templates: Sequence[str] = (),
    overwrite: bool = False,
    command: str = "",
) -> manifest.Manifest:
    """Write the dataset's folder and return its manifest.

    ``rows`` is how many to generate (10,000), or the most to take from ``source`` (all); the ranges and
    ``numbers`` are for generated puzzles. ``templates`` are YAML files of your own; one whose language is also
    in ``languages`` replaces the shipped one. Raises ``InputError`` and ``StageError`` before anything is left
    behind.
    """
    began = time.monotonic()
    words = _templates(languages, templates)
    with manifest.stage_folder(out, overwrite) as folder:
        if source is None:
            count = DEFAULT_ROWS if rows is None else rows
            data = generate(count, numbers=numbers, number_range=number_range, target_range=target_range, seed=seed)
            proven = Source(data, [], count)
        else:
            proven = read_source(source, rows)
            _write_rejected(folder, proven.rejected)
            _warn_of_losses(source, proven)
        written = manifest.Manifest("dataset", command, seed)
        written.settings = {
            "rows": rows,
            "numbers": list(numbers),
            "languages": list(words),
            "number_range": list(number_range),
            "target_range": list(target_range),
            "source": None if source is None else Path(source).name if Path(source).is_file() else source,
            "templates": {language: asdict(template) for language, template in words.items()},
        }
        write_configs(folder, proven.rows, words)
        written.results = _results(proven)
        written.seconds = round(time.monotonic() - began, 2)
        (folder / "README.md").write_text(_card(written, proven.rows, words), encoding="utf-8")
        manifest.write(folder, written)
    return written


def _templates(languages: Sequence[str], own: Sequence[str]) -> dict[str, Template]:
    """Templates by language, shipped ones first; the first language is the default config."""
    found = {language: load_template(language) for language in languages}
    added = [load_template(path) for path in own]
    found |= {template.language: template for template in added}
    if not found:
        raise InputError("no language: name at least one, for example --languages en,zh")
    if len({template.language for template in added}) < len(added):
        raise InputError("two templates have the same language; each needs its own")
    for language in found:
        if not _LANGUAGE.fullmatch(language) or language.endswith(CHATML):
            raise InputError(f"'{language}' is not a language code such as en, zh or pt-BR")
    return found


def _write_rejected(folder: Path, rejected: Sequence[Rejected]) -> None:
    lines = [json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in rejected]
    (folder / REJECTED_NAME).write_text("".join(lines), encoding="utf-8")


def _warn_of_losses(name: str, source: Source) -> None:
    if source.rejected:
        first, reasons = source.rejected[0], ", ".join(f"{count} {reason}" for reason, count in source.reasons.items())
        lost = f"{len(source.rejected):,} of {source.read:,} rows left out ({reasons})"
        _log.warning("%s: %s; the first is row %d: %s", name, lost, first.row, first.detail)


def _results(proven: Source) -> dict[str, object]:
    """What the card and later stages quote, measured on the rows."""
    rows = proven.rows
    by_split = {
        split: {
            "rows": rows.split.count(split),
            "levels": _counted([level for level, its in zip(rows.level, rows.split, strict=True) if its == split]),
            "numbers": _counted([len(nums) for nums, its in zip(rows.nums, rows.split, strict=True) if its == split]),
        }
        for split in SPLITS
        if split in rows.split
    }
    smallest, largest = min(map(min, rows.nums)), max(map(max, rows.nums))
    return {
        "rows": len(rows),
        "splits": by_split,
        "levels": _counted(rows.level),
        "numbers": _counted([len(nums) for nums in rows.nums]),
        "solutions": _counted(rows.n_solutions),
        "number_range": [smallest, largest],
        "target_range": [min(rows.target), max(rows.target)],
        "read": proven.read,
        "rejected": proven.reasons,
    }


def _counted(values: Sequence[int]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values).items())}


def _card(written: manifest.Manifest, rows: Rows, templates: Mapping[str, Template]) -> str:
    first = rows.take([0])
    example = {name: column[0] for name, column in vars(first).items()}
    puzzle = Puzzle(tuple(rows.nums[0]), rows.target[0])
    return card_text(written, example, chatml(next(iter(templates.values())), puzzle))


def load(dataset: str | Path, config: str, split: str) -> datasets.Dataset:
    """One split of one config: of a built folder, of a Hub id (``namespace/name@revision``), or of a bare source.

    A bare source (a file or a Hub dataset with ``nums`` and ``target`` alone) is proven and gets prompts from the
    template of ``config``. Its rows follow the split rule as well, so training never sees held-out numbers; only
    a bare file asked for ``test`` is taken whole, since its owner wants all of it answered. Raises ``InputError``
    when there is nothing to load.
    """
    name = str(dataset)
    folder = _folder_of(name, config, split)
    if folder is not None:
        return _in_memory(read_split(folder, config, split, name))
    source = read_source(name)
    _warn_of_losses(name, source)
    rows = source.rows if split == "test" and Path(name).is_file() else _of_split(source.rows, split, name)
    return _in_memory(table(rows, load_template(config.removesuffix(CHATML)), config))


def _folder_of(name: str, config: str, split: str) -> Path | None:
    """The local folder with the config's files, downloaded for a Hub id; None for a bare source."""
    if Path(name).is_dir():
        return Path(name)
    match = HUB_ID.fullmatch(name)
    if Path(name).exists() or match is None:
        return None
    folder = download(match[1], match[2], [f"{config}/{split}-*.parquet", manifest.FILE_NAME])
    return folder if (folder / manifest.FILE_NAME).exists() else None


def download(repo_id: str, revision: str | None, patterns: list[str]) -> Path:
    """A local copy of a Hub dataset's files that match ``patterns``."""
    from huggingface_hub import constants, snapshot_download

    from ..hub_errors import plain_errors

    with plain_errors(constants.ENDPOINT, f"downloading the dataset {repo_id}", "run `hf auth login`"):
        return Path(snapshot_download(repo_id, repo_type="dataset", revision=revision, allow_patterns=patterns))


def _in_memory(rows: pa.Table) -> datasets.Dataset:
    from datasets import Dataset
    from datasets.table import InMemoryTable

    return Dataset(InMemoryTable(rows))


def _of_split(rows: Rows, split: str, name: str) -> Rows:
    kept = [place for place, its in enumerate(rows.split) if its == split]
    if not kept:
        raise InputError(f"{name} has no row whose numbers fall into split '{split}' ({', '.join(SPLITS)})")
    return rows.take(kept)


def push(folder: Path, repo_id: str, hub: Hub, private: bool = True) -> str:
    """Push a built folder to a dataset repository, read every file back and compare it; returns the page."""
    from ..hub import ensure_repo, push_folder, verify_folder

    damaged = manifest.damaged_files(folder)
    if damaged:
        raise StageError(f"{folder / damaged[0]} was changed after it was built; build again with --overwrite")
    rows = manifest.read(folder).results["rows"]
    page = ensure_repo(hub, repo_id, "dataset", private=private)
    revision = push_folder(hub, repo_id, "dataset", folder, message=f"{rows:,} Countdown puzzles")
    verify_folder(hub, repo_id, "dataset", folder, revision=revision)
    return page
