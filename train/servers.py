"""The vLLM server that writes completions for a training run: how it is started, awaited and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .. import models
from ..errors import InputError, TrainingError
from ..extras import lacking
from .layout import SERVER_PORT, Layout
from .memory import PROMPT_TOKENS, new_tokens
from .recipe import Recipe

# TRL updates the server's weights over vLLM's development endpoints.
SERVER_ENVIRONMENT = {"VLLM_SERVER_DEV_MODE": "1"}


def serve_command(recipe: Recipe, layout: Layout) -> list[str]:
    """``vllm serve`` as TRL needs it, for the Hub id or folder that training starts from."""
    source = models.resolve(recipe.base)
    pinned = ["--revision", source.revision] if source.revision else []
    return ["vllm", "serve", source.path_or_id, *pinned, *serve_options(recipe, layout)]


def serve_options(recipe: Recipe, layout: Layout) -> list[str]:
    """Weights over NCCL, log probabilities of the distribution that was sampled, one copy on each server GPU."""
    limits = ["--max-model-len", str(PROMPT_TOKENS + new_tokens(recipe)), "--max-logprobs", "-1"]
    copies = ["--data-parallel-size", str(layout.server_gpus)] if layout.server_gpus > 1 else []
    transfer = ["--weight-transfer-config", '{"backend":"nccl"}', "--logprobs-mode", "processed_logprobs"]
    return [*transfer, *limits, *copies, "--port", str(SERVER_PORT)]


def visible_gpus(wanted: int) -> list[str]:
    """Names of the first ``wanted`` GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` lists them.

    Raises ``InputError`` when it lists fewer.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = listed.split(",") if listed else [str(place) for place in range(wanted)]
    if len(names) < wanted:
        raise InputError(
            f"section 'launch' takes {wanted} GPUs for training and server, CUDA_VISIBLE_DEVICES={listed} shows "
            f"{len(names)}; set gpus_per_node={len(names)}, or show more"
        )
    return names[:wanted]


@contextmanager
def serving(
    recipe: Recipe, layout: Layout, log: Path, echo: Callable[[str], object], seconds: float | None = None
) -> Iterator[None]:
    """The server on this machine's last GPUs while the body runs.

    Raises ``TrainingError`` when it ends or does not answer within ``launch.startup_seconds``; its log says why.
    """
    first = layout.per_node
    gpus = ",".join(visible_gpus(first + layout.server_gpus)[first:])
    environment = os.environ | SERVER_ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": gpus}
    log.parent.mkdir(parents=True, exist_ok=True)
    echo(f"starting the vLLM server on GPU {gpus}; its log is {log}")
    with log.open("w") as file:
        try:
            command = serve_command(recipe, layout)
            server = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
        except FileNotFoundError:
            raise TrainingError(lacking("vllm")) from None
        try:
            _await(server, log, seconds or recipe.launch.startup_seconds)
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _await(server: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    address = f"http://127.0.0.1:{SERVER_PORT}"
    deadline = time.monotonic() + seconds
    while not answers(address, 2.0):
        if (status := server.poll()) is not None:
            raise TrainingError(f"the vLLM server ended with status {status} before it answered; see {log}")
        if time.monotonic() > deadline:
            raise TrainingError(f"the vLLM server does not answer at {address} after {seconds:.0f} s; see {log}")
        time.sleep(0.5)


def answers(server: str, seconds: float) -> bool:
    """Whether a vLLM server says that it is healthy."""
    try:
        with urllib.request.urlopen(f"{server.rstrip('/')}/health", timeout=seconds) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError, ValueError):
        return False
