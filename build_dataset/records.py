"""Raw rows of one file in batches, nothing believed about them but where their numbers and targets stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from ..errors import InputError
from .files import TYPED, check_file, kind_of
from .keys import Key, find_pair, may_hold, require_rows, typed_keys
from .raw import Refused
from .texts import Record, csv_records, json_records

pc: Any = pyarrow.compute  # its functions are made at import, out of a type checker's sight
BATCH_ROWS = 100_000
UNREADABLE = (pa.ArrowException, OSError, ValueError)
"""What Arrow raises about a damaged file."""
_COUNTS = ("n_solutions", "level")
_LOOKED_INTO = 1_000


@dataclass(frozen=True)
class Batch:
    """Some rows in order. ``rows``: their numbers, counted from 1.

    ``nums`` and ``target`` are Arrow arrays where the source has types, else lists of whatever was read; ``refused``
    tells, by place in the batch, which rows could not even be read. ``others`` are the further columns that were
    asked for, those that there are.
    """

    rows: Sequence[int]
    nums: pa.Array | Sequence[object]
    target: pa.Array | Sequence[object]
    others: Mapping[str, pa.Array]
    refused: Mapping[int, Refused] = field(default_factory=dict)


def read_file(path: Path, others: Sequence[str], rows: int | None = None, *, threads: bool = True) -> Iterator[Batch]:
    """All rows of a file in batches of at most ``rows``, none empty, with the columns ``others``.

    Raises ``InputError`` for what is no such file, and at the place where reading breaks off.
    """
    check_file(path)
    size = rows or BATCH_ROWS
    if kind_of(path) in TYPED:
        return _typed_batches(path, others, size, threads)
    records = csv_records(path) if kind_of(path) == ".csv" else json_records(path)
    return _record_batches(records, others, size, str(path), "column " if kind_of(path) == ".csv" else "")


def schema_of(path: Path) -> tuple[pa.Schema, int]:
    """Columns and number of rows of a typed file. Raises ``InputError``."""
    check_file(path)
    try:
        if kind_of(path) == ".parquet":
            with pq.ParquetFile(path) as file:
                return file.schema_arrow, file.metadata.num_rows
        with pa.memory_map(str(path)) as source, _arrow_reader(source) as reader:
            return reader.schema, sum(batch.num_rows for batch in _arrow_batches(reader))
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    kind = kind_of(path)[1:]
    return InputError(f"{path} cannot be read: it is not a readable {kind} file ({reason(error)})")


def reason(error: Exception) -> str:
    """The first line of an error, short."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def typed_batches(path: Path, columns: Sequence[str], rows: int, *, threads: bool = False) -> Iterator[pa.RecordBatch]:
    """Some columns of a parquet or Arrow file. Raises ``InputError`` where reading breaks off."""
    read = 0
    try:
        for batch in _whole_batches(path, columns, rows, threads):
            if batch.num_rows:
                yield batch
            read += batch.num_rows
    except UNREADABLE as error:
        raise InputError(f"{path} cannot be read after {read:,} rows ({reason(error)})") from error


def _whole_batches(path: Path, columns: Sequence[str], rows: int, threads: bool) -> Iterator[pa.RecordBatch]:
    if kind_of(path) == ".parquet":
        with pq.ParquetFile(path, pre_buffer=threads) as file:
            yield from file.iter_batches(rows, columns=list(columns), use_threads=threads)
        return
    with pa.memory_map(str(path)) as source, _arrow_reader(source) as reader:
        held: list[pa.RecordBatch] = []  # ``datasets`` writes pieces of 1,000 rows
        for batch in _arrow_batches(reader):
            held.append(batch.select(list(columns)))
            if sum(its.num_rows for its in held) >= rows:
                yield from pa.Table.from_batches(held).combine_chunks().to_batches(rows)
                held = []
        if held:
            yield from pa.Table.from_batches(held).combine_chunks().to_batches(rows)


def _arrow_reader(source: pa.NativeFile) -> Any:
    """A reader of the stream that ``Dataset.save_to_disk`` writes, or of a file as ``pyarrow.feather`` writes it."""
    is_file = source.read(6) == b"ARROW1"
    source.seek(0)
    return pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)


def _arrow_batches(reader: Any) -> Iterator[pa.RecordBatch]:
    if isinstance(reader, pa.RecordBatchFileReader):
        return (reader.get_batch(place) for place in range(reader.num_record_batches))
    return iter(reader)


def _typed_batches(path: Path, others: Sequence[str], size: int, threads: bool) -> Iterator[Batch]:
    schema, _ = schema_of(path)
    keys = typed_keys(schema, str(path))
    there = [name for name in others if schema.names.count(name) == 1]
    wanted = [key[0] for key in keys] if keys else [name for name in schema.names if may_hold(name)]
    first = 1
    for batch in typed_batches(path, list(dict.fromkeys([*wanted, *there])), size, threads=threads):
        rows = range(first, first + batch.num_rows)
        further = {name: batch[name] for name in there}
        if keys:
            yield Batch(rows, _at(batch, keys[0]), _at(batch, keys[1]), further)
        else:
            records = enumerate(batch.select(list(dict.fromkeys(wanted))).to_pylist(), first)
            yield replace(_found(list(records), (), str(path), "column ", first == 1), others=further)
        first = rows[-1] + 1


def _at(batch: pa.RecordBatch, key: Key) -> pa.Array:
    column = batch[key[0]]
    return pc.struct_field(column, list(key[1:])) if key[1:] else column


def _record_batches(
    records: Iterator[Record], others: Sequence[str], size: int, where: str, what: str
) -> Iterator[Batch]:
    is_first = True
    while some := list(islice(records, size)):
        yield _found(some, others, where, what, is_first)
        is_first = False


def _found(some: Sequence[Record], others: Sequence[str], where: str, what: str, is_first: bool) -> Batch:
    """The batch of rows that were read one by one. Raises ``InputError`` when all of the first ones lack a key."""
    pairs: list[tuple[object, object]] = []
    refused: dict[int, Refused] = {}
    for place, (_, record) in enumerate(some):
        pairs.append((None, None))
        try:
            if isinstance(record, Refused):
                raise record
            pairs[place] = find_pair(record)
        except Refused as its:
            refused[place] = its
    nums, target = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    values: list[Mapping[str, Any]] = [{} if isinstance(record, Refused) else record for _, record in some]
    if is_first and len(refused) < len(some) and not (any(_are(nums)) and any(_are(target))):
        require_rows([record for record in values if record][:_LOOKED_INTO], where, what)
    further = {name: _column(name, values) for name in others if any(name in value for value in values)}
    return Batch([number for number, _ in some], nums, target, further, refused)


def _are(values: Sequence[object]) -> Iterator[bool]:
    return (value is not None for value in values)


def _column(name: str, values: Sequence[Mapping[str, Any]]) -> pa.Array:
    """A label or the ids out of records; what has the wrong type counts as null."""
    if name in _COUNTS:
        return pa.array([_int_or_none(value.get(name)) for value in values], pa.int64())
    return pa.array([_text_or_none(value.get(name)) for value in values], pa.string())


def _int_or_none(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}", value, re.ASCII):
        return int(value)
    return value if type(value) is int and abs(value) < 2**63 else None


def _text_or_none(value: object) -> str | None:
    if not isinstance(value, (str, int)):
        return None
    return str(value).encode(errors="replace").decode()  # JSON may hold half a character, Arrow may not
