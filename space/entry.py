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
from .story import Story, failures, opening_puzzle, own, rate
from .trained_on import TrainedOn
from .visits import Posed
from .words import WORDS, Words, preferred

Updates = dict[Any, Any]
"""New values by component."""
News = AsyncGenerator[Updates, None]
LEVELS = ("any", "0", "1", "2", "3")
FEWEST_WITH_A_FRACTION = 4  # with fewer numbers no whole target needs one


class Entry:
    """The components, and what is shown in them."""

    def __init__(self, words: Words, language: str, story: Story | None, trained: TrainedOn) -> None:
        self.story, self.trained = story, trained
        puzzle = self.first = opening_puzzle(story, trained)
        with gr.Row(elem_id="top"):
            self.header = gr.HTML(page.header(words, rate(story, words)), elem_id="header")
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
                    self._levels(words), value="any", label=words["level_label"], container=False, elem_id="level"
                )
                self.share = gr.HTML(page.share(puzzle, words), elem_id="share")
            self.examples = gr.HTML(self._examples(words), elem_id="examples")
        self.moment = gr.Number(0, visible=False)  # filled in by the browser, see ``stamped``
        self.seed = gr.State(None)  # of the thought that a link brought; spent by the first solving

    @property
    def puzzle(self) -> list[Any]:
        """The components that say when something is asked, what the puzzle is and in which language to think."""
        return [self.moment, self.numbers, self.target, self.language]

    @property
    def shown(self) -> list[Any]:
        """The components that change with the puzzle."""
        return [self.numbers, self.target, self.board, self.share, self.seed]

    @property
    def texts(self) -> list[Any]:
        """The components with words in them."""
        return [self.header, self.board, self.numbers, self.target, self.random, self.level, self.share, self.examples]

    def translate(self, now: Posed, words: Words) -> Updates:
        """Every text in another language."""
        return self.typed(now, words) | {
            self.header: page.header(words, rate(self.story, words)),
            self.numbers: gr.update(label=words["numbers"]),
            self.target: gr.update(label=words["target"]),
            self.random: words["random"],
            self.level: gr.update(choices=self._levels(words), label=words["level_label"]),
            self.examples: self._examples(words),
        }

    def typed(self, now: Posed, words: Words) -> Updates:
        """What stands in the boxes has changed: board and link follow."""
        puzzle = now if isinstance(now, Puzzle) else None
        return {self.board: page.board(puzzle, words), self.share: page.share(puzzle, words)}

    def draw(self, level: str) -> Puzzle:
        """Another puzzle was asked for. Raises ``InputError`` when there is none of that level."""
        return random_puzzle(Random(), self.trained, int(level) if level in LEVELS[1:] else None)

    def language_of(self, request: gr.Request) -> str:
        """The language that a link asks for, else the browser."""
        asked = request.query_params.get("lang")
        return asked if asked in WORDS else preferred(request.headers.get("accept-language"))

    def brought(self, request: gr.Request, words: Words) -> Updates:
        """The puzzle of the link, if there is one. Raises ``InputError`` when it is none."""
        asked: Any = request.query_params
        if not (asked.get("nums") or asked.get("target")):
            return {}
        seed = str(asked.get("seed") or "")
        whole = seed.isdecimal() and len(seed) < 19
        return self.set(read_puzzle(asked.get("nums"), asked.get("target")), words, int(seed) if whole else None)

    def set(self, puzzle: Puzzle, words: Words, seed: int | None = None) -> Updates:
        """Put a puzzle into the boxes, and with it the seed of a thought about it."""
        return {
            self.numbers: _typed(puzzle),
            self.target: str(puzzle.target),
            self.board: page.board(puzzle, words),
            self.share: page.share(puzzle, words, seed),
            self.seed: seed,
        }

    def _examples(self, words: Words) -> str:
        """The puzzle that the page opens with comes first, as a way back to it."""
        return page.examples(words, self.trained, [self.first], failures(own(self.story)))

    def _levels(self, words: Words) -> list[tuple[str, str | int | float]]:
        """The difficulties that the model's puzzles have."""
        possible = LEVELS if max(self.trained.numbers) >= FEWEST_WITH_A_FRACTION else LEVELS[:-1]
        return [(words[f"level.{level}"], level) for level in possible]


def stamped(inputs: Sequence[Any]) -> str:
    """JavaScript that fills in the first of the inputs, the moment, before they are sent."""
    return f"(_, ...given) => [performance.now(), ...given.slice(0, {len(inputs) - 1})]"


def complaint(error: InputError, words: Words) -> str:
    """Why what was given is no puzzle."""
    reason = str(error)
    return page.notice(words["cannot"], words["bad_input"].format(reason=reason[:1].upper() + reason[1:]))


def no_level(words: Words) -> str:
    """That there is no puzzle of a difficulty."""
    return page.notice("", words["no_level"])


def _typed(puzzle: Puzzle) -> str:
    return " ".join(map(str, puzzle.nums))
