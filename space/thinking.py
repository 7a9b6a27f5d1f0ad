"""Thoughts for many readers at once: each waits for its turn, then is written in a thread and read as it grows."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from threading import Event, Thread

from .line import GONE_AFTER_SECONDS, Line, Place
from .stream import Piece

FRAME_SECONDS = 0.06
WAITING_FRAME_SECONDS = 0.25
Frames = AsyncGenerator[list[Piece], None]
Make = Callable[[Event], Iterator[Piece]]
"""Makes a stream that ends, with a verdict, once the event is set."""


class Thinking:
    """A stream that runs in a thread of its own. It ends by itself when nobody reads it any more."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._stop, self._gone = Event(), Event()
        self._latest: Piece | None = None
        self._error: Exception | None = None
        self._seen = time.monotonic()
        context = contextvars.copy_context()  # says on ZeroGPU whose quota pays
        self._thread = Thread(target=context.run, args=(self._write,), daemon=True)

    def start(self) -> None:
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

    def read(self) -> tuple[Piece | None, bool]:
        """What there is, and whether that is the end. Raises what the stream raised."""
        self._seen = time.monotonic()
        alive = self._thread.is_alive()
        if self._error is not None:
            raise self._error
        return self._latest, not alive

    def _write(self) -> None:
        pieces = self._make(self._stop)
        try:
            for piece in pieces:
                self._latest = piece
                if self._gone.is_set() or time.monotonic() - self._seen > GONE_AFTER_SECONDS:
                    break
        # It belongs to the reader, who sits in another thread.
        except Exception as error:
            self._error = error


async def frames(thoughts: Sequence[Thinking], every_seconds: float = FRAME_SECONDS) -> Frames:
    """What the thoughts, side by side, have come to, whenever there is something new; always their ends.

    Leaving early ends them.
    """
    shown: list[Piece | None] = []
    try:
        for thought in thoughts:
            thought.start()
        over = False
        while not over:
            await asyncio.sleep(every_seconds)
            reads = [thought.read() for thought in thoughts]
            over = all(end for _, end in reads)
            now = [piece for piece, _ in reads]
            if now != shown and any(now):
                shown = now
                yield [piece or Piece("", 0, 0.0) for piece in now]
    finally:
        for thought in thoughts:
            thought.close()


async def in_turn(
    line: Line, visitor: str, thoughts: Sequence[Thinking], every_seconds: float = FRAME_SECONDS
) -> AsyncGenerator[Place | list[Piece], None]:
    """The places in line until it is their turn, then ``frames``. Raises ``Busy`` when the line is full."""
    ticket = line.join(visitor)
    try:
        while (place := line.place(ticket)).ahead:
            yield place
            await asyncio.sleep(WAITING_FRAME_SECONDS)
        async with aclosing(frames(thoughts, every_seconds)) as growing:
            async for pieces in growing:
                yield pieces
    finally:
        line.leave(ticket)
