"""Raw rows of a parquet, JSON or CSV file or of a Hub dataset, in batches, nothing believed about them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute

from ..errors import HubError, InputError
from ..names import repository

if TYPE_CHECKING:
    import datasets

pc: Any = pyarrow.compute  # its functions are made at import, out of a type checker's sight
COLUMNS = ("id", "nums", "target")
BATCH_ROWS = 100_000
SUFFIXES = (".parquet", ".json", ".jsonl", ".ndjson", ".csv")
_MAX_LINE_CHARS = 1_000_000


class Refused(Exception):
    """A row cannot be used, for ``reason`` with ``detail``; it never leaves ``source.py``."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail if len(detail) <= 200 else detail[:197] + "..."


Record = tuple[int, Mapping[str, Any] | Refused]


@dataclass(frozen=True)
class Batch:
    """Some rows in order. ``rows``: their numbers, counted from 1; ``ids``: texts, null where there is none.

    ``nums`` and ``target`` are Arrow arrays where the source has types, else lists of whatever was read; ``refused``
    tells, by place in the batch, which rows could not even be read.
    """

    rows: Sequence[int]
    nums: pa.Array | Sequence[object]
    target: pa.Array | Sequence[object]
    ids: pa.Array
    refused: Mapping[int, Refused]


def read_batches(source: str) -> Iterator[Batch]:
    """Raw rows of a file or a Hub dataset, none of the batches empty."""
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{source} is a folder; name one file in it ({', '.join(SUFFIXES)})")
    if path.is_file():
        return _file_batches(path)
    return _hub_batches(*repository(source, "dataset", f"a file ({', '.join(SUFFIXES)}) or a Hub id (namespace/name)"))


def _file_batches(path: Path) -> Iterator[Batch]:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path} is not a file this can read; it reads {', '.join(SUFFIXES)}")
    if not path.stat().st_size:
        raise InputError(f"{path} is empty")
    if suffix == ".parquet":
        return _parquet_batches(path)
    return _record_batches(csv_records(path) if suffix == ".csv" else json_records(path))


def _parquet_batches(path: Path) -> Iterator[Batch]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _require_columns(names, str(path))
            columns = [name for name in COLUMNS if name in names]
            yield from _arrow_batches(file.iter_batches(BATCH_ROWS, columns=columns), str(path))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a readable parquet file ({str(error).splitlines()[0][:200]})") from error


def _arrow_batches(batches: Iterator[pa.RecordBatch], where: str) -> Iterator[Batch]:
    number = 1
    for batch in batches:
        if batch.num_rows:
            ids = batch["id"] if "id" in batch.schema.names else pa.nulls(batch.num_rows)
            rows = range(number, number + batch.num_rows)
            yield Batch(rows, batch["nums"], batch["target"], _id_texts(ids, where), {})
            number += batch.num_rows


def _id_texts(ids: pa.Array, where: str) -> pa.Array:
    """Ids as texts, null where they are missing or empty."""
    kind = ids.type
    if not (pa.types.is_null(kind) or pa.types.is_integer(kind) or _is_text(kind)):
        raise InputError(f"{where}: column 'id' is {kind}, not text or whole numbers; rename it or leave it out")
    texts = ids.cast(pa.string())
    return pc.if_else(pc.equal(texts, ""), None, texts)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _record_batches(records: Iterator[Record]) -> Iterator[Batch]:
    """Rows that were read one by one."""
    while some := list(islice(records, BATCH_ROWS)):
        values = [{} if isinstance(record, Refused) else record for _, record in some]
        yield Batch(
            [number for number, _ in some],
            [value.get("nums") for value in values],
            [value.get("target") for value in values],
            pa.array([_id_text(value.get("id")) for value in values], pa.string()),
            {place: record for place, (_, record) in enumerate(some) if isinstance(record, Refused)},
        )


