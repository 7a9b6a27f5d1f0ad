"""The parts of the page that show a state, as HTML. Every text that is not ours is escaped here."""

from __future__ import annotations

from html import escape

from ..game.puzzle import Puzzle, normalise
from ..models import Source
from .stream import Piece
from .words import Words, reason

_MAX_ANSWER_CHARS = 160


def header(words: Words) -> str:
    """The title and one paragraph that says what this is."""
    return f"<h1>{escape(words.title)}</h1><p>{escape(words.about)}</p>"


def board(puzzle: Puzzle | None, target_word: str) -> str:
    """The puzzle as tiles and its target; empty tiles while what is typed is not a puzzle."""
    faces = [str(number) for number in puzzle.nums] if puzzle else ["·"] * 4
    tiles = "".join(f'<span class="tile">{face}</span>' for face in faces)
    goal = f"{puzzle.target:,}" if puzzle else "·"
    return (
        f'<div class="board"><div class="tiles">{tiles}</div>'
        f'<div class="goal"><small>{escape(target_word)}</small><b>{goal}</b></div></div>'
    )


def thought(text: str, words: Words, thinking: bool = False) -> str:
    """The thought so far, with a caret while it grows."""
    if not text and not thinking:
        return f'<p class="empty">{escape(words.thinking_empty)}</p>'
    caret = '<span class="caret"></span>' if thinking else ""
    return f'<div class="thought">{escape(text.strip())}{caret}</div>'


def waiting(words: Words) -> str:
    """What stands in for the thought while the model answers somebody else."""
    return f'<p class="empty">{escape(words.waiting)}<span class="caret"></span></p>'


def meter(piece: Piece, words: Words) -> str:
    """Tokens, seconds and tokens a second."""
    rate = piece.n_tokens / piece.seconds if piece.seconds else 0.0
    return f"<p>{words.meter.format(tokens=piece.n_tokens, seconds=piece.seconds, rate=rate)}</p>"


def notice(title: str, text: str) -> str:
    """A message that is no verdict: bad input, an unsolvable puzzle, a stopped thought."""
    heading = f"<b>{escape(title)}</b>" if title else ""
    return f'<div class="notice" role="status">{heading}<p>{escape(text)}</p></div>'


def result(puzzle: Puzzle, piece: Piece, words: Words) -> str:
    """The answer, large, and whether it is right; ``piece`` is the last one, which has the verdict."""
    if piece.verdict is None:
        return ""
    why = reason(words, piece.verdict, puzzle)
    shown = pretty((piece.answer or "").strip()[:_MAX_ANSWER_CHARS]) or words.no_answer
    if piece.verdict.solved and "=" not in shown:
        shown = f"{shown} = {puzzle.target}"
    kind, mark, word = ("right", "✓", words.right) if piece.verdict.solved else ("wrong", "✕", words.wrong)
    return (
        f'<div class="verdict {kind}" role="status"><span class="mark" aria-hidden="true">{mark}</span><div>'
        f'<p class="expression">{escape(shown)}</p><p class="why"><b>{escape(word)}</b> {escape(why)}</p></div></div>'
    )


def solution(expression: str | None, puzzle: Puzzle, words: Words) -> str:
    """What the exact solver found."""
    if expression is None:
        return notice("", words.no_solution)
    shown = f"{pretty(expression)} = {puzzle.target}"
    return f'<div class="exact"><small>{escape(words.solution)}</small><b>{escape(shown)}</b></div>'


def footer(source: Source, commit: str | None, words: Words) -> str:
    """Which model, and which revision of it, answers here."""
    name = source.path_or_id if source.revision else source.name.rstrip("/").split("/")[-1]
    parts = [f"{escape(words.model)} <code>{escape(name)}</code>"]
    if source.revision:
        shown = source.revision[:12] if len(source.revision) == 40 else source.revision
        parts.append(f"{escape(words.revision)} <code>{escape(shown)}</code>")
    if commit and commit != source.revision:
        parts.append(f"commit <code>{escape(commit[:12])}</code>")
    return f"<p>{' · '.join(parts)} · countdown-r1</p>"


def pretty(expression: str) -> str:
    """An expression as it is written by hand.

    >>> pretty("3*5 - 4/2")
    '3 × 5 − 4 ÷ 2'
    """
    spaced = normalise(expression)
    for sign, shown in (("+", "+"), ("-", "−"), ("*", "×"), ("/", "÷")):
        spaced = spaced.replace(sign, f" {shown} ")
    return " ".join(spaced.split()).replace("( ", "(").replace(" )", ")")
