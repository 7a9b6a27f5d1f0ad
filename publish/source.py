"""The dataset of a run that was trained on one of the Hub: the very revision, taken into the run's ``dataset/``."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .. import manifest
from ..errors import StageError
from ..hub import Hub, plain
from ..hub_errors import retried


def fetch_dataset(run: Path, hub: Hub, echo: Callable[[str], None], *, dry_run: bool = False) -> None:
    """Download what ``model/`` says it was trained on, unless the run has a dataset or nothing is said.

    Raises ``HubError`` when that revision cannot be had, and ``StageError`` in a dry run, which downloads nothing.
    """
    if (run / "dataset").exists() or not (run / "model" / manifest.FILE_NAME).is_file():
        return
    repo_id, _, commit = str(manifest.read(run / "model").results.get("dataset") or "").partition("@")
    if not commit:
        return
    by_hand = f"hf download {repo_id} --repo-type dataset --revision {commit} --local-dir {run / 'dataset'}"
    if dry_run:
        raise StageError(f"{run} lacks its dataset, and a dry run downloads nothing: get it with `{by_hand}`")
    echo(f"fetching {repo_id}@{commit}, on which the model was trained")
    with manifest.stage_folder(run / "dataset", overwrite=False) as folder:
        get = partial(hub.reader.snapshot_download, repo_id, repo_type="dataset", revision=commit, local_dir=folder)
        with plain(hub, f"fetching the run's dataset (by hand: `{by_hand}`)"):
            retried(get)
        shutil.rmtree(folder / ".cache", ignore_errors=True)
        (folder / ".gitattributes").unlink(missing_ok=True)
