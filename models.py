"""Which model a name means, and loading it: a folder, a shipped model, or a Hub id with a revision."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import HubError, InputError, StageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SHIPPED = {name: Path(__file__).parent / "train" / name for name in ("tiny", "novice")}
HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@(\S+))?")
_AGAIN = "write or download it again"
_LARGE_BYTES = 200 * 2**20
_MODEL_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "recipe.yaml"]


@dataclass(frozen=True)
class Source:
    """Where a model is: ``name`` as the user wrote it, a folder or a Hub id, its ``revision`` (None for a folder)."""

    name: str
    path_or_id: str
    revision: str | None


def resolve(name: str) -> Source:
    """What ``name`` means: a folder, a shipped model (``tiny``), or ``NAMESPACE/NAME[@REVISION]`` on the Hub.

    Raises ``StageError`` for a shipped model that this installation lacks and ``InputError`` for a name that
    is none of the three.

    >>> resolve("someone/countdown@step-40")
    Source(name='someone/countdown@step-40', path_or_id='someone/countdown', revision='step-40')
    """
    if name in SHIPPED:
        if not (SHIPPED[name] / "config.json").is_file():
            raise StageError(
                f"the shipped model '{name}' is not in this installation; name a folder or a Hub id instead"
            )
        return Source(name, str(SHIPPED[name]), None)
    if name and Path(name).is_dir():
        return Source(name, name, None)
    hub_id = HUB_ID.fullmatch(name)
    if hub_id is None or name.startswith((".", "/")):
        shipped = ", ".join(SHIPPED)
        raise InputError(f"no model '{name}': give a folder, a shipped model ({shipped}) or NAMESPACE/NAME@REVISION")
    return Source(name, hub_id[1], hub_id[2] or "main")


def local_folder(source: Source, *, weights: bool = True) -> Path:
    """The folder that holds the model's files, downloaded first when it is on the Hub; all or all but the ``weights``.

    For a Hub model the folder's own name is the commit. Raises ``HubError`` when the Hub does not hand it out.
    """
    if source.revision is None:
        return Path(source.path_or_id)
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    where = f"cannot download {source.path_or_id}@{source.revision} from {constants.ENDPOINT}"
    try:
        patterns = [pattern for pattern in _MODEL_FILES if weights or pattern != "*.safetensors"]
        return Path(snapshot_download(source.path_or_id, revision=source.revision, allow_patterns=patterns))
    except HfHubHTTPError as error:
        reason = f"status {error.response.status_code}"
        raise HubError(f"{where} ({reason}); check the name, the revision and your token") from error
    except (LocalEntryNotFoundError, OSError, ValueError) as error:
        raise HubError(f"{where}: {_first_line(error)}") from error


def load(name: str, device: str | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in evaluation mode and its tokenizer, which pads on the left.

    ``device`` is a torch device; by default the GPU when there is one. Weights are float32 on a CPU, as stored
    elsewhere; only safetensors files are read. Raises ``StageError`` when the checkpoint is incomplete or damaged.
    """
    folder = local_folder(resolve(name))
    if not (folder / "config.json").is_file():
        inside = f"; did you mean {folder / 'model'}?" if (folder / "model" / "config.json").is_file() else ""
        raise StageError(f"{name} is not a model: it has no config.json{inside}")
    _show_bars(folder)
    try:
        tokenizer = load_tokenizer(folder)
        model, missing = _load_weights(folder, device)
    # A damaged file surfaces as OSError, ValueError, KeyError, RuntimeError, SafetensorError or, from the
    # tokenizers library, as a plain Exception.
    except Exception as error:
        raise StageError(f"{name}: the checkpoint is damaged ({_first_line(error)}); {_AGAIN}") from error
    if missing:
        raise StageError(f"{name}: the checkpoint lacks {len(missing)} weights ({missing[0]}, ...); {_AGAIN}")
    return model, tokenizer


def _show_bars(folder: Path) -> None:
    """Progress bars of transformers' own for weights that take a while, none for those that load at once."""
    from transformers.utils import logging

    large = sum(file.stat().st_size for file in folder.glob("*.safetensors")) > _LARGE_BYTES
    (logging.enable_progress_bar if large else logging.disable_progress_bar)()


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model's folder, padding on the left."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", local_files_only=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def _load_weights(folder: Path, device: str | None) -> tuple[PreTrainedModel, list[str]]:
    """The model on its device, and the names of weights that the files lack."""
    import torch
    from transformers import AutoModelForCausalLM

    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32 if place.type == "cpu" else "auto",
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
    )
    model, report = loaded
    return model.to(place).eval(), sorted(report["missing_keys"])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
