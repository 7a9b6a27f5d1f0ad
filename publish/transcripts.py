"""Real completions for a card: chosen by a rule, and fenced so that a model's text stays text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_TRANSCRIPT_CHARS = 4_000
# Everything that is not printable but tab and line feed; bidirectional overrides could reorder a page.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_BACKTICKS = re.compile(r"`+")


@dataclass(frozen=True)
class Transcript:
    """One evaluated puzzle and the completion, verbatim but for control characters and a cut at 4,000 characters."""

    nums: tuple[int, ...]
    target: int
    language: str
    verdict: str
    n_tokens: int
    text: str

    @property
    def solved(self) -> bool:
        return self.verdict == "solved"


def pick_transcripts(records: Path) -> list[Transcript]:
    """A solved puzzle and a failed one out of a ``records.jsonl``, each of median length; fewer when there is none.

    English records where there are any. Ties go to the lower ``test_id``, so the same file gives the same picks.
    """
    rows = [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = [row for row in rows if row["language"] == "en"] or rows
    picks = (_median([row for row in rows if bool(row["score"]) is solved]) for solved in (True, False))
    return [_transcript(row) for row in picks if row is not None]


def _median(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    rows = sorted(rows, key=lambda row: (row["n_tokens"], row["test_id"], row["language"]))
    return rows[(len(rows) - 1) // 2] if rows else None


def _transcript(row: dict[str, Any]) -> Transcript:
    nums = tuple(int(number) for number in row["nums"])
    text = row["generation"]
    cut = len(text) - MAX_TRANSCRIPT_CHARS
    if cut > 0:
        text = f"{text[:MAX_TRANSCRIPT_CHARS]}\n[{cut} more characters]"
    return Transcript(nums, int(row["target"]), row["language"], row["verdict"], int(row["n_tokens"]), text)


def fence(text: str, language: str = "text") -> str:
    """``text`` as a markdown code block that nothing inside it can close.

    >>> print(fence("```"))
    ````text
    ```
    ````
    """
    text = _CONTROL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"
