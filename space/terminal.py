"""One puzzle in the terminal: the thought as it is written, then the verdict."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from ..game.puzzle import Puzzle, Verdict
from ..game.solver import easiest_solution
from .stream import TEMPERATURE, Piece, load_writer, stream
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
    as_json: bool = False,
) -> Verdict:
    """Let ``model`` think about a puzzle and print it while it does; the verdict is printed and returned.

    ``echo`` writes a text as it is, without a line's end of its own; by default to standard output. With
    ``show_solution`` the exact solver's easiest solution follows. With ``as_json`` nothing but one JSON object is
    written, at the end. Raises ``InputError`` for a puzzle out of range and ``StageError`` for a model that cannot be
    loaded.
    """
    echo = echo or _write
    puzzle = Puzzle(tuple(nums), target)
    writer = load_writer(model)
    written, piece = 0, None
    for piece in stream(writer, puzzle, language, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed):
        if not as_json:
            echo(printable(piece.completion[written:]))
            written = max(written, len(piece.completion))
    assert piece is not None and piece.verdict is not None  # the last piece always carries the verdict
    solution = easiest_solution(puzzle) if show_solution else None
    if as_json:
        record = {"nums": nums, "target": target, "model": model, "language": language, "seed": seed}
        echo(json.dumps(record | _measured(piece) | ({"solution": solution} if show_solution else {})) + "\n")
        return piece.verdict
    rate = piece.n_tokens / max(piece.seconds, 1e-9)
    echo(f"\n\n{'RIGHT' if piece.verdict.solved else 'WRONG'} ({piece.verdict.status}): {piece.verdict.reason}\n")
    mixed = "; the thought mixes languages" if piece.mixed else ""
    echo(f"{piece.n_tokens} tokens in {piece.seconds:.1f} s, {rate:.0f} a second{mixed}\n")
    trained = trained_on(model)
    if trained.recorded and not trained.covers(puzzle):
        echo(f"This model was trained on {trained.described('en')}; this puzzle is beyond that.\n")
    if show_solution:
        none = "there is none, this puzzle cannot be solved"
        echo(f"An exact solution: {f'{solution} = {target}' if solution else none}\n")
    return piece.verdict


def _measured(piece: Piece) -> dict[str, object]:
    """What was written and what came of it, under the names of an evaluation's records."""
    assert piece.verdict is not None
    verdict = {"verdict": piece.verdict.status, "solved": piece.verdict.solved, "reason": piece.verdict.reason}
    spent = {"n_tokens": piece.n_tokens, "seconds": round(piece.seconds, 3)}
    return {"generation": piece.completion, **verdict, "mixed": piece.mixed, **spent}


def printable(text: str) -> str:
    """A model's text without control characters, which a terminal would obey; line ends stay.

    >>> printable("3 + 5\\x1b[2J\\n")
    '3 + 5[2J\\n'
    """
    return "".join(character for character in text if character == "\n" or character.isprintable())


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
