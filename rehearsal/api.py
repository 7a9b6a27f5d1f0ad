"""The Hub's HTTP API, as far as huggingface_hub, datasets and transformers use it for repositories.

Paths, bodies and headers follow what huggingface_hub 2.4 sends and reads (``hf_api.py``, ``_commit_api.py``,
``lfs.py``, ``file_download.py``); tests/hub_conformance.py runs the same checks against any Hub. Path segments
arrive percent-encoded (``runs%2Fstep-50`` is one), so routes match the raw path and handlers decode.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from . import xet
from .card import card_data, validate_card
from .request import (
    authorized,
    body_of,
    commit_of,
    json_of,
    need_token,
    objects_of,
    origin,
    paged,
    read_text,
    repo_of,
    repo_url,
    store_of,
    text_of,
    wanted,
)
from .store import KINDS, Commit, Entry, Refused, Repo, Store, check_path, check_ref

USER = "rehearsal"
_PAGE, _EXPANDED_PAGE = 1000, 50


async def whoami(request: Request) -> Response:
    need_token(request)
    access = {"accessToken": {"displayName": "rehearsal", "role": "write"}}
    user = {"type": "user", "id": "rehearsal", "name": USER, "fullname": "Rehearsal", "isPro": False, "orgs": []}
    return JSONResponse(user | {"auth": {"type": "access_token"} | access})


async def create_repo(request: Request) -> Response:
    need_token(request)
    body = await json_of(request)
    kind = text_of(body, "type", "model") + "s"
    if kind not in KINDS:
        raise Refused(400, f"'type' is one of model, dataset, space, not {kind[:-1]!r}")
    sdk = text_of(body, "sdk") if kind == "spaces" else None
    repo_id = f"{body.get('organization') or USER}/{text_of(body, 'name')}"
    private = body.get("private") is True or body.get("visibility") == "private"
    keys = [text_of(item, "key") for item in objects_of(body, "secrets")]
    space = {"hardware": body.get("hardware"), "secrets": keys} if kind == "spaces" else {}
    try:
        repo = store_of(request).create(kind, repo_id, private=private, sdk=sdk, space=space)
    except Refused as taken:
        if taken.status == 409:
            taken.fields["url"] = repo_url(request, Repo(kind, repo_id, private, ""))
        raise
    return JSONResponse({"url": repo_url(request, repo), "name": repo.id, "id": repo.id, "private": repo.private})


async def delete_repo(request: Request) -> Response:
    need_token(request)
    body = await json_of(request)
    repo_id = f"{body.get('organization') or USER}/{text_of(body, 'name')}"
    store = store_of(request)
    store.delete(store.repo(text_of(body, "type", "model") + "s", repo_id))
    return JSONResponse({})


async def update_settings(request: Request) -> Response:
    need_token(request)
    repo, body = repo_of(request), await json_of(request)
    visibility = body.get("visibility")
    if isinstance(body.get("private"), bool):
        visibility = "private" if body["private"] else "public"
    if visibility not in (None, "private", "public", "protected"):
        raise Refused(400, "'visibility' is private or public")
    if visibility:
        repo = store_of(request).update(repo, private=visibility == "private")
    return JSONResponse({"private": repo.private})


async def check_card(request: Request) -> Response:
    body = await json_of(request)
    errors, warnings = validate_card(text_of(body, "content"), text_of(body, "repoType", "model"))
    answer = {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]}
    return JSONResponse(answer, 400 if errors else 200)


def repo_info(request: Request) -> Response:
    repo = repo_of(request)
    return JSONResponse(_info(store_of(request), repo, commit_of(request, repo), blobs=wanted(request, "blobs")))


def list_repos(request: Request) -> Response:
    """Newest first is not promised by the Hub either; ``author`` and ``search`` filter."""
    kind = request.path_params["kind"]
    if kind not in KINDS:
        raise Refused(404, "Not found")
    store, query = store_of(request), request.query_params
    author, search = query.get("author"), query.get("search", "").lower()
    seen = [repo for repo in store.repos(kind) if authorized(request) or not repo.private]
    found = [repo for repo in seen if author in (None, repo.id.split("/")[0]) and search in repo.id.lower()]
    items = [_info(store, repo, store.resolve(repo, "main"), blobs=False) for repo in found]
    limit = query.get("limit", "")
    return paged(request, items, min(int(limit) if limit.isdecimal() and int(limit) else _PAGE, _PAGE))


def _info(store: Store, repo: Repo, commit: Commit, *, blobs: bool) -> dict[str, Any]:
    card = card_data(read_text(store, commit, "README.md"))
    files = [{"rfilename": path} | (_blob_fields(entry) if blobs else {}) for path, entry in commit.tree.items()]
    info: dict[str, Any] = {"_id": repo.id, "id": repo.id, "author": repo.id.split("/")[0], "sha": commit.oid}
    info |= {"private": repo.private, "gated": False, "disabled": False, "downloads": 0, "likes": 0}
    info |= {"createdAt": repo.created, "lastModified": commit.date, "siblings": files, "cardData": card}
    info["tags"] = [tag for tag in card.get("tags") or [] if isinstance(tag, str)]
    if repo.kind == "models":
        info |= {"modelId": repo.id} | {key: card[key] for key in ("library_name", "pipeline_tag") if key in card}
    if repo.kind == "spaces":
        info |= {"sdk": repo.sdk, "runtime": runtime(repo, commit)}
    return info


def _blob_fields(entry: Entry) -> dict[str, Any]:
    lfs = {"lfs": {"sha256": entry.sha256, "size": entry.size, "pointerSize": 134}} if entry.lfs else {}
    return {"blobId": entry.git_oid, "size": entry.size} | lfs


def runtime(repo: Repo, commit: Commit) -> dict[str, Any]:
    """Nothing runs here, and it says so: ``STOPPED``, or ``NO_APP_FILE`` before there is one."""
    app_file = {"static": "index.html", "docker": "Dockerfile"}.get(repo.sdk or "", "app.py")
    hardware = {"current": None, "requested": repo.space.get("hardware")}
    stage = "STOPPED" if app_file in commit.tree else "NO_APP_FILE"
    return {"stage": stage, "hardware": hardware, "gcTimeout": repo.space.get("sleep_seconds"), "storage": None}


def list_refs(request: Request) -> Response:
    repo = repo_of(request)
    answer: dict[str, list[dict[str, str]]] = {"branches": [], "tags": [], "converts": [], "pullRequests": []}
    folders = {"refs/heads/": "branches", "refs/tags/": "tags", "refs/pr/": "pullRequests"}
    for ref, oid in repo.refs.items():
        prefix = next(folder for folder in folders if ref.startswith(folder))
        answer[folders[prefix]].append({"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": oid})
    return JSONResponse(answer)


async def create_branch(request: Request) -> Response:
    need_token(request)
    repo, body = repo_of(request), await json_of(request)
    name, store = check_ref(unquote(request.path_params["ref"])), store_of(request)
    store.set_ref(repo, f"refs/heads/{name}", store.resolve(repo, text_of(body, "startingPoint", "main")).oid)
    return JSONResponse({}, 201)


async def delete_branch(request: Request) -> Response:
    need_token(request)
    name = unquote(request.path_params["ref"])
    if name == "main":
        raise Refused(403, "The branch main cannot be deleted")
    store_of(request).drop_ref(repo_of(request), f"refs/heads/{name}")
    return JSONResponse({})


async def create_tag(request: Request) -> Response:
    """The path holds the revision to tag, the body the tag's name."""
    need_token(request)
    repo, body = repo_of(request), await json_of(request)
    store, name = store_of(request), check_ref(text_of(body, "tag"))
    store.set_ref(repo, f"refs/tags/{name}", store.resolve(repo, unquote(request.path_params["ref"])).oid)
    return JSONResponse({}, 201)


