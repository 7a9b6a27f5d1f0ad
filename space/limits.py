"""Requests that are too large are refused before anything reads them."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024


class LimitBody:
    """ASGI middleware: 413 for a body above ``MAX_BODY_BYTES``, whether it says its length or not."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > MAX_BODY_BYTES:
            await _refusal()(scope, receive, send)
            return
        await self.app(scope, _counted(receive), send)


def _counted(receive: Receive) -> Receive:
    """Ends a body that goes on past the limit: what arrived is cut off and fails as bad JSON."""
    read = 0

    async def counted() -> Message:
        nonlocal read
        message = await receive()
        if message["type"] == "http.request":
            read += len(message.get("body", b""))
            if read > MAX_BODY_BYTES:
                return {"type": "http.request", "body": b"", "more_body": False}
        return message

    return counted


def _refusal() -> JSONResponse:
    error = f"the request is larger than {MAX_BODY_BYTES // 1024} KB; numbers and a target need less"
    return JSONResponse({"error": error, "detail": error}, status_code=413)
