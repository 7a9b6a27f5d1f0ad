"""What a built dataset comes to, measured on its rows: for the manifest, the card and later stages."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..game.split import SPLITS
from .puzzles import distinct, numbers_of, rows_sha256
from .source import Source


def measured(proven: Source) -> dict[str, Any]:
    """Counts, ranges, the proof that no two splits share a set of numbers, and the hash of the rows."""
    puzzles = proven.puzzles
    numbers = numbers_of(puzzles["nums"])
    split = puzzles["split"].to_numpy()
    columns = {"levels": puzzles["level"].to_numpy(), "numbers": numbers.counts}
    target = puzzles["target"].to_numpy()
    return {
        "rows": puzzles.num_rows,
        "rows_sha256": rows_sha256(puzzles),
        "splits": {
            name: {"rows": int(its.sum())} | {title: counted(values[its]) for title, values in columns.items()}
            for name, its in ((name, split == place) for place, name in enumerate(SPLITS))
            if its.any()
        },
        "number_sets": number_sets(puzzles),
        **{title: counted(values) for title, values in columns.items()},
        "solutions": counted(puzzles["n_solutions"].to_numpy()),
        "number_range": [int(numbers.values.min()), int(numbers.values.max())],
        "target_range": [int(target.min()), int(target.max())],
        "read": proven.read,
        "rejected": proven.reasons,
    }


def number_sets(puzzles: pa.Table) -> dict[str, int]:
    """How many different sets of numbers each split has, and how many stand in two of them (``shared``)."""
    hashes, split = numbers_of(puzzles["nums"]).hashes(), puzzles["split"].to_numpy()
    sets = {name: distinct(hashes[split == place]) for place, name in enumerate(SPLITS)}
    whole = distinct(np.concatenate(list(sets.values())))
    counts = {name: len(its) for name, its in sets.items() if len(its)}
    return counts | {"shared": sum(counts.values()) - len(whole)}


def counted(values: npt.NDArray[np.int64]) -> dict[str, int]:
    """How often each value occurs, in ascending order.

    >>> counted(np.array([2, 1, 2]))
    {'1': 1, '2': 2}
    """
    found, counts = np.unique(values, return_counts=True)
    return {str(value): count for value, count in zip(found.tolist(), counts.tolist(), strict=True)}
