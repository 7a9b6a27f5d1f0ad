"""Trouble on purpose: a share of the requests to the rehearsal Hub fails as requests to the real one do.

    429, 500, 503   refused, 429 with ``Retry-After`` or ``RateLimit``
    412             a commit is told that its parent is not the head any more
    slow            answered half a second late
    cut             the connection breaks before anything is done
    truncated       the connection breaks in the middle of the answer
    lost            what was asked for is done, and the connection breaks before the answer

Which requests are hit depends on the seed, the method, the path and how often that path was asked for, not on time.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import InputError

KINDS = ("429", "500", "503", "412", "slow", "cut", "truncated", "lost")
SLOW_SECONDS = 0.5
_FLUSH_SECONDS = 0.01
_SPARED = "/api/rehearsal/"  # how a process joins this server; the Hub has no such thing


@dataclass(frozen=True)
class Faults:
    """How often each kind happens, as a share of all requests; kinds that cannot hit a request leave their share
    to those that can."""

    rates: Mapping[str, float]
    seed: int = 0


def parse_faults(text: str, seed: int = 0) -> Faults:
    """``0.2`` (every kind alike) or ``429=0.05,lost=0.1``. Raises ``InputError`` for anything else.

    >>> parse_faults("429=0.05,lost=0.1").rates
    {'429': 0.05, 'lost': 0.1}
    """
    try:
        if "=" not in text:
            rates: dict[str, float] = dict.fromkeys(KINDS, float(text) / len(KINDS))
        else:
            rates = {kind.strip(): float(rate) for kind, rate in (part.split("=") for part in text.split(","))}
    except ValueError:
        rates = {}
    if not rates or not set(rates) <= set(KINDS) or min(rates.values()) < 0 or not sum(rates.values()) < 1:
        raise InputError(
            f"'{text}' are no faults: use a share below 1 such as 0.2, or KIND=SHARE,... of {', '.join(KINDS)}"
        )
    return Faults(rates, seed)


@dataclass
class Trouble:
    """The server's outermost layer. ``log`` gets a line of JSON for each fault."""

    app: ASGIApp
    faults: Faults
    log: TextIO | None = field(default=None, repr=False)
    seen: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = self._drawn(scope) if scope["type"] == "http" else None
        if kind is None:
            return await self.app(scope, receive, send)
        if kind == "slow":
            await asyncio.sleep(SLOW_SECONDS)
            return await self.app(scope, receive, send)
        if kind == "cut":
            await receive()
            return await _break_off(send)
        if kind == "lost":
            await self.app(scope, receive, _swallow)
            return await _break_off(send)
        if kind == "truncated":
            return await self.app(scope, receive, _Half(send))
        await _refuse(int(kind), len(self.seen), receive, send)

    def _drawn(self, scope: Scope) -> str | None:
        """The fault of this request, None for most."""
        path = scope["raw_path"].decode("ascii", "replace")
        if path.startswith(_SPARED):
            return None
        asked = f"{self.faults.seed} {scope['method']} {path}"
        self.seen[asked] += 1
        digest = hashlib.sha256(f"{asked} {self.seen[asked]}".encode()).digest()
        kind = _pick(self.faults.rates, scope["method"], path, int.from_bytes(digest[:8], "big") / 2**64)
        if kind and self.log:
            self.log.write(json.dumps({"method": scope["method"], "path": path, "fault": kind}) + "\n")
            self.log.flush()
        return kind


def _pick(rates: Mapping[str, float], method: str, path: str, chance: float) -> str | None:
    """The kind that ``chance``, between 0 and 1, stands for; None above the sum of all rates."""
    total = sum(rates.values())
    spare = {"412"} if "/commit/" not in path else set()
    spare |= {"lost"} if method in ("GET", "HEAD") else {"truncated"}
    left = {kind: rate for kind, rate in rates.items() if kind not in spare}
    if chance >= total or not sum(left.values()):
        return None
    reach = chance / total * sum(left.values())
    for kind, rate in left.items():
        reach -= rate
        if reach < 0:
            return kind
    return next(reversed(left))


async def _refuse(status: int, number: int, receive: Receive, send: Send) -> None:
    """A refusal as the Hub words it, after the request has been read."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json")]
    if status == 429:
        headers.append((b"retry-after", b"1") if number % 2 else (b"ratelimit", b'"api";r=0;t=1'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"error": "A fault that was asked for"}'})


async def _break_off(send: Send) -> None:
    """Reset the connection, which only uvicorn's own object can do; the second step lets it notice."""
    send.__self__.transport.abort()  # pyright: ignore[reportFunctionMemberAccess]
    await asyncio.sleep(_FLUSH_SECONDS)


async def _swallow(message: Message) -> None:
    return None


@dataclass
class _Half:
    """Sends the head of an answer and half of its first block, then nothing more."""

    send: Send
    broken: bool = False

    async def __call__(self, message: Message) -> None:
        if self.broken or message["type"] == "http.response.start":
            return None if self.broken else await self.send(message)
        self.broken = True
        block = bytes(message.get("body", b""))
        await self.send({**message, "body": block[: len(block) // 2], "more_body": True})
        await asyncio.sleep(_FLUSH_SECONDS)
        await _break_off(self.send)
