"""Numbers and target of a puzzle out of the text around it, where the text names them.

Prompts name them in one sentence (``Using the numbers [5, 6] ... equals 30``, 使用[5, 6]这几个数字...等于30的等式);
thoughts without a prompt usually repeat them at their beginning (``use 19, 36 and 55 to get 65``). A list of numbers
is three or more with commas, or any in square brackets; the target is a number after words that aim at one.
"""

from __future__ import annotations

import re
from fractions import Fraction

from ..errors import InputError
from ..game.puzzle import Puzzle, left_side
from .shapes import leaves, parse_tree, value_of

MAX_CHARS = 1_500  # of the text that is searched, from its beginning
_GAP = r"\s{0,3}"
_COMMA = rf"{_GAP}[,，、]{_GAP}(?:and\s|和|以及)?{_GAP}"
_LAST = rf"{_GAP}(?:and|和|与|以及|&){_GAP}"
_LIST = re.compile(
    rf"\[{_GAP}([0-9]{{1,6}}(?:{_COMMA}[0-9]{{1,6}}){{0,5}}){_GAP}\]"
    rf"|(?<![0-9.,+*/=-])([0-9]{{1,6}}(?:{_COMMA}[0-9]{{1,6}}){{1,5}}(?:{_LAST}[0-9]{{1,6}})?)"
    rf"(?![0-9]|{_COMMA}[0-9]|{_GAP}[-+*/=×÷][^\n])",
    re.IGNORECASE,
)
_NUMBER = r"(-?[0-9]{1,9})(?![0-9]|\.[0-9]|\s{0,2}[-+*/×÷=]\s{0,2}[0-9(])"
_TARGETS = (  # words that name the target, then words that only aim
    re.compile(
        rf"(?:equal(?:s|ing)?(?:\s+to)?\s+|\b(?:target|goal)\b[^.0-9\n\[]{{0,40}}|\bevaluates?\s+to\s+|\banswer\s+of\s+|\bresults?\s+(?:in|of|is)\s+(?:the\s+number\s+)?"
        rf"|等于|结果(?:为|是|等于)|目标(?:结果|数字|数|值|值为)?[^。0-9\n\[]{{0,8}}){_GAP}{_NUMBER}",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?:\b(?:get|reach|make|form|create|obtain|produce|achieve|hit|into|need|yields?|gives?(?:\s+us)?|arrive\s+at|total)"
        rf"(?:\s+(?:to|the|a|number|result|value|of|exactly)){{0,4}}\s+|得到|达到|凑成|凑出|构成){_GAP}{_NUMBER}",
        re.IGNORECASE,
    ),
)


def recover(text: str) -> Puzzle | None:
    """The puzzle that the beginning of a text names; None when it does not name both parts of one.

    >>> recover("We need to use the numbers 19, 36, 55 and 7 exactly once to get 65.")
    Puzzle(nums=(19, 36, 55, 7), target=65)
    """
    head = text[:MAX_CHARS]
    for found in _LIST.finditer(head):
        nums = tuple(int(number) for number in re.findall(r"[0-9]+", found[0]))
        if found[1] or len(nums) > 2:
            target = _target(head, found.span())
            return None if target is None else _puzzle(nums, target)
    return None


def _target(head: str, listed: tuple[int, int]) -> int | None:
    """The first number after words that name a target, outside the list."""
    for words in _TARGETS:
        for found in words.finditer(head):
            if not listed[0] <= found.start(1) < listed[1]:
                return int(found[1])
    return None


def recover_from_answer(answer: str) -> Puzzle | None:
    """The puzzle that an answer solves, for files that hold right answers alone."""
    tree = parse_tree(left_side(answer))
    value = value_of(tree) if tree is not None else None
    if tree is None or value is None or value != Fraction(int(value)):
        return None
    return _puzzle(tuple(leaves(tree)), int(value))


def _puzzle(nums: tuple[int, ...], target: int) -> Puzzle | None:
    try:
        return Puzzle(nums, target)
    except InputError:
        return None
