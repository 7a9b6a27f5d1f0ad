"""What is looked at before Gradio reads a request: its size, and how many arguments an API call has."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
_MAX_DRAINED_BYTES = 32 * 2**20
_CALL = re.compile(r".*/call/(\w+)/?")
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "solve": ("numbers", "target"),
    "check": ("numbers", "target", "expression"),
    "new_puzzle": (),
}
OPTIONAL: Mapping[str, dict[str, Any]] = {
    "solve": {"language": "en", "seed": None},
    "check": {},
    "new_puzzle": {"level": None},
}
"""The arguments of the API's functions. In a plain call Gradio wants all of them, and says ``null`` otherwise."""


class LimitBody:
    """ASGI middleware: 413 for a body above ``MAX_BODY_BYTES``, whether its length was said or not, and 422 for an API
    call with too few or too many arguments. Those that may be left out are filled in.

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
            size = f"the request is larger than {MAX_BODY_BYTES // 1024} KB; numbers and a target need less"
            await _refusal(413, size)(scope, receive, send)
            return
        call = _CALL.fullmatch(scope["path"])
        whole = completed(call[1], body) if call else body
        if whole is None:
            await _refusal(422, _usage(call[1] if call else ""))(scope, receive, send)
        else:
            await self.app(scope, _replayed(whole, receive), send)


def completed(name: str, body: bytes) -> bytes | None:
    """The body of a call with every argument; as it is when it is no call that we know, None when it does not fit.

    >>> completed("solve", b'{"data": ["1 2", 3]}')
    b'{"data": ["1 2", 3, "en", null]}'
    """
    if name not in REQUIRED:
        return body
    try:
        call = json.loads(body)
    except (ValueError, RecursionError):
        return None
    given = call.get("data") if isinstance(call, dict) else None
    least, optional = len(REQUIRED[name]), list(OPTIONAL[name].values())
    if not isinstance(given, list) or not least <= len(given) <= least + len(optional):
        return None
    return json.dumps(call | {"data": [*given, *optional[len(given) - least :]]}).encode()


def _usage(name: str) -> str:
    needed, optional = ", ".join(REQUIRED[name]), ", ".join(OPTIONAL[name])
    parts = [needed or "no argument", f"optionally {optional}" if optional else ""]
    return f'/{name} takes {{"data": [...]}} with {" and ".join(part for part in parts if part)}, in this order'


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body that was read already, then whatever comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def _refusal(status: int, error: str) -> JSONResponse:
    return JSONResponse({"error": error, "detail": error}, status_code=status)
