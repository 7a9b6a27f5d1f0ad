"""What a verification found, as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

_SHOWN = 20


@dataclass(frozen=True)
class Problem:
    """``where`` is a config and split (``en/test``) or a file, ``row`` counts from 1; None: the whole table."""

    where: str
    what: str
    row: int | None = None

    def __str__(self) -> str:
        return f"{self.where}{'' if self.row is None else f' row {self.row}'}: {self.what}"


@dataclass
class Report:
    """What was read (``rows``: distinct puzzles proven, ``tables``: rows of each table) and what is wrong with it."""

    target: str
    rows: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_json(self) -> str:
        return json.dumps({"ok": self.ok} | asdict(self), ensure_ascii=False)

    def to_text(self) -> str:
        """A line per table, the first problems, and the verdict."""
        lines = [f"{where}: {rows:,} rows" for where, rows in self.tables.items()]
        lines += [f"PROBLEM {problem}" for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            lines.append(f"... and {len(self.problems) - _SHOWN:,} more")
        found = "no problems" if self.ok else f"{len(self.problems):,} problems"
        return "\n".join([*lines, f"{self.target}: {self.rows:,} puzzles, {found}"])
