"""A recorded completion on the page: whole, or played as if it were being written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple

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


async def played(puzzle: Puzzle, completion: str, words: Words) -> AsyncGenerator[Scene, None]:
    """The growing thought, in at most ``_FRAMES`` frames, then the whole of it."""
    stride = max(len(completion) // _FRAMES, _LEAST_CHARS)
    for end in range(stride, len(completion), stride):
        yield Scene(posed(puzzle) + growing_thought(completion[:end], puzzle, words), "")
        await asyncio.sleep(_FRAME_SECONDS)
    yield whole(puzzle, completion, words)


def posed(puzzle: Puzzle) -> str:
    """The puzzle in a line."""
    return f'<p class="posed"><b>{" ".join(map(str, puzzle.nums))}</b> → <b>{puzzle.target}</b></p>'
