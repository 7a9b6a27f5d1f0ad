"""What programs and agents can call: ``/solve``, ``/check`` and ``/new_puzzle``, with the limits of the page.

Nothing about the arguments is assumed: a caller may send anything.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from random import Random
from typing import Any

import gradio as gr

from ..errors import CountdownError, InputError
from ..game.puzzle import MAX_EXPRESSION_CHARS, Puzzle, Verdict, check
from .facts import facts
from .line import Line, Place
from .puzzles import link, random_puzzle, read_puzzle
from .shelf import Shelf
from .stream import Piece, stream
from .thinking import Thinking, in_turn
from .trained_on import TrainedOn
from .watch import SEED_BITS
from .words import LANGUAGES

API_FRAME_SECONDS = 0.2
Solve = Callable[..., AsyncGenerator[dict, None]]


def solve_with(shelf: Shelf, line: Line) -> Solve:
    """The ``/solve`` function of a page."""

    async def solve(
        numbers: str, target: int, language: str = "en", seed: int | None = None, request: gr.Request | None = None
    ) -> AsyncGenerator[dict, None]:
        """Let a small language model think about a Countdown puzzle; updates stream until `verdict` is set.

        Args:
            numbers: one to six whole numbers from 1 to 10,000, for example "55 36 7 19".
            target: the whole number to make with + - * / and every number exactly once.
            language: the language to think in, "en" or "zh".
            seed: a whole number from 0 up; the same seed gives the same thought on the same machine.

        Returns:
            `thought`, `answer`, `solved`, `verdict`, `reason`, `n_tokens`, `seconds`, `seed`, `link` and, in the last
            update, `solvable`; while others are served first, `ahead` and `wait_seconds`.
        """
        puzzle, seed = _puzzle(numbers, target), _seed(seed)
        if language not in LANGUAGES:
            raise refusal(f"the language is one of {', '.join(LANGUAGES)}")
        if shelf.main.trouble:
            raise refusal(f"no model is loaded: {shelf.main.trouble}")
        always = {"seed": seed, "link": link(puzzle, seed), "ahead": 0, "wait_seconds": 0}
        visitor = str(getattr(request, "session_hash", None) or secrets.token_hex(8))
        writer = shelf.writer()
        thinking = Thinking(lambda stop: stream(writer, puzzle, language, seed=seed, stop=stop))
        try:
            async with aclosing(in_turn(line, visitor, [thinking], API_FRAME_SECONDS)) as news:
                async for new in news:
                    yield await _update(new, puzzle) | always | _waiting(new)
        except CountdownError as error:
            raise refusal(str(error)) from error

    return solve


def check_answer(numbers: str, target: int, expression: str) -> dict:
    """Judge an answer to a Countdown puzzle exactly: every number once, + - * / and parentheses, rational arithmetic.

    Args:
        numbers: one to six whole numbers from 1 to 10,000, for example "55 36 7 19".
        target: the whole number to make.
        expression: the answer, for example "55 + 36 - 7 - 19".

    Returns:
        `solved`, `verdict` and `reason`.
    """
    return _judgement(check(_puzzle(numbers, target), str(expression)[: MAX_EXPRESSION_CHARS + 1]))


def new_puzzle_like(trained: TrainedOn) -> Callable[..., dict]:
    """The ``/new_puzzle`` function of a page whose model was trained on such puzzles."""

    def new_puzzle(level: int | None = None) -> dict:
        """Draw a solvable Countdown puzzle like those that the model was trained on, and not one of them.

        Args:
            level: 0 when + and - suffice, 1 when it needs *, 2 when it needs /, 3 when it needs fractions; any if left
                out.

        Returns:
            `numbers`, `target`, `level` and `n_solutions`.
        """
        if level is not None and (type(level) is not int or not 0 <= level <= 3):
            raise refusal("the level is a whole number from 0 to 3")
        try:
            puzzle = random_puzzle(Random(), trained, level)
        except InputError as error:
            raise refusal(str(error)) from error
        found = facts(puzzle)
        numbers = " ".join(map(str, puzzle.nums))
        return {"numbers": numbers, "target": puzzle.target, "level": found.level, "n_solutions": found.n_solutions}

    return new_puzzle


def refusal(message: str) -> gr.Error:
    """An error that reaches the caller as this one sentence, without a traceback in the server's log."""
    return gr.Error(message, print_exception=False)


def _puzzle(numbers: object, target: object) -> Puzzle:
    try:
        return read_puzzle(numbers, target)
    except InputError as error:
        raise refusal(str(error)) from error


def _seed(seed: object) -> int:
    if seed is None:
        return secrets.randbits(SEED_BITS)
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise refusal("the seed is a whole number from 0 up")
    return seed


async def _update(new: Place | list[Piece], puzzle: Puzzle) -> dict[str, Any]:
    piece = Piece("", 0, 0.0) if isinstance(new, Place) else new[0]
    judgement = {"solved": False, "verdict": None, "reason": None, "solvable": None}
    if piece.verdict:
        found = await asyncio.to_thread(facts, puzzle)
        judgement = _judgement(piece.verdict) | {"solvable": found.n_solutions > 0}
    answer = piece.answer
    return {
        "thought": piece.thought,
        "answer": answer.strip() if answer is not None else None,
        "n_tokens": piece.n_tokens,
        "seconds": round(piece.seconds, 3),
    } | judgement


def _waiting(new: Place | list[Piece]) -> dict[str, int]:
    return {"ahead": new.ahead, "wait_seconds": new.seconds} if isinstance(new, Place) else {}


def _judgement(verdict: Verdict) -> dict[str, Any]:
    return {"solved": verdict.solved, "verdict": verdict.status.value, "reason": verdict.reason}
