"""The one door to the Hub, real or rehearsal: endpoint, token, repositories, tags. What is pushed goes through
``hub_push``.

``connect`` comes first in a process, before anything imports huggingface_hub or datasets: both read
``HF_ENDPOINT`` once, when they are imported. A loopback address gets a token of its own and an environment in
which the user's is nowhere to be found, for this process and for its children.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .errors import HubError
from .hub_errors import plain_errors, retried
from .rehearsal.client import TOKEN_VARIABLE, is_loopback, keep_in, recorded, start_or_join

if TYPE_CHECKING:
    from huggingface_hub import HfApi

DEFAULT_ENDPOINT = "https://huggingface.co"
REHEARSAL = "rehearsal"
_PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}
_SMALL_BYTES = 50_000_000


@dataclass(frozen=True)
class Hub:
    """Where to publish, and as whom. ``mirror`` is where libraries read from instead, without any token."""

    endpoint: str
    token: str | None = field(repr=False)
    rehearsal: bool
    mirror: str | None = None

    @property
    def api(self) -> HfApi:
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.token or False, library_name="countdown-r1")

    @property
    def reader(self) -> HfApi:
        """For reading what others published: from the mirror where there is one."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.mirror, token=False, library_name="countdown-r1") if self.mirror else self.api


def connect(
    target: str | None, *, data: Path = Path("outputs/rehearsal-hub"), write: bool = True, mirror: str | None = None
) -> Hub:
    """The Hub that ``target`` names: None or ``hub`` (``HF_ENDPOINT`` or huggingface.co), ``rehearsal``, or a URL.

    ``rehearsal`` starts the loopback server on ``data``, which ends with this process, or joins the one that
    runs. With ``write`` the token is tried at once. With ``mirror``, a URL, libraries load from there, without a
    token, while pushes go to the Hub. Raises ``HubError`` for a missing or refused token, a Hub that does not
    answer, or libraries that were imported earlier and bound to another endpoint.
    """
    mirror = _endpoint(mirror) if mirror else None
    hub, xet = _hub(target, data)
    _refuse_late(mirror or hub.endpoint, hub.rehearsal and not xet)
    if hub.rehearsal:
        keep_in(hub.endpoint, hub.token or "", data, xet=xet)
    if mirror:
        hub = replace(hub, mirror=mirror)
        _read_from(mirror)
    if not hub.rehearsal:
        hub = replace(hub, token=_token_variable() or _user_token(hub.endpoint, mirror))
    if mirror:
        _hide_tokens(hub)
    if write:
        user_name(hub)
    return hub


def _hub(target: str | None, data: Path) -> tuple[Hub, bool]:
    """The Hub without a user's token, and whether it is a rehearsal one that takes uploads through Xet."""
    server = start_or_join(data) if target == REHEARSAL else None
    if server:
        return Hub(server.endpoint, server.token, rehearsal=True), server.xet
    endpoint = _endpoint(target)
    if not is_loopback(endpoint):
        return Hub(endpoint, None, rehearsal=False), False
    running = recorded(data)
    xet = running is not None and running.endpoint == endpoint and running.xet
    return Hub(endpoint, _loopback_token(endpoint, data), rehearsal=True), xet


def _read_from(mirror: str) -> None:
    """Libraries load from the mirror, and send it no token of their own accord."""
    os.environ["HF_ENDPOINT"] = mirror
    os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"


def _hide_tokens(hub: Hub) -> None:
    """Out of this process's environment and its children's; ``TOKEN_VARIABLE`` alone holds it, for pushes."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        os.environ.pop(name, None)
    os.environ |= {"HF_TOKEN_PATH": os.devnull, TOKEN_VARIABLE: hub.token or ""}


def _endpoint(target: str | None) -> str:
    if target in (None, "", "hub"):
        target = os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT
    if not re.fullmatch(r"https?://[^/\s?#@]+(/[^\s?#@]*)?", target):
        raise HubError(f"'{target}' is not a Hub: use 'hub', '{REHEARSAL}', or a URL such as {DEFAULT_ENDPOINT}")
    return target.rstrip("/")


def _loopback_token(endpoint: str, data: Path) -> str:
    """For a loopback address: from the environment or the rehearsal folder, never the user's own."""
    running = recorded(data)
    token = running.token if running and running.endpoint == endpoint else _token_variable()
    if not token:
        raise HubError(f"no token for {endpoint}, which {data} does not belong to: set {TOKEN_VARIABLE}")
    return token


def _token_variable() -> str | None:
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token.isascii() or not token.isprintable():
        raise HubError(f"{TOKEN_VARIABLE} is not a token: it holds characters that no token has")
    return token or None


def _user_token(endpoint: str, mirror: str | None) -> str | None:
    """The user's own token; never over a connection that others can read."""
    if endpoint.startswith("http://"):
        raise HubError(f"{endpoint} is not encrypted: your token is not sent there. Use https, or set {TOKEN_VARIABLE}")
    os.environ["HF_ENDPOINT"] = mirror or endpoint  # before the import, which reads it
    from huggingface_hub import get_token

    return get_token()


def _refuse_late(reads: str, plain_lfs: bool) -> None:
    """Libraries imported before hold on to the endpoint (and to Xet) they were imported with."""
    constants, config = sys.modules.get("huggingface_hub.constants"), sys.modules.get("datasets.config")
    bound = {getattr(constants, "ENDPOINT", reads), getattr(config, "HF_ENDPOINT", reads).rstrip("/")}
    xet = plain_lfs and not getattr(constants, "HF_HUB_DISABLE_XET", True)
    if xet or bound != {reads}:
        other = ", ".join(sorted(bound - {reads})) or "uploads through Xet"
        raise HubError(f"this process is bound to {other} already: connect to {reads} in a new process")


