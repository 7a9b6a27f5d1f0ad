"""The tables that files make up, read in pieces of bounded size."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .layout import data_files, place_of
from .puzzles import LABELS
from .records import Batch, Record, Refused, csv_records, json_records
from .report import Findings

UNREADABLE = (pa.ArrowException, OSError, ValueError)
"""What Arrow raises about a damaged file."""
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


@dataclass(frozen=True)
class Piece:
    """Raw puzzles with those of the columns ``id`` and ``LABELS`` that there are.

    ``loose`` are numbers of rows that hold text or floats where whole numbers belong, in a format that has both.
    """

    batch: Batch
    others: Mapping[str, pa.Array]
    loose: Sequence[int] = ()


def find_tables(root: Path, base: Path, findings: Findings) -> tuple[list[Table], list[Path]]:
    """All tables of the folder or file ``root``, configs named by the path below ``base``, and files not read.

    What cannot be opened becomes a problem.
    """
    files, left_out = data_files(root)
    groups: dict[tuple[str, str, bool], list[Path]] = {}
    for file in files:
        groups.setdefault(place_of(file.relative_to(base)), []).append(file)
    tables = [Table(*place, tuple(its), alone=root.is_file()) for place, its in groups.items()]
    opened = [_opened(table, base, findings) for table in tables]
    return [table for table in opened if table is not None], left_out


def _opened(table: Table, base: Path, findings: Findings) -> Table | None:
    """The table with schema and row count; None when no file of it can be opened."""
    if table.files[0].suffix.lower() != ".parquet":
        return table
    good: list[Path] = []
    schema, rows = None, 0
    for path in table.files:
        name = path.relative_to(base).as_posix()
        try:
            with pq.ParquetFile(path) as file:
                its, count = file.schema_arrow, file.metadata.num_rows
        except UNREADABLE as error:
            findings.add(name, "unreadable", f"cannot be read ({reason(error)})")
            continue
        if schema is not None and not its.equals(schema):
            findings.add(name, "schema", f"has other columns than {good[0].name}; its rows were not read")
            continue
        schema, rows = its, rows + count
        good.append(path)
    if schema is None:
        return None
    return Table(table.config, table.split, table.has_split, tuple(good), schema, rows, table.alone)


def reason(error: Exception) -> str:
    """The first line of an error, short."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def pieces(table: Table, findings: Findings) -> Iterator[Piece]:
    """All puzzles of a table in order; a file that breaks off becomes a problem, and the next one follows."""
    last = 0
    for path in table.files:
        parquet = table.schema is not None
        for piece in _parquet_pieces(path, table, last, findings) if parquet else _record_pieces(path, last):
            yield piece
            last = piece.batch.rows[-1]


def _parquet_pieces(path: Path, table: Table, last: int, findings: Findings) -> Iterator[Piece]:
    columns = [name for name in ("id", "nums", "target", *LABELS) if name in table.columns]
    for batch in _record_batches(path, columns, _PROOF_ROWS, table.name, findings):
        others = {name: batch[name] for name in columns if name not in ("nums", "target")}
        rows = range(last + 1, last + 1 + batch.num_rows)
        nothing = pa.nulls(batch.num_rows, pa.string())
        yield Piece(Batch(rows, batch["nums"], batch["target"], nothing, {}), others)
        last = rows[-1]


def _record_batches(
    path: Path, columns: Sequence[str], rows: int, where: str, findings: Findings
) -> Iterator[pa.RecordBatch]:
    read = 0
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(rows, columns=list(columns), use_threads=False):
                if batch.num_rows:
                    yield batch
                read += batch.num_rows
    except UNREADABLE as error:
        findings.add(where, "unreadable", f"{path.name} cannot be read after {read:,} rows ({reason(error)})")


def batches(table: Table, columns: Sequence[str], rows: int, findings: Findings) -> Iterator[pa.Table]:
    """Some columns of a parquet table in pieces of exactly ``rows`` rows, the last one shorter, across all files."""
    held: list[pa.RecordBatch] = []
    for path in table.files:
        for batch in _record_batches(path, columns, rows, table.name, findings):
            held.append(batch)
            if sum(its.num_rows for its in held) >= rows:
                whole = pa.Table.from_batches(held)
                yield whole.slice(0, rows)
                held = whole.slice(rows).to_batches()
    if held:
        yield pa.Table.from_batches(held)


def _record_pieces(path: Path, last: int) -> Iterator[Piece]:
    is_csv = path.suffix.lower() == ".csv"
    records = csv_records(path) if is_csv else json_records(path)
    while some := list(islice(records, _PROOF_ROWS)):
        values = [{} if isinstance(record, Refused) else record for _, record in some]
        nums, target = ([value.get(name) for value in values] for name in ("nums", "target"))
        rows = [last + number for number, _ in some]
        loose = [] if is_csv else [row for row, *pair in zip(rows, nums, target, strict=True) if _is_loose(*pair)]
        batch = Batch(rows, nums, target, pa.nulls(len(some), pa.string()), _refused(some))
        yield Piece(batch, _other_columns(values), loose)


def _is_loose(nums: object, target: object) -> bool:
    """Whether there are texts or floats; anything else that is wrong is reported as such."""
    return (
        isinstance(target, (str, float))
        or isinstance(nums, str)
        or (isinstance(nums, list) and any(isinstance(number, (str, float)) for number in nums))
    )


def _refused(records: Iterable[Record]) -> dict[int, Refused]:
    return {place: record for place, (_, record) in enumerate(records) if isinstance(record, Refused)}


def _other_columns(values: Sequence[Mapping[str, object]]) -> dict[str, pa.Array]:
    """Ids and labels out of records; what has the wrong type counts as null."""
    found: dict[str, pa.Array] = {}
    for name in ("id", *LABELS):
        if any(name in value for value in values):
            is_count = name in ("n_solutions", "level")
            convert, kind = (_int_or_none, pa.int64()) if is_count else (_text_or_none, pa.string())
            found[name] = pa.array([convert(value.get(name)) for value in values], kind)
    return found


def _int_or_none(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}", value, re.ASCII):
        return int(value)
    return value if type(value) is int and abs(value) < 2**63 else None


def _text_or_none(value: object) -> str | None:
    return str(value) if isinstance(value, (str, int)) else None
