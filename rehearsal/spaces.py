"""Spaces' settings and collections of the rehearsal Hub. No Space runs here, and no secret's value is kept."""

from __future__ import annotations

import re
import secrets
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .api import runtime
from .request import authorized, json_of, need_token, repo_of, store_of, text_of
from .store import Commit, Refused, Repo, Store, now

_SETTINGS = ("runtime", "hardware", "sleeptime", "variables", "secrets", "restart", "pause")


async def space_setting(request: Request) -> Response:
    """Hardware, sleep time, variables and the names of secrets; pause and restart change nothing here."""
    repo, what, store = repo_of(request), request.scope["path"].rpartition("/")[2], store_of(request)
    if request.method == "GET":
        return JSONResponse(_space_answer(repo, what, store.resolve(repo, "main")))
    need_token(request)
    changed = store.update(repo, space=_space_after(repo.space, what, request.method, await json_of(request)))
    return JSONResponse(_space_answer(changed, what, store.resolve(changed, "main")))


def _space_answer(repo: Repo, what: str, commit: Commit) -> dict[str, Any]:
    if what == "variables":
        return {key: {"value": value} for key, value in repo.space.get("variables", {}).items()}
    if what == "secrets":
        return {key: {} for key in repo.space.get("secrets", [])}
    return runtime(repo, commit)


def _space_after(space: dict[str, Any], what: str, method: str, body: dict[str, Any]) -> dict[str, Any]:
    """A Space's settings after one request. A secret's value is dropped on arrival."""
    if what == "hardware":
        return space | {"hardware": text_of(body, "flavor")}
    if what == "sleeptime":
        return space | {"sleep_seconds": body.get("seconds")}
    if what == "variables":
        rest = {key: value for key, value in space.get("variables", {}).items() if key != body.get("key")}
        return space | {
            "variables": rest if method == "DELETE" else rest | {text_of(body, "key"): text_of(body, "value")}
        }
    if what == "secrets":
        names = [name for name in space.get("secrets", []) if name != body.get("key")]
        return space | {"secrets": names if method == "DELETE" else [*names, text_of(body, "key")]}
    if what in ("restart", "pause"):
        return space
    raise Refused(404, f"Not found: {what}")


def _save(store: Store, collection: dict[str, Any]) -> dict[str, Any]:
    collection = collection | {"lastUpdated": now()}
    store.write_json(store.root / "collections.json", store.collections() | {collection["slug"]: collection})
    return collection


def _collection_of(request: Request) -> dict[str, Any]:
    """The collection in the path, or ``Refused`` 404; a private one needs the token."""
    slug = "/".join(unquote(request.path_params[part]) for part in ("namespace", "slug"))
    found = store_of(request).collections().get(slug)
    if found is None or (found["private"] and not authorized(request)):
        raise Refused(404, "Collection not found")
    return found


async def list_collections(request: Request) -> Response:
    owner = request.query_params.get("owner")
    seen = [found for found in store_of(request).collections().values() if authorized(request) or not found["private"]]
    return JSONResponse([_without_position(found) for found in seen if owner in (None, found["owner"])])


def _without_position(collection: dict[str, Any]) -> dict[str, Any]:
    """In a list the client counts positions itself."""
    return {key: value for key, value in collection.items() if key != "position"}


async def create_collection(request: Request) -> Response:
    need_token(request)
    body, store = await json_of(request), store_of(request)
    title, owner = text_of(body, "title"), text_of(body, "namespace")
    for found in store.collections().values():
        if (found["owner"], found["title"]) == (owner, title):
            refused = Refused(409, f"This collection exists already: {found['slug']}")
            refused.fields["slug"] = found["slug"]
            raise refused
    slug = f"{owner}/{re.sub('[^a-z0-9]+', '-', title.lower()).strip('-')}-{secrets.token_hex(12)}"
    collection: dict[str, Any] = {"slug": slug, "title": title, "owner": owner, "items": [], "position": 0}
    collection |= {"private": body.get("private") is True, "description": body.get("description")}
    return JSONResponse(_save(store, collection | {"theme": "blue", "upvotes": 0}))


async def one_collection(request: Request) -> Response:
    """Read it, delete it, or change its title, description, theme, position or visibility."""
    collection, store = _collection_of(request), store_of(request)
    if request.method == "GET":
        return JSONResponse(collection)
    need_token(request)
    if request.method == "DELETE":
        rest = {slug: found for slug, found in store.collections().items() if slug != collection["slug"]}
        store.write_json(store.root / "collections.json", rest)
        return JSONResponse({})
    keys = ("title", "description", "theme", "position", "private")
    changes = {key: value for key, value in (await json_of(request)).items() if key in keys}
    return JSONResponse({"data": _save(store, collection | changes)})


async def add_item(request: Request) -> Response:
    """One model, dataset or Space that exists here; a second time is 409."""
    need_token(request)
    collection, body, store = _collection_of(request), await json_of(request), store_of(request)
    wanted = body.get("item")
    if not isinstance(wanted, dict):
        raise Refused(400, "'item' is missing")
    item: dict[str, Any] = {"id": text_of(wanted, "id"), "type": text_of(wanted, "type")}
    store.repo(item["type"] + "s", item["id"])
    if any((old["type"], old["id"]) == (item["type"], item["id"]) for old in collection["items"]):
        raise Refused(409, f"{item['id']} is in this collection already")
    item |= {"_id": secrets.token_hex(12), "position": len(collection["items"])}
    item["note"] = {"text": text_of(body, "note")} if body.get("note") else None
    return JSONResponse(_save(store, collection | {"items": [*collection["items"], item]}))


async def remove_item(request: Request) -> Response:
    need_token(request)
    collection, gone = _collection_of(request), request.path_params["item"]
    rest = [item for item in collection["items"] if item["_id"] != gone]
    if len(rest) == len(collection["items"]):
        raise Refused(404, "No such item in this collection")
    return JSONResponse(_save(store_of(request), collection | {"items": rest}))


def routes() -> list[Route]:
    one, space = "/api/collections/{namespace}/{slug}", "/api/spaces/{namespace}/{name}"
    return [
        Route("/api/collections", list_collections, methods=["GET"]),
        Route("/api/collections", create_collection, methods=["POST"]),
        Route(one, one_collection, methods=["GET", "PATCH", "DELETE"]),
        Route(f"{one}/items", add_item, methods=["POST"]),
        Route(f"{one}/items/{{item}}", remove_item, methods=["DELETE"]),
        *(Route(f"{space}/{what}", space_setting, methods=["GET", "POST", "DELETE"]) for what in _SETTINGS),
    ]
