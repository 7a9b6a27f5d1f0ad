"""The first view: one model thinks about the puzzle, in sight."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from ..errors import CountdownError, InputError
from ..game.puzzle import Puzzle
from . import page
from .entry import Entry, News, Updates, complaint
from .facts import Facts, facts
from .line import Busy, Line, Place
from .paint import finished_thought, growing_thought
from .puzzles import read_puzzle
from .recorded import MAX_PIXELS
from .shelf import Shelf
from .stream import Piece, stream
from .thinking import Thinking, in_turn
from .trained_on import TrainedOn
from .visits import Posed, Visit, Visits, moment_of, posed, unchanged
from .words import Words, words_of

SEED_BITS = 31
NEEDS_FRACTION = 3  # the level of a puzzle without a solution of whole numbers
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Watched(Visit):
    """One thought: its ``seed``, ``place`` in line and last ``piece``; what is possible, once that is known, and
    whether it is shown."""

    seed: int = 0
    place: Place | None = None
    piece: Piece | None = None
    found: Facts | None = None
    tells_facts: bool = False

    @property
    def stopped(self) -> bool:
        return any(thought.stopped for thought in self.thoughts)


class Watch:
    """The components of the view, and what its buttons do."""

    def __init__(self, words: Words, entry: Entry, shelf: Shelf, line: Line, trained: TrainedOn) -> None:
        self.entry, self.shelf, self.line, self.trained = entry, shelf, line, trained
        self.visits: Visits[Watched] = Visits()
        with gr.Row(elem_id="buttons"):
            self.solve = gr.Button(words["solve"], variant="primary", min_width=110, elem_id="solve")
            self.stop_button = gr.Button(words["stop"], interactive=False, min_width=80, elem_id="stop")
            self.ask = gr.Button(words["exact"], min_width=130, elem_id="exact")
        self.note = gr.HTML("", elem_id="warning")
        with gr.Accordion(words["thinking"], open=True, elem_id="thinking") as self.panel:
            self.thought = gr.HTML(page.empty_thought(words), elem_id="thought", autoscroll=True, max_height=MAX_PIXELS)
        self.meter = gr.HTML("", elem_id="meter")
        self.verdict = gr.HTML("", elem_id="verdict")
        self.facts = gr.HTML("", elem_id="facts")

    @property
    def outcome(self) -> list[Any]:
        """The components that show a visit."""
        shown = [self.note, self.thought, self.meter, self.verdict, self.facts, self.solve, self.stop_button]
        return [*shown, self.entry.share]

    @property
    def started(self) -> list[Any]:
        """The components that a press of Solve may change."""
        return [*self.outcome, self.entry.board, self.entry.seed]

    @property
    def texts(self) -> list[Any]:
        return [self.ask, self.panel]

    def translate(self, words: Words) -> Updates:
        return {self.ask: words["exact"], self.panel: gr.update(label=words["thinking"])}

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

    def shown(self, visit: Watched | None, words: Words) -> Updates:
        """The view of a visit, or as it is before the first thought."""
        busy = visit is not None and visit.busy
        thought = visit.piece if visit and visit.piece and visit.piece.verdict else None
        return {
            self.solve: gr.update(value=words["solve"], interactive=not busy),
            self.stop_button: gr.update(value=words["stop"], interactive=busy),
            self.note: self._warning(visit, words) if visit else "",
            self.thought: _thought(visit, words) if visit else page.empty_thought(words),
            self.meter: page.meter(visit.piece, words) if visit and visit.piece else "",
            self.verdict: _verdict(visit, words) if visit else "",
            self.facts: _facts(visit, words) if visit else "",
        } | ({self.entry.share: page.share(visit.puzzle, words, visit.seed)} if visit and thought else {})

    async def think(
        self, moment: float, numbers: str, target: str, language: str, seed: int | None, request: gr.Request
    ) -> News:
        """Solve was pressed: the place in line, the growing thought, then verdict and facts."""
        words, visitor = words_of(language), str(request.session_hash)
        before = self.visits.get(visitor)
        if before and before.busy and before.posed == posed(numbers, target):  # pressed more than once
            yield {self.entry.seed: None}
            return
        seed = seed if seed is not None else secrets.randbits(SEED_BITS)
        visit = Watched(posed(numbers, target), words, moment_of(moment), running=True, seed=seed)
        self.visits.put(visitor, visit)
        board = page.board(visit.posed if isinstance(visit.posed, Puzzle) else None, words)
        shown = self.shown(visit, words) | {self.entry.board: board, self.entry.seed: None}
        yield shown
        news = self._written(visit, numbers, target, language, visitor)
        async with aclosing(self.visits.shown(visitor, visit, news)) as visits:
            async for now in visits:
                shown = self.shown(now, (now or visit).words)
                yield shown
        yield unchanged(shown)

    async def think_of_the_link(
        self, moment: float, numbers: str, target: str, language: str, seed: int | None, request: gr.Request
    ) -> News:
        """The page was opened with a link to a thought."""
        if seed is None:
            yield {self.entry.seed: None}
            return
        async with aclosing(self.think(moment, numbers, target, language, seed, request)) as news:
            async for update in news:
                yield update

    async def _written(
        self, visit: Watched, numbers: str, target: str, language: str, visitor: str
    ) -> AsyncGenerator[None, None]:
        """Fills the visit; comes back whenever there is something new in it."""
        try:
            puzzle = read_puzzle(numbers, target)
            if self.shelf.main.trouble:
                visit.trouble = partial(without_model, self.shelf.main.trouble)
                return
            async with aclosing(self._news(visit, puzzle, language, visitor)) as news:
                async for _ in news:
                    yield
        except InputError as error:
            visit.trouble = partial(complaint, error)
        except Busy as busy:
            visit.trouble, visit.place = partial(busy_notice, busy), None
        except CountdownError:
            _log.exception("the model failed on %s", visit.posed)
            visit.trouble = failed_notice

    async def _news(self, visit: Watched, puzzle: Puzzle, language: str, visitor: str) -> AsyncGenerator[None, None]:
        known, writer = asyncio.create_task(asyncio.to_thread(facts, puzzle)), self.shelf.writer()
        thinking = Thinking(lambda stop: stream(writer, puzzle, language, seed=visit.seed, stop=stop))
        try:
            async with aclosing(in_turn(self.line, visitor, visit.begin([thinking]))) as news:
                async for new in news:
                    if isinstance(new, Place):
                        visit.place = new
                        if thinking.stopped:
                            self.visits.drop(visitor)
                            return
                    else:
                        visit.piece = new[0]
                    visit.found = known.result() if known.done() else None
                    yield
            visit.found, visit.tells_facts = await known, True
        finally:
            known.cancel()

    def _warning(self, visit: Watched, words: Words) -> str:
        """What to know before hoping for an answer."""
        if visit.piece is None:
            return ""
        if visit.found and not visit.found.n_solutions:
            return page.notice("", words["unsolvable"])
        if not self.trained.covers(visit.puzzle):
            return page.notice("", beyond(self.trained, words))
        needs = visit.found is not None and visit.found.level == NEEDS_FRACTION
        return page.notice("", words["fraction_needed"]) if needs else ""

    def stop(self, request: gr.Request) -> None:
        """Stop was pressed: ask this visitor's running thought to end."""
        visit = self.visits.get(str(request.session_hash))
        for thinking in visit.thoughts if visit else ():
            thinking.stop()

    def refused(
        self, visitor: str, now: Posed, words: Words, why: Callable[[Words], str], moment: float = 0.0
    ) -> Updates:
        """What was asked for cannot be; it is said until something else stands in the boxes than ``now``."""
        return self.shown(self.visits.put(visitor, Watched(now, words, moment_of(moment), trouble=why)), words)

    async def possible(self, moment: float, numbers: str, target: str, language: str, request: gr.Request) -> Updates:
        """The exact solver was asked."""
        words, visitor, now = words_of(language), str(request.session_hash), posed(numbers, target)
        try:
            puzzle = read_puzzle(numbers, target)
        except InputError as error:
            return self.refused(visitor, now, words, partial(complaint, error), moment)
        found = await asyncio.to_thread(facts, puzzle)
        mine, visit = self.visits.follow(visitor, now, words, moment)
        visit = visit or self.visits.put(visitor, Watched(now, words, moment_of(moment)))
        visit.found, visit.tells_facts, visit.changes = found, True, visit.changes + 1
        return self.shown(visit, words) if mine else {self.facts: _facts(visit, words)}


