"""Uploads to the rehearsal Hub: what to send how, plain LFS, and commits.

The order is the client's: ``preupload`` (mode and current name of each file), the LFS batch, one PUT per
missing file, and one commit as newline-delimited JSON (huggingface_hub 2.4: ``_commit_api.py``, ``lfs.py``).
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import xet
from .request import (
    body_of,
    commit_of,
    json_of,
    need_token,
    object_of,
    objects_of,
    origin,
    read_text,
    repo_of,
    repo_url,
    store_of,
    text_of,
    wanted,
)
from .store import Change, Entry, Refused, Store, check_path

MAX_COMMIT_BYTES = 512 * 2**20
MAX_TITLE_CHARS, MAX_MESSAGE_CHARS = 500, 65_536
REGULAR_BELOW_BYTES = 10 * 2**20


async def preupload(request: Request) -> Response:
    """How each file is to be sent, and what the branch holds of it now (the client skips equal files)."""
    need_token(request)
    repo, body = repo_of(request), await json_of(request)
    commit, store = commit_of(request, repo), store_of(request)
    patterns = _lfs_patterns(read_text(store, commit, ".gitattributes"))
    ignored = _ignore_patterns(body.get("gitIgnore") or read_text(store, commit, ".gitignore"))
    answers: list[dict[str, Any]] = []
    for file in objects_of(body, "files"):
        path = check_path(text_of(file, "path"))
        entry = commit.tree.get(path)
        answer = {"path": path, "uploadMode": "lfs" if _wants_lfs(file, patterns) else "regular"}
        answers.append(answer | {"shouldIgnore": _matches(path, ignored), "oid": entry.etag if entry else None})
    return JSONResponse({"files": answers, "commitOid": commit.oid})


def _lfs_patterns(gitattributes: str) -> list[str]:
    return [line.split()[0] for line in gitattributes.splitlines() if "filter=lfs" in line.split()[1:]]


def _ignore_patterns(gitignore: object) -> list[str]:
    lines = [line.strip().strip("/") for line in str(gitignore).splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "!"))]


def _matches(path: str, patterns: list[str]) -> bool:
    parts = path.split("/")
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns for name in (path, *parts))


def _wants_lfs(file: dict[str, Any], patterns: list[str]) -> bool:
    """By pattern, by size, or because the first bytes are not text."""
    try:
        sample = base64.b64decode(file.get("sample") or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise Refused(400, "'sample' is not base64") from None
    size = file.get("size")
    if not isinstance(size, int) or size < 0:
        raise Refused(400, "'size' is not a number of bytes")
    return _matches(str(file["path"]), patterns) or size >= REGULAR_BELOW_BYTES or b"\0" in sample


async def lfs_batch(request: Request) -> Response:
    """Signed addresses for what is not stored yet (git-lfs, docs/api/batch.md, transfer ``basic``)."""
    need_token(request)
    repo_of(request)
    body = await json_of(request)
    if body.get("operation") != "upload" or body.get("hash_algo", "sha256") != "sha256":
        raise Refused(400, "Only uploads named by sha256 go through LFS here; download from the resolve address")
    objects = [_lfs_object(request, item) for item in objects_of(body, "objects")]
    return JSONResponse({"transfer": "basic", "objects": objects}, media_type="application/vnd.git-lfs+json")


def _lfs_object(request: Request, item: dict[str, Any]) -> dict[str, Any]:
    oid, size = text_of(item, "oid"), item.get("size")
    if not re.fullmatch("[0-9a-f]{64}", oid) or not isinstance(size, int) or size < 0:
        raise Refused(400, "An LFS object needs 'oid', a sha256 in hex, and 'size', a number of bytes")
    answer: dict[str, Any] = {"oid": oid, "size": size}
    if store_of(request).has_blob(oid, size):
        return answer
    signature = _signature(request, oid, size)
    upload = {"href": f"{origin(request)}/-/lfs/{oid}/{size}/{signature}"}
    return answer | {"actions": {"upload": upload, "verify": {"href": f"{origin(request)}/-/lfs-verify"}}}


def _signature(request: Request, oid: str, size: int) -> str:
    """Stands in for the token on the upload, which comes without one, as the Hub's signed addresses do."""
    return hmac.new(request.app.state.token.encode(), f"lfs {oid} {size}".encode(), "sha256").hexdigest()


async def lfs_upload(request: Request) -> Response:
    """Receive one file; it becomes a blob only when size and SHA-256 are those announced."""
    oid, size = request.path_params["oid"], request.path_params["size"]
    if not hmac.compare_digest(request.path_params["signature"].encode(), _signature(request, oid, size).encode()):
        raise Refused(403, "This upload address is not valid any more: ask for a new one")
    store = store_of(request)
    partial = store.temporary()
    try:
        await _receive(request, partial, oid, size)
        store.adopt(partial, oid)
    finally:
        partial.unlink(missing_ok=True)
    return Response()


