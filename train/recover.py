"""Numbers and target of a puzzle out of the text around it, where the text names them: right, or not at all.

A prompt's puzzle is the last one that it states and does not solve itself, examples aside: numbers in a list
(``[5 6]``, ``5, 6 and 7``, ``numbers: 5 6``) and a number behind words that aim at one (equals, target, 等于, 凑), in
the same sentence or else beside it. Where two numbers are aimed at, none is taken. A thought is believed only where
it states the task before it calculates anything: numbers, target and words of a task in one sentence.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from ..errors import InputError
from ..game.puzzle import Puzzle, left_side
from . import recover_words as words
from .shapes import leaves, parse_tree, value_of

MAX_CHARS = 20_000  # of a prompt that are searched, its end
MAX_THOUGHT_CHARS = 1_500  # of a thought, its beginning
MAX_EXAMPLE_CHARS = 2_000  # how far the word "example" reaches


class _Numbers(NamedTuple):
    """A list of numbers at ``start:end``; ``nums`` is empty where it can be read in two ways."""

    start: int
    end: int
    nums: tuple[int, ...]


class _Aim(NamedTuple):
    """A number that is aimed at; ``named`` by words that leave no doubt, such as target."""

    at: int
    value: int
    named: bool


def recover(prompt: str) -> Puzzle | None:
    """The puzzle that a prompt states; None when it does not state one, or not for certain.

    >>> recover("Make 24 from 4 4 8 8. For example, 6 from 1, 2, 3 is 1 + 2 + 3.")
    Puzzle(nums=(4, 4, 8, 8), target=24)
    """
    text = _Text(words.level(prompt[-MAX_CHARS:]))
    asked = [place for place in range(len(text.lists)) if not text.is_example(text.lists[place].start)]
    asked = [place for place in asked if not text.is_solved(place)]
    if not asked:
        return None
    last = text.lists[asked[-1]].nums
    same = [place for place in asked if sorted(text.lists[place].nums) == sorted(last)]
    stated = {text.target(place) for place in same} - {None}
    return _puzzle(last, stated.pop()) if len(stated) == 1 else None


def recover_from_thought(thought: str) -> Puzzle | None:
    """The puzzle that the beginning of a thought states as the task, before it tries anything.

    >>> recover_from_thought("We need to use the numbers 19, 36, 55 and 7 exactly once to get 65. 19 + 36 = 55.")
    Puzzle(nums=(19, 36, 55, 7), target=65)
    >>> recover_from_thought("Let me try 41, 79 and 56 to get 135.")
    """
    leveled = words.level(thought[:MAX_THOUGHT_CHARS])
    worked = words.ARITHMETIC.search(leveled)
    text = _Text(leveled[: worked.start()] if worked else leveled)
    if not text.lists:
        return None
    begin, end = text.sentence(text.lists[0])
    said = text.text[begin:end]
    if not words.TASK.search(said) or words.TRIAL.search(text.text, begin, text.lists[0].start):
        return None
    values = {aim.value for aim in text.aims if begin <= aim.at < end}
    return _puzzle(text.lists[0].nums, values.pop()) if len(values) == 1 else None


def recover_from_answer(answer: str) -> Puzzle | None:
    """The puzzle that an answer solves, for files that hold right answers alone."""
    tree = parse_tree(left_side(answer))
    value = value_of(tree) if tree is not None else None
    if tree is None or value is None or value != Fraction(int(value)):
        return None
    return _puzzle(tuple(leaves(tree)), int(value))


def _puzzle(nums: tuple[int, ...], target: int | None) -> Puzzle | None:
    try:
        return None if target is None else Puzzle(nums, target)
    except InputError:
        return None


class _Text:
    """A text with its lists of numbers, the numbers it aims at, where its sentences end and where it gives examples."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.ends = [end.end() for end in words.END.finditer(text)]
        self.examples = [example.end() for example in words.EXAMPLE.finditer(text)]
        self.lists = _lists(text)
        self.aims = [aim for aim in _aims(text, self.lists) if not self.is_example(aim.at)]

    def sentence(self, one: _Numbers) -> tuple[int, int]:
        begin, end = bisect_right(self.ends, one.start), bisect_right(self.ends, one.end)
        return self.ends[begin - 1] if begin else 0, self.ends[end] if end < len(self.ends) else len(self.text)

    def target(self, place: int) -> int | None:
        """What is aimed at in the sentence of a list, else in its paragraph, else between the lists beside it.

        Where there are several lists, each goes with what stands on the side on which the first has its target.
        """
        one, before = self.lists[place], self.lists[:place]
        low = self.sentence(before[-1])[1] if before else 0
        high = self.sentence(self.lists[place + 1])[0] if place + 1 < len(self.lists) else len(self.text)
        opened, closed = self.text.rfind("\n\n", 0, one.start), self.text.find("\n\n", one.end)
        near = max(low, opened), min(high, closed if closed >= 0 else high)
        begin, end = self.sentence(one)
        own = {aim.value for aim in self.aims if begin <= aim.at < end}
        if own or not self.aims:
            return own.pop() if len(own) == 1 else None
        if len(self.lists) > 1 and self.aims[0].at > self.lists[0].start:
            near, low = (one.end, near[1]), one.end
        elif len(self.lists) > 1:
            near, high = (near[0], one.start), one.start
        values = self._aimed(*near) or {aim.value for aim in self.aims if low <= aim.at < high and aim.named}
        return values.pop() if len(values) == 1 else None

    def _aimed(self, begin: int, end: int) -> set[int]:
        inside = [aim for aim in self.aims if begin <= aim.at < end]
        return {aim.value for aim in [aim for aim in inside if aim.named] or inside}

    def is_solved(self, place: int) -> bool:
        """Whether the text works with exactly the numbers of a list behind it, and not as an example of an answer."""
        end = self.lists[place + 1].start if place + 1 < len(self.lists) else len(self.text)
        for one in words.EXPRESSION.finditer(self.text, self.lists[place].end, end):
            used = [int(digits) for digits in re.findall(r"[0-9]+", one[0].partition("=")[0])]
            if words.OPERATOR.search(one[0]) and sorted(used) == sorted(self.lists[place].nums):
                return not self.is_example(one.start())
        return False

    def is_example(self, at: int) -> bool:
        """Whether what stands there belongs to an example: in the sentence of the word, or below it as a heading."""
        place = bisect_right(self.examples, at)
        if not place or at - self.examples[place - 1] > MAX_EXAMPLE_CHARS:
            return False
        between = self.text[self.examples[place - 1] : at]
        if words.NOW.search(between):
            return False
        if not words.HEADING.match(between):
            return all(words.GOES_ON.match(between, end.end()) for end in words.END.finditer(between))
        content = re.search(r"[0-9]", between)
        return content is None or not words.NEXT.search(between, content.start())


