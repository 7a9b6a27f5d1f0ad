"""The third view: a person and the model solve the same puzzle against the clock, judged by the same checker."""

from __future__ import annotations

import logging
import secrets
import time
from collections import OrderedDict
from contextlib import aclosing
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from ..errors import CountdownError, InputError
from ..game.puzzle import MAX_EXPRESSION_CHARS, Puzzle, check
from . import page
from .entry import Entry, News, Updates, complaint
from .line import Busy, Line, Place
from .puzzles import read_puzzle
from .shelf import Shelf
from .stream import Piece, stream
from .thinking import Thinking, in_turn
from .watch import SEED_BITS, busy_text
from .words import Words, reason, words_of

MAX_GAMES = 500
_OPERATORS = "+−×÷()⌫"
_log = logging.getLogger(__name__)


@dataclass
class Game:
    """One duel: when it began, what the model answered, and how many seconds the person took to be right."""

    puzzle: Puzzle
    began: float
    model: Piece | None = None
    person: tuple[str, float] | None = None


class Duel:
    """The components of the view, and what its controls do. Games are kept on the server, the newest ones."""

    def __init__(self, words: Words, entry: Entry, shelf: Shelf, line: Line) -> None:
        self.entry, self.shelf, self.line = entry, shelf, line
        self.games: OrderedDict[str, Game] = OrderedDict()
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

    async def start(self, numbers: str, target: str, language: str, request: gr.Request) -> News:
        """The clock starts; the model thinks out of sight."""
        words, visitor = words_of(language), str(request.session_hash)
        try:
            puzzle = read_puzzle(numbers, target)
        except InputError as error:
            yield {self.told: complaint(error, words), self.clock: "", self.model: ""}
            return
        game = self._new_game(visitor, puzzle)
        yield {
            self.clock: _clock(game, words),
            self.keys: _keys(puzzle),
            self.told: "",
            self.model: _hint(words["duel_thinking"]),
            self.answer: "",
        }
        if self.shelf.main.trouble:
            yield {self.model: page.notice(words["no_model"], self.shelf.main.trouble)}
            return
        try:
            async with aclosing(self._model_thinks(game, language, visitor)) as updates:
                async for update in updates:
                    yield update
        except Busy as busy:
            yield {self.model: page.notice(words["busy"], busy_text(busy, words))}
        except CountdownError:
            _log.exception("the model failed on %s", puzzle)
            yield {self.model: page.notice("", words["failed"])}

    async def _model_thinks(self, game: Game, language: str, visitor: str) -> News:
        words, writer = words_of(language), self.shelf.writer()
        seed = secrets.randbits(SEED_BITS)
        thinking = Thinking(lambda stop: stream(writer, game.puzzle, language, seed=seed, stop=stop))
        last: Piece | None = None
        async with aclosing(in_turn(self.line, visitor, [thinking], every_seconds=0.3)) as news:
            async for new in news:
                if isinstance(new, Place):
                    yield {self.model: page.waiting(new, words)}
                elif self.games.get(visitor) is not game:
                    return  # another one was started
                else:
                    last = new[0]
        game.model = last
        if last is not None:
            yield {self.model: _hint(words["duel_model_done"].format(seconds=last.seconds))}
        if game.person:
            yield {self.told: self._ending(game, words), self.model: self._models_answer(game, words)}

    def try_answer(self, expression: str, language: str, request: gr.Request) -> Updates:
        """An expression was handed in: judged, and when it is right the game is over."""
        words, game = words_of(language), self.games.get(str(request.session_hash))
        if game is None:
            return {self.told: page.notice("", words["duel_not_started"])}
        verdict = check(game.puzzle, str(expression)[: MAX_EXPRESSION_CHARS + 1])
        if not verdict.solved:
            why = reason(words, verdict, game.puzzle)
            return {self.told: page.notice("", words["duel_try"].format(why=why))}
        if game.person is None:
            game.person = (expression, time.monotonic() - game.began)
        updates = {self.told: self._ending(game, words), self.clock: ""}
        return updates | ({self.model: self._models_answer(game, words)} if game.model else {})

    def _new_game(self, visitor: str, puzzle: Puzzle) -> Game:
        game = self.games[visitor] = Game(puzzle, time.monotonic())
        self.games.move_to_end(visitor)
        while len(self.games) > MAX_GAMES:
            self.games.popitem(last=False)
        return game

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
    return f'<p class="timer" role="timer">{escape(words["duel_running"])} {clock} s</p>'


def _keys(puzzle: Puzzle) -> str:
    """Tiles and operators to press."""
    names = [*map(str, puzzle.nums), *_OPERATORS]
    kinds = ["number"] * len(puzzle.nums) + ["operator"] * len(_OPERATORS)
    keys = (
        f'<button type="button" class="key {kind}" data-key="{name}">{name}</button>'
        for name, kind in zip(names, kinds, strict=True)
    )
    return f'<div class="keys">{"".join(keys)}</div>'


def _hint(text: str) -> str:
    return f'<p class="empty" role="status">{escape(text)}</p>'