def _thought(visit: Watched, words: Words) -> str:
    if visit.piece is None:
        return page.waiting(visit.place, words) if visit.busy else page.empty_thought(words)
    paint = growing_thought if visit.piece.verdict is None else finished_thought
    return paint(visit.piece.completion, visit.puzzle, words)


def _verdict(visit: Watched, words: Words) -> str:
    if visit.trouble:
        return visit.trouble(words)
    return page.result(visit.puzzle, visit.piece, words, visit.stopped) if visit.piece else ""


def _facts(visit: Watched, words: Words) -> str:
    return page.possible(visit.puzzle, visit.found, words) if visit.found and visit.tells_facts else ""


def beyond(trained: TrainedOn, words: Words) -> str:
    """That a puzzle is unlike those of the training."""
    if not trained.recorded:
        return words["beyond_unknown"]
    return words["beyond"].format(described=trained.described(words["code"][:2]))


def without_model(reason: str, words: Words) -> str:
    return page.notice(words["no_model"], words["no_model_reason"].format(reason=reason))


def busy_notice(busy: Busy, words: Words) -> str:
    text = words["busy_reason"].format(waiting=busy.waiting, seconds=busy.seconds)
    return page.notice(words["busy"], text)


def failed_notice(words: Words) -> str:
    return page.notice("", words["failed"])
