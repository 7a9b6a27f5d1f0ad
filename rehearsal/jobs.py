"""Jobs of the rehearsal Hub: a request is checked and answered as the Hub does, and nothing runs.

A job is over at once, with one line of log that says so; of its secrets the names alone are kept.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .request import json_of, need_token, text_of
from .store import Refused, now

FLAVORS = ("cpu-basic", "cpu-upgrade", "t4-small", "l4x1", "l4x4", "a10g-small", "a10g-large", "a100-large", "h200")
_KNOWN = {"command", "arguments", "environment", "secrets", "flavor", "timeoutSeconds", "labels", "volumes"}
_KNOWN |= {"dockerImage", "spaceId", "attempts"}


async def create_job(request: Request) -> Response:
    """``POST /api/jobs/NAMESPACE``."""
    need_token(request)
    body = await json_of(request)
    _check(body)
    job = {
        "id": secrets.token_hex(12),
        "createdAt": now(),
        "owner": {"id": "rehearsal", "name": request.path_params["namespace"], "type": "user"},
        "status": {"stage": "COMPLETED", "message": "rehearsed: nothing ran"},
        **{key: value for key, value in body.items() if key != "secrets"},
        "secrets": dict.fromkeys(body.get("secrets") or {}, ""),
    }
    _jobs(request)[job["id"]] = job
    return JSONResponse(job)


async def one_job(request: Request) -> Response:
    """``GET /api/jobs/NAMESPACE/ID``."""
    need_token(request)
    return JSONResponse(_job(request))


async def job_logs(request: Request) -> Response:
    """``GET /api/jobs/NAMESPACE/ID/logs``: server-sent events."""
    need_token(request)
    line = {"data": f"rehearsed: would run {' '.join(_job(request)['command'])}", "timestamp": now()}
    return Response(f"data: {json.dumps(line)}\n\n", media_type="text/event-stream")


def _check(body: dict[str, Any]) -> None:
    """Raise ``Refused`` for a request that the Hub would refuse."""
    if unknown := set(body) - _KNOWN:
        raise Refused(400, f"unknown field {min(unknown)!r}")
    if text_of(body, "flavor") not in FLAVORS:
        raise Refused(400, f"'flavor' is one of {', '.join(FLAVORS)}")
    command = body.get("command")
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        raise Refused(400, "'command' is a list of words")
    if ("dockerImage" in body) == ("spaceId" in body):
        raise Refused(400, "one of 'dockerImage' and 'spaceId' is needed")
    seconds = body.get("timeoutSeconds", 1800)
    if not isinstance(seconds, int) or seconds < 1:
        raise Refused(400, "'timeoutSeconds' is a whole number above 0")


def _jobs(request: Request) -> dict[str, dict[str, Any]]:
    state = request.app.state
    if not hasattr(state, "jobs"):
        state.jobs = {}
    return state.jobs


def _job(request: Request) -> dict[str, Any]:
    try:
        return _jobs(request)[request.path_params["job"]]
    except KeyError:
        raise Refused(404, "Job not found") from None


def routes() -> list[Route]:
    """What ``make_app`` adds."""
    place = "/api/jobs/{namespace}"
    return [
        Route(place, create_job, methods=["POST"]),
        Route(f"{place}/{{job}}", one_job),
        Route(f"{place}/{{job}}/logs", job_logs),
    ]
