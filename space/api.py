"""What programs can call: ``/solve``, ``/check`` and ``/new_puzzle``. Nothing about the arguments is assumed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from random import Random
from typing import Any

import gradio as gr

from ..errors import CountdownError, InputError
from ..game.puzzle import MAX_EXPRESSION_CHARS, Puzzle, Verdict, check
from ..game.solver import easiest_solution
from .puzzles import random_puzzle, read_puzzle
from .stream import Piece, frames, stream
from .words import WORDS


def solve_with(model: Any, tokenizer: Any) -> Any:
    """The ``/solve`` function of one loaded model."""

    def solve(numbers: str, target: int, language: str = "en", seed: int | None = None) -> Iterator[dict]:
        """Let the model think about a puzzle; updates stream until `verdict` is set.

        `numbers`: up to six whole numbers, for example "55 36 7 19"; `target`: a whole number; `language`: "en"
        or "zh"; `seed`: the same seed gives the same thought on the same machine. The result holds `thought`,
        `answer`, `solved`, `verdict`, `reason`, `n_tokens`, `seconds` and `solvable`.
        """
        puzzle = _puzzle(numbers, target)
        if language not in WORDS:
            raise refusal(f"the language is one of {', '.join(WORDS)}")
        if seed is not None and (type(seed) is not int or not 0 <= seed < 2**63):
            raise refusal("the seed is a whole number from 0 up")
        solvable = {"solvable": easiest_solution(puzzle) is not None}
        try:
            pieces = stream(model, tokenizer, puzzle, language, seed=secrets.randbits(32) if seed is None else seed)
            for piece in frames(pieces):
                yield _record(piece) | solvable
        except CountdownError as error:
            raise refusal(str(error)) from error

    return solve


def check_answer(numbers: str, target: int, expression: str) -> dict:
    """Judge an expression exactly: every number once, + - * / and parentheses, rational arithmetic.

    The result holds `solved`, `verdict` and `reason`.
    """
    return _judgement(check(_puzzle(numbers, target), str(expression)[: MAX_EXPRESSION_CHARS + 1]))


def new_puzzle() -> dict:
    """A solvable puzzle on whose numbers no model of this project has trained: `numbers` and `target`."""
    puzzle = random_puzzle(Random())
    return {"numbers": " ".join(map(str, puzzle.nums)), "target": puzzle.target}


def refusal(message: str) -> gr.Error:
    """An error that reaches the caller as this one sentence, without a traceback in the server's log."""
    return gr.Error(message, print_exception=False)


def _puzzle(numbers: object, target: object) -> Puzzle:
    try:
        return read_puzzle(numbers, target)
    except InputError as error:
        raise refusal(str(error)) from error


def _record(piece: Piece) -> dict[str, Any]:
    judgement = _judgement(piece.verdict) if piece.verdict else {"solved": False, "verdict": None, "reason": None}
    answer = piece.answer
    return {
        "thought": piece.thought,
        "answer": answer.strip() if answer is not None else None,
        "n_tokens": piece.n_tokens,
        "seconds": round(piece.seconds, 3),
    } | judgement


def _judgement(verdict: Verdict) -> dict[str, Any]:
    return {"solved": verdict.solved, "verdict": verdict.status.value, "reason": verdict.reason}
