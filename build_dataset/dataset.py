"""The dataset stage: build a folder from generated or given puzzles, load it anywhere, push it."""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .. import manifest
from ..errors import InputError, StageError
from ..game.puzzle import Puzzle
from ..game.split import SPLITS
from ..places import without_places
from ..repo_names import check_repo_id
from .generate import ANYTHING, Wish, generate
from .location import Location, locate
from .prompt import LANGUAGES, Template, chatml, load_template
from .provenance import copy_licence, provenance_of
from .puzzles import of_split
from .results import measured
from .schema import BARE, CHATML, read_split, split_files, table, write_configs
from .source import Rejected, Source, read_files

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
    wish: Wish = ANYTHING,
    languages: Sequence[str] = ("en", "zh"),
    seed: int = 0,
    source: str | None = None,
    templates: Sequence[str] = (),
    overwrite: bool = False,
    command: str = "",
) -> manifest.Manifest:
    """Write the dataset's folder and return its manifest.

    ``rows`` is how many to generate (10,000), or the most to take from ``source`` (all); ``wish`` is for generated
    puzzles. ``templates`` are YAML files of your own; one whose language is also in ``languages`` replaces the
    shipped one; without any language there is one config of bare puzzles. Raises ``InputError`` and ``StageError``
    before anything is left behind.
    """
    from .plots import draw_plots  # matplotlib takes a while, and those who only load data do without

    began = time.monotonic()
    words = _templates(languages, templates)
    with manifest.stage_folder(out, overwrite) as folder:
        place = None if source is None else locate(source)
        written = manifest.Manifest("dataset", command, seed)
        written.settings = _settings(wish, rows, place, words)
        if place is None:
            count = DEFAULT_ROWS if rows is None else rows
            proven = Source(generate(count, wish, seed=seed), [], {}, count)
        else:
            proven = _imported(place, rows)
            _write_rejected(folder, proven.rejected)
            came_from = provenance_of(place)
            copy_licence(place, came_from.licence, folder)
            written.settings["provenance"] = asdict(came_from)
        write_configs(folder, proven.puzzles, words)
        written.results = measured(proven)
        draw_plots(proven.puzzles, folder)
        written.seconds = round(time.monotonic() - began, 2)
        (folder / "README.md").write_text(_card(written, proven.puzzles, words), encoding="utf-8")
        manifest.write(folder, written)
    return written


def _imported(place: Location, rows: int | None) -> Source:
    """The proven puzzles of every split; what is lost is said."""
    layout = place.layout()
    if layout.left_out:
        names = ", ".join(path.relative_to(place.root).as_posix() for path in layout.left_out)
        _log.warning(
            "%s: not read, since there is data of another kind or the card does not name it: %s",
            place.name,
            names[:300],
        )
    proven = read_files(place.name, layout.default_files(place.name), rows)
    _warn_of_losses(place.name, proven)
    return proven


def _settings(wish: Wish, rows: int | None, place: Location | None, words: Mapping[str, Template]) -> dict[str, object]:
    return {
        "rows": rows,
        "numbers": list(wish.numbers),
        "languages": list(words),
        "number_range": list(wish.number_range),
        "target_range": list(wish.target_range),
        "levels": None if wish.levels is None else {str(level): share for level, share in wish.levels.items()},
        "uniform_targets": wish.uniform_targets,
        "source": None if place is None else place.label,
        "templates": {language: asdict(template) for language, template in words.items()},
    }


def _templates(languages: Sequence[str], own: Sequence[str]) -> dict[str, Template]:
    """Templates by language, shipped ones first; the first language is the default config."""
    found = {language: load_template(language) for language in languages}
    added = [load_template(path) for path in own]
    found |= {template.language: template for template in added}
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
        first = source.rejected[0]
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in source.reasons.items())
        lost = f"{sum(source.reasons.values()):,} of {source.read:,} rows left out ({reasons})"
        _log.warning("%s: %s; the first is row %d: %s", name, lost, first.row, first.detail)


def _card(written: manifest.Manifest, puzzles: pa.Table, templates: Mapping[str, Template]) -> str:
    from .card import card_text

    [example] = puzzles.slice(0, 1).to_pylist()
    example["split"] = SPLITS[example["split"]]
    puzzle = Puzzle(tuple(example["nums"]), example["target"])
    first = next(iter(templates.values()), None)
    return card_text(written, example, chatml(first, puzzle) if first else None)


