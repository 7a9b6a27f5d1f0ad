"""The Gradio page: its views and how they are wired. ``server.py`` opens it."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.events import api

from ..errors import InputError
from . import page
from .api import check_answer, new_puzzle, solve_with
from .compare import Compare
from .duel import Duel
from .entry import Entry, Updates
from .line import Line
from .shelf import Shelf
from .story import Story, failures
from .tale import Tale
from .watch import Watch
from .words import WORDS, Words, words_of

# Every visitor that waits holds one job of Gradio's queue; the line before the model refuses long before this.
MAX_JOBS = 120
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE: dict[str, Any] = {"queue": False} | QUIET
IN_TURN: dict[str, Any] = {"concurrency_limit": None, "trigger_mode": "once"} | QUIET  # double clicks count once
AGAIN: dict[str, Any] = IN_TURN | {"trigger_mode": "multiple"}


def build_app(shelf: Shelf, story: Story | None, *, default_language: str = "en") -> gr.Blocks:
    """The page and its API around the models of ``shelf``, with the story of a run."""
    if default_language not in WORDS:
        raise InputError(f"no page language '{default_language}': use {' or '.join(WORDS)}")
    words, line = WORDS[default_language], Line()
    with gr.Blocks(title="Countdown", analytics_enabled=False, fill_width=True) as app:
        with gr.Column(elem_id="page"):
            entry = Entry(words, default_language, failures(story))
            views = _Views(words, entry, shelf, line, story)
        _wire_entry(app, entry, views, default_language)
        _wire_views(entry, views)
        for name, function in (("solve", solve_with(shelf, line)), ("check", check_answer), ("new_puzzle", new_puzzle)):
            api(function, api_name=name, concurrency_limit=None)
    app.queue(max_size=MAX_JOBS, default_concurrency_limit=None)
    return app


class _Views:
    """The four views, each in its tab, and the line that says which model answers."""

    def __init__(self, words: Words, entry: Entry, shelf: Shelf, line: Line, story: Story | None) -> None:
        self.shelf = shelf
        with gr.Tabs(elem_id="views"):
            with gr.Tab(words["tab.watch"], id="watch") as watch:
                self.watch = Watch(words, entry, shelf, line)
            with gr.Tab(words["tab.compare"], id="compare") as compare:
                self.compare = Compare(words, entry, shelf, line)
            with gr.Tab(words["tab.duel"], id="duel") as duel:
                self.duel = Duel(words, entry, shelf, line)
            with gr.Tab(words["tab.story"], id="story", elem_id="story-tab") as tale:
                self.tale = Tale(words, story)
        self.tabs = {watch: "tab.watch", compare: "tab.compare", duel: "tab.duel", tale: "tab.story"}
        self.footer = gr.HTML(page.footer(shelf.main.source, shelf.main.commit, words), elem_id="origin")

    @property
    def texts(self) -> list[Any]:
        parts = (self.watch, self.compare, self.duel, self.tale)
        return [*(text for part in parts for text in part.texts), *self.tabs, self.footer]

    def translate(self, words: Words) -> Updates:
        names: Updates = {tab: gr.update(label=words[key]) for tab, key in self.tabs.items()}
        footer: Updates = {self.footer: page.footer(self.shelf.main.source, self.shelf.main.commit, words)}
        parts = (self.watch, self.compare, self.duel, self.tale)
        return names | footer | {text: shown for part in parts for text, shown in part.translate(words).items()}


def _wire_entry(app: gr.Blocks, entry: Entry, views: _Views, default: str) -> None:
    """The puzzle boxes, the language switch, and what happens when the page is opened."""
    watch = views.watch

    def translate(numbers: str, target: str, language: str) -> Updates:
        words = words_of(language)
        return entry.translate(numbers, target, words) | views.translate(words)

    def draw(level: str, language: str) -> Updates:
        return entry.draw(level, language) | watch.cleared(words_of(language))

    def opened(request: gr.Request) -> Updates:
        language, brought = entry.opened(request)
        return {entry.note: ""} | brought | ({entry.language: language} if language != default else {})

    entry.language.change(translate, entry.puzzle, [*entry.texts, *views.texts], **AT_ONCE)
    app.load(opened, None, [entry.language, *entry.shown], **AT_ONCE)
    entry.random.click(draw, [entry.level, entry.language], [*entry.shown, *watch.clearable], **AT_ONCE)
    changed = [entry.numbers.change, entry.target.change]
    gr.on(changed, entry.typed, entry.puzzle, [entry.board, entry.share], trigger_mode="always_last", **AT_ONCE)


def _wire_views(entry: Entry, views: _Views) -> None:
    """Which function answers which control."""
    watch, compare, duel, tale = views.watch, views.compare, views.duel, views.tale
    start = [watch.solve.click, entry.numbers.submit, entry.target.submit]
    gr.on(start, watch.think, [*entry.puzzle, entry.seed], watch.outcome, **IN_TURN)
    watch.stop_button.click(watch.stop, None, None, **AT_ONCE)
    watch.ask.click(watch.possible, entry.puzzle, watch.facts, **AT_ONCE)
    compared = [*entry.puzzle, compare.left, compare.right, compare.seed]
    compare.go.click(compare.think, compared, compare.outcome, **IN_TURN)
    compare.step.change(compare.at_step, compare.step, compare.right, **AT_ONCE)
    duel.start_button.click(duel.start, entry.puzzle, duel.outcome, **AGAIN)
    handed_in = [duel.submit.click, duel.answer.submit]
    gr.on(handed_in, duel.try_answer, [duel.answer, entry.language], duel.outcome, **AT_ONCE)
    choice = [*tale.chosen, entry.language]
    gr.on([tale.puzzle.change, tale.moment.change], tale.show, choice, tale.scene, **AT_ONCE)
    tale.play_button.click(tale.play, choice, tale.scene, **IN_TURN)
    tape = tale.tape
    wanted = [*tape.chosen, entry.language]
    gr.on([tape.step.change, tape.place.change], tape.show, wanted, tape.scene, trigger_mode="always_last", **AT_ONCE)
    tape.play_button.click(tape.play, wanted, tape.scene, **IN_TURN)
