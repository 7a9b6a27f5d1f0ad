"""The rehearsal Hub: a server on 127.0.0.1 that huggingface_hub, datasets and transformers take for the Hub.

It keeps repositories in one folder (store.py), answers the Hub's API (api.py, upload.py, spaces.py, over request.py)
and shows them as web pages (pages.py). It has a token of its own in the folder's ``token``; any other token is
refused, so a client that sends the user's own is found out: ``requests.jsonl`` notes for each request whose token
came, by digest.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import HubError
from . import api, jobs, pages, spaces, upload
from .client import recorded, unusable
from .faults import Faults, Trouble
from .request import json_of, need_token
from .store import Refused, Store, now

HOST = "127.0.0.1"
_WATCH_SECONDS = 0.5
_MAX_LOG_BYTES = 20 * 2**20


class FolderTaken(HubError):
    """Another server holds the folder."""


@dataclass
class Clients:
    """The processes that a server lives for; one started for nobody has none, and lives until Ctrl-C."""

    server: uvicorn.Server
    pids: set[int]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, pid: int) -> bool:
        """Whether the server lives for ``pid`` as well from now on; False once it is going to end."""
        with self.lock:
            if self.pids:
                self.pids.add(pid)
            return not self.server.should_exit

    def watch(self) -> None:
        """Stop the server as soon as none of the processes is left."""
        while not self._ended():
            time.sleep(_WATCH_SECONDS)

    def _ended(self) -> bool:
        with self.lock:  # nobody is added between the look and the decision
            if not any(is_alive(pid) for pid in self.pids):
                self.server.should_exit = True  # only ever set: a signal may set it while the processes are looked at
            return self.server.should_exit


def make_app(store: Store, token: str) -> Starlette:
    """The whole Hub as an ASGI application over ``store``."""
    routes = [
        Route("/api/rehearsal/clients", add_client, methods=["POST"]),
        *jobs.routes(),
        *spaces.routes(),
        *upload.routes(),
        *api.routes(),
        *pages.routes(),
    ]
    handlers: dict[Any, Any] = {Refused: refuse, HTTPException: not_routed, OSError: disk_failed}
    handlers[ClientDisconnect] = cut_off
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.store, app.state.token, app.state.clients = store, token, None
    return app


async def add_client(request: Request) -> Response:
    """Another process that uses this server: it lives until the last of them is gone, and takes no more then."""
    need_token(request)
    pid = (await json_of(request)).get("pid")
    if not isinstance(pid, int) or pid < 1 or not is_alive(pid):
        raise Refused(400, "'pid' is not a running process")
    clients: Clients | None = request.app.state.clients
    if clients and not clients.add(pid):
        raise Refused(503, "This server is about to end")
    return JSONResponse({})


async def refuse(request: Request, error: Exception) -> Response:
    """An error as the Hub words it: headers for its clients, a page for a browser."""
    refused = error if isinstance(error, Refused) else Refused(500, "Internal error")
    if _is_page(request):
        return pages.page("missing", refused.status, title="Not here", message=refused.message)
    message = re.sub(r"[^\x20-\x7e]", "?", refused.message)
    headers = refused.headers | {"X-Error-Message": message}
    if refused.code:
        headers["X-Error-Code"] = refused.code
    return JSONResponse({"error": refused.message} | refused.fields, refused.status, headers=headers)


async def not_routed(request: Request, error: Exception) -> Response:
    """No such route, or a route with another method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return await refuse(request, Refused(status, f"The rehearsal Hub has no {request.method} {request.url.path}"))