async def _receive(request: Request, partial: Path, oid: str, size: int) -> None:
    digest, received = hashlib.sha256(), 0
    with partial.open("xb") as file:
        async for block in request.stream():
            received += len(block)
            if received > size:
                break
            digest.update(block)
            await run_in_threadpool(file.write, block)
        file.flush()
        await run_in_threadpool(os.fsync, file.fileno())
    if received != size or digest.hexdigest() != oid:
        raise Refused(400, f"The upload is not the announced file: {received:,} bytes of {size:,}, or another sha256")


async def lfs_verify(request: Request) -> Response:
    need_token(request)
    body = await json_of(request)
    store_of(request).lfs_entry(text_of(body, "oid"), body.get("size"))
    return JSONResponse({})


async def create_commit(request: Request) -> Response:
    """Newline-delimited JSON: a header, then files, LFS files and deletions."""
    need_token(request)
    repo, revision = repo_of(request), unquote(request.path_params["revision"])
    body, store = await body_of(request, MAX_COMMIT_BYTES), store_of(request)
    change = await run_in_threadpool(_change, store, body)
    answer: dict[str, Any] = {"success": True, "hookOutput": ""}
    if wanted(request, "create_pr"):
        number, commit = await run_in_threadpool(store.open_pull_request, repo, change)
        answer["pullRequestUrl"] = f"{repo_url(request, repo)}/discussions/{number}"
    else:
        commit = await run_in_threadpool(store.apply, repo, revision, change)
    return JSONResponse(
        answer | {"commitOid": commit.oid, "commitUrl": f"{repo_url(request, repo)}/commit/{commit.oid}"}
    )


def _change(store: Store, body: bytes) -> Change:
    lines = [object_of(line, "A line of the commit") for line in body.splitlines() if line.strip()]
    if not lines or lines[0].get("key") != "header" or not all(isinstance(line.get("value"), dict) for line in lines):
        raise Refused(400, "A commit is lines of {key, value}, the first one with the key 'header'")
    header = lines[0]["value"]
    title, message, parent = text_of(header, "summary"), text_of(header, "description", ""), header.get("parentCommit")
    if not title or len(title) > MAX_TITLE_CHARS or len(message) > MAX_MESSAGE_CHARS:
        raise Refused(
            400, f"A commit's summary has 1 to {MAX_TITLE_CHARS} characters, its description {MAX_MESSAGE_CHARS:,}"
        )
    if parent is not None and not re.fullmatch("[0-9a-f]{7,40}", str(parent)):
        raise Refused(400, "'parentCommit' is not a commit")
    return Change(title, message, parent, [_step(store, line) for line in lines[1:]])


def _step(store: Store, line: dict[str, Any]) -> tuple[str, Entry | None]:
    key, value = line.get("key"), line["value"]
    path = check_path(text_of(value, "path").rstrip("/"))
    if key == "file":
        return path, store.add_file(_decoded(value))
    if key == "lfsFile":
        oid, size = text_of(value, "oid"), value.get("size")
        if re.fullmatch("[0-9a-f]{64}", oid) and not store.has_blob(oid, size):
            xet.put_together(store, oid)
        return path, store.lfs_entry(oid, size)
    if key in ("deletedFile", "deletedFolder"):
        return path + ("/" if key == "deletedFolder" else ""), None
    raise Refused(400, f"Unknown key in a commit: {str(key)[:50]!r}")


def _decoded(value: dict[str, Any]) -> bytes:
    content, encoding = text_of(value, "content"), value.get("encoding", "utf-8")
    if encoding != "base64":
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, "A file's content is not base64") from None


def xet_token(request: Request) -> Response:
    """Where chunks go to, or come from: a folder of this computer, in headers and body (huggingface_hub, hf_xet)."""
    store, name = store_of(request), request.query_params.get("folder")
    repo_of(request)
    if name is None:
        need_token(request)
    values = xet.token(xet.read_folder(store, name) if name else xet.write_folder(store))
    headers = {"X-Xet-Cas-Url": values["casUrl"], "X-Xet-Access-Token": values["accessToken"]}
    return JSONResponse(values, headers=headers | {"X-Xet-Token-Expiration": str(values["exp"])})


def routes() -> list[Route]:
    found = [
        Route("/api/{kind}/{namespace}/{name}/xet-write-token/{revision}", xet_token),
        Route("/api/{kind}/{namespace}/{name}/xet-read-token/{revision}", xet_token),
        Route("/-/lfs/{oid}/{size:int}/{signature}", lfs_upload, methods=["PUT"]),
        Route("/-/lfs-verify", lfs_verify, methods=["POST"]),
        Route("/api/{kind}/{namespace}/{name}/preupload/{revision}", preupload, methods=["POST"]),
        Route("/api/{kind}/{namespace}/{name}/commit/{revision}", create_commit, methods=["POST"]),
    ]
    for prefix in ("/datasets", "/spaces", ""):
        address = f"{prefix}/{{namespace}}/{{name}}.git/info/lfs/objects/batch"
        found.append(Route(address, lfs_batch, methods=["POST"]))
    return found
