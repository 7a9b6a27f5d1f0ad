"""Calls to the Hub that are tried again, and whose last failure becomes one line with the fix.

huggingface_hub 2.4 retries uploads and downloads, but neither a commit (409, 412, 429, 503) nor most other calls.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from .errors import HubError

_ATTEMPTS, _FIRST_WAIT_SECONDS, _MAX_WAIT_SECONDS, _MAX_ASKED_SECONDS = 12, 0.5, 60.0, 3600.0
_NOTED_SECONDS = 2.0
_RETRIED = {408, 409, 412, 429, 500, 502, 503, 504}
CONFLICTS = {409, 412}
_FIXES = {
    402: "this needs a paid plan (Gradio Spaces do, static ones do not): publish with --no-space, or rehearse it",
    403: "the token may not write there: use your own namespace or an organisation in which you have the role write, "
    "and a token with write access (a fine-grained one names what it may write)",
    404: "there is no such repository or revision, or the token may not see it: check the name",
}
_GIVEN_UP = "tried as often as made sense"
_T = TypeVar("_T")


def retried(action: Callable[[], _T], attempts: int = _ATTEMPTS) -> _T:
    """Run ``action`` until it works, waiting longer each time (about six minutes in all); the last error goes through.

    ``action`` is one call or a step that can be repeated: a Hub that fails one call in five still gets it done.
    """
    for attempt in range(1, attempts + 1):
        try:
            return action()
        except _errors() as error:
            if attempt == attempts or _GIVEN_UP in getattr(error, "__notes__", ()) or not _is_passing(error):
                error.add_note(_GIVEN_UP)  # a step around this call that is tried again does not begin anew
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


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error stands for, None when there was no answer."""
    return getattr(_response(error), "status_code", None)


def _is_passing(error: Exception) -> bool:
    """Whether trying again can help: a conflict, a busy Hub, or no answer at all."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    response = _response(error)
    if response is not None or isinstance(error, OfflineModeIsEnabled):
        return getattr(response, "status_code", None) in _RETRIED
    return not isinstance(error, RuntimeError) or error.__cause__ is not None


def _wait_seconds(error: Exception, attempt: int) -> float:
    """What the Hub asks for (``Retry-After``, or ``t=`` of ``RateLimit``) and up to a tenth more, else something up to
    a bound that doubles from half a second: clients that were refused together do not come back together."""
    headers = getattr(_response(error), "headers", {})
    asked = _asked_seconds(headers.get("Retry-After", ""), headers.get("RateLimit", ""))
    if asked is not None:
        return min(max(asked, 0.1) * random.uniform(1, 1.1), _MAX_ASKED_SECONDS)
    return min(_FIRST_WAIT_SECONDS * 2 ** (attempt - 1), _MAX_WAIT_SECONDS) * random.uniform(0.5, 1)


def _asked_seconds(retry_after: str, rate_limit: str) -> float | None:
    """Seconds out of ``Retry-After`` (a number or a date, RFC 9110) or ``RateLimit`` (draft-ietf-httpapi-ratelimit).

    >>> _asked_seconds("30", ""), _asked_seconds("", '"api";r=0;t=55'), _asked_seconds("", '"api";r=9;t=55')
    (30.0, 55.0, None)
    """
    if spent := re.search(r"\br=0;t=(\d+)", rate_limit):
        return float(spent[1])
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    except ValueError:
        return None


@contextmanager
def plain_errors(endpoint: str, doing: str, token_fix: str) -> Iterator[None]:
    """Every failure of a Hub call as one line: what was being done, what the Hub said, and the fix."""
    try:
        yield
    except (*_errors(), OSError, ValueError) as error:
        raise HubError(f"{doing}: {_explanation(error, endpoint, token_fix)}") from error


def _explanation(error: Exception, endpoint: str, token_fix: str) -> str:
    status = status_of(error)
    said = " ".join(str(getattr(error, "server_message", None) or error).split())[:300]
    if status is None:
        lost = isinstance(error, _errors()) and not isinstance(error, RuntimeError)
        return f"cannot reach {endpoint} ({said}); check the address and the connection" if lost else said
    if status == 401:
        return f"{endpoint} refused the token ({said}); {token_fix}"
    fix = _FIXES.get(status, "run the command again: what arrived is not sent twice" if status in _RETRIED else "")
    return f"{endpoint} answered {status} ({said})" + (f"; {fix}" if fix else "")
