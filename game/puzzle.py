"""A Countdown puzzle and the exact judgement of an expression.

Rules: use every given number exactly once with ``+ - * /`` and parentheses to make the target.
Arithmetic is exact (rational); nothing is ever passed to Python's ``eval``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from ..errors import InputError

MAX_NUMBERS = 6
MAX_NUMBER = 10_000
MAX_TARGET = 10**9
MAX_EXPRESSION_CHARS = 1_000


@dataclass(frozen=True)
class Puzzle:
    """Numbers to combine and the target to reach.

    ``nums`` are 1 to 6 integers in 1..10,000, ``target`` an integer with an absolute value up to 10^9.
    Raises ``InputError`` when either is out of range.
    """

    nums: tuple[int, ...]
    target: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.nums) <= MAX_NUMBERS:
            raise InputError(f"a puzzle has 1 to {MAX_NUMBERS} numbers, got {len(self.nums)}")
        for number in self.nums:
            if type(number) is not int or not 1 <= number <= MAX_NUMBER:
                raise InputError(f"numbers are whole and between 1 and {MAX_NUMBER:,}, got {number!r}")
        if type(self.target) is not int or abs(self.target) > MAX_TARGET:
            raise InputError(f"the target is a whole number of at most {MAX_TARGET:,}, got {self.target!r}")


class Status(StrEnum):
    """How an answer was judged; ``SOLVED`` is the only right one."""

    SOLVED = "solved"
    WRONG_VALUE = "wrong value"
    WRONG_NUMBERS = "wrong numbers"
    MALFORMED = "malformed"
    AMBIGUOUS = "ambiguous"
    NO_ANSWER = "no answer"
    UNFINISHED = "unfinished thought"


@dataclass(frozen=True)
class Verdict:
    """The judgement of one answer: ``status``, exact ``value`` when there is one, and the ``reason`` in words."""

    status: Status
    reason: str
    value: Fraction | None = None

    @property
    def solved(self) -> bool:
        return self.status is Status.SOLVED


# What a fair teacher accepts: typographic operators, full-width forms and odd spaces mean the same.
_SAME = str.maketrans(
    {"×": "*", "✕": "*", "·": "*", "∙": "*", "⋅": "*", "＊": "*", "÷": "/", "／": "/", "∕": "/"}
    | {"−": "-", "–": "-", "－": "-", "＋": "+", "（": "(", "）": ")", "＝": "="}
    | {chr(0xFF10 + digit): str(digit) for digit in range(10)}
    | dict.fromkeys("\u00a0\u3000\u2009\u202f\t\r\n", " ")
)
_TOKEN = re.compile(r" *(?:([0-9]+)|([-+*/()]))")
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "negate": 3}


class _Malformed(Exception):
    """Internal: the text is not an expression; the message is the verdict's reason."""


def normalise(expression: str) -> str:
    """The expression with typographic operators, full-width digits and odd spaces replaced by ASCII."""
    return expression.translate(_SAME)


def check(puzzle: Puzzle, expression: str) -> Verdict:
    """Judge ``expression`` for ``puzzle`` exactly, in time linear in its length; never raises on model text.

    Accepted beside plain ASCII: ``× ÷ −`` and full-width forms, a trailing ``= target``, newlines, and one
    minus at the very start or right after an opening parenthesis. Refused as malformed: powers, ``//``,
    decimals, words, implicit multiplication, leading zeros, other signs, more than 1,000 characters.

    >>> check(Puzzle((19, 36, 55, 7), 65), "55 + 36 - 7 - 19").status.value
    'solved'
    >>> check(Puzzle((19, 36, 55, 7), 65), "55 + 36 - 7 - 18").reason
    'uses 18, which was not given'
    """
    try:
        text = _left_of_equals(expression, puzzle.target)
        value, used = evaluate(text)
    except _Malformed as problem:
        return Verdict(Status.MALFORMED, str(problem))
    wrong = _wrong_numbers(puzzle.nums, used)
    if wrong:
        return Verdict(Status.WRONG_NUMBERS, wrong, value)
    if value is None:
        return Verdict(Status.MALFORMED, "divides by zero")
    if value != puzzle.target:
        return Verdict(Status.WRONG_VALUE, f"makes {show(value)}, not {puzzle.target}", value)
    return Verdict(Status.SOLVED, f"makes {puzzle.target} with every number used once", value)


