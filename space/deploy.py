"""Make a Space on the Hub and wait until it runs; when it does not, show its own log."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import HubError, InputError
from ..hub import Hub, ensure_repo, web_url
from ..hub_errors import plain_errors, retried
from ..hub_push import push_folder
from ..hub_verify import verify_folder
from ..models import resolve
from ..repo_names import check_repo_id
from ..scan import refuse, scan
from .package import Wishes, package_space

Echo = Callable[[str], object]
WAIT_SECONDS, LOOK_SECONDS = 20 * 60.0, 2.0
_LOG_LINES = 40
_RUNNING = ("RUNNING", "SLEEPING")  # a sleeping one wakes up when it is opened
_TOKEN_FIX = "run `hf auth login` with a token that may write"


def push_space(
    model: str,
    repo_id: str,
    hub: Hub,
    *,
    wishes: Wishes | None = None,
    wait: bool = True,
    replace: bool = False,
    echo: Echo = print,
) -> str:
    """Make (or bring up to date) the private Space ``repo_id`` for a model on the Hub; returns its address.

    The model is pinned to the commit its revision means now. Raises ``InputError`` for a model in a folder or a name
    that the Hub would refuse, and ``HubError`` when something secret would be sent, others' files would be lost
    (unless ``replace``), or the Hub refuses, holds something else afterwards, or cannot run the Space.
    """
    check_repo_id(repo_id, "choose another --push-to")
    source = resolve(model)
    if source.revision is None:
        raise InputError(f"a Space reads its model from the Hub and '{model}' is a folder; publish it first")
    with plain_errors(hub.endpoint, f"looking for {model}", _TOKEN_FIX):
        about = retried(lambda: hub.api.model_info(source.path_or_id, revision=source.revision))
    with tempfile.TemporaryDirectory() as place:
        folder = package_space(
            Path(place),
            model_repo=source.path_or_id,
            revision=about.sha or source.revision,
            dataset_repo=None,
            space_repo=repo_id,
            endpoint=hub.endpoint,
            wishes=wishes,
        )
        refuse(scan(folder, {"access token in use": hub.token or ""}))  # the story quotes what models wrote
        ensure_repo(hub, repo_id, "space", space_sdk="gradio")
        push_folder(hub, repo_id, "space", folder, message=f"Demo of {source.path_or_id}", replace=replace)
        verify_folder(hub, repo_id, "space", folder, revision="main")
    if about.private:
        echo(private_note(source.path_or_id, repo_id))
    if wait:
        wait_until_running(hub, repo_id, echo)
    return web_url(hub, repo_id, "space")


def private_note(model: str, repo_id: str) -> str:
    """What a Space needs to read a private model. No token is ever sent there by this program."""
    return (
        f"{model} is private, and the Space cannot read it yet: add the secret HF_TOKEN, a token that may read it, in "
        f"the settings of {repo_id} (its page tells the training story meanwhile), or make the model public"
    )


def wait_until_running(hub: Hub, repo_id: str, echo: Echo, seconds: float = WAIT_SECONDS) -> None:
    """Say each stage the Space goes through. Raises ``HubError`` with the end of its log when it does not come up.

    A rehearsal Hub runs no Spaces, which is said too.
    """
    until, said = time.monotonic() + seconds, ""
    while True:
        with plain_errors(hub.endpoint, f"asking how {repo_id} is doing", _TOKEN_FIX):
            stage = str(retried(lambda: hub.api.get_space_runtime(repo_id)).stage)
        if stage != said:
            said = stage
            echo(f"Space {repo_id}: {stage.lower().replace('_', ' ')}")
        if hub.rehearsal and stage == "STOPPED":
            echo("a rehearsal Hub runs no Spaces; countdown-r1 space --model ... shows the same page here")
            return
        if stage in _RUNNING:
            return
        if stage.endswith("ERROR") or stage in ("NO_APP_FILE", "PAUSED", "STOPPED", "DELETING"):
            raise HubError(_not_running(hub, repo_id, stage))
        if time.monotonic() > until:
            page = web_url(hub, repo_id, "space")
            raise HubError(f"{repo_id} is still {stage} after {seconds / 60:.0f} minutes; see {page}")
        time.sleep(LOOK_SECONDS)


def _not_running(hub: Hub, repo_id: str, stage: str) -> str:
    """Why, as far as the log says; printed before the one line that the error is."""
    lines = log_of(hub, repo_id, build=stage != "RUNTIME_ERROR")
    print("\n".join(lines), file=sys.stderr)
    last = next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
    fix = "resume it in its settings" if stage == "PAUSED" else "the log above says why"
    return f"{repo_id} does not run ({stage}): {last[:200]}; {fix}, see {web_url(hub, repo_id, 'space')}"


def log_of(hub: Hub, repo_id: str, *, build: bool) -> list[str]:
    """The last lines of a Space's log; none when the Hub has none."""
    api: Any = hub.api
    with plain_errors(hub.endpoint, f"reading the log of {repo_id}", _TOKEN_FIX):
        return [line.rstrip("\n") for line in api.fetch_space_logs(repo_id, build=build)][-_LOG_LINES:]
