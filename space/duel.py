"""The third view: a person and the model solve the same puzzle against the clock, judged by the same checker."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from ..errors import CountdownError, InputError
from ..game.puzzle import MAX_EXPRESSION_CHARS, Puzzle, Verdict, check
from . import page
from .entry import Entry, News, Updates, complaint
from .line import Busy, Line, Place
from .puzzles import read_puzzle
from .shelf import Shelf
from .stream import Piece, stream
from .thinking import Thinking, in_turn
from .visits import Posed, Visit, Visits, moment_of, posed, unchanged
from .watch import SEED_BITS, busy_notice, failed_notice, without_model
from .words import Words, reason, words_of

_OPERATORS = "+−×÷()⌫"
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Game(Visit):
    """One duel: when it began, what the model answered, and how many seconds the person took to be right; ``told`` is
    what the person was told last."""

    began: float = 0.0
    model: Piece | None = None
    place: Place | None = None
    person: tuple[str, float] | None = None
    told: Callable[[Words], str] | None = None
    ended: bool = False  # the puzzle has changed under it


class Duel:
    """The components of the view, and what its controls do."""

    def __init__(self, words: Words, entry: Entry, shelf: Shelf, line: Line) -> None:
        self.entry, self.shelf, self.line = entry, shelf, line
        self.games: Visits[Game] = Visits()
        self.about = gr.HTML(_about(words), elem_id="duel-about")
        self.start_button = gr.Button(words["duel_start"], variant="primary", elem_id="duel-start")
        self.clock = gr.HTML("", elem_id="duel-clock")
        with gr.Row(elem_id="duel-entry"):
            self.answer = gr.Textbox("", label=words["duel_answer"], max_lines=1, scale=3, elem_id="duel-answer")
            self.submit = gr.Button(words["duel_submit"], min_width=90, elem_id="duel-submit")
        self.keys = gr.HTML("", elem_id="duel-keys")
        self.told = gr.HTML("", elem_id="duel-told")
        self.model = gr.HTML("", elem_id="duel-model")

    @property
    def outcome(self) -> list[Any]:
        return [self.clock, self.keys, self.told, self.model, self.answer]

    @property
    def texts(self) -> list[Any]:
        return [self.about, self.start_button, self.answer, self.submit]

    def translate(self, words: Words) -> Updates:
        return {
            self.about: _about(words),
            self.start_button: words["duel_start"],
            self.answer: gr.update(label=words["duel_answer"]),
            self.submit: words["duel_submit"],
        }

    def current(self, visitor: str) -> tuple[tuple[Visit | None, bool], Updates]:
        """A visitor's visit and whether its thoughts are written, and how it is shown once they are over."""
        visit = self.games.get(visitor)
        if visit is None or visit.busy:
            return (visit, visit is not None), {}
        return (visit, False), self.shown(visit, visit.words)

    def follow(self, now: Posed, words: Words, visitor: str, moment: float) -> Updates:
        """The boxes or the language have changed; a game about another puzzle is over."""
        before = self.games.get(visitor)
        mine, game = self.games.follow(visitor, now, words, moment)
        if before is None or game is not None:
            return self.shown(game, words) if mine else {}
        told = before.told if before.ended else _changed
        ended = Game(now, words, before.moment, over=True, told=told, ended=True)
        return self.shown(self.games.put(visitor, ended), words) | {self.answer: ""}

    def shown(self, game: Game | None, words: Words) -> Updates:
        """The view of a game, or as it is before the first one."""
        if game is None:
            return {self.clock: "", self.keys: "", self.told: "", self.model: ""}
        playing = isinstance(game.posed, Puzzle) and not game.ended
        return {
            self.clock: _clock(game, words) if playing and game.person is None else "",
            self.keys: _keys(game.puzzle) if playing else "",
            self.told: self._told(game, words),
            self.model: self._models_side(game, words) if playing else "",
        }

    async def start(self, moment: float, numbers: str, target: str, language: str, request: gr.Request) -> News:
        """The clock starts; the model thinks out of sight."""
        words, visitor = words_of(language), str(request.session_hash)
        game = Game(posed(numbers, target), words, moment_of(moment), running=True, began=time.monotonic())
        self.games.put(visitor, game)
        try:
            puzzle = read_puzzle(numbers, target)
        except InputError as error:
            game.told, game.running = partial(complaint, error), False
            yield self.shown(game, words) | {self.answer: ""}
            return
        shown = self.shown(game, words)
        yield shown | {self.answer: ""}
        news = self._model_thinks(game, puzzle, language, visitor)
        async with aclosing(self.games.shown(visitor, game, news)) as games:
            async for now in games:
                shown = self.shown(now, (now or game).words)
                yield shown
        yield unchanged(shown)

    async def _model_thinks(
        self, game: Game, puzzle: Puzzle, language: str, visitor: str
    ) -> AsyncGenerator[None, None]:
        """Fills the game; comes back when the model's place in line is another one."""
        if self.shelf.main.trouble:
            game.trouble = partial(without_model, self.shelf.main.trouble)
            return
        writer, seed = self.shelf.writer(), secrets.randbits(SEED_BITS)
        thinking = Thinking(lambda stop: stream(writer, puzzle, language, seed=seed, stop=stop))
        last: Piece | None = None
        try:
            async with aclosing(in_turn(self.line, visitor, game.begin([thinking]), every_seconds=0.3)) as news:
                async for new in news:
                    game.place = new if isinstance(new, Place) else None
                    last = None if isinstance(new, Place) else new[0]
                    yield
            game.model = last
        except Busy as busy:
            game.trouble = partial(busy_notice, busy)
        except CountdownError:
            _log.exception("the model failed on %s", puzzle)
            game.trouble = failed_notice

    async def try_answer(
        self, moment: float, numbers: str, target: str, language: str, expression: str, request: gr.Request
    ) -> Updates:
        """An expression was handed in: judged, and when it is right the game is over."""
        words, visitor = words_of(language), str(request.session_hash)
        now = posed(numbers, target)
        _, game = self.games.follow(visitor, now, words, moment)
        if game is None or game.ended or not isinstance(game.posed, Puzzle):
            none = Game(now, words, moment_of(moment), over=True, told=_not_started, ended=True)
            return self.shown(self.games.put(visitor, none), words)
        verdict = check(game.puzzle, str(expression)[: MAX_EXPRESSION_CHARS + 1])
        if verdict.solved and game.person is None:
            game.person = (expression, time.monotonic() - game.began)
        game.changes += 1
        game.told = None if verdict.solved else partial(_not_yet, verdict, game.puzzle)
        return self.shown(game, words)

    def _told(self, game: Game, words: Words) -> str:
        if game.told:
            return game.told(words)
        return self._ending(game, words) if game.person else ""

    def _models_side(self, game: Game, words: Words) -> str:
        """What may be known of the model: its answer once the person has one."""
        if game.trouble:
            return game.trouble(words)
        if game.model is None:
            return page.waiting(game.place, words) if game.place else _hint(words["duel_thinking"])
        if game.person:
            return self._models_answer(game, words)
        return _hint(words["duel_model_done"].format(seconds=game.model.seconds))

    def _ending(self, game: Game, words: Words) -> str:
        """Who won; while the model still thinks, that is the person."""
        assert game.person is not None
        expression, seconds = game.person
        model = game.model
        model_right = bool(model and model.verdict and model.verdict.solved)
        key = "duel_both" if model_right else "duel_you_won"
        text = words[key].format(yours=seconds, seconds=seconds, its=model.seconds if model else 0.0)
        return page.verdict(page.pretty(expression.partition("=")[0]), True, text, game.puzzle, words)

    def _models_answer(self, game: Game, words: Words) -> str:
        head = f"<h3>{escape(words['duel_it'])}</h3>"
        return head + page.result(game.puzzle, game.model, words) if game.model else ""