async def delete_tag(request: Request) -> Response:
    need_token(request)
    store_of(request).drop_ref(repo_of(request), f"refs/tags/{unquote(request.path_params['ref'])}")
    return JSONResponse({})


def list_tree(request: Request) -> Response:
    """Files and folders below a path, ``recursive`` or not."""
    repo = repo_of(request)
    commit, under = commit_of(request, repo), unquote(request.path_params.get("path", "")).strip("/")
    prefix = under + "/" if under else ""
    paths = [path for path in _with_folders(commit.tree) if path.startswith(prefix) and path != prefix]
    if under and not paths:
        raise Refused(404, f"{under} does not exist on this revision", "EntryNotFound")
    if not wanted(request, "recursive"):
        paths = [path for path in paths if "/" not in path[len(prefix) :].rstrip("/")]
    expand = wanted(request, "expand")
    items = [_item(request, repo, commit, path, expand) for path in paths]
    return paged(request, items, _EXPANDED_PAGE if expand else _PAGE)


async def paths_info(request: Request) -> Response:
    """Entries of the paths asked for (a form); those that do not exist are left out."""
    repo, form = repo_of(request), parse_qs((await body_of(request)).decode("utf-8", "replace"))
    commit = commit_of(request, repo)
    known = set(_with_folders(commit.tree))
    asked = [path.strip("/") for path in form.get("paths", [])]
    paths = [path if path in known else path + "/" for path in asked if known & {path, path + "/"}]
    expand = form.get("expand", [""])[0].lower() == "true"
    return JSONResponse([_item(request, repo, commit, path, expand) for path in paths])


