"""The parts of the page that show a state, as HTML. Every text that is not ours is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from ..game.puzzle import Puzzle, normalise
from ..models import Source
from .facts import Facts
from .line import Place
from .puzzles import link
from .story import Failure
from .stream import Piece
from .trained_on import TrainedOn, spelled
from .words import Words, reason, unspaced

_MAX_ANSWER_CHARS = 160
EXAMPLES = (
    ("simple", Puzzle((55, 36, 7, 19), 65)),
    ("three", Puzzle((13, 19, 76), 82)),
    ("times", Puzzle((3, 10, 35, 8), 49)),
    ("fraction", Puzzle((3, 3, 8, 8), 24)),
    ("television", Puzzle((25, 50, 75, 100, 3, 6), 952)),
    ("impossible", Puzzle((1, 2, 3), 97)),
)
"""Puzzles to begin with, from what a model is good at to what nobody can do; the key names their caption."""
CHALLENGES = ("fraction", "television", "impossible")  # shown whatever the model was trained on


def header(words: Words, rate: str = "") -> str:
    """The title, one paragraph that says what this is, and what the model was measured to solve."""
    measured = f'<p class="rate">{escape(rate)}</p>' if rate else ""
    return f'<h1 data-lang="{words["code"]}">{escape(words["title"])}</h1><p>{escape(words["about"])}</p>{measured}'


def board(puzzle: Puzzle | None, words: Words) -> str:
    """The puzzle as tiles and its target; empty tiles while what is typed is not a puzzle."""
    faces = [str(number) for number in puzzle.nums] if puzzle else ["·"] * 4
    tiles = "".join(f'<span class="tile" role="listitem">{face}</span>' for face in faces)
    goal = f"{puzzle.target:,}" if puzzle else "·"
    return (
        f'<div class="board"><div class="tiles" role="list" aria-label="{escape(words["numbers"])}">{tiles}</div>'
        f'<div class="goal"><small>{escape(words["target"])}</small><b>{goal}</b></div></div>'
    )


def examples(words: Words, trained: TrainedOn, usual: Sequence[Puzzle] = (), failures: Sequence[Failure] = ()) -> str:
    """Links to puzzles: ``usual`` ones and those of the well-known that are like what the model was trained on, then
    harder ones; ``failures`` are ones that a model got wrong when it was measured."""
    language = words["code"][:2]
    shown = [(spelled((len(puzzle.nums),), language), puzzle) for puzzle in usual]
    shown += [
        (words[f"example.{key}"], puzzle)
        for key, puzzle in EXAMPLES
        if key in CHALLENGES or (trained.covers(puzzle) and puzzle not in usual)
    ]
    shown += [(words["example.failed"].format(model=one.model), one.puzzle) for one in failures]
    chips = "".join(_chip(caption, puzzle) for caption, puzzle in shown)
    return f'<nav class="examples" aria-label="{escape(words["examples"])}">{chips}</nav>'


def _chip(caption: str, puzzle: Puzzle) -> str:
    numbers = " ".join(map(str, puzzle.nums))
    return (
        f'<a class="chip" href="{escape(link(puzzle))}" data-numbers="{numbers}" data-target="{puzzle.target}">'
        f"<b>{numbers} → {puzzle.target}</b> <span>{escape(caption)}</span></a>"
    )


def share(puzzle: Puzzle | None, words: Words, seed: int | None = None) -> str:
    """A link to this puzzle, and to this thought; a click copies it."""
    if puzzle is None:
        return ""
    done = escape(words["copied"])
    return (
        f'<a class="share" href="{escape(link(puzzle, seed))}" data-copied="{done}">'
        f'{escape(words["share"])}</a><span class="hint" role="status"></span>'
    )


def empty_thought(words: Words) -> str:
    return f'<p class="empty">{escape(words["thinking_empty"])}</p>'


def waiting(place: Place | None, words: Words) -> str:
    """What stands in for the thought while the model writes for somebody else, or begins."""
    text = words["waiting"] if place is None else words["in_line"].format(ahead=place.ahead, seconds=place.seconds)
    return f'<p class="empty" role="status">{escape(text)}<span class="caret"></span></p>'


def meter(piece: Piece, words: Words) -> str:
    """Tokens, seconds and tokens a second; and that a thought mixed languages, when it did."""
    rate = piece.n_tokens / piece.seconds if piece.seconds else 0.0
    shown = words["meter"].format(tokens=f"{piece.n_tokens:,}", seconds=piece.seconds, rate=rate)
    return f'<p class="meter">{shown}{escape(words["mixed"]) if piece.mixed else ""}</p>'


def notice(title: str, text: str) -> str:
    """A message that is no verdict: bad input, a full line, a stopped thought."""
    heading = f"<b>{escape(title)}</b>" if title else ""
    return f'<div class="notice" role="status">{heading}<p>{escape(text)}</p></div>'


def result(puzzle: Puzzle, piece: Piece, words: Words, stopped: bool = False) -> str:
    """The answer, large, and whether it is right; ``piece`` is the last one, which has the verdict."""
    if piece.verdict is None:
        return ""
    if stopped and piece.answer is None:
        return notice(words["stopped"], words["stopped_reason"])
    shown = pretty((piece.answer or "").strip()[:_MAX_ANSWER_CHARS]) or words["no_answer"]
    return verdict(shown, piece.verdict.solved, reason(words, piece.verdict, puzzle), puzzle, words)


def verdict(shown: str, solved: bool, why: str, puzzle: Puzzle, words: Words) -> str:
    """An answer with its mark and the reason."""
    if solved and "=" not in shown:
        shown = f"{shown} = {puzzle.target}"
    kind, mark, word = ("right", "✓", words["right"]) if solved else ("wrong", "✕", words["wrong"])
    return (
        f'<div class="verdict {kind}" role="status"><span class="mark" aria-hidden="true">{mark}</span><div>'
        f'<p class="expression">{escape(shown)}</p><p class="why"><b>{escape(word)}</b> {escape(why)}</p></div></div>'
    )


def possible(puzzle: Puzzle, found: Facts, words: Words) -> str:
    """What the exact solver knows: the easiest solution and how many there are, or what can be made instead."""
    made = words["reachable"].format(reachable=found.reachable, low=found.low, high=found.high)
    if found.easiest is None:
        near = ", ".join(f"{target:,}" for target in found.nearest)
        text = words["no_solution"] + (words["nearest"].format(nearest=near) if near else "")
        return f'<div class="facts"><p><b>{escape(text)}</b></p><p>{escape(made)}</p></div>'
    key = "one_solution" if found.n_solutions == 1 else "solutions"
    count = words[key].format(n=f"{found.n_solutions:,}", level=words[f"level.{found.level}"])
    shown = f"{pretty(found.easiest)} = {puzzle.target}"
    return (
        f'<div class="facts"><p><small>{escape(words["easiest"])}</small> <b>{escape(shown)}</b></p>'
        f"<p>{escape(unspaced(f'{count} {made}'))}</p></div>"
    )


def footer(source: Source, commit: str | None, words: Words) -> str:
    """Which model, and which revision of it, answers here."""
    name = source.path_or_id if source.revision else "/".join(Path(source.name).parts[-2:])
    parts = [f"{escape(words['model'])} <code>{escape(name)}</code>"]
    if source.revision:
        shown = source.revision[:12] if len(source.revision) == 40 else source.revision
        parts.append(f"{escape(words['revision'])} <code>{escape(shown)}</code>")
    if commit and commit != source.revision:
        parts.append(f"{escape(words['commit'])} <code>{escape(commit[:12])}</code>")
    api = f'<a href="?view=api">{escape(words["api"])}</a>'
    return f"<p>{' · '.join(parts)} · countdown-r1 · {api}</p>"


def pretty(expression: str) -> str:
    """An expression as it is written by hand.

    >>> pretty("3*5 - 4/2")
    '3 × 5 − 4 ÷ 2'
    """
    spaced = normalise(expression)
    for sign, shown in (("+", "+"), ("-", "−"), ("*", "×"), ("/", "÷")):
        spaced = spaced.replace(sign, f" {shown} ")
    return " ".join(spaced.split()).replace("( ", "(").replace(" )", ")")
