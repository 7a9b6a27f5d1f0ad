"""What holds for every completion, whatever bytes it is made of; run by hypothesis, the corpus and a fuzzer.

python tests/completion_properties.py tests/corpus -max_total_time=600

searches for a counterexample guided by coverage; it needs ``pip install atheris`` in an environment that holds
this package.
"""

from __future__ import annotations

import ast
import importlib
import sys
from fractions import Fraction
from typing import Any

from countdown_r1.game.answer import judge, parse, right
from countdown_r1.game.claims import claims
from countdown_r1.game.puzzle import MAX_EXPRESSION_CHARS, Puzzle, Status, check, normalise
from countdown_r1.train.article_rewards import article_equation_reward, article_format_reward
from countdown_r1.train.rewards import equation_reward, format_reward
from countdown_r1.train.shaped_rewards import MOST, language_reward, length_reward, truth_reward

PUZZLES = (Puzzle((3, 5), 15), Puzzle((19, 36, 55, 7), 65), Puzzle((8, 3, 8, 3), 24), Puzzle((2, 6, 1), -3))
_ARITHMETIC = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}


def text_of(data: bytes) -> tuple[Puzzle, str]:
    """A puzzle, chosen by the first byte, and a completion; other encodings than UTF-8 give lone surrogates."""
    return PUZZLES[data[0] % len(PUZZLES) if data else 0], data[1:].decode("utf-8", "surrogateescape")


def check_properties(data: bytes) -> None:
    """Raise ``AssertionError`` when two judges of the package, or a judge and Python's own parser, disagree."""
    puzzle, completion = text_of(data)
    columns = {"nums": [list(puzzle.nums)], "target": [puzzle.target], "prompts": ["Using the numbers"]}
    parsed, verdict = parse(completion), judge(puzzle, completion)
    assert right(puzzle, parsed) == verdict.solved
    assert equation_reward([completion], **columns) == [float(verdict.solved)]
    assert format_reward([completion], **columns) == [float(parsed.well_formed)]
    assert parsed.finished == ("</think>" in completion)
    assert (verdict.status is Status.UNFINISHED) == (not parsed.finished)
    assert "\n" not in verdict.reason
    assert len(verdict.reason) < 120
    for answer in (completion, *parsed.answers[-3:]):
        check_against_python(puzzle, answer)
    for reward in (article_equation_reward, article_format_reward):
        assert set(reward([completion], **columns)) <= {0.0, 1.0}
    for reward in (language_reward, length_reward, truth_reward):
        assert all(-MOST <= score <= 0.0 for score in reward([completion], **columns))
    ends = [claim.right.end for claim in claims(completion[:2_000])]
    assert ends == sorted(ends)


def check_against_python(puzzle: Puzzle, answer: str) -> None:
    """What we solve is what Python's parser and Fractions solve; what is well formed for us is so for Python."""
    verdict = check(puzzle, answer)
    if verdict.status is Status.MALFORMED and verdict.reason != "divides by zero":
        return
    assert len(answer) <= MAX_EXPRESSION_CHARS
    used: list[int] = []
    left, _, rest = normalise(answer).partition("=")
    assert rest.strip() in ("", str(puzzle.target))
    try:
        value = python_value(ast.parse(left.strip(), mode="eval").body, used)
    except ZeroDivisionError:
        value = None
    assert verdict.value == value
    if value is not None:
        assert verdict.solved == (value == puzzle.target and sorted(used) == sorted(puzzle.nums))


def python_value(node: ast.expr, used: list[int]) -> Fraction:
    """The exact value of a syntax tree of sums, products and single signs; anything else is an assertion."""
    match node:
        case ast.Constant(int() as number):
            used.append(number)
            return Fraction(number)
        case ast.UnaryOp(ast.USub(), operand):
            return -python_value(operand, used)
        case ast.BinOp(left, kind, right_side):
            return _ARITHMETIC[type(kind)](python_value(left, used), python_value(right_side, used))
    raise AssertionError(ast.dump(node))


def main() -> None:
    atheris: Any = importlib.import_module("atheris")
    atheris.instrument_all()
    atheris.Setup(sys.argv, check_properties)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