def load(dataset: str | Path, config: str, split: str) -> datasets.Dataset:
    """One split of one config: of a built folder, of a Hub id (``namespace/name@revision``), or of a bare source.

    A bare source (``nums`` and ``target`` alone, or a dataset of another shape) is proven and gets prompts from the
    template of ``config``. Where it names several splits, these are taken; else its rows follow the split rule, but
    for a bare file asked for ``test``, whose owner wants all of it answered. Training never sees held-out numbers.
    Raises ``InputError`` when there is nothing to load.
    """
    place = locate(str(dataset), tuple(f"{name}/{split}-*.parquet" for name in (config, BARE)))
    if not place.is_built:
        return _in_memory(table(_bare_split(place, split), load_template(config.removesuffix(CHATML)), config))
    if split_files(place.root, config, split) or not split_files(place.root, BARE, split):
        return _in_memory(read_split(place.root, config, split, place.name))
    bare = read_split(place.root, BARE, split, place.name)
    return _in_memory(table(bare, load_template(config.removesuffix(CHATML)), config) if config != BARE else bare)


def _bare_split(place: Location, split: str) -> pa.Table:
    """The proven puzzles of one split of a source that nobody built here."""
    parts = place.layout().default_parts(place.name)
    splits = list(dict.fromkeys(part.split for part in parts))
    is_named = split in splits and splits != ["train"] and place.root.is_dir()
    if not is_named and splits != ["train"] and place.root.is_dir():
        raise InputError(f"{place.name} has no split '{split}'; it has {', '.join(splits)[:200]}")
    files = [file for part in parts for file in part.files if part.split == split or not is_named]
    source = read_files(place.name, files)
    _warn_of_losses(place.name, source)
    whole = split != "train" and (is_named or (split == "test" and place.root.is_file()))
    puzzles = source.puzzles if whole else of_split(source.puzzles, split)
    if not puzzles.num_rows:
        raise InputError(f"{place.name} has no row whose numbers fall into split '{split}' ({', '.join(SPLITS)})")
    return puzzles


def is_built(dataset: str) -> bool:
    """Whether this program built a dataset, so that its splits follow the rule."""
    return locate(dataset, ()).is_built


def languages_of(dataset: str) -> list[str]:
    """The languages whose prompts a built dataset holds; the shipped ones for any other source."""
    place = locate(dataset, ())
    if not place.is_built:
        return list(LANGUAGES)
    found = {path.parent.name for path in place.root.glob("*/*.parquet")}
    if place.repo_id and (place.root / manifest.FILE_NAME).is_file():  # of which not all was downloaded
        found = set(manifest.read(place.root).settings.get("templates") or {})
    return sorted(name for name in found if not name.endswith(CHATML) and name != BARE) or list(LANGUAGES)


def _in_memory(rows: pa.Table) -> datasets.Dataset:
    from datasets import Dataset
    from datasets.table import InMemoryTable

    return Dataset(InMemoryTable(rows))


def push(folder: Path, repo_id: str, hub: Hub, private: bool = True, replace: bool = False) -> str:
    """Push a built folder to a dataset repository, read every file back, compare and tag it; returns the page.

    The tag is ``v1`` at first and the next number for other data; the same data again makes neither commit nor tag.
    What goes is a copy whose manifest says nothing of this computer. Raises ``StageError`` for a folder that was
    changed, ``InputError`` for a name that the Hub would refuse, and ``HubError`` when others' files would be lost and
    ``replace`` is not given.
    """
    from ..hub import ensure_repo, tag_version, web_url
    from ..hub_push import push_folder
    from ..hub_verify import verify_folder

    check_repo_id(repo_id, "choose another --push-to")
    damaged = manifest.damaged_files(folder)
    if damaged:
        raise StageError(f"{folder / damaged[0]} was changed after it was built; build again with --overwrite")
    written = manifest.read(folder)
    page = ensure_repo(hub, repo_id, "dataset", private=private)
    tag = _published_tag(hub, repo_id, written)
    if tag is None:
        with _public_copy(folder, written) as copy:
            message = f"{written.results['rows']:,} Countdown puzzles"
            revision = push_folder(hub, repo_id, "dataset", copy, message=message, replace=replace)
            verify_folder(hub, repo_id, "dataset", copy, revision=revision)
        tag = tag_version(hub, repo_id, "dataset", revision)
    _log.info("%s is %s", tag, web_url(hub, repo_id, "dataset", tag))
    return page


@contextmanager
def _public_copy(folder: Path, written: manifest.Manifest) -> Iterator[Path]:
    """The folder's files under other names, beside it, with a manifest that tells no path of this computer."""
    with tempfile.TemporaryDirectory(dir=folder.resolve().parent, prefix=f".{folder.resolve().name}-") as place:
        copy = Path(place, "public")
        shutil.copytree(folder, copy, copy_function=lambda source, target: manifest.link(Path(source), Path(target)))
        (copy / manifest.FILE_NAME).unlink()
        manifest.write_json(copy / manifest.FILE_NAME, without_places(asdict(written)))
        yield copy


def _published_tag(hub: Hub, repo_id: str, written: manifest.Manifest) -> str | None:
    """The tag under which these very files are on the Hub already; a manifest's times do not count."""
    from ..hub import read_text, version_of

    text = read_text(hub, repo_id, "dataset", manifest.FILE_NAME)
    if text is None or json.loads(text).get("files") != written.files:
        return None
    return version_of(hub, repo_id, "dataset")
