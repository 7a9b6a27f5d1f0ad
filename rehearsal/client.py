"""How a process finds or starts the rehearsal Hub, and stays inside it: no token of the user, no other host."""

from __future__ import annotations

import atexit
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import HubError

START_SECONDS = 60.0
TAKEN_STATUS = os.EX_TEMPFAIL  # how a server ends when another one holds its folder
TOKEN_VARIABLE = "COUNTDOWN_R1_HUB_TOKEN"
_PUBLIC_HOST = "huggingface.co"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy must never see loopback traffic


@dataclass(frozen=True)
class Server:
    """A rehearsal Hub as its folder records it; it may have ended since."""

    endpoint: str
    token: str = field(repr=False)
    xet: bool = False


def recorded(data: Path) -> Server | None:
    """What ``server.json`` and ``token`` in a rehearsal folder say, None when they are missing."""
    try:
        values = json.loads((data / "server.json").read_text("utf-8"))
        token = (data / "token").read_text("ascii").strip()
        return Server(str(values["endpoint"]), token, values.get("xet") is True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unusable(data: Path, error: OSError) -> HubError:
    return HubError(f"the rehearsal Hub cannot use {data}: {error.strerror}; choose another folder")


def start_or_join(data: Path) -> Server:
    """The server on ``data``: the running one, which then also waits for this process, or a new one.

    A server that is about to end refuses to wait, yet holds its folder a moment longer: a new one is started
    until one stays or another process's can be joined.
    """
    deadline = time.monotonic() + START_SECONDS
    process: subprocess.Popen[bytes] | None = None
    while time.monotonic() < deadline:
        server = recorded(data)
        if server and _joins(server):
            return server
        if process is None or process.poll() == TAKEN_STATUS:
            process = _start(data)
        elif process.poll() is not None:
            raise HubError(f"the rehearsal Hub did not start: {_last_line(data / 'server.log')}")
        time.sleep(0.1)
    raise HubError(
        f"the rehearsal Hub on {data} does not answer after {START_SECONDS:.0f} s; see {data / 'server.log'}"
    )


def _start(data: Path) -> subprocess.Popen[bytes]:
    """Start the server as its own process and session: Ctrl-C here does not take it away before we have ended.

    ``-P`` keeps the current folder off its import path, so that a user's ``yaml.py`` there is not imported.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        log = (data / "server.log").open("ab")  # a server that ends just now may still write there
    except OSError as error:
        raise unusable(data, error) from error
    command = [sys.executable, "-P", "-m", "countdown_r1.rehearsal", "--data", str(data)]
    command += ["--parent-pid", str(os.getpid())]
    with log:
        return subprocess.Popen(
            command, env=_clean(os.environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _joins(server: Server) -> bool:
    """Whether the server answers, with the token in its folder, and has noted this process."""
    body = json.dumps({"pid": os.getpid()}).encode()
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.endpoint}/api/rehearsal/clients", body, headers)
    try:
        with _OPENER.open(request, timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _last_line(path: Path) -> str:
    lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    return lines[-1].removeprefix("error: ") if lines else "it ended without a word"


def is_loopback(endpoint: str) -> bool:
    """Whether an address leads back to this computer, also under another name (``127.1``, ``localhost``)."""
    host = urlsplit(endpoint).hostname or ""
    if host == _PUBLIC_HOST:
        return False
    try:
        found = {str(entry[4][0]).split("%")[0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return host == "localhost" or host.endswith(".localhost")
    return any(_stays_here(ipaddress.ip_address(address)) for address in found)


def _stays_here(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inner = getattr(address, "ipv4_mapped", None) or address
    return inner.is_loopback or inner.is_unspecified


def keep_in(endpoint: str, token: str, data: Path, *, xet: bool = False) -> None:
    """Replace the environment that Hub libraries read, for this process and its children.

    Every variable that could hold or lead to the user's token, caches or another host goes; ``HF_HOME`` is an
    empty folder under ``data`` that is removed when this process ends. Uploads are plain LFS unless ``xet``.
    """
    home = _home(data)
    clean = _clean(os.environ)
    for name in set(os.environ) - set(clean):
        del os.environ[name]
    os.environ.update({"HF_ENDPOINT": endpoint, "HF_TOKEN": token, TOKEN_VARIABLE: token, "HF_HOME": str(home)})
    os.environ.update({"HF_HUB_DISABLE_TELEMETRY": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0"})
    os.environ["HF_HUB_DISABLE_XET"] = "0" if xet else "1"
    here = f"{urlsplit(endpoint).hostname},127.0.0.1,localhost,::1"
    for name in ("NO_PROXY", "no_proxy"):
        others = os.environ.get(name, "")
        os.environ[name] = others if others.startswith(here) else f"{here},{others}".rstrip(",")


def _clean(environment: Any) -> dict[str, str]:
    """Without what steers Hub libraries, but for switches that only quieten them."""
    prefixes = ("HF_", "HUGGING_FACE_", "HUGGINGFACE_", "TRANSFORMERS_OFFLINE", "TRANSFORMERS_CACHE")
    quiet = ("PROGRESS_BARS", "_WARNING", "VERBOSITY", "TIMEOUT")
    return {key: text for key, text in environment.items() if not key.startswith(prefixes) or key.endswith(quiet)}


def _home(data: Path) -> Path:
    """``HF_HOME`` for this process: what an ancestor made for it, or a new folder named by process id."""
    homes = (data / "clients").resolve()
    inherited = Path(os.environ.get("HF_HOME") or "/")
    if inherited.parent == homes and inherited.is_dir():
        return inherited
    for old in homes.glob("*"):
        if not _runs(old.name):
            shutil.rmtree(old, ignore_errors=True)
    home = homes / str(os.getpid())
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    atexit.register(_remove, home, os.getpid())
    return home


def _runs(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _remove(home: Path, owner: int) -> None:
    """Only by the process that made it: a forked child runs the same exit functions."""
    if os.getpid() == owner:
        shutil.rmtree(home, ignore_errors=True)
