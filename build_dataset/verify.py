"""Prove a dataset again, from nothing but its files: a built folder, one file, or a Hub id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import manifest
from ..errors import InputError
from ..game.labels import Label, label_all
from ..game.puzzle import Puzzle, check
from ..game.split import SPLITS, split_of
from .dataset import download
from .prompt import LANGUAGES, Template, chatml, load_template, messages
from .records import HUB_ID, SUFFIXES
from .report import Problem, Report
from .schema import CHATML, features, puzzle_id, read_split
from .source import parse_puzzle, read_source

if TYPE_CHECKING:
    import pyarrow as pa

_Key = tuple[tuple[int, ...], int]


def verify(target: str) -> Report:
    """Check schema, solvability, labels, ids, prompts, duplicates, splits and pairing across configs.

    ``target`` is a built folder, a Hub id (``namespace/name@revision``), one parquet file of such a dataset, or a
    file with ``nums`` and ``target`` alone, of which only the puzzles are proven. Raises ``InputError`` when it
    cannot be read at all.
    """
    report = Report(str(target))
    path = Path(target)
    if path.is_dir():
        _verify_folder(path, report)
    elif path.is_file():
        _verify_file(path, report)
    else:
        match = HUB_ID.fullmatch(str(target))
        if match is None or path.suffix.lower() in SUFFIXES:
            raise InputError(f"{target} does not exist; give a folder, a file or a Hub id (namespace/name)")
        _verify_folder(download(match[1], match[2], ["*/*.parquet", manifest.FILE_NAME]), report)
    return report


def _verify_folder(folder: Path, report: Report) -> None:
    names = sorted({(path.parent.name, path.name.split("-")[0]) for path in folder.glob("*/*.parquet")})
    if not names:
        raise InputError(f"{report.target} holds no parquet files in folders of configs; build it with build-dataset")
    templates = _templates(folder, report)
    proven: dict[_Key, Label | None] = {}
    ids: dict[str, dict[str, list[Any]]] = {}
    for config, split in names:
        rows = read_split(folder, config, split, report.target)
        _verify_table(rows, f"{config}/{split}", templates.get(config.removesuffix(CHATML)), proven, report)
        if "id" in rows.column_names:
            ids.setdefault(split, {})[config] = rows["id"].to_pylist()
    report.rows = len(proven)
    _verify_pairing(ids, {config for config, _ in names}, report)
    _verify_leakage(folder, names, report)


def _templates(folder: Path, report: Report) -> dict[str, Template]:
    """Templates by language: the shipped ones and those that the folder's manifest names."""
    found = {language: load_template(language) for language in LANGUAGES}
    if not (folder / manifest.FILE_NAME).exists():
        return found
    written = manifest.read(folder)
    report.problems += [
        Problem(name, "differs from the hash in manifest.json")
        for name, digest in written.files.items()
        if (folder / name).is_file() and manifest.sha256(folder / name) != digest
    ]
    own = {language: Template(**values) for language, values in written.settings.get("templates", {}).items()}
    return found | own


def _verify_file(path: Path, report: Report) -> None:
    """One table of a built dataset, or bare puzzles."""
    import pyarrow.parquet as pq

    if path.suffix.lower() == ".parquet":
        config, split = path.parent.name, path.name.split("-")[0]
        names = _parquet_columns(path)
        if "id" in names and split in SPLITS:
            proven: dict[_Key, Label | None] = {}
            templates = _templates(path.parent.parent, report) if path.parent.parent.is_dir() else {}
            table = pq.ParquetFile(path).read()
            _verify_table(table, f"{config}/{split}", templates.get(config.removesuffix(CHATML)), proven, report)
            report.rows = len(proven)
            return
    source = read_source(str(path))
    report.rows = len(source.rows)
    report.tables[path.name] = source.read
    report.problems += [Problem(path.name, f"{one.reason}: {one.detail}", one.row) for one in source.rejected]


