"""The dataset's columns and files: parquet per config and split.

Configs: one per language in chat form (``en``: ``prompt`` is a list of turns, ``assistant_prefix`` starts the
answer) and one with the whole prompt as a single string (``en-chatml``). Rows are paired across configs by ``id``.
Without a language there is one config, ``puzzles``, that has no prompts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import InputError, StageError
from ..game.split import SPLITS
from .prompt import Template, chatml_column, messages_column
from .puzzles import of_split

CHATML = "-chatml"
BARE = "puzzles"
SHARD_ROWS = 500_000
"""Rows of one file: some 300 MB when unpacked, which the Hub's viewer and ``load_dataset`` take well."""
GROUP_ROWS = 50_000
"""Rows of one row group, the piece that is read at once: some 30 MB when unpacked."""
_CHAT = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def schema(config: str) -> pa.Schema:
    """The columns of a config, with the features that ``datasets`` reads from a file's metadata.

    It equals ``datasets.Features(...).arrow_schema`` (a test says so) without the second that its import takes.
    """
    fields = [("id", pa.string()), ("nums", pa.list_(pa.int64())), ("target", pa.int64())]
    if config.endswith(CHATML):
        fields.append(("prompt", pa.string()))
    elif config != BARE:
        fields += [("prompt", _CHAT), ("assistant_prefix", pa.string())]
    fields += [("n_solutions", pa.int64()), ("level", pa.int64()), ("easiest_solution", pa.string())]
    features = {name: _feature(kind) for name, kind in fields}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _feature(kind: pa.DataType) -> object:
    if isinstance(kind, pa.ListType):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if isinstance(kind, pa.StructType):
        return {field.name: _feature(field.type) for field in kind}
    return {"dtype": str(kind), "_type": "Value"}


def table(puzzles: pa.Table, template: Template | None, config: str) -> pa.Table:
    """All ``puzzles`` with the columns of ``config``; ``template`` is None for ``puzzles`` alone."""
    columns = {name: puzzles[name] for name in puzzles.column_names}
    if template is not None and config.endswith(CHATML):
        columns["prompt"] = chatml_column(template, puzzles["nums"], puzzles["target"])
    elif template is not None:
        columns["prompt"] = messages_column(template, puzzles["nums"], puzzles["target"])
        columns["assistant_prefix"] = pa.repeat(template.assistant_prefix, puzzles.num_rows)
    wanted = schema(config)
    return pa.table([columns[name] for name in wanted.names], schema=wanted)


def configs_of(languages: Sequence[str]) -> list[str]:
    """The configs of a dataset with prompts in these languages, the default one first."""
    return [*languages, *(language + CHATML for language in languages)] or [BARE]


def write_configs(folder: Path, puzzles: pa.Table, templates: Mapping[str, Template]) -> None:
    """Parquet files for each config and each split that has rows, two at a time."""
    parts = {split: of_split(puzzles, split).combine_chunks() for split in SPLITS}
    with ThreadPoolExecutor(2) as threads:
        jobs = []
        for config in configs_of(list(templates)):
            (folder / config).mkdir()
            template = templates.get(config.removesuffix(CHATML))
            for split, part in parts.items():
                for name, shard in _shards(part, split):
                    jobs.append(threads.submit(_write_shard, folder / config / name, shard, template, config))
        for job in jobs:
            job.result()


def _shards(part: pa.Table, split: str) -> Iterator[tuple[str, pa.Table]]:
    count = -(-part.num_rows // SHARD_ROWS)
    for place in range(count):
        yield f"{split}-{place:05d}-of-{count:05d}.parquet", part.slice(place * SHARD_ROWS, SHARD_ROWS)


def _write_shard(path: Path, rows: pa.Table, template: Template | None, config: str) -> None:
    with pq.ParquetWriter(path, schema(config), compression="zstd", write_page_index=True) as writer:
        for start in range(0, rows.num_rows, GROUP_ROWS):
            writer.write_table(table(rows.slice(start, GROUP_ROWS), template, config))


def split_files(folder: Path, config: str, split: str) -> list[Path]:
    """The parquet files of a split, in order."""
    return sorted((folder / config).glob(f"{split}-*.parquet"))


def read_split(folder: Path, config: str, split: str, name: str) -> pa.Table:
    """All rows of a split; ``name`` stands for the folder in messages."""
    files = split_files(folder, config, split)
    if not files:
        found = sorted({f"{path.parent.name}/{path.name.split('-')[0]}" for path in folder.glob("*/*.parquet")})
        raise InputError(f"{name} has no {config}/{split}; it has {', '.join(found) or 'no parquet files'}")
    try:
        return pa.concat_tables([pq.ParquetFile(file).read() for file in files])
    except (pa.ArrowException, OSError) as error:
        raise StageError(f"{files[0]} cannot be read ({str(error)[:200]}); build the dataset again") from error
