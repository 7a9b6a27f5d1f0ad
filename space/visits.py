"""What each visitor's view is about: one puzzle, in one language, and what has come of it so far.

A view keeps one ``Visit`` for each visitor and shows nothing else, so that what is shown is always of one puzzle and
one language. Whatever changes the puzzle or the language calls ``follow``: a visit of another puzzle is dropped. While
a thought is being written its own generator alone shows the visit, and last of all what it has become meanwhile:
there are never two writers, whose frames might overtake each other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import gradio as gr

from ..errors import InputError
from ..game.puzzle import Puzzle
from .puzzles import read_puzzle
from .thinking import Thinking
from .words import Words

MAX_VISITS = 500
Posed = Puzzle | tuple[str, str]
"""What stands in the boxes: a puzzle, or two texts that are none."""


def posed(numbers: object, target: object) -> Posed:
    """What somebody typed."""
    try:
        return read_puzzle(numbers, target)
    except InputError:
        return str(numbers), str(target)


def moment_of(given: object) -> float:
    """A browser's clock in milliseconds; whatever else is given is long ago."""
    return float(given) if isinstance(given, int | float) else 0.0


@dataclass(eq=False)
class Visit:
    """``moment`` is when it was asked for, by the browser's clock, and ``words`` are those of the page now;
    ``thoughts`` is what is or was written, ``running`` whether a generator shows this visit, ``over`` whether the
    thoughts have ended, and ``trouble`` says why they did not come."""

    posed: Posed
    words: Words
    moment: float = 0.0
    thoughts: Sequence[Thinking] = ()
    running: bool = False
    over: bool = False
    trouble: Callable[[Words], str] | None = None

    @property
    def puzzle(self) -> Puzzle:
        assert isinstance(self.posed, Puzzle)  # thoughts are about puzzles alone
        return self.posed

    dropped: bool = False
    changes: int = 0  # by others than its generator

    @property
    def busy(self) -> bool:
        return self.running and not self.over

    def begin(self, thoughts: Sequence[Thinking]) -> Sequence[Thinking]:
        """These are to be written, unless nobody wants to know any more."""
        self.thoughts = thoughts
        if self.dropped:
            self.drop()
        return thoughts

    def drop(self) -> None:
        self.dropped = True
        for thought in self.thoughts:
            thought.close()


def unchanged(shown: dict[Any, Any]) -> dict[Any, Any]:
    """The frame to end a generator with after ``shown``. Gradio sends the last one again when the generator has ended,
    and something newer may be in view by then.

    Of an update of several properties nothing may be left out: the browser edits the one that it may not have applied.
    """
    kept = {component: value for component, value in shown.items() if isinstance(value, dict)}
    return kept or dict.fromkeys(list(shown)[:1], gr.skip())


V = TypeVar("V", bound=Visit)


class Visits(Generic[V]):
    """The newest visits by visitor."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, V] = OrderedDict()

    def get(self, visitor: str) -> V | None:
        return self._kept.get(visitor)

    def put(self, visitor: str, visit: V) -> V:
        """In place of an earlier one, of which nobody wants to know any more."""
        self.drop(visitor)
        self._kept[visitor] = visit
        if len(self._kept) > MAX_VISITS:
            self._kept.popitem(last=False)
        return visit

    def drop(self, visitor: str) -> None:
        visit = self._kept.pop(visitor, None)
        if visit is not None:
            visit.drop()

    def follow(self, visitor: str, now: Posed, words: Words, moment: float) -> tuple[bool, V | None]:
        """At that moment the page spoke ``words`` and its boxes held ``now``: whether it is for the caller to show the
        visit, and the visit, None where that was of another puzzle.

        What was typed before the visit was asked for may arrive after it, and then says nothing of it.
        """
        visit = self.get(visitor)
        if visit is None:
            return True, None
        if moment_of(moment) < visit.moment:
            return False, visit
        visit.words = words
        if visit.posed != now:
            self.drop(visitor)
        return not visit.busy, self.get(visitor)

    async def shown(self, visitor: str, visit: V, news: AsyncGenerator[None, None]) -> AsyncGenerator[V | None, None]:
        """The visit whenever ``news`` have changed it, then once more when its thoughts are over, and again if it has
        changed while that was shown: None once it was dropped; of another one in its place what has ended."""
        try:
            async with aclosing(news):
                async for _ in news:
                    if not visit.dropped:
                        yield visit
            visit.over = True
            while (now := self.get(visitor)) is None or now is visit or not now.busy:
                one = now or visit
                words, changes = one.words, one.changes
                yield now
                if self.get(visitor) is now and one.words is words and one.changes == changes:
                    return
        finally:
            visit.running = False