def _about(words: Words) -> str:
    return f'<p class="lead">{escape(words["duel_about"])}</p>'


def _clock(game: Game, words: Words) -> str:
    since = time.monotonic() - game.began
    clock = f'<b class="clock" data-since="{since:.2f}" id="clock-{game.began:.3f}">{since:.1f}</b>'
    shown = escape(words["duel_clock"]).format(clock=clock)
    return f'<p class="timer" role="timer">{escape(words["duel_running"])} {shown}</p>'


def _keys(puzzle: Puzzle) -> str:
    """Tiles and operators to press."""
    names = [*map(str, puzzle.nums), *_OPERATORS]
    kinds = ["number"] * len(puzzle.nums) + ["operator"] * len(_OPERATORS)
    keys = (
        f'<button type="button" class="key {kind}" data-key="{name}">{name}</button>'
        for name, kind in zip(names, kinds, strict=True)
    )
    return f'<div class="keys">{"".join(keys)}</div>'


def _not_started(words: Words) -> str:
    return page.notice("", words["duel_not_started"])


def _changed(words: Words) -> str:
    return page.notice("", words["duel_changed"])


def _not_yet(verdict: Verdict, puzzle: Puzzle, words: Words) -> str:
    return page.notice("", words["duel_try"].format(why=reason(words, verdict, puzzle)))


def _hint(text: str) -> str:
    return f'<p class="empty" role="status">{escape(text)}</p>'
