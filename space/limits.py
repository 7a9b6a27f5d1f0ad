"""Requests that are too large are refused before anything else reads them."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
_MAX_DRAINED_BYTES = 32 * 2**20


class LimitBody:
    """ASGI middleware: 413 for a body above ``MAX_BODY_BYTES``, whether its length was said or not.

    What is too much is read and thrown away, since many clients hear no answer while they are still sending.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        body, read, more = b"", 0, True
        while more and read <= _MAX_DRAINED_BYTES:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client has gone
            read += len(message.get("body", b""))
            body = body + message.get("body", b"") if read <= MAX_BODY_BYTES else b""
            more = message.get("more_body", False)
        if read > MAX_BODY_BYTES:
            await _refusal()(scope, receive, send)
        else:
            await self.app(scope, _replayed(body, receive), send)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body that was read already, then whatever comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def _refusal() -> JSONResponse:
    error = f"the request is larger than {MAX_BODY_BYTES // 1024} KB; numbers and a target need less"
    return JSONResponse({"error": error, "detail": error}, status_code=413)
