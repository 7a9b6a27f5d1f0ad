"""The second view: two models think about one puzzle with the same random numbers, side by side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from ..errors import CountdownError, InputError
from ..game.puzzle import Puzzle
from ..train.aha import analyse
from . import page
from .entry import Entry, News, Updates, complaint
from .line import Busy, Line, Place
from .paint import finished_thought, growing_thought
from .puzzles import read_puzzle
from .shelf import Shelf, Volume
from .stream import Piece, stream
from .thinking import Thinking, in_turn
from .visits import Posed, Visit, Visits, moment_of, posed, unchanged
from .watch import SEED_BITS, busy_notice, failed_notice, without_model
from .words import Words, words_of

_log = logging.getLogger(__name__)
SIDES = ("left", "right")


@dataclass(eq=False)
class Compared(Visit):
    """Two thoughts, by the ``labels`` of their models, from one ``seed``."""

    labels: tuple[str, str] = ("", "")
    seed: int = 0
    place: Place | None = None
    pieces: Sequence[Piece] = ()


class Compare:
    """The components of the view, and what its controls do."""

    def __init__(self, words: Words, entry: Entry, shelf: Shelf, line: Line) -> None:
        self.entry, self.shelf, self.line = entry, shelf, line
        self.visits: Visits[Compared] = Visits()
        labels, steps = shelf.labels, shelf.steps
        first, second = (steps[0].label, steps[-1].label) if len(steps) > 1 else (labels[-1], labels[0])
        self.about = gr.HTML(self._about(words), elem_id="compare-about")
        with gr.Row(elem_id="compare-controls"):
            self.left = gr.Dropdown(labels, value=first, label=words["left"], elem_id="left")
            self.right = gr.Dropdown(labels, value=second, label=words["right_side"], elem_id="right")
            self.step = gr.Slider(
                0,
                max(volume.step or 1 for volume in [*steps, Volume("", "")]),
                value=steps[-1].step if steps else 0,
                step=1,
                label=words["step"],
                visible=len(steps) > 2,
                elem_id="step",
            )
            self.seed = gr.Number(0, label=words["seed"], precision=0, minimum=0, elem_id="seed")
            self.go = gr.Button(words["compare"], variant="primary", elem_id="compare-go")
        with gr.Row(elem_id="sides", equal_height=False):
            self.sides = [gr.HTML("", elem_id=f"side-{side}", elem_classes="side") for side in SIDES]
        self.difference = gr.HTML("", elem_id="difference")

    @property
    def outcome(self) -> list[Any]:
        return [*self.sides, self.difference]

    @property
    def texts(self) -> list[Any]:
        return [self.about, self.left, self.right, self.step, self.seed, self.go]

    def translate(self, words: Words) -> Updates:
        return {
            self.about: self._about(words),
            self.left: gr.update(label=words["left"]),
            self.right: gr.update(label=words["right_side"]),
            self.step: gr.update(label=words["step"]),
            self.seed: gr.update(label=words["seed"]),
            self.go: words["compare"],
        }

    def _about(self, words: Words) -> str:
        key = "compare_empty" if len(self.shelf.labels) > 1 else "compare_one"
        return f'<p class="lead">{escape(words[key])}</p>'

    def at_step(self, step: float) -> str:
        """The slider was moved: the model of the nearest training step."""
        return min(self.shelf.steps, key=lambda volume: abs((volume.step or 0) - step)).label

    def current(self, visitor: str) -> tuple[tuple[Visit | None, bool], Updates]:
        """A visitor's visit and whether its thoughts are written, and how it is shown once they are over."""
        visit = self.visits.get(visitor)
        if visit is None or visit.busy:
            return (visit, visit is not None), {}
        return (visit, False), self.shown(visit, visit.words)

    def follow(self, now: Posed, words: Words, visitor: str, moment: float) -> Updates:
        """The boxes or the language have changed."""
        mine, visit = self.visits.follow(visitor, now, words, moment)
        return self.shown(visit, words) if mine else {}

    def shown(self, visit: Compared | None, words: Words) -> Updates:
        """Both thoughts, and at the end what differs."""
        sides = _sides(visit, words) if visit else ("", "")
        done = visit is not None and visit.over and not visit.trouble
        table = difference(visit.puzzle, visit.labels, visit.pieces, words) if visit and done else ""
        return dict(zip(self.outcome, (*sides, table), strict=True))

    async def think(  # noqa: PLR0913, PLR0917 - the components that say what is asked, one each
        self,
        moment: float,
        numbers: str,
        target: str,
        language: str,
        left: str,
        right: str,
        seed: float | None,
        request: gr.Request,
    ) -> News:
        """Both models write at once; at the end a table says what differs."""
        words, visitor = words_of(language), str(request.session_hash)
        started = int(seed or 0) % 2**SEED_BITS
        visit = Compared(
            posed(numbers, target), words, moment_of(moment), running=True, labels=(left, right), seed=started
        )
        self.visits.put(visitor, visit)
        shown = self.shown(visit, words)
        yield shown
        news = self._written(visit, numbers, target, language, visitor)
        async with aclosing(self.visits.shown(visitor, visit, news)) as visits:
            async for now in visits:
                shown = self.shown(now, (now or visit).words)
                yield shown
        yield unchanged(shown)

    async def _written(
        self, visit: Compared, numbers: str, target: str, language: str, visitor: str
    ) -> AsyncGenerator[None, None]:
        """Fills the visit; comes back whenever there is something new in it."""
        try:
            puzzle = read_puzzle(numbers, target)
            if self.shelf.main.trouble:
                visit.trouble = partial(without_model, self.shelf.main.trouble)
                return
            asked = [(label, puzzle, language, visit.seed) for label in visit.labels]
            thoughts = visit.begin([await asyncio.to_thread(self._thinking, *one) for one in asked])
            async with aclosing(in_turn(self.line, visitor, thoughts, every_seconds=0.1)) as news:
                async for new in news:
                    visit.place, visit.pieces = (new, []) if isinstance(new, Place) else (None, new)
                    yield
        except InputError as error:
            visit.trouble = partial(complaint, error)
        except Busy as busy:
            visit.trouble = partial(busy_notice, busy)
        except CountdownError:
            _log.exception("comparing failed on %s", visit.posed)
            visit.trouble = failed_notice

    def _thinking(self, label: str, puzzle: Puzzle, language: str, seed: int) -> Thinking:
        writer = self.shelf.writer(label)
        return Thinking(lambda stop: stream(writer, puzzle, language, seed=seed, stop=stop))


