"""Prove a dataset again, from nothing but its files: any folder, one file, or a Hub id.

Each split is solved once, from the first config that is whole; the other configs are compared with that one row by
row, and every prompt with its template. Tables are read in pieces, so memory does not grow with them but for 16 bytes
a row (24 where ids are not hashes): two puzzles, or two sets of numbers, count as equal when 64 bits of hash are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from threading import Event
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from ..errors import InputError
from .comparison import Compared, compare
from .files import READABLE
from .location import locate
from .origin import Origin, check_files, is_ours, origin_of
from .overlap import add_leaks, add_repeats, add_shared_ids
from .plan import Plan, plan_for_others, plan_for_ours
from .proof import Proven, Rules, prove
from .puzzles import distinct
from .report import Report
from .tables import find_tables

_Result = TypeVar("_Result")


def verify(target: str) -> Report:
    """Check schema, solvability, labels, duplicates, leakage, ids, prompts, pairing of configs and files' hashes.

    ``target`` is a folder, a parquet, Arrow, JSON or CSV file, or a Hub id (``namespace/name@revision``). Of a dataset
    that this project did not build the puzzles are proven, and labels where there are such columns; the report's notes
    say what was left out. Raises ``InputError`` when there is nothing to verify, ``HubError`` when the Hub does not
    give it.
    """
    report = Report(target)
    place = locate(target)
    root, is_local = place.root.absolute(), place.revision is None  # so that folders above it can be looked into
    origin = origin_of(root, report.findings)
    tables, left_out = find_tables(root, origin.base, report.findings)
    ours = origin.files is not None or is_ours(tables)
    plan = plan_for_ours(tables, origin, report) if ours else plan_for_others(tables, report)
    if not tables or not (ours or plan.solve or report.findings.kinds["no rows"]):
        raise InputError(_nothing(target, report))
    report.notes += _notes(origin, ours, left_out)
    rules = Rules(own_splits=ours, content_ids=ours and not origin.is_imported)
    with _Work(_rows_ahead(plan)) as work:
        solved = work.start(lambda: [prove(table, rules, work.advance) for table in plan.solve])
        compared = [work.start(lambda its=its: compare(its, work.advance)) for its in plan.compare]
        files = work.start(lambda: check_files(origin, root, is_local, tables))
        _conclude_puzzles(report, solved.result(), rules)
        _conclude_comparisons(report, [its.result() for its in compared])
        found, equal = files.result()
    report.findings.merge(found)
    report.proof.files_equal = None if origin.files is None else equal
    if not any(report.tables.values()) and report.findings.kinds["unreadable"]:
        raise InputError(_nothing(target, report))
    return report


class _Work:
    """Two threads and one progress bar; the first error, Ctrl-C included, stops the rest."""

    def __init__(self, rows: int | None) -> None:
        self._threads = ThreadPoolExecutor(2)
        self._bar = tqdm(total=rows, desc="verifying", unit=" rows", unit_scale=True, delay=2, leave=False)
        self._stopped = Event()

    def __enter__(self) -> _Work:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._stopped.set()
        self._threads.shutdown(cancel_futures=True)
        self._bar.close()

    def start(self, job: Callable[[], _Result]) -> Future[_Result]:
        return self._threads.submit(job)

    def advance(self, rows: int) -> None:
        """For jobs to call after each piece."""
        if self._stopped.is_set():
            raise CancelledError
        self._bar.update(rows)


def _nothing(target: str, report: Report) -> str:
    """Why there is nothing to verify, in one line."""
    whys = [problem for problem in report.problems if problem.kind in ("unreadable", "schema")]
    if not whys:
        return f"{target} holds no puzzles in {READABLE}; name a folder or file that does"
    return f"{target} {whys[0].what}" if Path(target).is_file() else f"{target}: {whys[0]}"


def _rows_ahead(plan: Plan) -> int | None:
    """Rows to solve and to compare, None when a file does not say how many it has."""
    rows = [table.rows for table in [*plan.solve, *(its.table for its in plan.compare)]]
    return None if None in rows else sum(count or 0 for count in rows)


def _notes(origin: Origin, ours: bool, left_out: Sequence[Path]) -> list[str]:
    """What is not checked."""
    notes = []
    if not ours:
        notes.append("not built by this project, so prompts, ids and the split rule were not checked")
    elif origin.files is None:
        notes.append("no manifest.json, so files were not compared with their hashes")
    elif origin.is_imported:
        notes.append("imported from another dataset: ids are its own, and were checked to be there and different")
    if left_out:
        names = ", ".join(path.relative_to(origin.base).as_posix() for path in left_out[:5])
        notes.append(f"not read, since there is data of another kind: {names}{', ...' if len(left_out) > 5 else ''}")
    return notes


def _conclude_puzzles(report: Report, proven: Sequence[Proven], rules: Rules) -> None:
    """What the tables that were solved come to, each by itself and together."""
    proof = report.proof
    for its in proven:
        report.findings.merge(its.findings)
        report.tables[its.table.name] = its.rows if its.table.rows is None else its.table.rows
        if not its.rows and its.table.rows is None and not its.findings.kinds:
            report.findings.add(its.table.name, "no rows", "has no rows")
        add_repeats(its, report.findings)
        proof.number_sets[its.table.name] = len(distinct(its.hashes))
    if rules.own_splits:
        groups = [list(proven)]
        add_shared_ids(proven, report.findings)
    else:
        groups = [list(its) for _, its in groupby(proven, lambda its: its.table.config)]
    proof.shared_sets = sum(add_leaks(group, report.findings) for group in groups)
    proof.rows = sum(its.rows for its in proven)
    proof.puzzles = len(distinct(np.concatenate([its.keys for its in proven]))) if proven else 0
    proof.solvable = sum(its.solvable for its in proven)
    proof.labelled = sum(its.labelled for its in proven)
    proof.labels_equal = sum(its.labels_equal for its in proven)
    proof.ids_equal = sum(its.ids_equal for its in proven) if rules.own_splits else None


def _conclude_comparisons(report: Report, compared: Sequence[Compared]) -> None:
    for its in compared:
        report.findings.merge(its.findings)
    report.proof.prompts = sum(its.prompts for its in compared)
    report.proof.prompts_equal = sum(its.equal for its in compared)
    report.proof.configs = list(dict.fromkeys(its.comparison.table.config for its in compared))
