"""The line before the model: who is next, how long it takes, and when it is too long to join.

One thought is written at a time. Everyone's first thought comes before anyone's second, and otherwise those who came
first. Whoever no longer looks is passed over, so that nobody waits for a closed page. Used from one event loop.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from ..errors import CountdownError

MAX_WAITING = 24
MAX_OF_ONE = 3  # thoughts that one visitor may have in line
GONE_AFTER_SECONDS = 1.5
STUCK_AFTER_SECONDS = 10.0
_FIRST_GUESS_SECONDS = 5.0
_NEWEST_SHARE = 0.2  # of the latest thought in the mean


class Busy(CountdownError):
    """The line is full; ``seconds`` is how long it would take to the end of it."""

    def __init__(self, waiting: int, seconds: int) -> None:
        super().__init__(f"the model is busy: {waiting} are waiting, about {seconds} s; try again then")
        self.waiting, self.seconds = waiting, seconds


class Place(NamedTuple):
    """How many are ahead, and an estimate of the seconds they take."""

    ahead: int
    seconds: int


@dataclass(eq=False)
class Ticket:
    """A place in line; ``began`` is set when its turn came, ``seen`` when its owner last asked."""

    visitor: str
    seen: float
    began: float | None = None


class Line:
    """Tickets in the order in which they came."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self.max_waiting = max_waiting
        self.mean_seconds = _FIRST_GUESS_SECONDS
        self._tickets: list[Ticket] = []

    def join(self, visitor: str) -> Ticket:
        """A ticket at the end of the line. Raises ``Busy`` when it is full, or full of this visitor."""
        self._drop_the_gone()
        own = sum(ticket.visitor == visitor for ticket in self._tickets)
        if len(self._tickets) > self.max_waiting or own >= MAX_OF_ONE:
            raise Busy(len(self._tickets), self._seconds(len(self._tickets)))
        ticket = Ticket(visitor, time.monotonic())
        self._tickets.append(ticket)
        return ticket

    def place(self, ticket: Ticket) -> Place:
        """Where a ticket stands; 0 ahead means that its turn has come. To be asked at least once a second."""
        ticket.seen = time.monotonic()
        self._drop_the_gone()
        if ticket not in self._tickets:  # its owner was away for too long, and is back
            self._tickets.append(ticket)
        order = self._order()
        ahead = order.index(ticket)
        if not ahead and ticket.began is None:
            ticket.began = time.monotonic()
        return Place(ahead, self._seconds(ahead))

    def keep(self, ticket: Ticket) -> None:
        """The thought of this ticket is being read."""
        ticket.seen = time.monotonic()

    def leave(self, ticket: Ticket) -> None:
        """The thought has ended, or is no longer wanted."""
        if ticket in self._tickets:
            self._tickets.remove(ticket)
            if ticket.began is not None:
                took = time.monotonic() - ticket.began
                self.mean_seconds += _NEWEST_SHARE * (took - self.mean_seconds)

    def __len__(self) -> int:
        return len(self._tickets)

    def _order(self) -> list[Ticket]:
        """The one whose turn it is, then first thoughts, then second ones."""
        seen: Counter[str] = Counter()
        ranked: list[tuple[int, int, Ticket]] = []
        for arrival, ticket in enumerate(self._tickets):
            rank = -1 if ticket.began is not None else seen[ticket.visitor]
            seen[ticket.visitor] += 1
            ranked.append((rank, arrival, ticket))
        return [ticket for _, _, ticket in sorted(ranked, key=lambda entry: entry[:2])]

    def _seconds(self, ahead: int) -> int:
        running = next((ticket.began for ticket in self._tickets if ticket.began is not None), None)
        gone_by = min(time.monotonic() - running, self.mean_seconds) if running is not None else 0.0
        return max(ceil(ahead * self.mean_seconds - gone_by), 1) if ahead else 0

    def _drop_the_gone(self) -> None:
        """Whose thought is being written is waited for longer: a busy server reads it late."""
        now = time.monotonic()
        limits = {False: GONE_AFTER_SECONDS, True: STUCK_AFTER_SECONDS}
        self._tickets = [one for one in self._tickets if now - one.seen <= limits[one.began is not None]]