async def disk_failed(request: Request, error: Exception) -> Response:
    """A full or broken disk: nothing was acknowledged."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return await refuse(request, Refused(507, f"The rehearsal Hub could not write to its folder: {reason}"))


async def cut_off(request: Request, error: Exception) -> Response:
    """The client left in the middle of its upload; nobody reads this answer."""
    return Response(status_code=400)


def _is_page(request: Request) -> bool:
    path = request.scope["path"]
    return "text/html" in request.headers.get("accept", "") and not path.startswith("/api/") and "/resolve/" not in path


@dataclass
class Door:
    """The first thing a request meets: host, token and log; then routes see the raw, still encoded path."""

    app: ASGIApp
    token: str
    port: int
    log: TextIO | None = field(default=None, repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        bearer = headers.get(b"authorization")
        scope["path"] = scope["raw_path"].decode("ascii", "replace")
        scope["authorized"] = hmac.compare_digest((bearer or "").encode(), f"Bearer {self.token}".encode())
        send = self._logged(scope, bearer, send)
        if refused := self._refused(headers, bearer, scope["authorized"]):
            return await (await refuse(Request(scope), refused))(scope, receive, send)
        await self.app(scope, receive, send)

    def _refused(self, headers: dict[bytes, str], bearer: str | None, authorized: bool) -> Refused | None:
        """A web page elsewhere that renamed itself to this address (DNS rebinding), or a token of another Hub."""
        if headers.get(b"host", "") not in (f"{HOST}:{self.port}", f"localhost:{self.port}"):
            return Refused(400, f"This server answers to {HOST}:{self.port} only")
        if bearer is not None and not authorized:
            return Refused(401, "Invalid credentials in Authorization header")
        return None

    def _logged(self, scope: Scope, bearer: str | None, send: Send) -> Send:
        whose = "none" if bearer is None else "rehearsal" if scope["authorized"] else f"sha256:{_digest(bearer)}"

        async def logging(message: Message) -> None:
            if message["type"] == "http.response.start" and self.log is not None:
                line = {"time": now(), "method": scope["method"], "path": scope["path"]}
                self.log.write(json.dumps(line | {"status": message["status"], "token": whose}) + "\n")
                self.log.flush()
            await send(message)

        return logging


def _digest(bearer: str) -> str:
    return hashlib.sha256(bearer.removeprefix("Bearer ").encode()).hexdigest()[:16]


def serve(
    data: Path,
    port: int = 0,
    *,
    host: str = HOST,
    parent_pid: int | None = None,
    faults: Faults | None = None,
    xet: bool = False,
    announce: Callable[[str], None] = lambda address: print(address, flush=True),
) -> None:
    """Serve until Ctrl-C, or until ``parent_pid`` and every process that joined later are gone.

    Port 0 takes the port of last time when it is free, else any. ``announce`` gets the address once it is
    bound. With ``faults`` a share of the requests fails; with ``xet`` this program's clients upload through Xet.
    Raises ``HubError`` for another host, a busy port, or a second server on the same folder.
    """
    if host != HOST:
        raise HubError(f"the rehearsal Hub listens on {HOST} only, not on {host}: its pages need no password")
    with _only_server(data), _bound(data, port) as listener:
        token, port = _token(data), listener.getsockname()[1]
        store = Store(data)
        store.collect_garbage()
        with _request_log(data).open("a", encoding="utf-8") as log:
            app = make_app(store, token)
            door: ASGIApp = Door(app, token, port, log)
            server = uvicorn.Server(_settings(Trouble(door, faults, log) if faults else door))
            app.state.clients = clients = Clients(server, {parent_pid} if parent_pid else set())
            address = f"http://{HOST}:{port}"
            store.write_json(data / "server.json", {"pid": os.getpid(), "port": port, "endpoint": address, "xet": xet})
            if parent_pid:
                threading.Thread(target=clients.watch, daemon=True).start()
            announce(address)
            with suppress(KeyboardInterrupt):  # uvicorn raises it again after a clean end
                server.run(sockets=[listener])


def _settings(app: ASGIApp) -> uvicorn.Config:
    """h11 on purpose: it refuses headers over 64 KiB with 400."""
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=64 * 1024,
    )


@contextmanager
def _only_server(data: Path) -> Iterator[None]:
    """The folder, made when it is missing, under a lock that ends with the process, however it ends."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        file = (data / "lock").open("w")
    except OSError as error:
        raise unusable(data, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = recorded(data)
            address = running.endpoint if running else "an address it has not written yet"
            raise FolderTaken(f"another rehearsal Hub serves {data} already, at {address}") from None
        yield


@contextmanager
def _bound(data: Path, port: int) -> Iterator[socket.socket]:
    # The protocol is named because asyncio turns Nagle's delay off (40 ms an answer) only where it is.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port or _last_port(data)))
        except (OSError, OverflowError) as error:  # OverflowError: beyond 65535
            if port:
                reason = getattr(error, "strerror", None) or error
                raise HubError(f"port {port} cannot be used ({reason}); choose another with --port") from None
            listener.bind((HOST, 0))
        listener.listen(128)
        yield listener


def _last_port(data: Path) -> int:
    try:
        port = json.loads((data / "server.json").read_text("utf-8"))["port"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return port if isinstance(port, int) and 1024 <= port < 65536 else 0


def _token(data: Path) -> str:
    """The server's own token, made once, readable by its owner only."""
    path = data / "token"
    if not path.exists():
        partial = data / f"token.{secrets.token_hex(4)}"
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("hf_rehearsal_" + secrets.token_urlsafe(32))
        partial.rename(path)
    path.chmod(0o600)
    return path.read_text("ascii").strip()


def _request_log(data: Path) -> Path:
    path = data / "requests.jsonl"
    if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
        path.replace(data / "requests.old.jsonl")
    return path


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended but was not collected by its parent does not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    except PermissionError:
        pass
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return True
