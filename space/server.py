"""The server of the page: it loads the model, opens the port and stays."""

from __future__ import annotations

import gc
import inspect
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from ..errors import StageError
from ..game.puzzle import Puzzle
from .stream import stream
from .words import LANGUAGES

if TYPE_CHECKING:
    import gradio as gr
    from gradio import themes

    from .shelf import Shelf

Echo = Callable[[str], object]


def serve(  # noqa: PLR0913 - the command's flags, one each
    model_name: str,
    port: int = 7860,
    *,
    host: str = "127.0.0.1",
    language: str = "en",
    others: Sequence[str] = (),
    told: Path | None = None,
    may_be_missing: bool = False,
    echo: Echo = print,
) -> None:
    """Load the model, open the page on ``http://HOST:PORT``, ``echo`` that address and stay until interrupted.

    ``others`` are models to compare with, ``told`` is the run whose story is told. With
    ``may_be_missing`` the page opens without its model too, and says why. Raises ``StageError`` when the port is
    taken, before the model is loaded.
    """
    _require_free(host, port)
    with _without_collecting():
        app = _page(model_name, others, told, language, may_be_missing)
        url = _launch(app, host, port)
    echo(url.rstrip("/"))
    try:
        Event().wait()
    except KeyboardInterrupt:
        app.close(verbose=False)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Importing makes millions of objects and hardly any garbage: not looking for it saves an eighth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def without_stubs() -> Iterator[None]:
    """Import Gradio without what it does for editors, a quarter of the start.

    For every component that it defines, Gradio parses the component's source and the stub beside it, and writes that
    anew if they differ. It leaves out components of which ``inspect`` finds no file, so for its own none is found here.
    """
    getfile = inspect.getfile

    def found(thing: Any) -> str:
        if inspect.isclass(thing) and thing.__module__.startswith("gradio."):
            raise OSError("not looked for while Gradio is imported")
        return getfile(thing)

    inspect.getfile = found
    try:
        yield
    finally:
        inspect.getfile = getfile


def _page(model_name: str, others: Sequence[str], told: Path | None, language: str, may_be_missing: bool) -> gr.Blocks:
    """The page around the loaded model."""
    with without_stubs():
        from .app import build_app
    from .shelf import Shelf
    from .story import story_of
    from .trained_on import trained_on

    story = story_of(model_name, told)
    shelf = Shelf(model_name, others, may_be_missing=may_be_missing)
    if shelf.main.trouble:
        logging.getLogger(__name__).error("no model: %s", shelf.main.trouble)
    else:
        _warm_up(shelf)
    return build_app(shelf, story, trained_on(model_name, story), default_language=language)


def _launch(app: gr.Blocks, host: str, port: int) -> str:
    from starlette.middleware import Middleware

    from .app import MAX_JOBS
    from .limits import LimitBody

    folder = resources.files("countdown_r1.space")
    style, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in ("style.css", "page.js"))
    try:
        _, url, _ = app.launch(
            server_name=host,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            max_threads=MAX_JOBS,
            mcp_server=True,
            footer_links=[],
            theme=_theme(),
            css=style,
            head=f"<script>{script}</script>",
            app_kwargs={"middleware": [Middleware(LimitBody)]},
        )
    except OSError as error:
        raise StageError(f"cannot serve on {host}:{port} ({error}); choose another port with --port") from error
    return url


def _warm_up(shelf: Shelf) -> None:
    """Write a few tokens: what is made on first use is made before anybody waits for it."""
    for language in LANGUAGES:
        list(stream(shelf.writer(), Puzzle((1, 2), 3), language, max_new_tokens=4))


def _require_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise StageError(f"port {port} on {host} cannot be used ({error}); choose another with --port") from error


def _theme() -> themes.Base:
    """Gradio's plainest theme with the system's own fonts: nothing is fetched from anywhere."""
    from gradio import themes

    sans = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Noto Sans CJK SC", "sans-serif"]
    return themes.Base(
        primary_hue="teal", neutral_hue="stone", radius_size="lg", font=sans, font_mono=["ui-monospace", "monospace"]
    )