def plain(hub: Hub, doing: str) -> AbstractContextManager[None]:
    """Every failure in here is a ``HubError`` of one line: what was being done, what the Hub said, and the fix."""
    fix = f"set {TOKEN_VARIABLE}" if hub.rehearsal else "run `hf auth login` with a token that may write"
    return plain_errors(hub.endpoint, doing, fix)


@contextmanager
def quiet_bars(sizes: Iterable[int]) -> Iterator[None]:
    """Without huggingface_hub's bars for each file while there is little to send."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    quiet = sum(sizes) < _SMALL_BYTES and not are_progress_bars_disabled()
    if quiet:
        disable_progress_bars()
    try:
        yield
    finally:
        if quiet:
            enable_progress_bars()


def user_name(hub: Hub) -> str:
    """Whose token it is. Raises ``HubError`` when there is none or the Hub refuses it."""
    if not hub.token:
        raise HubError(f"no token for {hub.endpoint}: run `hf auth login`, or set HF_TOKEN")
    with plain(hub, "checking the token"):
        return retried(lambda: hub.api.whoami()["name"], attempts=6)


def web_url(hub: Hub, repo_id: str, repo_type: str, revision: str | None = None) -> str:
    """The page of a repository, at a branch, tag or commit."""
    page = f"{hub.endpoint}/{_prefix(repo_type)}{repo_id}"
    return f"{page}/tree/{quote(revision, safe='')}" if revision else page


def _prefix(repo_type: str) -> str:
    if repo_type not in _PREFIXES:
        raise HubError(f"'{repo_type}' is not a repository type: use {', '.join(_PREFIXES)}")
    return _PREFIXES[repo_type]


def ensure_repo(hub: Hub, repo_id: str, repo_type: str, *, private: bool = True, space_sdk: str | None = None) -> str:
    """Create a repository unless it exists; returns its page.

    An existing repository keeps its visibility, but a public one where a private one was asked for is an error.
    """
    page = web_url(hub, repo_id, repo_type)
    with plain(hub, f"creating {repo_id}"):
        make = hub.api.create_repo
        retried(lambda: make(repo_id, repo_type=repo_type, private=private, space_sdk=space_sdk, exist_ok=True))
        public = not retried(lambda: hub.api.repo_info(repo_id, repo_type=repo_type)).private
    if public and private:
        raise HubError(f"{page} exists and is public: ask for a public push, or make it private in its settings first")
    return page


def set_private(hub: Hub, repo_id: str, repo_type: str, private: bool) -> None:
    """Make a repository private or public."""
    with plain(hub, f"changing who can see {repo_id}"):
        retried(lambda: hub.api.update_repo_settings(repo_id, repo_type=repo_type, private=private))


def version_of(hub: Hub, repo_id: str, repo_type: str, revision: str = "main") -> str | None:
    """The version tag (``v1``, ``v2``, ...) on the commit that a branch or commit name means, None without one."""
    with plain(hub, f"reading the tags of {repo_id}"):
        head = retried(lambda: hub.api.repo_info(repo_id, repo_type=repo_type, revision=revision)).sha
        return next((name for name, commit in _versions(hub, repo_id, repo_type).items() if commit == head), None)


def tag_version(hub: Hub, repo_id: str, repo_type: str, revision: str) -> str:
    """Give a commit the next version tag, unless it has one; returns the tag."""
    known = version_of(hub, repo_id, repo_type, revision)
    if known:
        return known
    with plain(hub, f"tagging {repo_id}"):
        numbers = [int(name[1:]) for name in _versions(hub, repo_id, repo_type)]
        tag = f"v{max(numbers, default=0) + 1}"
        retried(lambda: hub.api.create_tag(repo_id, repo_type=repo_type, tag=tag, revision=revision, exist_ok=True))
    return tag


def _versions(hub: Hub, repo_id: str, repo_type: str) -> dict[str, str]:
    """Commits by version tag."""
    tags = retried(lambda: hub.api.list_repo_refs(repo_id, repo_type=repo_type)).tags
    return {tag.name: tag.target_commit for tag in tags if re.fullmatch(r"v\d+", tag.name)}


def read_text(hub: Hub, repo_id: str, repo_type: str, name: str, revision: str = "main") -> str | None:
    """One small file of a repository, None when it is not there."""
    from huggingface_hub.errors import EntryNotFoundError

    with tempfile.TemporaryDirectory(prefix="countdown-r1-read-") as folder:
        with plain(hub, f"reading {name} of {repo_id}"):
            get = hub.api.hf_hub_download
            try:
                path = retried(
                    lambda: get(
                        repo_id, name, repo_type=repo_type, revision=revision, cache_dir=folder, local_dir=folder
                    )
                )
            except EntryNotFoundError:
                return None
        return Path(path).read_text(encoding="utf-8")


def load_dataset(hub: Hub, repo_id: str, config: str, *, split: str, revision: str) -> Any:
    """``datasets.load_dataset`` from this Hub; from a rehearsal one without its look-ups of public hosts."""
    import datasets
    from datasets import config as datasets_config

    if hub.rehearsal:
        datasets_config.USE_PARQUET_EXPORT = False
    with plain(hub, f"loading {repo_id}"):
        return datasets.load_dataset(repo_id, config, split=split, revision=revision, token=hub.token)
