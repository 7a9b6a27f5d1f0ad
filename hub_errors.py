"""Calls to the Hub that are tried again, and whose last failure becomes one line with the fix.

huggingface_hub 2.4 itself retries neither a commit (409, 412, 429, 503) nor a dropped connection there.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from .errors import HubError

_ATTEMPTS, _FIRST_WAIT_SECONDS, _MAX_WAIT_SECONDS = 6, 0.5, 60.0
_NOTED_SECONDS = 2.0
_RETRIED = {408, 409, 412, 429, 500, 502, 503, 504}
_FIXES = {
    402: "this needs a paid plan (Gradio Spaces do, static ones do not); rehearse it, or choose another SDK",
    403: "the token may not write there: use a namespace of yours and a token with write access",
    404: "there is no such repository or revision, or the token may not see it: check the name",
}
_T = TypeVar("_T")


def retried(action: Callable[[], _T], attempts: int = _ATTEMPTS) -> _T:
    """Run ``action`` until it works, waiting longer each time; the last error goes through."""
    for attempt in range(1, attempts + 1):
        try:
            return action()
        except _errors() as error:
            if attempt == attempts or not _is_passing(error):
                raise
            wait = _wait_seconds(error, attempt)
            if wait >= _NOTED_SECONDS:
                print(f"the Hub cannot take this now; trying again in {wait:.0f} s", file=sys.stderr)
            time.sleep(wait)
    raise AssertionError("unreachable")


def _errors() -> tuple[type[Exception], ...]:
    """What a call can fail with: HTTP errors, and the RuntimeError that wraps one when an LFS upload fails."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    # The HTTP library's own base class, whichever library it is: httpx before huggingface_hub 2, then httpx2.
    http = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    return http, RuntimeError, ConnectionError, LocalEntryNotFoundError


def _response(error: BaseException) -> Any:
    """The Hub's answer behind an error, None when there was no answer."""
    cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
    return getattr(cause, "response", None)


def _is_passing(error: Exception) -> bool:
    """Whether trying again can help: a conflict, a busy Hub, or no answer at all."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    response = _response(error)
    if response is not None or isinstance(error, OfflineModeIsEnabled):
        return getattr(response, "status_code", None) in _RETRIED
    return not isinstance(error, RuntimeError) or error.__cause__ is not None


def _wait_seconds(error: Exception, attempt: int) -> float:
    """What the Hub asks for (``Retry-After``, or ``t=`` of ``RateLimit``), else doubling from half a second."""
    headers = getattr(_response(error), "headers", {})
    asked = headers.get("Retry-After", "") or "".join(re.findall(r"\br=0;t=(\d+)", headers.get("RateLimit", "")))
    wait = float(asked) if asked.isdecimal() else _FIRST_WAIT_SECONDS * 2 ** (attempt - 1)
    return min(wait, _MAX_WAIT_SECONDS)


@contextmanager
def plain_errors(endpoint: str, doing: str, token_fix: str) -> Iterator[None]:
    """Every failure of a Hub call as one line: what was being done, what the Hub said, and the fix."""
    try:
        yield
    except (*_errors(), OSError, ValueError) as error:
        raise HubError(f"{doing}: {_explanation(error, endpoint, token_fix)}") from error


def _explanation(error: Exception, endpoint: str, token_fix: str) -> str:
    status = getattr(_response(error), "status_code", None)
    said = " ".join(str(getattr(error, "server_message", None) or error).split())[:300]
    if status is None:
        lost = isinstance(error, _errors()) and not isinstance(error, RuntimeError)
        return f"cannot reach {endpoint} ({said}); check the address and the connection" if lost else said
    if status == 401:
        return f"{endpoint} refused the token ({said}); {token_fix}"
    fix = _FIXES.get(status, "run the command again: what arrived is not sent twice" if status in _RETRIED else "")
    return f"{endpoint} answered {status} ({said})" + (f"; {fix}" if fix else "")
