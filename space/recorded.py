"""A recorded completion on the page: whole, or played as if it were being written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..game.answer import judge
from ..game.puzzle import Puzzle
from . import page
from .paint import finished_thought, growing_thought
from .stream import Piece
from .words import Words

MAX_PIXELS = 440  # the height from which on a thought scrolls
_FRAME_SECONDS, _FRAMES, _LEAST_CHARS = 0.08, 60, 6


class Scene(NamedTuple):
    """What is shown of a recorded completion, as HTML: the puzzle with the thought, and the verdict."""

    thought: str
    verdict: str


def whole(puzzle: Puzzle, completion: str, words: Words) -> Scene:
    piece = Piece(completion, 0, 0.0, judge(puzzle, completion))
    thought = posed(puzzle) + finished_thought(completion, puzzle, words)
    return Scene(thought, page.result(puzzle, piece, words))


def growing(puzzle: Puzzle, completion: str, words: Words) -> Scene:
    return Scene(posed(puzzle) + growing_thought(completion, puzzle, words), "")


@dataclass(eq=False)
class _Playing:
    choice: tuple[Any, ...]
    words: Words


class Player:
    """Shows what a visitor chose of some recorded completions, whole or growing. While one is played its generator
    alone shows anything, and ends with the whole of what is chosen by then."""

    def __init__(self, find: Callable[..., tuple[Puzzle, str]]) -> None:
        """``find`` has a choice as its arguments and returns a puzzle and a completion."""
        self.find = find
        self._playing: dict[str, _Playing] = {}

    def show(self, choice: tuple[Any, ...], words: Words, visitor: str) -> Scene | None:
        """The whole of it; None while something is played, which then follows the choice."""
        playing = self._playing.get(visitor)
        if playing is None:
            return whole(*self.find(*choice), words)
        playing.choice, playing.words = choice, words
        return None

    async def play(self, choice: tuple[Any, ...], words: Words, visitor: str) -> AsyncGenerator[Scene, None]:
        """The growing thought, in at most ``_FRAMES`` frames, then the whole of it."""
        playing = self._playing[visitor] = _Playing(choice, words)
        puzzle, completion = self.find(*choice)
        stride = max(len(completion) // _FRAMES, _LEAST_CHARS)
        try:
            for end in range(stride, len(completion), stride):
                if playing.choice != choice:
                    break
                yield growing(puzzle, completion[:end], playing.words)
                await asyncio.sleep(_FRAME_SECONDS)
            shown = None
            while shown != (playing.choice, playing.words):
                shown = playing.choice, playing.words
                yield whole(*self.find(*playing.choice), playing.words)
        finally:
            if self._playing.get(visitor) is playing:
                del self._playing[visitor]


def posed(puzzle: Puzzle) -> str:
    """The puzzle in a line."""
    return f'<p class="posed"><b>{" ".join(map(str, puzzle.nums))}</b> → <b>{puzzle.target}</b></p>'
