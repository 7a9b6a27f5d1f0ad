"""The rehearsal Hub's web pages: what would be public, to look at in a browser on this computer.

They need no token (loopback only) and no script: style sheet and images come from this server, everything else
is forbidden by the ``Content-Security-Policy``. A file of a repository is shown as text or as an image, never
as a page of its own.
"""

from __future__ import annotations

import mimetypes
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote

from jinja2 import DictLoader, Environment
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from . import card
from .request import read_text, store_of
from .store import KINDS, Commit, Refused, Repo, Store
from .templates import BASE, COLLECTION, INDEX, LISTED, MISSING, REPO, STYLE

MAX_COMMITS_SHOWN = 50
_IMAGES = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"}
_SAFE = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SAFE_FILE = _SAFE | {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}


def _bytes(size: int) -> str:
    """``12.3 kB``: powers of 1,000, as the Hub counts."""
    for unit, bytes_in_unit in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= bytes_in_unit:
            return f"{size / bytes_in_unit:.1f} {unit}"
    return f"{size} B"


def _path(repo: Repo) -> str:
    return f"/{'' if repo.kind == 'models' else repo.kind + '/'}{repo.id}"


def _badge(private: bool) -> str:
    return "private" if private else "public"


_pages = Environment(
    loader=DictLoader(
        {"base": BASE, "listed": LISTED, "index": INDEX, "collection": COLLECTION, "repo": REPO, "missing": MISSING}
    ),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.globals.update(path=_path, badge=_badge)
_pages.filters.update(
    bytes=_bytes,
    segment=lambda name: quote(name, safe=""),
    address=quote,
    moment=lambda date: date[:16].replace("T", " ") + " UTC",
)


def page(name: str, status: int = 200, **values: Any) -> Response:
    return HTMLResponse(_pages.get_template(name).render(**values), status, headers=_SAFE)


def index(request: Request) -> Response:
    store = store_of(request)
    kinds = [(kind, [_listed(store, repo) for repo in store.repos(kind)]) for kind in KINDS]
    return page("index", title="Repositories", kinds=kinds, collections=list(store.collections().values()))


def collection(request: Request) -> Response:
    """What a collection gathers, in its order; what has been deleted since is gone from the page too."""
    store = store_of(request)
    slug = "/".join(unquote(request.path_params[part]) for part in ("namespace", "slug"))
    found = store.collections().get(slug)
    if found is None:
        raise Refused(404, "Collection not found")
    repos = {kind: {repo.id: repo for repo in store.repos(kind)} for kind in KINDS}
    there = [(item, repos[f"{item['type']}s"].get(item["id"])) for item in found["items"]]
    items = [(item, *_listed(store, repo)) for item, repo in there if repo is not None]
    return page("collection", title=found["title"], collection=found, items=items)


def _listed(store: Store, repo: Repo) -> tuple[Repo, Commit, str]:
    commit = store.resolve(repo, "main")
    data = card.card_data(read_text(store, commit, "README.md"))
    said = (str(data.get(key) or "") for key in ("short_description", "pretty_name", "title"))
    names = ("", repo.id, repo.id.partition("/")[2])  # which the page says already
    return repo, commit, next((text[:200] for text in said if text not in names), "")


def repo_page(request: Request) -> Response:
    """Card, branches and tags, files and commits of a repository at a revision."""
    store, repo = store_of(request), _repo(request)
    revision = unquote(request.path_params.get("revision", "main"))
    commit = store.resolve(repo, revision)
    files_url = f"{_path(repo)}/blob/{quote(revision, safe='')}/"
    readme = read_text(store, commit, "README.md")
    repo_type = repo.kind.removesuffix("s")
    return page(
        "repo",
        title=repo.id,
        repo=repo,
        revision=revision,
        commit=commit,
        files_url=files_url,
        refs=[(kind, _refs(repo, f"refs/{folder}/")) for kind, folder in (("Branches", "heads"), ("Tags", "tags"))],
        rows=card.rows(card.card_data(readme)),
        problems=[text for texts in card.validate_card(readme, repo_type) for text in texts],
        card=card.rendered(readme, files_url) if readme else None,
        files=sorted(commit.tree.items()),
        commits=list(islice(store.history(repo, commit), MAX_COMMITS_SHOWN)),
    )


def _refs(repo: Repo, folder: str) -> list[str]:
    """Names under a folder of refs: ``main`` first, ``step-9`` before ``step-10``."""
    names = [ref.removeprefix(folder) for ref in repo.refs if ref.startswith(folder)]
    return sorted(names, key=lambda name: (name != "main", len(name), name))


def _repo(request: Request) -> Repo:
    first = request.scope["path"].split("/")[1]
    kind = first if first in ("datasets", "spaces") else "models"
    return store_of(request).repo(kind, "/".join(unquote(request.path_params[part]) for part in ("namespace", "name")))


def blob(request: Request) -> Response:
    """A file to look at: an image as itself, text as plain text, anything else to save."""
    store, repo = store_of(request), _repo(request)
    path = unquote(request.path_params["path"])
    entry = store.resolve(repo, unquote(request.path_params["revision"])).tree.get(path)
    if entry is None:
        raise Refused(404, f"{path} does not exist on this revision")
    file, kind = store.blob(entry.sha256), mimetypes.guess_type(path)[0]
    if kind in _IMAGES:
        return FileResponse(file, headers=_SAFE_FILE, media_type=kind)
    with file.open("rb") as opened:
        binary = b"\0" in opened.read(8192)
    name = path.rsplit("/", 1)[-1]
    if binary:
        return FileResponse(file, headers=_SAFE_FILE, media_type="application/octet-stream", filename=name)
    return FileResponse(file, headers=_SAFE_FILE, media_type="text/plain; charset=utf-8")


def to_tree(request: Request) -> Response:
    """The Hub's ``commit`` and ``commits`` addresses lead to the page of that revision."""
    return RedirectResponse(f"{_path(_repo(request))}/tree/{request.path_params['revision']}")


def style(request: Request) -> Response:
    return Response(STYLE, media_type="text/css", headers=_SAFE)


def routes() -> list[Route]:
    found = [Route("/", index), Route("/-/style.css", style), Route("/collections/{namespace}/{slug}", collection)]
    for prefix in ("/datasets", "/spaces", ""):
        inside = f"{prefix}/{{namespace}}/{{name}}"
        found += [Route(inside, repo_page), Route(f"{inside}/tree/{{revision}}", repo_page)]
        found += [Route(f"{inside}/blob/{{revision}}/{{path:path}}", blob)]
        found += [Route(f"{inside}/{word}/{{revision}}", to_tree) for word in ("commit", "commits")]
    return found
