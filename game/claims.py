"""Arithmetic claims in a thought, checked exactly: ``(80 - 77) * 5 = 3 * 5 = 15`` makes two.

A claim is two expressions with ``=``, ``≠`` or ``≈`` between them, at least one of which does some arithmetic.
Words, line breaks, list numbers and unknown operators end an expression, so prose around a claim is no part of it;
parentheses that stay open belong to the prose too. One pass over the text; every expression is of bounded size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from . import latex
from .puzzle import MAX_DIGITS, Malformed, evaluate, normalise

MAX_SIDE_CHARS = 200
_ARGUMENT = r"\s?(?:[0-9]|\{(?:[-+*/()0-9. ]|\\(?:times|div|cdot)\b|%s){1,80}\})"
_INNER = rf"{latex.FRACTION}(?:\{{[-+*/()0-9. ]{{1,40}}\}}){{2}}"
_FRACTION = latex.FRACTION + 2 * (_ARGUMENT % _INNER)  # a fraction may hold fractions, but no deeper ones
_KINDS = {
    "space": r"[ \t\u00a0\u3000]+|\\[,;:! ]",
    "number": rf"(?:[0-9]{{1,3}}(?:,[0-9]{{3}})+(?![0-9])|[0-9０-９]+)(?:\.[0-9]+)?|{_FRACTION}",
    "relation": r"\s{0,20}(?:={1,2}(?![=>])|=/=|!=|\\n?eq\b|\\approx\b|[＝≠≈]|不?等于|equals\b)",
    "operator": rf"[-+/×✕·∙⋅＊÷／∕−–－＋]|\*(?!\*)|\\{latex.NAMES}|[xX](?=[ \t]*[(0-9])",
    "open": r"[(（]|\\(?:left|[bB]igg?l?)\s?[(（]",
    "close": r"[)）]|\\(?:right|[bB]igg?r?)\s?[)）]",
}
_OTHER = r"[A-Za-z]+|[^\W0-9０-９_A-Za-z不等]+|\*+|."
_TOKEN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS.items()) + f"|{_OTHER}", re.DOTALL)
# Anything else ends every expression, so that a text is read one stretch without it at a time.
_STRETCH = re.compile(rf"(?P<stretch>(?:{'|'.join(_KINDS.values())})+)|(?:{_OTHER})[ \t]*", re.DOTALL)
# What most stretches of a thought are, behind the dash of a list perhaps: two whole numbers and what they make.
_SIMPLE = re.compile(r"[ \t]*(?:-[ \t])?([1-9][0-9]{0,8}) ([-+*/]) ([1-9][0-9]{0,8}) = ([1-9][0-9]{0,8})[ \t]*")
_RELATION = re.compile(_KINDS["relation"])
_DECIMAL = re.compile(r"([0-9]+)\.([0-9]+)")
_NUMBER = re.compile(r"[-−–－]?\s*[0-9０-９,]+(?:\.([0-9]+))?")
_SIGNS = "-−–－"
_WORDS = str.maketrans({"x": "*", "X": "*", ",": ""})


@dataclass(frozen=True)
class Side:
    """One expression of a claim, at ``start:end`` of the text.

    ``value`` is None after a division by zero, ``numbers`` are the whole numbers in it, ``decimals`` the digits
    behind the point when it is nothing but a number (0 for a whole one), else None.
    """

    start: int
    end: int
    value: Fraction | None
    numbers: tuple[int, ...]
    decimals: int | None


@dataclass(frozen=True)
class Claim:
    """``left`` stands in ``relation`` (``=``, ``≠`` or ``≈``) to ``right``."""

    left: Side
    relation: str
    right: Side

    @property
    def true(self) -> bool:
        """Whether it holds exactly; ``80 / 6 = 13.33`` does, to the last digit written, cut off or rounded."""
        if self.left.value is None or self.right.value is None:
            return False
        if self.relation == "≠" or self.left.value == self.right.value:
            return (self.relation == "≠") != (self.left.value == self.right.value)
        decimals = self.right.decimals or 0
        near = decimals > 0 or self.relation == "≈"
        return near and abs(self.left.value - self.right.value) < Fraction(1, 10**decimals)


def claims(text: str) -> Iterator[Claim]:
    """Every claim of ``text`` in order, in time linear in its length.

    >>> [claim.true for claim in claims("1. 7 + 8 = 15, so 15 × 2 = 3 * 10 = 31.")]
    [True, True, False]
    """
    for stretch in _STRETCH.finditer(text):
        if stretch.lastgroup is None:
            continue
        start, end = stretch.span()
        if simple := _SIMPLE.fullmatch(text, start, end):
            yield _simple_claim(simple)
        elif _RELATION.search(text, start, end):
            yield from _claims_between(text, start, end)


def _simple_claim(match: re.Match[str]) -> Claim:
    first, operator, second, result = match.groups()
    a, b = int(first), int(second)
    if operator == "/":
        value = Fraction(a, b)
    else:
        value = Fraction(a + b if operator == "+" else a - b if operator == "-" else a * b)
    left = Side(match.start(1), match.end(3), value, (a, b), None)
    return Claim(left, "=", Side(*match.span(4), Fraction(int(result)), (int(result),), 0))


def _claims_between(text: str, start: int, end: int) -> Iterator[Claim]:
    """The claims of ``text[start:end]``, a stretch of tokens that expressions are made of."""
    left: Side | None = None
    relation, side = "", _Reader()
    for token in _TOKEN.finditer(text, start):
        if token.start() >= end:
            break
        kind = token.lastgroup or ""
        if kind == "space":
            continue
        if kind != "relation" and side.takes(kind, token, after_relation=left is not None):
            continue
        if left:
            yield from _claim(left, relation, side.whole(text))
        if kind == "relation":
            left, relation, side = side.innermost(text), _meaning(token[0]), _Reader()
        else:
            left, side = None, _Reader()
            side.takes(kind, token, after_relation=False)
    if left:
        yield from _claim(left, relation, side.whole(text))


def _claim(left: Side, relation: str, right: Side | None) -> Iterator[Claim]:
    if right and (left.decimals is None or right.decimals is None):  # 8 = 8 does no arithmetic
        yield Claim(left, relation, right)


def _meaning(relation: str) -> str:
    word = relation.strip()
    if word in ("≈", "\\approx"):
        return "≈"
    return "≠" if word in ("≠", "!=", "=/=", "\\neq", "不等于") else "="


@dataclass
class _Reader:
    """An expression while it is read: where it starts, where its last operand ends, which parentheses are open."""

    start: int = -1
    end: int = -1
    opened: list[int] = field(default_factory=list)
    operand_read: bool = False
    sign_allowed: bool = True
    dash: bool = False

    def takes(self, kind: str, token: re.Match[str], after_relation: bool) -> bool:
        """Read one more token; False when the expression cannot go on with it."""
        if token.end() - (token.start() if self.start < 0 else self.start) > MAX_SIDE_CHARS:
            # Too long for a claim. From 0 on it stays so: what follows is skipped up to a word or a relation.
            self.start, self.operand_read, self.dash = 0, False, False
            return kind != "other"
        if kind == "operator":
            return self._operator(token, after_relation)
        if kind in ("number", "open") and not self.operand_read:
            self.start = token.start() if self.start < 0 else self.start
            self.operand_read = kind == "number"
            self.sign_allowed = not self.operand_read
        elif kind == "close" and self.operand_read and self.opened:
            self.opened.pop()
        else:
            return False
        if kind == "open":
            self.opened.append(token.end())
        else:
            self.end = token.end()
        return True

    def _operator(self, token: re.Match[str], after_relation: bool) -> bool:
        """An operator after an operand, or a sign; a minus with a space behind it at the start is a list's dash."""
        spaced = token.string[token.end() : token.end() + 1].isspace()
        if self.operand_read:
            self.dash = token[0] in _SIGNS and token.string[token.start() - 1].isspace()
            self.operand_read = self.sign_allowed = False
            return True
        if token[0] not in _SIGNS or not self.sign_allowed or (self.start < 0 and spaced and not after_relation):
            return False
        self.start = token.start() if self.start < 0 else self.start
        self.sign_allowed = False
        return True

    def whole(self, text: str) -> Side | None:
        """What was read, when it is an expression; ``88 - too big`` is 88 and a dash."""
        complete = self.end >= 0 and not self.opened and (self.operand_read or self.dash)
        return _side(text, self.start, self.end) if complete else None

    def innermost(self, text: str) -> Side | None:
        """What was read since the last parenthesis that is still open."""
        return _side(text, self.opened[-1] if self.opened else self.start, self.end) if self.operand_read else None


def _side(text: str, start: int, end: int) -> Side | None:
    written = text[start:end].strip()
    if written.isdecimal() and written[0] != "0" and len(written) <= MAX_DIGITS:
        return Side(start, end, Fraction(int(written)), (int(written),), 0)
    bare = _NUMBER.fullmatch(written)
    plain = normalise(written).translate(_WORDS)
    try:
        value, used = evaluate(_DECIMAL.sub(_ratio, plain) if "." in plain else plain)
    except Malformed:
        return None
    if "." in plain:
        used = [int(number) for number in re.findall(r"(?<![0-9.])[0-9]+(?![0-9.])", plain)]
    return Side(start, end, value, tuple(used), len(bare[1] or "") if bare else None)


def _ratio(decimal: re.Match[str]) -> str:
    return f"({int(decimal[1] + decimal[2])}/{10 ** len(decimal[2])})"
