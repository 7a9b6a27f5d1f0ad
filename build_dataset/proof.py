"""Every puzzle of a table solved again and compared with what the table says about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..game.labels import LabelColumns, label_columns
from ..game.puzzle import Puzzle, check
from ..game.split import SPLITS, split_of_hashes
from .comparison import differing, one_text, plain
from .puzzles import LABELS, Int64s, ids_of, puzzle_keys
from .records import Batch
from .report import Findings, Mask
from .source import Losses, Parsed, is_text, parse_batch
from .tables import Table, pieces

Keys = npt.NDArray[np.uint64]
_LARGE_AT_ONCE = {5: 10_000, 6: 100}
"""Rows solved between two moves of the progress bar, one or two seconds, by how many numbers the largest has."""


@dataclass(frozen=True)
class Rules:
    """What a dataset promises: that its rows follow the split rule, and that ids are hashes of the puzzles."""

    own_splits: bool
    content_ids: bool


@dataclass
class Proven:
    """What solving a table gave.

    ``rows`` were read and ``solvable`` of them are; ``labels_equal`` of ``labelled`` ones have true labels. Of each
    well-formed puzzle 64 bits are kept of its numbers (``hashes``), of the puzzle (``keys``), and of its id
    (``ids``, empty unless ids are the dataset's own).
    """

    table: Table
    findings: Findings = field(default_factory=Findings)
    rows: int = 0
    solvable: int = 0
    labelled: int = 0
    labels_equal: int = 0
    ids_equal: int = 0
    hashes: Keys = field(default_factory=lambda: np.zeros(0, np.uint64))
    keys: Keys = field(default_factory=lambda: np.zeros(0, np.uint64))
    ids: Keys = field(default_factory=lambda: np.zeros(0, np.uint64))
    _firsts: list[int] = field(default_factory=list)
    _rows: list[range | Int64s] = field(default_factory=list)

    def row(self, place: int) -> int:
        """The row number of the puzzle at ``place`` in ``keys``."""
        piece = int(np.searchsorted(self._firsts, place, side="right")) - 1
        return int(self._rows[piece][place - self._firsts[piece]])

    def remember(self, rows: Int64s, first: int) -> None:
        """Row numbers of the puzzles from place ``first`` on."""
        in_step = len(rows) and rows[-1] - rows[0] + 1 == len(rows)
        self._firsts.append(first)
        self._rows.append(range(int(rows[0]), int(rows[-1]) + 1) if in_step else rows)

    def add(self, parsed: Parsed, kind: str, bad: Mask, what: Callable[[int], str]) -> None:
        """A problem of each row of ``parsed`` where ``bad`` is true."""
        self.findings.add_where(self.table.name, kind, bad, parsed.row, what)


def prove(table: Table, rules: Rules, advance: Callable[[int], None]) -> Proven:
    """Solve every puzzle of ``table``; what is wrong becomes a finding, and nothing stops it but a file's end."""
    its = Proven(table)
    kept: list[tuple[Keys, Keys, Keys]] = []
    for batch, loose in pieces(table, its.findings):
        first = sum(len(keys) for _, keys, _ in kept)
        kept.append(_prove_piece(batch, loose, its, rules, first, advance))
        its.rows += len(batch.rows)
    if kept:
        its.hashes, its.keys, its.ids = (np.concatenate(columns) for columns in zip(*kept, strict=True))
    return its


def _prove_piece(
    batch: Batch, loose: Sequence[int], its: Proven, rules: Rules, first: int, advance: Callable[[int], None]
) -> tuple[Keys, Keys, Keys]:
    losses = Losses()
    parsed = parse_batch(batch, losses)
    _add_losses(its, losses)
    its.remember(parsed.row, first)
    its.add(
        parsed, "loose type", np.isin(parsed.row, loose), lambda place: "holds numbers as text or with a decimal point"
    )
    advance(len(batch.rows) - len(parsed.row))
    labels = _labels(parsed, advance)
    unsolvable = labels.n_solutions == 0
    its.add(parsed, "no solution", unsolvable, lambda place: f"no solution: {parsed.text(place)} cannot be made")
    its.solvable += len(unsolvable) - int(unsolvable.sum())
    hashes = parsed.numbers.hashes()
    keys = puzzle_keys(hashes, parsed.target)
    others = _of_rows(batch, parsed)
    _check_split(parsed, hashes, its, rules)
    _check_labels(parsed, labels, others, its)
    return hashes, keys, _check_ids(parsed, keys, others, its, rules)


def _labels(parsed: Parsed, advance: Callable[[int], None]) -> LabelColumns:
    """What the solver finds, asked for fewer rows at once where puzzles are large, so that Ctrl-C need not wait."""
    offsets, rows = parsed.numbers.offsets, len(parsed.row)
    step = _LARGE_AT_ONCE.get(int(parsed.numbers.counts.max(initial=0)), max(rows, 1))
    found: list[LabelColumns] = []
    for start in range(0, rows, step):
        its = offsets[start : start + step + 1]
        target = parsed.target[start : start + step]
        found.append(label_columns(parsed.numbers.values[its[0] : its[-1]], its - its[0], target))
        advance(len(target))
    if len(found) == 1:
        return found[0]
    nothing = np.zeros(0, np.int64)
    return LabelColumns(
        np.concatenate([nothing, *(its.n_solutions for its in found)]),
        np.concatenate([nothing, *(its.level for its in found)]),
        pa.concat_arrays([pa.array([], pa.string()), *(its.easiest_solution for its in found)]),
    )


def _add_losses(its: Proven, losses: Losses) -> None:
    for kind, count in losses.reasons.items():
        told = [(one.row, one.detail) for one in losses.listed if one.reason == kind]
        its.findings.add_counted(its.table.name, kind, count, told)


def _of_rows(batch: Batch, parsed: Parsed) -> Mapping[str, pa.Array]:
    """The other columns at the well-formed rows."""
    if len(parsed.row) == len(batch.rows):
        return batch.others
    return {name: column.take(pa.array(parsed.place)) for name, column in batch.others.items()}


def _check_split(parsed: Parsed, hashes: Keys, its: Proven, rules: Rules) -> None:
    if not (rules.own_splits and its.table.has_split and its.table.split in SPLITS):
        return
    right = split_of_hashes(hashes)
    bad = right != SPLITS.index(its.table.split)
    its.add(parsed, "wrong split", bad, lambda place: f"its numbers belong to split '{SPLITS[right[place]]}'")


def _check_labels(parsed: Parsed, labels: LabelColumns, others: Mapping[str, pa.Array], its: Proven) -> None:
    """Labels of the solvable rows, those that the table has."""
    solvable = labels.n_solutions > 0
    right = (pa.array(labels.n_solutions), pa.array(labels.level), labels.easiest_solution)
    expected: dict[str, pa.Array] = dict(zip(LABELS, right, strict=True))
    given = {
        name: others[name].cast(pa.string() if name == "easiest_solution" else pa.int64(), safe=False)
        for name in LABELS
        if name in others and can_be_label(name, others[name].type)
    }
    wrong = np.zeros(len(solvable), np.bool_)
    for name, column in given.items():
        bad = differing(column, expected[name]) & solvable
        wrong |= bad
        its.add(parsed, f"{name} differs", bad, _explained(name, parsed, others[name], expected[name]))
    if given:
        its.labelled += int(solvable.sum())
        its.labels_equal += int((solvable & ~wrong).sum())


def can_be_label(name: str, kind: pa.DataType) -> bool:
    """Whether a column of type ``kind`` can be compared with label ``name``."""
    return is_text(kind) if name == "easiest_solution" else pa.types.is_integer(kind)


def can_be_id(kind: pa.DataType) -> bool:
    """Whether ids of type ``kind`` can be compared."""
    return is_text(kind) or pa.types.is_integer(kind)


def _explained(name: str, parsed: Parsed, given: pa.Array, right: pa.Array) -> Callable[[int], str]:
    """What to say of a wrong label; a solution may at least be right."""

    def what(place: int) -> str:
        told = f"{name} is {plain(given, place)}"
        if name == "easiest_solution" and given[place].is_valid:
            text = one_text(given[place])
            verdict = check(_puzzle(parsed, place), text)
            told += ", which is right but not the easiest" if verdict.solved else f", wrong: {verdict.reason}"
        return f"{told}; the solver finds {plain(right, place)}"

    return what


def _puzzle(parsed: Parsed, place: int) -> Puzzle:
    start, stop = parsed.numbers.offsets[place : place + 2]
    return Puzzle(tuple(parsed.numbers.values[start:stop].tolist()), int(parsed.target[place]))


def _check_ids(parsed: Parsed, keys: Keys, others: Mapping[str, pa.Array], its: Proven, rules: Rules) -> Keys:
    """64 bits of each id where it is the dataset's own, nothing where it is the puzzle's hash."""
    ids = others.get("id")
    if ids is None or not can_be_id(ids.type):
        return np.zeros(0, np.uint64)
    ids = ids.cast(pa.string())
    missing = ids.is_null().to_numpy(zero_copy_only=False)
    its.add(parsed, "no id", missing, lambda place: "id is null")
    if rules.content_ids:
        right = ids_of(keys)
        bad = differing(ids, right) & ~missing
        its.add(parsed, "id differs", bad, lambda place: f"id is {plain(ids, place)}, not {plain(right, place)}")
        its.ids_equal += len(ids) - int((bad | missing).sum())
        return np.zeros(0, np.uint64)
    # Python's own hash of bytes is 64 bits wide and seeded anew in each process, so it cannot be aimed at.
    hashed = np.fromiter(map(hash, ids.cast(pa.binary()).to_pylist()), np.int64, len(ids)).view(np.uint64)
    hashed[missing] = keys[missing]  # not duplicates of each other
    its.ids_equal += len(ids) - int(missing.sum())
    return hashed