def _with_folders(tree: Iterable[str]) -> list[str]:
    """Every path and every folder (with a final ``/``), sorted."""
    folders = {path[: at + 1] for path in tree for at, char in enumerate(path) if char == "/"}
    return sorted(folders | set(tree))


def _item(request: Request, repo: Repo, commit: Commit, path: str, expand: bool) -> dict[str, Any]:
    item: dict[str, Any] = {"path": path.rstrip("/")}
    entry = commit.tree.get(path)
    if entry is None:
        inside = [(name, found.git_oid) for name, found in commit.tree.items() if name.startswith(path)]
        item |= {"type": "directory", "size": 0, "oid": hashlib.sha1(repr(inside).encode()).hexdigest()}
    else:
        item |= {"type": "file", "size": entry.size, "oid": entry.git_oid}
        if entry.lfs:
            item["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": 134}
    if expand:
        last = _last_change(store_of(request), repo, commit, path)
        item["lastCommit"] = {"id": last.oid, "title": last.title, "date": last.date}
    return item


def _last_change(store: Store, repo: Repo, commit: Commit, path: str) -> Commit:
    """The newest commit that changed a file or anything in a folder."""

    def part(of: Commit) -> dict[str, Entry]:
        return {name: entry for name, entry in of.tree.items() if name == path or name.startswith(path + "/")}

    last = commit
    for older in store.history(repo, commit):
        if part(older) != part(commit):
            break
        last = older
    return last


def list_commits(request: Request) -> Response:
    repo = repo_of(request)
    items = [
        {"id": commit.oid, "title": commit.title, "message": commit.message, "date": commit.date, "authors": [_AUTHOR]}
        for commit in store_of(request).history(repo, commit_of(request, repo))
    ]
    return paged(request, items, _PAGE)


_AUTHOR = {"user": USER, "avatar": ""}


def resolve(request: Request) -> Response:
    """A file's bytes; ``Range`` gives 206."""
    repo = repo_of(request)
    commit, path = commit_of(request, repo), unquote(request.path_params["path"])
    entry = commit.tree.get(check_path(path))
    headers = {"X-Repo-Commit": commit.oid}
    if entry is None:
        raise Refused(404, f"{path} does not exist on this revision", "EntryNotFound", headers)
    headers |= {"ETag": f'"{entry.etag}"', "X-Content-Type-Options": "nosniff"}
    headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    if entry.lfs:
        headers |= {"X-Linked-Etag": f'"{entry.etag}"', "X-Linked-Size": str(entry.size)}
        headers |= _xet_headers(request, repo, commit, entry)
    name = path.rsplit("/", 1)[-1]
    return FileResponse(store_of(request).blob(entry.sha256), headers=headers, filename=name, media_type=_BYTES)


def _xet_headers(request: Request, repo: Repo, commit: Commit, entry: Entry) -> dict[str, str]:
    """By which a client with hf_xet fetches chunks instead of the bytes that follow."""
    chunked = xet.known(store_of(request), entry.sha256)
    if chunked is None:
        return {}
    address = f"{origin(request)}/api/{repo.kind}/{repo.id}/xet-read-token/{commit.oid}?folder={chunked.folder}"
    return {"X-Xet-Hash": chunked.hash, "Link": f'<{address}>; rel="xet-auth"'}


_BYTES = "application/octet-stream"


def routes() -> list[Route]:
    """The API, most specific first."""
    repo = "/api/{kind}/{namespace}/{name}"
    found = [
        Route("/api/whoami-v2", whoami),
        Route("/api/repos/create", create_repo, methods=["POST"]),
        Route("/api/repos/delete", delete_repo, methods=["DELETE"]),
        Route("/api/validate-yaml", check_card, methods=["POST"]),
        Route("/api/{kind}", list_repos),
        Route(repo, repo_info),
        Route(f"{repo}/revision/{{revision}}", repo_info),
        Route(f"{repo}/settings", update_settings, methods=["PUT"]),
        Route(f"{repo}/refs", list_refs),
        Route(f"{repo}/branch/{{ref}}", create_branch, methods=["POST"]),
        Route(f"{repo}/branch/{{ref}}", delete_branch, methods=["DELETE"]),
        Route(f"{repo}/tag/{{ref}}", create_tag, methods=["POST"]),
        Route(f"{repo}/tag/{{ref}}", delete_tag, methods=["DELETE"]),
        Route(f"{repo}/tree/{{revision}}", list_tree),
        Route(f"{repo}/tree/{{revision}}/{{path:path}}", list_tree),
        Route(f"{repo}/paths-info/{{revision}}", paths_info, methods=["POST"]),
        Route(f"{repo}/commits/{{revision}}", list_commits),
    ]
    for prefix in ("/datasets", "/spaces", ""):
        inside = f"{prefix}/{{namespace}}/{{name}}"
        found.append(Route(f"{inside}/resolve/{{revision}}/{{path:path}}", resolve))
    return found