def _sides(visit: Compared, words: Words) -> tuple[str, str]:
    if visit.trouble:
        return visit.trouble(words), ""
    if not visit.pieces:
        return page.waiting(visit.place, words), page.waiting(None, words)
    left, right = (
        _side(label, visit.puzzle, piece, words) for label, piece in zip(visit.labels, visit.pieces, strict=True)
    )
    return left, right


def _side(label: str, puzzle: Puzzle, piece: Piece, words: Words) -> str:
    paint = growing_thought if piece.verdict is None else finished_thought
    head = f"<h3>{escape(label)}</h3>{page.meter(piece, words)}"
    return head + paint(piece.completion, puzzle, words) + page.result(puzzle, piece, words)


def difference(puzzle: Puzzle, labels: tuple[str, str], pieces: Sequence[Piece], words: Words) -> str:
    """What two finished thoughts show, counted by the rules of ``countdown-r1 aha``."""
    if len(pieces) != len(labels) or any(piece.verdict is None for piece in pieces):
        return ""
    columns = [_counted(puzzle, piece, words) for piece in pieces]
    heads = "".join(f'<th scope="col">{escape(label)}</th>' for label in labels)
    rows = "".join(
        f'<tr><th scope="row">{escape(words[f"row.{key}"])}</th>'
        + "".join(f"<td>{escape(column[key])}</td>" for column in columns)
        + "</tr>"
        for key in columns[0]
    )
    caption = f"<caption>{escape(words['difference'])}</caption>"
    return f'<div class="wide"><table>{caption}<tr><td></td>{heads}</tr>{rows}</table></div>'


def _counted(puzzle: Puzzle, piece: Piece, words: Words) -> dict[str, str]:
    record = {"generation": piece.completion, "nums": puzzle.nums, "target": puzzle.target}
    analysis = analyse(record)
    shown = analysis.shown
    cued = [turn for turn in analysis.turns if turn.line.cue]
    true = sum(turn.solved for turn in cued)
    return {
        "solved": words["yes" if piece.verdict and piece.verdict.solved else "no"],
        "tokens": str(piece.n_tokens),
        "attempts": str(shown.attempts),
        "backtracking": str(shown.backtracking),
        "verification": str(shown.verification),
        "claims": f"{shown.true_claims} / {shown.claims}",
        "ahas": f"{true} / {len(cued) - true}",
    }
