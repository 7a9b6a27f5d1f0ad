"""What handlers of the rehearsal Hub take from a request: who asks, for which repository, and the body."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .store import Commit, Refused, Repo, Store

MAX_JSON_BYTES = 16 * 2**20


def store_of(request: Request) -> Store:
    return request.app.state.store


def authorized(request: Request) -> bool:
    """Whether the request carried the rehearsal token (a wrong token never gets this far)."""
    return bool(request.scope.get("authorized"))


def need_token(request: Request) -> None:
    if not authorized(request):
        raise Refused(401, "Invalid username or password: writing needs the rehearsal Hub's token")


def repo_of(request: Request) -> Repo:
    """The repository in the path. A private one looks missing without the token, as on the Hub."""
    first, second = request.scope["path"].split("/")[1:3]
    kind = second if first == "api" else first if first in ("datasets", "spaces") else "models"
    repo_id = "/".join(unquote(request.path_params[part]) for part in ("namespace", "name"))
    try:
        repo = store_of(request).repo(kind, repo_id)
    except Refused as missing:
        raise missing if authorized(request) else _hidden() from None
    if repo.private and not authorized(request):
        raise _hidden()
    return repo


def _hidden() -> Refused:
    return Refused(401, "Invalid username or password: no such repository, or a private one", "RepoNotFound")


def commit_of(request: Request, repo: Repo) -> Commit:
    return store_of(request).resolve(repo, unquote(request.path_params.get("revision", "main")))


async def body_of(request: Request, limit: int = MAX_JSON_BYTES) -> bytes:
    """The whole body; ``Refused`` 413 beyond ``limit`` bytes."""
    content = bytearray()
    async for block in request.stream():
        content += block
        if len(content) > limit:
            raise Refused(413, f"The body is longer than {limit:,} bytes")
    return bytes(content)


async def json_of(request: Request) -> dict[str, Any]:
    return object_of(await body_of(request) or b"{}", "The body")


def object_of(text: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused(400, f"{what} is not valid JSON") from None
    if not isinstance(value, dict):
        raise Refused(400, f"{what} is not a JSON object")
    return value


def text_of(values: dict[str, Any], key: str, default: str | None = None) -> str:
    value = values.get(key, default)
    if not isinstance(value, str) or re.search("[\ud800-\udfff]", value):
        raise Refused(400, f"'{key}' is missing or not a text")
    return value


def objects_of(values: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """A list of JSON objects, empty when it is missing."""
    items = values.get(key) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Refused(400, f"'{key}' is not a list of objects")
    return items


def origin(request: Request) -> str:
    return f"http://{request.headers['host']}"


def repo_url(request: Request, repo: Repo) -> str:
    return f"{origin(request)}/{'' if repo.kind == 'models' else repo.kind + '/'}{repo.id}"


def wanted(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in ("1", "true")


def paged(request: Request, items: list[dict[str, Any]], page: int) -> Response:
    """One page of a list, with the address of the next one in ``Link``."""
    try:
        start = max(0, int(request.query_params.get("cursor", "0")))
    except ValueError:
        raise Refused(400, "'cursor' is not a number") from None
    headers = {"X-Total-Count": str(len(items))}
    if start + page < len(items):
        address = request.url.include_query_params(cursor=start + page)
        headers["Link"] = f'<{origin(request)}{request.scope["path"]}?{address.query}>; rel="next"'
    return JSONResponse(items[start : start + page], headers=headers)


def read_text(store: Store, commit: Commit, path: str) -> str:
    """A small text file of a commit, empty when it is not there."""
    entry = commit.tree.get(path)
    return store.blob(entry.sha256).read_text("utf-8", "replace") if entry else ""