def _id_text(value: object) -> str | None:
    if not isinstance(value, (str, int)) or value == "":
        return None
    return str(value).encode(errors="replace").decode()  # JSON may hold half a character, Arrow may not


def csv_records(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.DictReader(file)
            _require_columns(reader.fieldnames or (), str(path))
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not a CSV file in UTF-8 ({error})") from error
        number = 0
        while True:
            number += 1
            try:
                record = next(reader, None)
            except UnicodeDecodeError as error:
                raise InputError(f"{path} is not a CSV file in UTF-8 ({error})") from error
            except csv.Error as error:
                yield number, Refused("malformed", f"not a CSV row: {error}")
                continue
            if record is None:
                return
            if None in record:
                yield number, Refused("malformed", "more fields than the header; a list needs quotes around it")
            else:
                yield number, record


def json_records(path: Path) -> Iterator[Record]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = next((line for line in file if line.strip()), "")
            file.seek(0)
            if first.lstrip().startswith("["):
                yield from _json_list(file.read(), path)
            else:
                yield from _json_lines(file)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not JSON in UTF-8 ({error})") from error


def _json_list(text: str, path: Path) -> Iterator[Record]:
    try:
        values = json.loads(text, parse_int=_json_int)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error})") from error
    for number, value in enumerate(values, 1):
        yield number, _json_record(value)


def _json_lines(lines: Iterator[str]) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if len(line) > _MAX_LINE_CHARS:
            yield number, Refused("malformed", f"the line has {len(line):,} characters")
            continue
        try:
            value = json.loads(line, parse_int=_json_int)
        except (ValueError, RecursionError) as error:
            yield number, Refused("malformed", f"not valid JSON: {error}")
        else:
            yield number, _json_record(value)


def _json_int(digits: str) -> int | str:
    """Python refuses to read more than 4,300 digits; such a number stays a text and fails as one row."""
    return int(digits) if len(digits) <= 40 else digits


def _json_record(value: object) -> Mapping[str, Any] | Refused:
    if not isinstance(value, dict):
        return Refused("malformed", f"a row is an object with 'nums' and 'target', got {shown(value)}")
    return value


def _hub_batches(repo_id: str, revision: str | None) -> Iterator[Batch]:
    """Rows of every split of the dataset's default config."""
    import datasets
    from datasets import config
    from huggingface_hub import constants

    from ..hub_errors import plain_errors

    if constants.ENDPOINT != "https://huggingface.co":
        config.USE_PARQUET_EXPORT = False  # it would be asked of the public Hub
    with plain_errors(constants.ENDPOINT, f"reading the dataset {repo_id}", "run `hf auth login`"):
        loaded = datasets.load_dataset(repo_id, revision=revision)
    if not isinstance(loaded, datasets.DatasetDict):
        raise HubError(f"{repo_id} has no splits to read")
    for name, split in loaded.items():
        _require_columns(split.column_names, f"{repo_id} ({name})")
    return _arrow_batches(chain.from_iterable(map(_split_batches, loaded.values())), repo_id)


def _split_batches(split: datasets.Dataset) -> Iterator[pa.RecordBatch]:
    columns = [name for name in COLUMNS if name in split.column_names]
    rows: Any = split.select_columns(columns).with_format("arrow")
    for table in rows.iter(batch_size=BATCH_ROWS):
        yield from table.combine_chunks().to_batches()


def _require_columns(found: Sequence[str], where: str) -> None:
    missing = [f"'{name}'" for name in ("nums", "target") if name not in found]
    if missing:
        names = ", ".join(name if name.isprintable() else repr(name) for name in found)[:200]
        raise InputError(f"{where} has no column {' and no column '.join(missing)}; it has {names or 'none'}")


def shown(value: object) -> str:
    """A raw value for a message: on one line, without control characters, short."""
    text = repr(value[:60]) if isinstance(value, str) else f"a {type(value).__name__}"
    return text if isinstance(value, str) else repr(value) if isinstance(value, (bool, float)) else text
