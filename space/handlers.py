"""What each button and box of the page does. A handler answers with one value per component it may change."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from threading import Event
from typing import Any

import gradio as gr

from ..errors import CountdownError, InputError
from ..game.puzzle import Puzzle
from ..game.solver import easiest_solution
from ..models import Source
from . import page
from .puzzles import random_puzzle, read_puzzle
from .stream import Piece, frames, stream
from .words import WORDS, Words

# The components that one press of Solve may change, in the order of a handler's answer.
OUTCOME = ("board", "note", "thought", "meter", "verdict", "solution", "solve", "stop", "random")
# The components with words in them.
TRANSLATED = ("header", "board", "numbers", "target", "solve", "stop", "random", "exact", "thinking", "footer")
CLEARED = {"note": "", "meter": "", "verdict": "", "solution": ""}
Updates = tuple[Any, ...]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Demo:
    """The loaded model, where it came from, and the stop switch of each visitor whose thought is running."""

    model: Any
    tokenizer: Any
    source: Source
    commit: str | None
    stops: dict[str, Event] = field(default_factory=dict)

    def think(self, numbers: str, target: str, language: str, request: gr.Request) -> Iterator[Updates]:
        """Solve was pressed: the puzzle, the growing thought, then the verdict."""
        words, visitor = WORDS[language], str(request.session_hash)
        try:
            puzzle = read_puzzle(numbers, target)
        except InputError as error:
            empty = {"board": page.board(None, words.target), "thought": page.thought("", words)}
            yield _updates(empty | {"verdict": _complaint(error, words)})
            return
        stop = self.stops[visitor] = Event()
        try:
            yield _updates(_opening(puzzle, words), busy=True)
            yield from self._frames(puzzle, language, stop)
        except CountdownError:
            _log.exception("the model failed on %s", puzzle)
            yield _updates({"verdict": page.notice("", words.failed)})
        finally:
            self.stops.pop(visitor, None)

    def _frames(self, puzzle: Puzzle, language: str, stop: Event) -> Iterator[Updates]:
        words = WORDS[language]
        pieces = stream(self.model, self.tokenizer, puzzle, language, seed=secrets.randbits(32), stop=stop)
        for piece in frames(pieces):
            running = piece.verdict is None
            shown = {
                "thought": page.thought(piece.thought, words, running and piece.thinking),
                "meter": page.meter(piece, words),
                "verdict": "" if running else _outcome(puzzle, piece, words, stop.is_set()),
                "board": page.board(puzzle, words.target),  # others may be in the boxes by now
            }
            yield _updates(shown, busy=running)

    def stop(self, request: gr.Request) -> None:
        """Stop was pressed: ask this visitor's running thought to end."""
        event = self.stops.get(str(request.session_hash))
        if event is not None:
            event.set()

    def translate(self, numbers: str, target: str, language: str) -> Updates:
        """The language was switched: every text of the page, in the order of ``TRANSLATED``."""
        words = WORDS[language]
        return (
            page.header(words),
            preview(numbers, target, language),
            gr.update(label=words.numbers),
            gr.update(label=words.target),
            words.solve,
            words.stop,
            words.random,
            words.exact,
            gr.update(label=words.thinking),
            page.footer(self.source, self.commit, words),
        )


def wait(language: str) -> Updates:
    """Solve was pressed and the model may be busy with another visitor."""
    return _updates(CLEARED | {"thought": page.waiting(WORDS[language])})


def preview(numbers: str, target: str, language: str) -> str:
    """The board for what stands in the boxes."""
    try:
        puzzle = read_puzzle(numbers, target)
    except InputError:
        puzzle = None
    return page.board(puzzle, WORDS[language].target)


def draw(language: str) -> Updates:
    """Another puzzle was asked for: numbers, target, and a cleared page."""
    words, puzzle = WORDS[language], random_puzzle(Random())
    fresh = {"board": page.board(puzzle, words.target), "thought": page.thought("", words)}
    return " ".join(map(str, puzzle.nums)), str(puzzle.target), *_updates(CLEARED | fresh)


def exact(numbers: str, target: str, language: str) -> str:
    """The exact solver was asked for what stands in the boxes."""
    words = WORDS[language]
    try:
        puzzle = read_puzzle(numbers, target)
    except InputError as error:
        return _complaint(error, words)
    return page.solution(easiest_solution(puzzle), puzzle, words)


def _opening(puzzle: Puzzle, words: Words) -> dict[str, str]:
    solvable = easiest_solution(puzzle) is not None
    return {
        "board": page.board(puzzle, words.target),
        "note": "" if solvable else page.notice("", words.unsolvable),
        "thought": page.thought("", words, thinking=True),
    }


def _outcome(puzzle: Puzzle, piece: Piece, words: Words, stopped: bool) -> str:
    if stopped and piece.answer is None:
        return page.notice(words.stopped, words.stopped_reason)
    return page.result(puzzle, piece, words)


def _complaint(error: InputError, words: Words) -> str:
    reason = str(error)
    return page.notice(words.cannot, words.bad_input.format(reason=reason[:1].upper() + reason[1:]))


def _updates(shown: dict[str, str], busy: bool = False) -> Updates:
    """Values for ``OUTCOME``: what is in ``shown``, nothing for the rest, and which buttons can be pressed."""
    free, taken = gr.update(interactive=not busy), gr.update(interactive=busy)
    buttons = {"solve": free, "stop": taken, "random": free}
    return tuple((shown | buttons).get(name, gr.skip()) for name in OUTCOME)
