"""What a verification proved and found, as text and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Rows = Sequence[int] | npt.NDArray[np.int64]
LISTED = 100
"""So many problems of a kind are told one by one; more are only counted."""
_SHOWN = 20
"""So many are shown in the text."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    ``where`` is a table (``en/test``, or the name of a lone file) or a file; ``kind`` is a word or two to count by;
    ``row`` counts from 1 within the table, None means the whole of it.
    """

    where: str
    kind: str
    what: str
    row: int | None = None

    def __str__(self) -> str:
        text = f"{self.where}{'' if self.row is None else f' row {self.row}'}: {self.what}"
        return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


@dataclass
class Findings:
    """Problems as they turn up: all of them counted by kind, the first 100 of each kind kept."""

    kinds: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def add(self, where: str, kind: str, what: str, row: int | None = None) -> None:
        self.kinds[kind] += 1
        if self.kinds[kind] <= LISTED:
            self.problems.append(Problem(where, kind, what, row))

    def add_counted(self, where: str, kind: str, count: int, rows: Sequence[tuple[int, str]]) -> None:
        """``count`` problems in one table, of which ``rows`` tells the first with their row numbers."""
        if count:
            room = max(0, LISTED - self.kinds[kind])
            self.problems += [Problem(where, kind, what, row) for row, what in rows[:room]]
            self.kinds[kind] += count

    def add_where(self, where: str, kind: str, bad: Mask, rows: Rows, what: Callable[[int], str]) -> None:
        """A problem at each place where ``bad`` is true; ``rows`` holds row numbers, ``what`` is asked for few."""
        places = np.flatnonzero(bad)
        room = max(0, LISTED - self.kinds[kind])
        told = [(int(rows[place]), what(place)) for place in places[:room].tolist()]
        self.add_counted(where, kind, len(places), told)

    def merge(self, other: Findings) -> None:
        room = {kind: LISTED - self.kinds[kind] for kind in other.kinds}
        for problem in other.problems:
            room[problem.kind] -= 1
            if room[problem.kind] >= 0:
                self.problems.append(problem)
        self.kinds.update(other.kinds)


@dataclass
class Proof:
    """Counts of what was proven.

    ``rows`` of all tables that were solved, ``puzzles``: different ones among them. ``number_sets``: different sets
    of numbers in each of those tables, ``shared_sets``: how many stand in two splits. ``labels_equal`` of the
    ``labelled`` rows have the solver's labels, ``prompts_equal`` of ``prompts`` in all configs are their template's.
    ``ids_equal``: rows whose id is right, ``files_equal``: files that have their hash; None where there is no such.
    ``configs`` were compared row by row.
    """

    rows: int = 0
    puzzles: int = 0
    number_sets: dict[str, int] = field(default_factory=dict)
    shared_sets: int = 0
    solvable: int = 0
    labelled: int = 0
    labels_equal: int = 0
    ids_equal: int | None = None
    prompts: int = 0
    prompts_equal: int = 0
    configs: list[str] = field(default_factory=list)
    files_equal: int | None = None

    def lines(self) -> Iterator[tuple[str, str]]:
        """A title and a sentence for everything that was looked at."""
        yield "solvable", f"{self.solvable:,} of {self.rows:,} rows, each by exact search"
        yield "different puzzles", f"{self.puzzles:,}, whatever the order of the numbers"
        sets = ", ".join(f"{name} {count:,}" for name, count in self.number_sets.items())
        yield "sets of numbers", f"{sets}; in two splits: {self.shared_sets:,}"
        if self.labelled:
            yield "labels", f"{self.labels_equal:,} of {self.labelled:,} rows have the solver's"
        if self.ids_equal is not None:
            yield "ids", f"{self.ids_equal:,} of {self.rows:,} are right"
        if self.prompts:
            yield "prompts", f"{self.prompts_equal:,} of {self.prompts:,} are their template's"
        if len(self.configs) > 1:
            yield "configs", f"{', '.join(self.configs)} compared row by row"
        if self.files_equal is not None:
            yield "files", f"{self.files_equal:,} have the SHA-256 of manifest.json"


@dataclass
class Report:
    """``tables``: rows of each table; ``notes`` say what was not checked, which is no problem."""

    target: str
    tables: dict[str, int] = field(default_factory=dict)
    proof: Proof = field(default_factory=Proof)
    notes: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    @property
    def ok(self) -> bool:
        return not self.findings.kinds

    @property
    def rows(self) -> int:
        """Different puzzles that were looked at."""
        return self.proof.puzzles

    @property
    def problems(self) -> list[Problem]:
        """The first 100 of each kind."""
        return self.findings.problems

    def to_json(self) -> str:
        """``kinds`` counts all problems, ``problems`` lists the first of each kind."""
        values = {
            "ok": self.ok,
            "target": self.target,
            "rows": self.rows,
            "tables": self.tables,
            "proof": asdict(self.proof),
            "notes": self.notes,
            "kinds": self.findings.kinds,
            "problems": [asdict(problem) for problem in self.problems],
        }
        return json.dumps(values, ensure_ascii=False)

    def to_text(self) -> str:
        """Tables, the proof in counts, what was not checked, the first problems by kind, and last the verdict."""
        lines = [f"{name:24} {rows:>12,} rows" for name, rows in self.tables.items()]
        lines += ["", "proof", *(f"  {title:18} {text}" for title, text in self.proof.lines())]
        if self.notes:
            lines += ["", "notes", *(f"  {note}" for note in self.notes)]
        if not self.ok:
            lines += ["", "problems", *self._problem_lines()]
        total = self.findings.kinds.total()
        found = "no problems" if self.ok else "1 problem" if total == 1 else f"{total:,} problems"
        return "\n".join([*lines, "", f"{self.target}: {self.rows:,} puzzles, {found}"])

    def _problem_lines(self) -> Iterator[str]:
        """Each kind with its count and some of its problems, at most 20 of all kinds together."""
        each = max(1, _SHOWN // len(self.findings.kinds))
        for kind, count in self.findings.kinds.most_common():
            yield f"  {kind}: {count:,}"
            its = (problem for problem in self.problems if problem.kind == kind)
            yield from (f"    {problem}" for problem in islice(its, each))
            if count > each:
                yield f"    ... and {count - each:,} more"