def _lists(text: str) -> list[_Numbers]:
    """The lists that can be the numbers of a puzzle, in order."""
    found = []
    for one in words.LIST.finditer(text):
        before, after = text[max(0, one.start() - 80) : one.start()], text[one.end() : one.end() + 40]
        items = tuple(int(digits) for digits in re.findall(r"(?<![a-z0-9])[0-9]+", one[0]))
        bracketed = one["bracketed"] and len(items) > 1 and not words.RANGE.search(before)
        called = words.NUMBERS_BEFORE if len(items) < 3 else words.CUE_BEFORE
        if bracketed or called.search(before) or words.CUE_AFTER.match(after):
            unsure = words.THOUSANDS.search(one[0]) and re.search(r",\s", one[0])
            found.append(_Numbers(*one.span(), () if unsure else items))
    return found


def _aims(text: str, lists: Sequence[_Numbers]) -> list[_Aim]:
    """The numbers that words of the text aim at, those in its lists and the results of its sums aside."""
    found = []
    for named, pattern in ((True, words.NAMED), (True, words.NAMED_AFTER), (False, words.AIMED)):
        for one in pattern.finditer(text):
            at = one.start("number")
            inside = any(listed.start <= at < listed.end for listed in lists)
            if not inside and not _is_result(text, one, lists):
                found.append(_Aim(at, int(one["number"].replace(",", "")), named))
    return sorted(found)


def _is_result(text: str, aim: re.Match[str], lists: Sequence[_Numbers]) -> bool:
    """Whether a number is what a sum makes: 66 in ``55 + 11 equals 66``."""
    end = len(text[: aim.start()].rstrip())
    said = text[max(0, end - 1) : end].isdigit() or text[max(0, end - 1) : end] == ")"
    return (
        said
        and aim.start() < aim.start("number")
        and not words.GOAL.match(aim[0])
        and all(one.end != end for one in lists)
    )
