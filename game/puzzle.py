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
from . import latex

MAX_NUMBERS = 6
MAX_NUMBER = 10_000
MAX_TARGET = 10**9
MAX_EXPRESSION_CHARS = 1_000
MAX_DIGITS = 12


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
                raise InputError(f"numbers are whole and between 1 and {MAX_NUMBER:,}, got {_given(number)}")
        if type(self.target) is not int or abs(self.target) > MAX_TARGET:
            raise InputError(f"the target is a whole number of at most {MAX_TARGET:,}, got {_given(self.target)}")


def _given(value: object) -> str:
    """A value for a message; Python refuses to print an integer of more than 4,300 digits."""
    bits = value.bit_length() if isinstance(value, int) else 0
    return f"one of {bits:,} bits" if bits > 64 else repr(value)


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
    dict.fromkeys("×✕✖·∙⋅＊∗", "*")
    | dict.fromkeys("÷／∕➗", "/")
    | dict.fromkeys("−–－‐‑‒﹣➖", "-")
    | dict.fromkeys("＋﹢➕", "+")
    | {"（": "(", "）": ")", "﹙": "(", "﹚": ")", "＝": "=", "﹦": "="}
    | {chr(0xFF10 + digit): str(digit) for digit in range(10)}
    | dict.fromkeys("\t\r\n\u00a0\u202f\u205f\u3000", " ")
    | dict.fromkeys(range(0x2000, 0x200B), " ")
)
_TOKENS = re.compile(r"[0-9]+|[^ \t\r\n]")


class Malformed(Exception):
    """What ``evaluate`` raises when a text is no expression; the message is the verdict's reason."""


def normalise(expression: str) -> str:
    """The expression with LaTeX, typographic operators, full-width digits and odd spaces replaced by ASCII."""
    return latex.plain(expression.translate(_SAME)) if latex.is_latex(expression) else expression.translate(_SAME)


def left_side(answer: str) -> str:
    """What stands before ``=`` in an answer of at most ``MAX_EXPRESSION_CHARS`` characters, normalised."""
    return normalise(answer[:MAX_EXPRESSION_CHARS]).partition("=")[0]


def check(puzzle: Puzzle, expression: str) -> Verdict:
    """Judge ``expression`` for ``puzzle`` exactly; never raises on model text.

    Accepted beside plain ASCII: ``× ÷ −`` and full-width forms, LaTeX (``\\times``, ``\\frac{a}{b}``, ``$...$``), a
    trailing ``= target``, newlines, and one minus at the very start or right after an opening parenthesis.
    Refused as malformed: powers, ``//``, decimals, words, implicit multiplication, leading zeros, other signs, more
    than 1,000 characters.

    >>> check(Puzzle((19, 36, 55, 7), 65), "55 + 36 - 7 - 19").status.value
    'solved'
    >>> check(Puzzle((19, 36, 55, 7), 65), "55 + 36 - 7 - 18").reason
    'uses 18, which was not given'
    """
    try:
        value, used = evaluate(_left_of_equals(expression, puzzle.target))
    except Malformed as problem:
        return Verdict(Status.MALFORMED, str(problem))
    wrong = _wrong_numbers(puzzle.nums, used)
    if wrong:
        return Verdict(Status.WRONG_NUMBERS, wrong, value)
    if value is None:
        return Verdict(Status.MALFORMED, "divides by zero")
    if value != puzzle.target:
        return Verdict(Status.WRONG_VALUE, f"makes {show(value)}, not {puzzle.target}", value)
    return Verdict(Status.SOLVED, f"makes {puzzle.target} with every number used once", value)


def solves(puzzle: Puzzle, expression: str) -> bool:
    """``check(puzzle, expression).solved`` for those who need no reason, at two thirds of the time.

    >>> solves(Puzzle((8, 3, 8, 3), 24), "8 / (3 - 8 / 3) = 24")
    True
    """
    try:
        numerator, denominator, used = _value(_left_of_equals(expression, puzzle.target))
    except Malformed:
        return False
    made = denominator and numerator == puzzle.target * denominator
    return bool(made) and sorted(used) == sorted(puzzle.nums)


