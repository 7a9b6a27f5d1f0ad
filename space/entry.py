"""The top of the page: the puzzle that every view is about, typed, drawn, chosen, or brought by a link."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from random import Random
from typing import Any

import gradio as gr

from ..errors import InputError
from ..game.puzzle import Puzzle
from . import page
from .puzzles import random_puzzle, read_puzzle
from .story import Failure
from .words import WORDS, Words, preferred, words_of

Updates = dict[Any, Any]
"""New values by component."""
News = AsyncGenerator[Updates, None]
LEVELS = ("any", "0", "1", "2", "3")


class Entry:
    """The components, and what is shown in them."""

    def __init__(self, words: Words, language: str, failures: Sequence[Failure]) -> None:
        self.failures = failures
        puzzle = random_puzzle(Random(0))
        with gr.Row(elem_id="top"):
            self.header = gr.HTML(page.header(words), elem_id="header")
            self.language = gr.Radio(
                [("EN", "en"), ("中文", "zh")],
                value=language,
                label="Language / 语言",
                show_label=False,
                container=False,
                elem_id="language",
            )
        with gr.Column(elem_id="puzzle"):
            self.board = gr.HTML(page.board(puzzle, words), elem_id="board")
            with gr.Row(elem_id="entry"):
                self.numbers = gr.Textbox(
                    _typed(puzzle), label=words["numbers"], max_lines=1, scale=3, min_width=160, elem_id="numbers"
                )
                self.target = gr.Textbox(
                    str(puzzle.target), label=words["target"], max_lines=1, scale=1, min_width=80, elem_id="target"
                )
            with gr.Row(elem_id="drawing"):
                self.random = gr.Button(words["random"], size="sm", min_width=90, elem_id="random")
                self.level = gr.Dropdown(
                    _levels(words), value="any", label=words["level_label"], container=False, elem_id="level"
                )
                self.share = gr.HTML(page.share(puzzle, words), elem_id="share")
            self.examples = gr.HTML(page.examples(words, failures), elem_id="examples")
            self.note = gr.HTML("", elem_id="note")
        self.seed = gr.State(None)  # of the thought that a link brought; spent by the first solving

    @property
    def puzzle(self) -> list[Any]:
        """The components that say what the puzzle is and in which language to think about it."""
        return [self.numbers, self.target, self.language]

    @property
    def shown(self) -> list[Any]:
        """The components that change with the puzzle."""
        return [self.numbers, self.target, self.board, self.share, self.note, self.seed]

    @property
    def texts(self) -> list[Any]:
        """The components with words in them."""
        return [self.header, self.board, self.numbers, self.target, self.random, self.level, self.share, self.examples]

    def translate(self, numbers: str, target: str, words: Words) -> Updates:
        """Every text in another language."""
        puzzle = _puzzle(numbers, target)
        return {
            self.header: page.header(words),
            self.board: page.board(puzzle, words),
            self.numbers: gr.update(label=words["numbers"]),
            self.target: gr.update(label=words["target"]),
            self.random: words["random"],
            self.level: gr.update(choices=_levels(words), label=words["level_label"]),
            self.share: page.share(puzzle, words),
            self.examples: page.examples(words, self.failures),
        }

    def typed(self, numbers: str, target: str, language: str) -> Updates:
        """What stands in the boxes has changed: board and link follow."""
        words, puzzle = words_of(language), _puzzle(numbers, target)
        return {self.board: page.board(puzzle, words), self.share: page.share(puzzle, words)}

    def draw(self, level: str, language: str) -> Updates:
        """Another puzzle was asked for."""
        wanted = int(level) if level in LEVELS[1:] else None
        return self._set(random_puzzle(Random(), wanted), words_of(language))

    def opened(self, request: gr.Request) -> tuple[str, Updates]:
        """The page was opened: the language it is to speak, and the puzzle of the link, or what is wrong with it."""
        asked: Any = request.query_params
        language = asked.get("lang") if asked.get("lang") in WORDS else None
        language = language or preferred(request.headers.get("accept-language"))
        words = WORDS[language]
        if not (asked.get("nums") or asked.get("target")):
            return language, {}
        try:
            puzzle = read_puzzle(asked.get("nums"), asked.get("target"))
        except InputError as error:
            return language, {self.note: complaint(error, words)}
        seed = str(asked.get("seed") or "")
        return language, self._set(puzzle, words, int(seed) if seed.isdecimal() and len(seed) < 19 else None)

    def _set(self, puzzle: Puzzle, words: Words, seed: int | None = None) -> Updates:
        return {
            self.numbers: _typed(puzzle),
            self.target: str(puzzle.target),
            self.board: page.board(puzzle, words),
            self.share: page.share(puzzle, words, seed),
            self.note: "",
            self.seed: seed,
        }


def complaint(error: InputError, words: Words) -> str:
    """Why what was given is no puzzle."""
    reason = str(error)
    return page.notice(words["cannot"], words["bad_input"].format(reason=reason[:1].upper() + reason[1:]))


def _typed(puzzle: Puzzle) -> str:
    return " ".join(map(str, puzzle.nums))


def _levels(words: Words) -> list[tuple[str, str | int | float]]:
    return [(words[f"level.{level}"], level) for level in LEVELS]


def _puzzle(numbers: str, target: str) -> Puzzle | None:
    """What stands in the boxes, None while it is no puzzle."""
    try:
        return read_puzzle(numbers, target)
    except InputError:
        return None
