"""Which arithmetic claims of a thought are false, said with what is true.

``game.claims`` checks a claim exactly, and a rounded result to its last digit. Here a rounded number may also stand
inside an expression, as ``13.33`` for ``80 / 6`` in ``(77 - 11) / (80 / 6) = 66 / 13.33``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from itertools import product
from typing import NamedTuple

from ..game.claims import Claim, Side
from ..game.puzzle import Malformed, evaluate, normalise, show

MAX_DECIMALS = 3  # rounded numbers in one expression; with more it is taken as it stands
_DECIMAL = re.compile(r"([0-9]+)\.([0-9]+)")


class FalseClaim(NamedTuple):
    """A false claim at ``start:end`` of the text; ``said`` is the claim and what its left side makes."""

    start: int
    end: int
    said: str


def false_claims(text: str, claims: Iterable[Claim]) -> list[FalseClaim]:
    """Those of ``claims``, read from ``text``, that are false.

    >>> from ..game.claims import claims
    >>> text = "7 + 8 = 16, 66 / 13.33 = 66 / (80 / 6), 1 / 0 = 1"
    >>> [claim.said for claim in false_claims(text, claims(text))]
    ['7 + 8 = 16, but it makes 15', '1 / 0 = 1, but it divides by zero']
    """
    wrong = [claim for claim in claims if not (claim.true or _rounded(text, claim))]
    return [FalseClaim(claim.left.start, claim.right.end, _said(text, claim)) for claim in wrong]


def _said(text: str, claim: Claim) -> str:
    written = re.sub(r"\s+", " ", text[claim.left.start : claim.right.end])
    value = claim.right.value if claim.left.decimals is not None else claim.left.value
    return f"{written}, but it " + (f"makes {show(value)}" if value is not None else "divides by zero")


def _rounded(text: str, claim: Claim) -> bool:
    """Whether the numbers that rounded ones stand for can make the two sides equal."""
    if claim.relation == "≠":
        return False
    left, right = _range(text, claim.left), _range(text, claim.right)
    if left is None or right is None or (left[0] == left[1] and right[0] == right[1]):
        return False
    return left[0] < right[1] and right[0] < left[1]


def _range(text: str, side: Side) -> tuple[Fraction, Fraction] | None:
    """Lowest and highest value of a side when its decimals were rounded or cut off; None when it cannot be said."""
    written = text[side.start : side.end]
    decimals = list(_DECIMAL.finditer(written))
    if side.value is None or len(decimals) > MAX_DECIMALS:
        return None
    values = [side.value]
    for chosen in product(*([_fraction(one, -5), _fraction(one, 10)] for one in decimals)):
        replacements = iter(chosen)
        try:
            value, _ = evaluate(normalise(_DECIMAL.sub(lambda _: next(replacements), written)))  # noqa: B023
        except Malformed:
            return None
        values += [value] if value is not None else []
    return min(values), max(values)


def _fraction(decimal: re.Match[str], tenths: int) -> str:
    """The decimal moved by tenths of its last digit's unit, as a fraction in parentheses."""
    scaled = int(decimal[1] + decimal[2]) * 10 + tenths
    return f"({max(scaled, 0)}/{10 ** (len(decimal[2]) + 1)})"