def _parquet_columns(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a readable parquet file ({str(error)[:200]})") from error


def _verify_table(
    rows: pa.Table, where: str, template: Template | None, proven: dict[_Key, Label | None], report: Report
) -> None:
    """Everything that one config and split can show by itself."""
    config, split = where.split("/")
    report.tables[where] = rows.num_rows
    wrong = list(_schema_differences(rows, config))
    report.problems += [Problem(where, what) for what in wrong]
    if wrong:
        return
    records = rows.to_pylist()
    puzzles = [_puzzle(record, where, number, report) for number, record in enumerate(records, 1)]
    known = [puzzle for puzzle in puzzles if puzzle is not None]
    fresh = list({_key(puzzle): puzzle for puzzle in known if _key(puzzle) not in proven}.values())
    proven |= {_key(puzzle): label for puzzle, label in zip(fresh, label_all(fresh), strict=True)}
    if template is None:
        report.problems.append(Problem(where, "no template of this language is known, so prompts were not compared"))
    seen: dict[_Key, int] = {}
    for number, (record, puzzle) in enumerate(zip(records, puzzles, strict=True), 1):
        if puzzle is None:
            continue
        key = _key(puzzle)
        found = list(_row_differences(record, puzzle, proven[key], template, config))
        if seen.setdefault(key, number) != number:
            found.append(f"is the puzzle of row {seen[key]}")
        if split_of(puzzle.nums) != split:
            found.append(f"its numbers belong to split '{split_of(puzzle.nums)}'")
        report.problems += [Problem(where, what, number) for what in found]


def _schema_differences(rows: pa.Table, config: str) -> Iterator[str]:
    expected = features(config).arrow_schema
    for name in expected.names:
        if name not in rows.column_names:
            yield f"column '{name}' is missing"
        elif not rows.schema.field(name).type.equals(expected.field(name).type):
            yield f"column '{name}' is {rows.schema.field(name).type}, not {expected.field(name).type}"
    for name in rows.column_names:
        if name not in expected.names:
            yield f"column '{name}' is not part of the schema"


def _puzzle(record: Mapping[str, Any], where: str, number: int, report: Report) -> Puzzle | None:
    try:
        return parse_puzzle(record["nums"], record["target"])
    except InputError as error:
        report.problems.append(Problem(where, str(error), number))
        return None


def _key(puzzle: Puzzle) -> _Key:
    return tuple(sorted(puzzle.nums)), puzzle.target


def _row_differences(
    record: Mapping[str, Any], puzzle: Puzzle, label: Label | None, template: Template | None, config: str
) -> Iterator[str]:
    if label is None:
        yield "has no solution"
    else:
        yield from _label_differences(record, puzzle, label)
    if record["id"] != puzzle_id(puzzle.nums, puzzle.target):
        yield f"id is {record['id']}, not {puzzle_id(puzzle.nums, puzzle.target)}"
    if template is None:
        return
    is_chatml = config.endswith(CHATML)
    if record["prompt"] != (chatml(template, puzzle) if is_chatml else messages(template, puzzle)):
        yield "the prompt differs from its template"
    if not is_chatml and record["assistant_prefix"] != template.assistant_prefix:
        yield "assistant_prefix differs from its template"


def _label_differences(record: Mapping[str, Any], puzzle: Puzzle, label: Label) -> Iterator[str]:
    for name in ("n_solutions", "level"):
        if record[name] != getattr(label, name):
            yield f"{name} is {record[name]}, the solver finds {getattr(label, name)}"
    text = record["easiest_solution"]
    if text == label.easiest_solution:
        return
    verdict = check(puzzle, text or "")
    why = "is not the easiest" if verdict.solved else verdict.reason
    yield f"easiest_solution '{text}' {why}; the solver finds '{label.easiest_solution}'"


def _verify_pairing(ids: Mapping[str, Mapping[str, Sequence[Any]]], configs: set[str], report: Report) -> None:
    """Every config must hold the same ids in the same order."""
    for split, by_config in ids.items():
        first, *others = by_config
        report.problems += [
            Problem(f"{config}/{split}", f"its ids or their order differ from {first}/{split}")
            for config in others
            if by_config[config] != by_config[first]
        ]
        missing = sorted(configs - set(by_config))
        report.problems += [Problem(f"{config}/{split}", "is missing, other configs have it") for config in missing]


def _verify_leakage(folder: Path, names: Sequence[tuple[str, str]], report: Report) -> None:
    """No two splits may share a set of numbers, in any config."""
    owner: dict[tuple[int, ...], str] = {}
    for config, split in names:
        table = read_split(folder, config, split, report.target)
        if "nums" not in table.column_names:
            continue
        for number, nums in enumerate(table["nums"].to_pylist(), 1):
            if not nums or not all(type(one) is int for one in nums):
                continue  # reported with its row already
            key = tuple(sorted(nums))
            if owner.setdefault(key, split) != split:
                what = f"numbers {', '.join(map(str, key))} also appear in split '{owner[key]}'"
                report.problems.append(Problem(f"{config}/{split}", what, number))
