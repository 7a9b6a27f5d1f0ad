"""The tables that files make up, read in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from ..errors import InputError
from .files import TYPED, kind_of
from .layout import layout_of
from .puzzles import LABELS
from .records import Batch, read_file, schema_of, typed_batches
from .report import Findings

_PROOF_ROWS = 131_072
"""Rows solved at once; labels of large batches take less time a row."""


@dataclass(frozen=True)
class Table:
    """One split of one config, in one or more files.

    ``has_split`` is false where no name tells the split; ``schema`` and ``rows`` are None for JSON and CSV.
    """

    config: str
    split: str
    has_split: bool
    files: tuple[Path, ...]
    schema: pa.Schema | None = None
    rows: int | None = None
    alone: bool = False

    @property
    def name(self) -> str:
        """How messages call it: ``en/test``, or the file's name when that was all there was to verify."""
        return self.files[0].name if self.alone else f"{self.config}/{self.split}"

    @property
    def columns(self) -> list[str]:
        """Names of the columns, those that stand there twice left out."""
        names = [] if self.schema is None else self.schema.names
        return [name for name in names if names.count(name) == 1]

    def has(self, column: str, kind: pa.DataType) -> bool:
        """Whether there is exactly one such column, and of this type."""
        return self.schema is not None and column in self.columns and self.schema.field(column).type.equals(kind)


def find_tables(root: Path, base: Path, findings: Findings) -> tuple[list[Table], list[Path]]:
    """All tables of the folder or file ``root``, configs named by the path below ``base``, and files not read.

    What cannot be opened becomes a problem.
    """
    layout = layout_of(root, base)
    tables = [Table(its.config, its.split, its.has_split, its.files, alone=root.is_file()) for its in layout.parts]
    opened = [_opened(table, base, findings) for table in tables]
    return [table for table in opened if table is not None], list(layout.left_out)


def _opened(table: Table, base: Path, findings: Findings) -> Table | None:
    """The table with schema and row count; None when no file of it can be opened."""
    if any(kind_of(path) not in TYPED for path in table.files):
        return table
    good: list[Path] = []
    schema, rows = None, 0
    for path in table.files:
        name = path.relative_to(base).as_posix()
        try:
            its, count = schema_of(path)
        except InputError as error:
            findings.add(name, "unreadable", str(error).removeprefix(f"{path} "))
            continue
        if schema is not None and not its.equals(schema):
            findings.add(name, "schema", f"has other columns than {good[0].name}; its rows were not read")
            continue
        schema, rows = its, rows + count
        good.append(path)
    if schema is None:
        return None
    return replace(table, files=tuple(good), schema=schema, rows=rows)


def pieces(table: Table, findings: Findings) -> Iterator[tuple[Batch, Sequence[int]]]:
    """All puzzles of a table in order; a file that breaks off becomes a problem, and the next one follows.

    Beside each batch come the numbers of rows that hold text or floats where whole numbers belong, in a format that
    has both and no types.
    """
    before = 0
    for path in table.files:
        last = before
        try:
            for batch in read_file(path, ("id", *LABELS), _PROOF_ROWS, threads=False):
                rows = [number + before for number in batch.rows] if before else batch.rows
                yield replace(batch, rows=rows), [] if kind_of(path) == ".csv" else _loose(batch, rows)
                last = rows[-1]
        except InputError as error:
            findings.add(table.name, "unreadable", _told(error, path))
        before = last


def _told(error: InputError, path: Path) -> str:
    what = str(error).removeprefix(f"{path} ")
    return f"{path.name} {what}" if what.startswith("cannot be read after") else what


def _loose(batch: Batch, rows: Sequence[int]) -> list[int]:
    if isinstance(batch.nums, pa.Array):
        return []
    return [row for row, *pair in zip(rows, batch.nums, batch.target, strict=True) if _is_loose(*pair)]


def _is_loose(nums: object, target: object) -> bool:
    """Whether there are texts or floats; anything else that is wrong is reported as such."""
    return (
        isinstance(target, (str, float))
        or isinstance(nums, str)
        or (isinstance(nums, list) and any(isinstance(number, (str, float)) for number in nums))
    )


def batches(table: Table, columns: Sequence[str], rows: int, findings: Findings) -> Iterator[pa.Table]:
    """Some columns of a typed table in pieces of exactly ``rows`` rows, the last one shorter, across all files."""
    held: list[pa.RecordBatch] = []
    for path in table.files:
        try:
            for batch in typed_batches(path, columns, rows):
                held.append(batch)
                if sum(its.num_rows for its in held) >= rows:
                    whole = pa.Table.from_batches(held)
                    yield whole.slice(0, rows)
                    held = whole.slice(rows).to_batches()
        except InputError as error:
            findings.add(table.name, "unreadable", _told(error, path))
    if held:
        yield pa.Table.from_batches(held)
