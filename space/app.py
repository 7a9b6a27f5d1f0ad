"""The Gradio page: its views and how they are wired. ``server.py`` opens it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import gradio as gr
from gradio.events import api

from ..errors import InputError
from . import page
from .api import check_answer, new_puzzle_like, solve_with
from .compare import Compare
from .duel import Duel
from .entry import Entry, News, Updates, complaint, no_level, stamped
from .line import Line
from .shelf import Shelf
from .story import Story
from .tale import Tale
from .trained_on import TrainedOn
from .visits import Posed, posed, unchanged
from .watch import Watch
from .words import WORDS, Words, words_of

# Every visitor that waits holds one job of Gradio's queue; the line before the model refuses long before this.
MAX_JOBS = 120
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE: dict[str, Any] = {"queue": False} | QUIET
IN_TURN: dict[str, Any] = {"concurrency_limit": None, "trigger_mode": "once"} | QUIET  # double clicks count once
AGAIN: dict[str, Any] = IN_TURN | {"trigger_mode": "multiple"}
LATEST: dict[str, Any] = IN_TURN | {"trigger_mode": "always_last"}


def build_app(shelf: Shelf, story: Story | None, trained: TrainedOn, *, default_language: str = "en") -> gr.Blocks:
    """The page and its API around the models of ``shelf``, the story of a run and what its model ``trained`` on."""
    if default_language not in WORDS:
        raise InputError(f"no page language '{default_language}': use {' or '.join(WORDS)}")
    words, line = WORDS[default_language], Line()
    with gr.Blocks(title="Countdown", analytics_enabled=False, fill_width=True) as app:
        with gr.Column(elem_id="page"):
            entry = Entry(words, default_language, story, trained)
            views = _Views(words, entry, shelf, line, story)
        _wire_entry(app, entry, views, default_language)
        _wire_views(entry, views)
        draw = new_puzzle_like(trained)
        for name, function in (("solve", solve_with(shelf, line)), ("check", check_answer), ("new_puzzle", draw)):
            api(function, api_name=name, concurrency_limit=None)
    app.queue(max_size=MAX_JOBS, default_concurrency_limit=None)
    return app


class _Views:
    """The four views, each in its tab, and the line that says which model answers."""

    def __init__(self, words: Words, entry: Entry, shelf: Shelf, line: Line, story: Story | None) -> None:
        self.entry, self.shelf = entry, shelf
        with gr.Tabs(elem_id="views"):
            with gr.Tab(words["tab.watch"], id="watch") as watch:
                self.watch = Watch(words, entry, shelf, line, entry.trained)
            with gr.Tab(words["tab.compare"], id="compare") as compare:
                self.compare = Compare(words, entry, shelf, line)
            with gr.Tab(words["tab.duel"], id="duel") as duel:
                self.duel = Duel(words, entry, shelf, line)
            with gr.Tab(words["tab.story"], id="story", elem_id="story-tab") as tale:
                self.tale = Tale(words, story)
        self.tabs = {watch: "tab.watch", compare: "tab.compare", duel: "tab.duel", tale: "tab.story"}
        self.footer = gr.HTML(page.footer(shelf.main.source, shelf.main.commit, words), elem_id="origin")

    @property
    def about_the_puzzle(self) -> list[Any]:
        """The components that show something about the puzzle in the boxes."""
        return [*self.watch.outcome, *self.compare.outcome, *self.duel.outcome, self.entry.board]

    @property
    def texts(self) -> list[Any]:
        parts = (self.watch, self.compare, self.duel, self.tale)
        return [*(text for part in parts for text in part.texts), *self.tabs, self.footer]

    def follow(self, now: Posed, words: Words, visitor: str, moment: float) -> Updates:
        """Whatever changes the puzzle or the language comes here: every view shows that puzzle in that language."""
        shown = self.entry.typed(now, words)
        for view in (self.watch, self.compare, self.duel):
            shown |= view.follow(now, words, visitor, moment)
        return shown

    async def settled(self, visitor: str, shown: Updates) -> News:
        """``shown``, and then what the views have become while that was on its way: a short thought may have begun and
        ended meanwhile, and its frames may have arrived before this."""
        views = (self.watch, self.compare, self.duel)
        before = [view.current(visitor)[0] for view in views]
        yield shown
        while (visits := [view.current(visitor)[0] for view in views]) != before:
            before = visits
            later: Updates = {}
            for view in views:
                later |= view.current(visitor)[1]
            if later:
                shown = later
                yield shown
        yield unchanged(shown)

    def translate(self, words: Words) -> Updates:
        names: Updates = {tab: gr.update(label=words[key]) for tab, key in self.tabs.items()}
        footer: Updates = {self.footer: page.footer(self.shelf.main.source, self.shelf.main.commit, words)}
        parts = (self.watch, self.compare, self.duel, self.tale)
        return names | footer | {text: shown for part in parts for text, shown in part.translate(words).items()}


def _wire_entry(app: gr.Blocks, entry: Entry, views: _Views, default: str) -> None:
    """The puzzle boxes, the language switch, and what happens when the page is opened.

    All of it goes through the queue: a thought's frames do too, and arrive in the order in which they were made.
    """
    watch = views.watch

    async def translate(moment: float, numbers: str, target: str, language: str, request: gr.Request) -> News:
        words, visitor, now = words_of(language), str(request.session_hash), posed(numbers, target)
        texts = entry.translate(now, words) | views.translate(words)
        async for update in views.settled(visitor, texts | views.follow(now, words, visitor, moment)):
            yield update

    async def typed(moment: float, numbers: str, target: str, language: str, request: gr.Request) -> News:
        words, visitor = words_of(language), str(request.session_hash)
        async for update in views.settled(visitor, views.follow(posed(numbers, target), words, visitor, moment)):
            yield update

    async def draw(moment: float, numbers: str, target: str, language: str, level: str, request: gr.Request) -> News:
        words = words_of(language)
        visitor, now = str(request.session_hash), posed(numbers, target)
        try:
            puzzle = await asyncio.to_thread(entry.draw, level)
        except InputError:
            drawn = watch.refused(visitor, now, words, no_level, moment)
        else:
            drawn = views.follow(puzzle, words, visitor, moment) | entry.set(puzzle, words)
        async for update in views.settled(visitor, drawn):
            yield update

    async def opened(numbers: str, target: str, request: gr.Request) -> Updates:
        language, visitor = entry.language_of(request), str(request.session_hash)
        words, now = words_of(language), posed(numbers, target)
        try:
            brought = entry.brought(request, words)
        except InputError as error:
            brought = watch.refused(visitor, now, words, partial(complaint, error))
        return {entry.seed: None} | brought | ({entry.language: language} if language != default else {})

    everything = list(dict.fromkeys([*entry.texts, *views.texts, *views.about_the_puzzle]))
    asks(entry.language.change, translate, entry.puzzle, everything, AGAIN)
    shown = list(dict.fromkeys([*entry.shown, *views.about_the_puzzle]))
    loaded = app.load(opened, [entry.numbers, entry.target], [entry.language, *shown], **AT_ONCE)
    linked = [*entry.puzzle, entry.seed]
    loaded.then(watch.think_of_the_link, linked, watch.started, js=stamped(linked), **IN_TURN)
    asks(entry.random.click, draw, [*entry.puzzle, entry.level], shown, AGAIN)
    asks([entry.numbers.change, entry.target.change], typed, entry.puzzle, views.about_the_puzzle, LATEST)


def asks(events: Any, function: Any, inputs: list[Any], outputs: list[Any], how: dict[str, Any]) -> None:
    """Wire what is about the puzzle: its first input is the moment at which it was asked."""
    gr.on(events, function, inputs, outputs, js=stamped(inputs), **how)


def _wire_views(entry: Entry, views: _Views) -> None:
    """Which function answers which control."""
    watch, compare, duel, tale = views.watch, views.compare, views.duel, views.tale
    start = [watch.solve.click, entry.numbers.submit, entry.target.submit]
    asks(start, watch.think, [*entry.puzzle, entry.seed], watch.started, IN_TURN)
    watch.stop_button.click(watch.stop, None, None, **AT_ONCE)
    asks(watch.ask.click, watch.possible, entry.puzzle, watch.outcome, AGAIN)
    compared = [*entry.puzzle, compare.left, compare.right, compare.seed]
    asks(compare.go.click, compare.think, compared, compare.outcome, IN_TURN)
    compare.step.change(compare.at_step, compare.step, compare.right, **AT_ONCE)
    asks(duel.start_button.click, duel.start, entry.puzzle, duel.outcome, AGAIN)
    handed_in = [duel.submit.click, duel.answer.submit]
    asks(handed_in, duel.try_answer, [*entry.puzzle, duel.answer], duel.outcome, AGAIN)
    for part, changed in (
        (tale, [tale.puzzle.change, tale.moment.change]),
        (tale.tape, [tale.tape.step.change, tale.tape.place.change]),
    ):
        choice = [*part.chosen, entry.language]
        gr.on([*changed, entry.language.change], part.choose, choice, part.scene, **LATEST)
        part.play_button.click(part.play, choice, part.scene, **IN_TURN)
