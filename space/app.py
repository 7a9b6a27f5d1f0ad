"""The Gradio page: layout, wiring and server. ``handlers.py`` says what happens, ``page.py`` how it looks."""

from __future__ import annotations

import socket
from collections.abc import Callable
from importlib import resources
from random import Random
from threading import Event
from typing import Any

import gradio as gr
from gradio import themes
from gradio.events import api

from ..errors import InputError, StageError
from ..models import load, local_folder, resolve
from . import page
from .api import check_answer, new_puzzle, solve_with
from .handlers import OUTCOME, TRANSLATED, Demo, draw, exact, preview, wait
from .puzzles import random_puzzle
from .words import WORDS

Echo = Callable[[str], object]
QUEUE_SIZE = 32
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def build_app(model_name: str, *, default_language: str = "en") -> gr.Blocks:
    """The page and its API around a model: a folder, a shipped name or ``NAMESPACE/NAME@REVISION``.

    Raises ``StageError``, ``InputError`` or ``HubError`` when the model cannot be loaded.
    """
    if default_language not in WORDS:
        raise InputError(f"no page language '{default_language}': use {' or '.join(WORDS)}")
    source = resolve(model_name)
    model, tokenizer = load(model_name)
    demo = Demo(model, tokenizer, source, local_folder(source).name if source.revision else None)
    with gr.Blocks(title="Countdown", analytics_enabled=False, fill_width=True) as app:
        _wire(demo, _lay_out(demo, default_language))
        api(solve_with(model, tokenizer), api_name="solve", **ONE_AT_A_TIME)
        api(check_answer, api_name="check")
        api(new_puzzle, api_name="new_puzzle")
    app.queue(max_size=QUEUE_SIZE, default_concurrency_limit=4)
    return app


def serve(
    model_name: str, port: int = 7860, *, host: str = "127.0.0.1", language: str = "en", echo: Echo = print
) -> None:
    """Load the model, open the page on ``http://HOST:PORT``, ``echo`` that address and stay until interrupted.

    Raises ``StageError`` when the port is taken, before the model is loaded.
    """
    _require_free(host, port)
    app = build_app(model_name, default_language=language)
    style = resources.files("countdown_r1.space").joinpath("style.css").read_text(encoding="utf-8")
    try:
        _, url, _ = app.launch(
            server_name=host,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            footer_links=["api"],
            theme=_theme(),
            css=style,
        )
    except OSError as error:
        raise StageError(f"cannot serve on {host}:{port} ({error}); choose another port with --port") from error
    echo(url.rstrip("/"))
    try:
        Event().wait()
    except KeyboardInterrupt:
        app.close(verbose=False)


def _require_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise StageError(f"port {port} on {host} cannot be used ({error}); choose another with --port") from error


def _theme() -> themes.Base:
    """Gradio's plainest theme with the system's own fonts: nothing is fetched from anywhere."""
    sans = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Noto Sans CJK SC", "sans-serif"]
    return themes.Base(
        primary_hue="teal", neutral_hue="stone", radius_size="lg", font=sans, font_mono=["ui-monospace", "monospace"]
    )


def _lay_out(demo: Demo, language: str) -> dict[str, Any]:
    """Every component by name, top to bottom as the page shows them."""
    words, puzzle, parts = WORDS[language], random_puzzle(Random(0)), {}
    with gr.Column(elem_id="page"):
        with gr.Row(elem_id="top"):
            parts["header"] = gr.HTML(page.header(words), elem_id="header")
            parts["language"] = gr.Radio(
                [("EN", "en"), ("中文", "zh")],
                value=language,
                label="Language / 语言",
                show_label=False,
                container=False,
                elem_id="language",
            )
        parts["board"] = gr.HTML(page.board(puzzle, words.target))
        with gr.Row(elem_id="entry"):
            numbers = " ".join(map(str, puzzle.nums))
            parts["numbers"] = gr.Textbox(numbers, label=words.numbers, scale=3, min_width=180, elem_id="numbers")
            parts["target"] = gr.Textbox(
                str(puzzle.target), label=words.target, scale=1, min_width=90, elem_id="target"
            )
        with gr.Row(elem_id="buttons"):
            parts["solve"] = gr.Button(words.solve, variant="primary", min_width=110, elem_id="solve")
            parts["stop"] = gr.Button(words.stop, interactive=False, min_width=80, elem_id="stop")
            parts["random"] = gr.Button(words.random, min_width=130, elem_id="random")
        parts["note"] = gr.HTML("", elem_id="note")
        with gr.Accordion(words.thinking, open=True, elem_id="thinking") as parts["thinking"]:
            parts["thought"] = gr.HTML(page.thought("", words), elem_id="thought", autoscroll=True, max_height=380)
        parts["meter"] = gr.HTML("", elem_id="meter")
        parts["verdict"] = gr.HTML("", elem_id="verdict")
        parts["exact"] = gr.Button(words.exact, size="sm", elem_id="exact")
        parts["solution"] = gr.HTML("", elem_id="solution")
        parts["footer"] = gr.HTML(page.footer(demo.source, demo.commit, words), elem_id="origin")
    return parts


def _wire(demo: Demo, parts: dict[str, Any]) -> None:
    """Which function answers which button or box."""
    puzzle = [parts["numbers"], parts["target"], parts["language"]]
    outcome = [parts[name] for name in OUTCOME]
    start = [parts["solve"].click, parts["numbers"].submit, parts["target"].submit]
    pressed = gr.on(start, wait, parts["language"], outcome, trigger_mode="once", queue=False, **QUIET)
    pressed.then(demo.think, puzzle, outcome, **ONE_AT_A_TIME, **QUIET)
    parts["stop"].click(demo.stop, None, None, queue=False, **QUIET)
    shown = [parts["numbers"], parts["target"], *outcome]
    parts["random"].click(draw, parts["language"], shown, **QUIET)
    typed = [parts["numbers"].input, parts["target"].input]
    gr.on(typed, preview, puzzle, parts["board"], trigger_mode="always_last", queue=False, **QUIET)
    parts["exact"].click(exact, puzzle, parts["solution"], **QUIET)
    translated = [parts[name] for name in TRANSLATED]
    parts["language"].change(demo.translate, puzzle, translated, queue=False, **QUIET)
