"""Thoughts for many readers at once: each waits for its turn, then is written in a thread and read as it grows."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from threading import Event, Thread

from ..errors import StageError
from .line import GONE_AFTER_SECONDS, Line, Place
from .stream import Piece

FRAME_SECONDS = 0.06
_LOOK_SECONDS, _LOOKS_A_FRAME = 0.05, 20  # a place in line is looked at often, and told when it changes or each second
_GIVEN_UP_AFTER_SECONDS = 30.0
_LONG_CHARS, _MOST_TIMES = 2_000, 4.0
Frames = AsyncGenerator[list[Piece], None]
Make = Callable[[Event], Iterator[Piece]]
"""Makes a stream that ends, with a verdict, once the event is set."""


class Thinking:
    """A stream that runs in a thread of its own. It rests while nobody reads it, and then ends by itself."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._stop, self._gone = Event(), Event()
        self._latest: Piece | None = None
        self._error: Exception | None = None
        self._seen = time.monotonic()
        context = contextvars.copy_context()  # says on ZeroGPU whose quota pays
        self._thread = Thread(target=context.run, args=(self._write,), daemon=True)

    def start(self) -> None:
        """Begin to write; until then its reader may have waited in line for minutes."""
        self._seen = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End it with a verdict."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def close(self) -> None:
        """End it for good: nobody wants it."""
        self._gone.set()

    @property
    def closed(self) -> bool:
        return self._gone.is_set()

    def read(self) -> tuple[Piece | None, bool]:
        """What there is, and whether that is the end. Raises what the stream raised."""
        self._seen = time.monotonic()
        alive = self._thread.is_alive()
        if self._error is not None:
            raise self._error
        return self._latest, not alive

    def _write(self) -> None:
        try:
            for piece in self._make(self._stop):
                self._latest = piece
                if self._unwanted():
                    break
        # It belongs to the reader, who sits in another thread.
        except Exception as error:
            self._error = error

    def _unwanted(self) -> bool:
        """Whether to give up. While nobody reads it waits, which costs nothing: a busy server may come back."""
        while not self._gone.is_set() and (unread := time.monotonic() - self._seen) > GONE_AFTER_SECONDS:
            if unread > _GIVEN_UP_AFTER_SECONDS:
                raise StageError("nobody has read this thought for too long; ask again")
            time.sleep(0.05)
        return self._gone.is_set()


async def frames(thoughts: Sequence[Thinking], every_seconds: float = FRAME_SECONDS) -> Frames:
    """What the thoughts, side by side, have come to, whenever there is something new; always their ends.

    What is long takes long to paint, in the time of the model that writes it, so it is shown less often. Leaving early
    ends the thoughts, and once they are closed nothing more comes.
    """
    shown: list[Piece | None] = []
    over, told = False, 0.0
    try:
        for thought in thoughts:
            thought.start()
        while not over:
            await asyncio.sleep(every_seconds)
            if all(thought.closed for thought in thoughts):
                return
            reads = [thought.read() for thought in thoughts]
            over = all(end for _, end in reads)
            now = [piece for piece, _ in reads]
            due = over or time.monotonic() - told >= every_seconds * _times(now)
            if due and now != shown and any(now):
                shown, told = now, time.monotonic()
                yield [piece or Piece("", 0, 0.0) for piece in now]
    finally:
        for thought in thoughts:
            thought.close()


def _times(pieces: Sequence[Piece | None]) -> float:
    """How many times rarer than short thoughts these are shown."""
    longest = max((len(piece.completion) for piece in pieces if piece), default=0)
    return min(1 + longest / _LONG_CHARS, _MOST_TIMES)


async def in_turn(
    line: Line, visitor: str, thoughts: Sequence[Thinking], every_seconds: float = FRAME_SECONDS
) -> AsyncGenerator[Place | list[Piece], None]:
    """The places in line until it is their turn, then ``frames``. Raises ``Busy`` when the line is full."""
    ticket = line.join(visitor)
    try:
        said, looked = None, 0
        while (place := line.place(ticket)).ahead:
            if said != place.ahead or looked % _LOOKS_A_FRAME == 0:
                said = place.ahead
                yield place
            looked += 1
            await asyncio.sleep(_LOOK_SECONDS)
            if all(thought.closed for thought in thoughts):
                return
        async with aclosing(frames(thoughts, every_seconds)) as growing:
            async for pieces in growing:
                line.keep(ticket)
                yield pieces
    finally:
        line.leave(ticket)
