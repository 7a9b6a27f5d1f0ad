"""The HTML report of ``countdown-r1 aha``: one file that loads nothing, with the model's text shown as text."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .aha import Aha, Analysis, moment, places_of
from .aha_report import Group
from .aha_text import AHA_COLUMNS, BEHAVIOUR_COLUMNS, controls, plain
from .quote import ELLIPSIS, spans_of
from .turns import Turn

TEMPLATES = Path(__file__).parent / "templates"
QUOTED = 3  # true Ahas, and as many that were only claimed
MAX_BEFORE, MAX_AFTER = 1_800, 700  # characters of a thought quoted around the turn
MAX_MARKS = 200


class Piece(NamedTuple):
    """A stretch of quoted text; ``kind`` is '', cue, right, wrong or stranger."""

    text: str
    kind: str


@dataclass(frozen=True)
class Quote:
    """A completion to show: where it is from, its thought in pieces, and what there is to say about the turn."""

    label: str
    puzzle: str
    pieces: list[Piece]
    aha: Aha
    verdict: str


def page(groups: Sequence[Group], measured: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The report, every text in it escaped by the template engine. ``pictures``: PNGs for ``light`` and ``dark``."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["plain"] = plain
    true, false = pick(groups)
    return environment.get_template("aha.html").render(
        measured=measured,
        columns={"Ahas": AHA_COLUMNS, "Behaviours": BEHAVIOUR_COLUMNS},
        controls=controls(measured) if measured["models"] else [],
        pictures={name: base64.b64encode(data).decode() for name, data in pictures.items()},
        quotes={"True Ahas": true, "Claimed only": false},
    )


def pick(groups: Sequence[Group]) -> tuple[list[Quote], list[Quote]]:
    """The best true Ahas, and the claimed ones that look most like one. One of each puzzle, by a fixed order."""
    found = [(one.label, analysis) for one in groups for analysis in one.analyses if analysis.aha]
    true = sorted((pair for pair in found if _solved(pair[1])), key=lambda pair: _true_rank(pair[1]))
    false = sorted((pair for pair in found if not _solved(pair[1])), key=lambda pair: _false_rank(pair[1]))
    return [_quote(*pair) for pair in _distinct(true)], [_quote(*pair) for pair in _distinct(false)]


def _distinct(pairs: Iterable[tuple[str, Analysis]]) -> list[tuple[str, Analysis]]:
    by_puzzle: dict[object, tuple[str, Analysis]] = {}
    for label, analysis in pairs:
        by_puzzle.setdefault(analysis.puzzle or analysis.thought.text, (label, analysis))
        if len(by_puzzle) == QUOTED:
            break
    return list(by_puzzle.values())


def _solved(analysis: Analysis) -> bool:
    return analysis.aha is not None and analysis.aha.solved


def _true_rank(analysis: Analysis) -> tuple[int, ...]:
    """Fewest false sums first, then a combination and a first step never tried, then most attempts, then shortest."""
    notes = sum("tried before" in note for note in analysis.aha.notes) if analysis.aha else 0
    return len(analysis.false_claims), notes, -analysis.shown.attempts, len(analysis.thought.text)


def _false_rank(analysis: Analysis) -> tuple[int, ...]:
    """Wrong answers that make the target first, then other wrong ones; most false sums first, then the shortest."""
    aha = moment(analysis)
    if aha is None or analysis.puzzle is None or analysis.verdict is None:
        return (4, 0, 0)
    wrong = not analysis.verdict.solved and bool(aha.answer)
    makes_target = aha.makes == str(analysis.puzzle.target)
    worst = 0 if wrong and makes_target else 1 if wrong else 2 if analysis.verdict.solved else 3
    return worst, -len(aha.false_claims), len(analysis.thought.text)


def _quote(label: str, analysis: Analysis) -> Quote:
    turn, aha = analysis.aha, moment(analysis)
    if turn is None or aha is None:
        raise ValueError("only completions with a reflective turn are quoted")
    puzzle = analysis.puzzle
    asked = f"{', '.join(map(str, puzzle.nums))} → {puzzle.target}" if puzzle else "puzzle not known"
    verdict = analysis.verdict.status.value if analysis.verdict else "not judged"
    return Quote(label, asked, _pieces(analysis, turn), aha, verdict)


def _pieces(analysis: Analysis, turn: Turn) -> list[Piece]:
    """The thought around the turn, cut into marked and unmarked stretches."""
    text, marks = analysis.thought.text, _marks(analysis, turn)
    cue, solved = places_of(turn)
    length = min(max(turn.line.end - cue.end, 0) + MAX_AFTER, 4 * MAX_AFTER)
    pieces: list[Piece] = []
    at = 0
    for begin, end in spans_of(text, cue, solved, MAX_BEFORE, length):
        pieces.append(Piece(f"{ELLIPSIS} " if text[at:begin].strip() else "", ""))
        at = begin
        for start, stop, kind in marks:
            if start >= at and stop <= end:
                pieces += [Piece(plain(text[at:start]), ""), Piece(plain(text[start:stop]), kind)]
                at = stop
        pieces.append(Piece(plain(text[at:end]), ""))
        at = end
    return [piece for piece in [*pieces, Piece(f" {ELLIPSIS}" if text[at:].strip() else "", "")] if piece.text]


def _marks(analysis: Analysis, turn: Turn) -> list[tuple[int, int, str]]:
    """What is highlighted, in order; where two overlap the first one here is kept."""
    marks: list[tuple[int, int, str]] = []
    if turn.line.cue:
        marks.append((turn.line.cue.start, turn.line.cue.end, "cue"))
    if turn.found:
        marks.append((turn.found.start, turn.found.end, "right"))
    marks += [(one.start, one.end, "wrong") for one in analysis.false_claims[:MAX_MARKS]]
    for one in analysis.thought.steps.strangers[:MAX_MARKS]:
        marks.append((one.start, one.end, "stranger"))
    taken: list[tuple[int, int, str]] = []
    for mark in marks:
        if all(mark[1] <= other[0] or mark[0] >= other[1] for other in taken):
            taken.append(mark)
    return sorted(taken)
