"""The first view: one model thinks about the puzzle, in sight."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import aclosing
from typing import Any

import gradio as gr

from ..errors import CountdownError, InputError
from ..game.puzzle import Puzzle
from . import page
from .entry import Entry, News, Updates, complaint
from .facts import facts
from .line import Busy, Line, Place
from .paint import finished_thought, growing_thought
from .puzzles import read_puzzle
from .recorded import MAX_PIXELS
from .shelf import Shelf
from .stream import Piece, stream
from .thinking import Thinking, in_turn
from .words import Words, words_of

SEED_BITS = 31
# What the puzzles of this project's datasets are made of, unless something else is asked for.
LEARNED_SIZES, LEARNED_NUMBERS, LEARNED_TARGETS = range(3, 5), range(1, 100), range(10, 101)
NEEDS_FRACTION = 3  # the level of a puzzle without a solution of whole numbers
_log = logging.getLogger(__name__)


class Watch:
    """The components of the view, and what its buttons do."""

    def __init__(self, words: Words, entry: Entry, shelf: Shelf, line: Line) -> None:
        self.entry, self.shelf, self.line = entry, shelf, line
        self.running: dict[str, Thinking] = {}
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
    def clearable(self) -> list[Any]:
        return [self.note, self.thought, self.meter, self.verdict, self.facts]

    @property
    def outcome(self) -> list[Any]:
        """The components that one press of Solve may change."""
        return [
            *self.clearable,
            self.solve,
            self.stop_button,
            self.entry.board,
            self.entry.share,
            self.entry.note,
            self.entry.seed,
        ]

    @property
    def texts(self) -> list[Any]:
        return [self.solve, self.stop_button, self.ask, self.panel]

    def translate(self, words: Words) -> Updates:
        return {
            self.solve: words["solve"],
            self.stop_button: words["stop"],
            self.ask: words["exact"],
            self.panel: gr.update(label=words["thinking"]),
        }

    def cleared(self, words: Words) -> Updates:
        """The view as before the first thought."""
        return {
            self.note: "",
            self.thought: page.empty_thought(words),
            self.meter: "",
            self.verdict: "",
            self.facts: "",
        }

    async def think(self, numbers: str, target: str, language: str, seed: int | None, request: gr.Request) -> News:
        """Solve was pressed: the place in line, the growing thought, then verdict and facts."""
        words, visitor = words_of(language), str(request.session_hash)
        try:
            puzzle = read_puzzle(numbers, target)
        except InputError as error:
            yield self.cleared(words) | {self.verdict: complaint(error, words)}
            return
        if self.shelf.main.trouble:
            text = words["no_model_reason"].format(reason=self.shelf.main.trouble)
            yield self.cleared(words) | {self.verdict: page.notice(words["no_model"], text)}
            return
        try:
            async with aclosing(self._written(puzzle, language, seed, visitor)) as updates:
                async for update in updates:
                    yield update
        except Busy as busy:
            yield self._free() | {self.verdict: page.notice(words["busy"], busy_text(busy, words)), self.thought: ""}
        except CountdownError:
            _log.exception("the model failed on %s", puzzle)
            yield self._free() | {self.verdict: page.notice("", words["failed"])}

    async def _written(self, puzzle: Puzzle, language: str, seed: int | None, visitor: str) -> News:
        words, known = words_of(language), asyncio.create_task(asyncio.to_thread(facts, puzzle))
        seed = seed if seed is not None else secrets.randbits(SEED_BITS)
        writer = self.shelf.writer()
        thinking = Thinking(lambda stop: stream(writer, puzzle, language, seed=seed, stop=stop))
        self.running[visitor] = thinking
        busy = {self.solve: gr.update(interactive=False), self.stop_button: gr.update(interactive=True)}
        yield (
            self.cleared(words)
            | busy
            | {
                self.thought: page.waiting(None, words),
                self.entry.board: page.board(puzzle, words),
                self.entry.note: "",
                self.entry.seed: None,
            }
        )
        try:
            async with aclosing(in_turn(self.line, visitor, [thinking])) as news:
                async for new in news:
                    if isinstance(new, Place):
                        if thinking.stopped:
                            yield self.cleared(words) | self._free()
                            return
                        yield {self.thought: page.waiting(new, words)}
                        continue
                    last = self._shown(puzzle, new[0], words, thinking)
                    yield last | {self.note: self._warning(puzzle, known, words)}
            found = await known
            yield self._free() | {
                self.facts: page.possible(puzzle, found, words),
                self.entry.share: page.share(puzzle, words, seed),
            }
        finally:
            known.cancel()
            if self.running.get(visitor) is thinking:
                del self.running[visitor]

    def _shown(self, puzzle: Puzzle, piece: Piece, words: Words, thinking: Thinking) -> Updates:
        """One frame; the last one has the verdict."""
        paint = growing_thought if piece.verdict is None else finished_thought
        return {
            self.thought: paint(piece.completion, puzzle, words),
            self.meter: page.meter(piece, words),
            self.verdict: page.result(puzzle, piece, words, stopped=thinking.stopped),
        }

    def _warning(self, puzzle: Puzzle, known: asyncio.Task[Any], words: Words) -> str:
        """What to know before hoping for an answer."""
        found = known.result() if known.done() else None
        if found and not found.n_solutions:
            return page.notice("", words["unsolvable"])
        if not learned(puzzle):
            return page.notice("", words["beyond"])
        return page.notice("", words["fraction_needed"]) if found and found.level == NEEDS_FRACTION else ""

    def _free(self) -> Updates:
        return {self.solve: gr.update(interactive=True), self.stop_button: gr.update(interactive=False)}

    def stop(self, request: gr.Request) -> None:
        """Stop was pressed: ask this visitor's running thought to end."""
        thinking = self.running.get(str(request.session_hash))
        if thinking is not None:
            thinking.stop()

    def possible(self, numbers: str, target: str, language: str) -> Updates:
        """The exact solver was asked."""
        words = words_of(language)
        try:
            puzzle = read_puzzle(numbers, target)
        except InputError as error:
            return {self.facts: complaint(error, words)}
        return {self.facts: page.possible(puzzle, facts(puzzle), words)}


def learned(puzzle: Puzzle) -> bool:
    """Whether a puzzle is like those that models of this project learn from.

    >>> learned(Puzzle((55, 36, 7, 19), 65)), learned(Puzzle((25, 50, 75, 100, 3, 6), 952)), learned(Puzzle((7,), 7))
    (True, False, False)
    """
    usual = len(puzzle.nums) in LEARNED_SIZES and puzzle.target in LEARNED_TARGETS
    return usual and all(number in LEARNED_NUMBERS for number in puzzle.nums)


def busy_text(busy: Busy, words: Words) -> str:
    return words["busy_reason"].format(waiting=busy.waiting, seconds=busy.seconds)
