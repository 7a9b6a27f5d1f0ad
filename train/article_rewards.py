"""The rewards of the Mini-R1 tutorial as its functions pay them, for those who want to repeat its run.

They look at a completion through three rules of their own:

- format: the first think tag closes the thought, a line break and ``<answer>`` follow at once, ``</answer>`` ends
  the completion;
- equation: the first ``<answer>`` that is closed on its own line, wherever it stands, in a thought too;
- its digits, read as whole numbers, are the given ones; then Python's arithmetic on it lies within 1e-5 of the target.

So these pay ``2**6 + 1``, ``7//2 + 62``, ``3.5*2 + 58`` for [3, 5, 2, 58], a right answer that a wrong one follows,
and near misses; they refuse ``×``, ``= 65`` and a line break in the answer. ``rewards`` does none of that.

Intended differences from the tutorial's functions:

- no hang: a power is worked out only while exponent and result stay small, and unclosed tags cost linear time
- no crash: an answer over 1,000 characters (10^5 signs or parentheses) earns 0 instead of exhausting the memory
- chat messages are read, and numbers may be strings, numpy or Arrow values; there they earn 0
- a row that is no puzzle is an ``InputError``; there it earns 0

A recipe selects them by name: ``rewards: {functions: [article_equation_reward, article_format_reward]}``.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from ..game.answer import ANSWER, END_ANSWER, END_THINK, THINK
from ..game.puzzle import MAX_EXPRESSION_CHARS, Puzzle
from .reward_rows import Text, read_puzzles, read_texts

TOLERANCE = 1e-5
MAX_EXPONENT, MAX_BASE = 64, 10**18
_ALLOWED = re.compile(r"[\d+\-*/().\s]+")
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def article_equation_reward(
    completions: Sequence[Text], nums: Sequence[Any], target: Sequence[Any], **_: object
) -> list[float]:
    """1.0 for each completion whose first one-line answer Python would evaluate to the target.

    >>> article_equation_reward(["<answer>2**6 + 1</answer>"], nums=[[1, 2, 6]], target=[65])
    [1.0]
    """
    texts = read_texts(completions)
    puzzles = read_puzzles(completions, nums, target)
    return [float(_pays(puzzle, _first_answer(text))) for puzzle, text in zip(puzzles, texts, strict=True)]


def article_format_reward(completions: Sequence[Text], **_: object) -> list[float]:
    """1.0 for each completion that reads ``thought</think>``, a line break, ``<answer>...</answer>``, and ends."""
    return [float(_formed(text)) for text in read_texts(completions)]


def _formed(text: str) -> bool:
    end = text.find(END_THINK)
    start = end + len(END_THINK) + 1 + len(ANSWER)
    if end < 0 or text.find(THINK, 0, end) >= 0 or not text.startswith(f"\n{ANSWER}", end + len(END_THINK)):
        return False
    last = len(text) - text.endswith("\n")  # a regular expression's $ also stands before a final line break
    return text.endswith(END_ANSWER, start, last)


def _first_answer(text: str) -> str | None:
    """What stands between the first ``<answer>`` and a ``</answer>`` on the same line."""
    opened, closed = text.find(ANSWER), -1
    while opened >= 0:
        begin = opened + len(ANSWER)
        if closed < begin:
            closed = text.find(END_ANSWER, begin)
        if closed < 0:
            return None
        line_end = text.find("\n", begin, closed)
        if line_end < 0:
            return text[begin:closed]
        opened = text.find(ANSWER, line_end)
    return None


def _pays(puzzle: Puzzle, answer: str | None) -> bool:
    expression = (answer or "").strip()
    if not expression or len(expression) > MAX_EXPRESSION_CHARS or not _ALLOWED.fullmatch(expression):
        return False
    if sorted(map(int, re.findall(r"\d+", expression))) != sorted(puzzle.nums):
        return False
    try:
        return abs(float(_python_value(ast.parse(expression, mode="eval").body)) - puzzle.target) < TOLERANCE
    # What Python says of text that is no expression, or whose value is not a number or out of reach.
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError):
        return False


def _python_value(node: ast.expr) -> Any:
    """The value Python gives an arithmetic expression. Raises ``ValueError`` for any other, and for large powers."""
    match node:
        case ast.Constant(int() | float() as number):
            return number
        case ast.UnaryOp(ast.USub(), operand):
            return -_python_value(operand)
        case ast.UnaryOp(ast.UAdd(), operand):
            return +_python_value(operand)
        case ast.BinOp(left, ast.Pow(), right):
            return _power(_python_value(left), _python_value(right))
        case ast.BinOp(left, kind, right) if type(kind) in _BINARY:
            return _BINARY[type(kind)](_python_value(left), _python_value(right))
    raise ValueError("not arithmetic on numbers")


def _power(base: Any, exponent: Any) -> Any:
    if abs(base) > MAX_BASE or abs(exponent) > MAX_EXPONENT:
        raise ValueError("the power is too large")
    return base**exponent
