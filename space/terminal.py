"""One puzzle in the terminal: the thought as it is written, then the verdict."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..game.puzzle import Puzzle, Verdict
from .stream import TEMPERATURE, load_writer, stream
from .trained_on import trained_on

Echo = Callable[[str], object]


def solve(  # noqa: PLR0913 - the command's arguments and flags, one each
    nums: list[int],
    target: int,
    model: str,
    language: str,
    echo: Echo | None = None,
    *,
    show_solution: bool = False,
    seed: int = 0,
    temperature: float = TEMPERATURE,
    max_new_tokens: int | None = None,
) -> Verdict:
    """Let ``model`` think about a puzzle and print it while it does; the verdict is printed and returned.

    ``echo`` writes a text as it is, without a line's end of its own; by default to standard output. With
    ``show_solution`` the exact solver's easiest solution follows. Raises ``InputError`` for a puzzle out of
    range and ``StageError`` for a model that cannot be loaded.
    """
    echo = echo or _write
    puzzle = Puzzle(tuple(nums), target)
    writer = load_writer(model)
    written, piece = 0, None
    for piece in stream(writer, puzzle, language, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed):
        echo(printable(piece.completion[written:]))
        written = max(written, len(piece.completion))
    assert piece is not None and piece.verdict is not None  # the last piece always carries the verdict
    rate = piece.n_tokens / max(piece.seconds, 1e-9)
    echo(f"\n\n{'RIGHT' if piece.verdict.solved else 'WRONG'} ({piece.verdict.status}): {piece.verdict.reason}\n")
    echo(f"{piece.n_tokens} tokens in {piece.seconds:.1f} s, {rate:.0f} a second\n")
    trained = trained_on(model)
    if trained.recorded and not trained.covers(puzzle):
        echo(f"This model was trained on {trained.described('en')}; this puzzle is beyond that.\n")
    if show_solution:
        echo(f"An exact solution: {_exact(puzzle)}\n")
    return piece.verdict


def printable(text: str) -> str:
    """A model's text without control characters, which a terminal would obey; line ends stay.

    >>> printable("3 + 5\\x1b[2J\\n")
    '3 + 5[2J\\n'
    """
    return "".join(character for character in text if character == "\n" or character.isprintable())


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _exact(puzzle: Puzzle) -> str:
    from ..game.solver import easiest_solution

    solution = easiest_solution(puzzle)
    return f"{solution} = {puzzle.target}" if solution else "there is none, this puzzle cannot be solved"