def show(value: Fraction) -> str:
    """A rational as a person writes it: ``3``, ``7/2``; huge ones abbreviated."""
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def evaluate(expression: str) -> tuple[Fraction | None, list[int]]:
    """Exact value (None after a division by zero) and the numbers used, in order of appearance.

    Shunting-yard on (numerator, denominator) pairs. Raises ``_Malformed`` with the reason.
    """
    values: list[tuple[int, int]] = []
    operators: list[str] = []
    used: list[int] = []
    operand_next, sign_allowed = True, True
    for digits, symbol in _tokens(expression):
        if digits:
            if not operand_next:
                raise _Malformed("two numbers without an operator between them")
            used.append(_whole_number(digits))
            values.append((used[-1], 1))
            operand_next = False
        elif symbol == "(":
            if not operand_next:
                raise _Malformed("a parenthesis follows a number without an operator")
            operators.append("(")
        elif symbol == ")":
            _close(values, operators, operand_next)
        elif operand_next:
            if symbol != "-" or not sign_allowed:
                raise _Malformed(f"'{symbol}' has no number on its left")
            operators.append("negate")
        else:
            _reduce(values, operators, _PRECEDENCE[symbol])
            operators.append(symbol)
            operand_next = True
        sign_allowed = symbol == "("
    if operand_next:
        raise _Malformed("the expression ends where a number is expected" if used else "no expression")
    _reduce(values, operators, 0)
    if operators:
        raise _Malformed("a parenthesis is never closed")
    numerator, denominator = values[0]
    return (Fraction(numerator, denominator) if denominator else None), used


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    position, end = 0, len(text.rstrip(" "))
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            odd = text[position:].lstrip(" ")[0]
            raise _Malformed("decimals are not allowed" if odd == "." else f"'{odd}' is not allowed")
        tokens.append((match[1] or "", match[2] or ""))
        position = match.end()
    return tokens


def _whole_number(digits: str) -> int:
    if len(digits) > 1 and digits[0] == "0":
        raise _Malformed(f"'{digits[:12]}' starts with a zero")
    if len(digits) > 12:
        raise _Malformed("a number has more than 12 digits")
    return int(digits)


def _close(values: list[tuple[int, int]], operators: list[str], operand_next: bool) -> None:
    if operand_next:
        raise _Malformed("a parenthesis closes where a number is expected")
    _reduce(values, operators, 0)
    if not operators:
        raise _Malformed("a parenthesis closes that was never opened")
    operators.pop()


def _reduce(values: list[tuple[int, int]], operators: list[str], precedence: int) -> None:
    """Apply stacked operators that bind at least as tightly as ``precedence``, down to a parenthesis."""
    while operators and operators[-1] != "(" and _PRECEDENCE[operators[-1]] >= precedence:
        operator = operators.pop()
        right = values.pop()
        if operator == "negate":
            values.append((-right[0], right[1]))
        else:
            values.append(_apply(operator, values.pop(), right))


def _apply(operator: str, left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    """One exact operation on (numerator, denominator); a zero denominator marks an undefined value and stays."""
    (a, b), (c, d) = left, right
    if not (b and d):
        return 0, 0
    if operator == "+":
        return a * d + c * b, b * d
    if operator == "-":
        return a * d - c * b, b * d
    if operator == "*":
        return a * c, b * d
    return (a * d, b * c) if c else (0, 0)


def _left_of_equals(expression: str, target: int) -> str:
    """The expression without a trailing ``= target``; any other use of ``=`` is malformed."""
    if len(expression) > MAX_EXPRESSION_CHARS:
        raise _Malformed(f"longer than {MAX_EXPRESSION_CHARS:,} characters")
    left, equals, right = normalise(expression).partition("=")
    if equals and right.strip() != str(target):
        raise _Malformed("what follows '=' is not the target")
    return left


def _wrong_numbers(nums: tuple[int, ...], used: list[int]) -> str:
    """Why the used numbers are not the given ones, or an empty string."""
    left = list(nums)
    for number in used:
        if number in left:
            left.remove(number)
        elif number in nums:
            return f"uses {number} more often than it was given"
        else:
            return f"uses {number}, which was not given"
    return f"leaves out {', '.join(map(str, left))}" if left else ""