def show(value: Fraction) -> str:
    """A rational as a person writes it: ``3``, ``7/2``; huge ones abbreviated."""
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def evaluate(expression: str) -> tuple[Fraction | None, list[int]]:
    """Exact value (None after a division by zero) and the numbers used, in order of appearance.

    Raises ``Malformed`` with the reason.
    """
    numerator, denominator, used = _value(expression)
    return (Fraction(numerator, denominator) if denominator else None), used


def _value(expression: str) -> tuple[int, int, list[int]]:  # noqa: PLR0912 - one loop: calls would double its time
    """Numerator, denominator (0 after a division by zero) and the numbers used. Raises ``Malformed``.

    With two levels of precedence no stack of operators is needed: at every depth of parentheses a value is
    ``total`` + ``term``, where ``term`` is the product that is still growing, all as (numerator, denominator).
    """
    used: list[int] = []
    outer: list[tuple[int, int, int, int, bool]] = []
    total, total_den, term, term_den = 0, 1, 1, 1
    divide = operand_read = by_zero = False
    sign_allowed = True
    for token in _TOKENS.findall(expression):
        if "/" < token < ":" and not operand_read:  # a number: its first character is a digit
            if len(token) > 1 and (token[0] == "0" or len(token) > MAX_DIGITS):
                raise Malformed(_odd_number(token))
            number = int(token)
            used.append(number)
            operand_read = True
            if not divide:
                term *= number
            elif number:
                term_den *= number
            else:
                by_zero = True
        elif operand_read and token in "+-*/":
            divide = token == "/"
            if token in "+-":
                total, total_den = total * term_den + term * total_den, total_den * term_den
                term, term_den = (1 if token == "+" else -1), 1
            operand_read = sign_allowed = False
        elif token == ")" and operand_read and outer:
            number, den = total * term_den + term * total_den, total_den * term_den
            total, total_den, term, term_den, divide = outer.pop()
            if divide:
                number, den = den, number
                by_zero = by_zero or not den
                den = den or 1
            term, term_den = term * number, term_den * den
        elif token == "(" and not operand_read:
            outer.append((total, total_den, term, term_den, divide))
            total, total_den, term, term_den = 0, 1, 1, 1
            divide, sign_allowed = False, True
        elif token == "-" and sign_allowed and not operand_read:
            term, sign_allowed = -1, False
        else:
            raise Malformed(_misplaced(token, operand_read))
    if outer or not operand_read:
        raise Malformed(_unfinished(operand_read, used))
    return total * term_den + term * total_den, 0 if by_zero else total_den * term_den, used


def _odd_number(digits: str) -> str:
    if digits[0] == "0":
        return f"'{digits[:MAX_DIGITS]}' starts with a zero"
    return f"a number has more than {MAX_DIGITS} digits"


def _misplaced(token: str, operand_read: bool) -> str:
    """Why ``token`` cannot stand where it stands."""
    if token == ".":
        return "decimals are not allowed"
    if token == "(":
        return "a parenthesis follows a number without an operator"
    if token == ")":
        return f"a parenthesis closes {'that was never opened' if operand_read else 'where a number is expected'}"
    if token in "+-*/":
        return f"'{token}' has no number on its left"
    return "two numbers without an operator between them" if "/" < token < ":" else f"{token!r} is not allowed"


def _unfinished(operand_read: bool, used: list[int]) -> str:
    """Why an expression cannot end where it ends."""
    if operand_read:
        return "a parenthesis is never closed"
    return "the expression ends where a number is expected" if used else "no expression"


def _left_of_equals(expression: str, target: int) -> str:
    """The expression without a trailing ``= target``; any other use of ``=`` is malformed."""
    if len(expression) > MAX_EXPRESSION_CHARS:
        raise Malformed(f"longer than {MAX_EXPRESSION_CHARS:,} characters")
    text = expression if expression.isascii() and not latex.is_latex(expression) else normalise(expression)
    left, equals, right = text.partition("=")
    if equals and right.strip() != str(target):
        raise Malformed("what follows '=' is not the target")
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
