"""The dataset's columns and files: parquet per config and split.

Configs: one per language in chat form (``en``: ``prompt`` is a list of turns, ``assistant_prefix`` starts the
answer) and one with the whole prompt as a single string (``en-chatml``). Rows are paired across configs by ``id``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, StageError
from ..game.puzzle import Puzzle
from ..game.split import SPLITS
from .generate import Rows
from .prompt import Template, chatml, messages

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

CHATML = "-chatml"


def puzzle_id(nums: Sequence[int], target: int) -> str:
    """The first 16 hex digits of SHA-256 over ``"7 19 36 55 = 65"``: sorted numbers, then the target.

    >>> puzzle_id([19, 36, 55, 7], 65) == puzzle_id([7, 19, 36, 55], 65)
    True
    """
    text = f"{' '.join(map(str, sorted(nums)))} = {target}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def features(config: str) -> datasets.Features:
    """The declared columns of a config."""
    from datasets import Features, List, Value

    text, whole = Value("string"), Value("int64")
    chat = not config.endswith(CHATML)
    prompt = {"prompt": List({"role": text, "content": text}), "assistant_prefix": text} if chat else {"prompt": text}
    labels = {"n_solutions": whole, "level": whole, "easiest_solution": text}
    return Features({"id": text, "nums": List(whole), "target": whole} | prompt | labels)


def table(rows: Rows, template: Template, config: str) -> pa.Table:
    """All ``rows`` as an Arrow table with the columns of ``config``."""
    import pyarrow as pa

    puzzles = [Puzzle(tuple(nums), target) for nums, target in zip(rows.nums, rows.target, strict=True)]
    columns: dict[str, Sequence[object]] = {
        "id": [puzzle_id(nums, target) for nums, target in zip(rows.nums, rows.target, strict=True)],
        "nums": rows.nums,
        "target": rows.target,
        "n_solutions": rows.n_solutions,
        "level": rows.level,
        "easiest_solution": rows.easiest_solution,
    }
    if config.endswith(CHATML):
        columns["prompt"] = [chatml(template, puzzle) for puzzle in puzzles]
    else:
        columns["prompt"] = [messages(template, puzzle) for puzzle in puzzles]
        columns["assistant_prefix"] = [template.assistant_prefix] * len(rows)
    schema = features(config).arrow_schema
    return pa.Table.from_pydict({name: columns[name] for name in schema.names}, schema=schema)


def write_configs(folder: Path, rows: Rows, templates: Mapping[str, Template]) -> None:
    """One parquet file for each config and each split that has rows."""
    import pyarrow.parquet as pq

    split = np.array(rows.split)
    for language, template in templates.items():
        for config in (language, language + CHATML):
            whole = table(rows, template, config)
            (folder / config).mkdir()
            for name in SPLITS:
                part = whole.filter(split == name)
                if part.num_rows:
                    pq.write_table(part, folder / config / f"{name}-00000-of-00001.parquet", write_page_index=True)


def read_split(folder: Path, config: str, split: str, name: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted((folder / config).glob(f"{split}-*.parquet"))
    if not files:
        found = sorted(f"{path.parent.name}/{path.name.split('-')[0]}" for path in folder.glob("*/*.parquet"))
        raise InputError(f"{name} has no {config}/{split}; it has {', '.join(found) or 'no parquet files'}")
    try:
        return pa.concat_tables([pq.ParquetFile(file).read() for file in files])
    except (pa.ArrowException, OSError) as error:
        raise StageError(f"{files[0]} cannot be read ({str(error)[:200]}); build the dataset again") from error
