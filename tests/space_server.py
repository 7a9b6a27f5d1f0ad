"""A page of its own process and a browser that may talk to it alone. Loaded by tests with ``runpy.run_path``."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
}
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-sync", "--no-first-run"]
START_SECONDS = 120
expect.set_options(timeout=30_000)
SERVE = "import sys; from countdown_r1.space.server import serve; serve(sys.argv[1], int(sys.argv[2]), {options})"


def command_for(folder: Path, options: str = "") -> Callable[[int], list[str]]:
    """The command that serves a model on a port."""
    return lambda port: [sys.executable, "-c", SERVE.format(options=options), str(folder), str(port)]


@contextmanager
def running_browser() -> Iterator[Browser]:
    own = Path("/usr/bin/chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=own if own.exists() else None, args=FLAGS)
        yield running
        running.close()


@contextmanager
def served(command: Callable[[int], list[str]], **options: Any) -> Iterator[str]:
    """A server on a free port, as a process of its own that ends with the block."""
    port = free_port()
    environment = os.environ | QUIET | options.pop("env", {}) | {"PORT": str(port)}
    with tempfile.TemporaryFile("w+") as said:  # no pipe: a server whose words nobody reads stops when it is full
        process = subprocess.Popen(command(port), env=environment, stdout=said, stderr=said, text=True, **options)
        try:
            wait_for(port, process, said)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()
            process.wait(20)


def wait_for(port: int, process: subprocess.Popen[str], said: IO[str]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            said.seek(0)
            raise AssertionError(f"the server ended with {process.returncode}: {said.read()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"no server after {START_SECONDS} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def opened(browser: Browser, address: str, query: str = "", **options: Any) -> Iterator[Page]:
    """The page in a fresh browser profile that may talk to the server alone; errors in the page fail the test."""
    settings: Any = {"viewport": {"width": 1100, "height": 900}} | options
    context = browser.new_context(**settings)
    elsewhere: list[str] = []
    problems: list[str] = []
    context.route(
        lambda url: not url.startswith((address, "data:", "blob:")),
        lambda route: (elsewhere.append(route.request.url), route.abort()),
    )
    shown = context.new_page()
    shown.on("pageerror", lambda error: problems.append(str(error)))
    shown.on("response", lambda answer: problems.append(answer.url) if answer.status >= 500 else None)
    shown.goto(address + query)
    expect(shown.locator("#solve")).to_be_visible()
    yield shown
    context.close()
    assert elsewhere == []
    assert problems == []
