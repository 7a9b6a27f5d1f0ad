"""Which model a name means, and loading it: a folder, a shipped model, or a Hub id with a revision."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CountdownError, HubError, StageError
from .names import repository
from .weights import MODEL_FILES, check_files, check_present

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

SHIPPED = {name: Path(__file__).parent / "train" / name for name in ("tiny", "novice")}
CONFIG = "config.json"
_AGAIN = "write or download it again"
_LARGE_BYTES = 200 * 2**20
_MODEL_FILES = ["*.json", "*.safetensors", *MODEL_FILES, "recipe.yaml"]
_DECIDING = ("do_sample", "num_beams", "return_dict_in_generate", "use_cache")  # flags that decide whether others fit


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
    wanted = f"a folder, a shipped model ({', '.join(SHIPPED)}) or NAMESPACE/NAME@REVISION"
    repo_id, revision = repository(name, "model", wanted, SHIPPED)
    return Source(name, repo_id, revision or "main")


def local_folder(source: Source, *, weights: bool = True) -> Path:
    """The folder that holds the model's files, downloaded first when it is on the Hub; all or all but the ``weights``.

    For a Hub model the folder's own name is the commit. Raises ``HubError`` when the Hub does not hand it out, and
    ``StageError`` when a file is not there for all its name is.
    """
    folder = _downloaded(source, [pattern for pattern in _MODEL_FILES if weights or pattern != "*.safetensors"])
    check_present(folder, source.name)
    return folder


def _downloaded(source: Source, patterns: list[str]) -> Path:
    """The folder of a model's files that match ``patterns``."""
    if source.revision is None:
        return Path(source.path_or_id)
    from huggingface_hub import constants, hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    where = f"cannot download {source.path_or_id}@{source.revision} from {constants.ENDPOINT}"
    try:
        if patterns == [CONFIG]:  # one file needs no list of all files
            return Path(hf_hub_download(source.path_or_id, CONFIG, revision=source.revision)).parent
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
    check_folder(name, folder)
    check_files(folder, name)
    _show_bars(folder)
    tokenizer = load_tokenizer(folder, name)
    with undamaged(name):
        model, missing = _load_weights(folder, device)
    if missing:
        raise StageError(f"{name}: the checkpoint lacks {len(missing)} weights ({missing[0]}, ...); {_AGAIN}")
    return model, tokenizer


def check_folder(name: str, folder: Path) -> None:
    """Raise ``StageError`` when a folder holds no model."""
    if not (folder / CONFIG).is_file():
        inside = f"; did you mean {folder / 'model'}?" if (folder / "model" / CONFIG).is_file() else ""
        raise StageError(f"{name} is not a model: it has no {CONFIG}{inside}")


def load_config(name: str) -> Any:
    """A model's configuration; of a Hub model only that file is read."""
    from transformers import AutoConfig

    folder = _downloaded(resolve(name), [CONFIG])
    check_folder(name, folder)
    with undamaged(name):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def _show_bars(folder: Path) -> None:
    """Progress bars of transformers' own for weights that take a while, none for those that load at once."""
    from transformers.utils import logging

    large = sum(file.stat().st_size for file in folder.glob("*.safetensors")) > _LARGE_BYTES
    (logging.enable_progress_bar if large else logging.disable_progress_bar)()


def load_tokenizer(folder: Path, name: str = "") -> PreTrainedTokenizerBase:
    """The tokenizer of a model's folder, padding on the left; ``name`` is what errors call the model.

    Raises ``StageError`` for one that cannot be read or cannot encode, and for a chat template that is no text.
    """
    from transformers import AutoTokenizer

    with undamaged(name or str(folder)):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, padding_side="left", local_files_only=True, trust_remote_code=False
        )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        tokenizer.decode(tokenizer("1")["input_ids"])
        if not isinstance(tokenizer.chat_template or "", str | dict):
            raise ValueError(f"its chat template is {tokenizer.chat_template!r}, no text")
    return tokenizer


@contextmanager
def undamaged(name: str) -> Iterator[None]:
    """Whatever a library has against a model's files as one ``StageError``."""
    try:
        yield
    except (CountdownError, ImportError):  # a package that is missing or broken is not the checkpoint
        raise
    # A damaged file surfaces as OSError, ValueError, KeyError, RuntimeError, SafetensorError or, from the
    # tokenizers library, as a plain Exception.
    except Exception as error:
        raise StageError(f"{name}: the checkpoint is damaged ({_first_line(error)}); {_AGAIN}") from error


def generation_settings(folder: Path) -> tuple[GenerationConfig, list[str]]:
    """What a model's folder says of generation, and the names of flags that are left out of it.

    transformers loads flags that it refuses to save: those that need another flag (``temperature`` without
    ``do_sample``) and values that mean nothing. Whatever can be saved stays, ids of tokens first of all.
    """
    from transformers import GenerationConfig

    kept: dict[str, Any] = {}
    left_out: list[str] = []
    stated = _stated_generation(folder, set(GenerationConfig().to_dict()))
    for key, value in sorted(stated.items(), key=lambda item: item[0] not in _DECIDING):
        try:
            if key.endswith("token_id") and not _are_ids(value):
                raise ValueError(f"{key} is no token")
            trial = GenerationConfig(**kept)  # given there, a flag that does not fit would be logged
            setattr(trial, key, value)
            trial.validate(strict=True)
        except (TypeError, ValueError, AttributeError, KeyError):  # as each check of transformers has it
            left_out.append(key)
        else:
            kept[key] = value
    return GenerationConfig(**kept), left_out


def left_out(name: str) -> str | None:
    """One line with the generation flags that a copy of the model lacks; None when it has them all."""
    _, flags = generation_settings(local_folder(resolve(name), weights=False))
    if not flags:
        return None
    return (
        f"base {name}: generation flags that fit nothing else there and cannot be saved are left out of what training "
        f"writes: {', '.join(flags)} (training never reads them)"
    )


def _stated_generation(folder: Path, names: set[str]) -> dict[str, Any]:
    """The flags of ``generation_config.json``; without one those of ``names`` that stand in ``config.json``."""
    for file in ("generation_config.json", "config.json"):
        try:
            values = json.loads((folder / file).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(values, dict):
            return values if file.startswith("generation") else {key: values[key] for key in names & values.keys()}
    return {}


def _are_ids(value: object) -> bool:
    ids = value if isinstance(value, list) else [] if value is None else [value]
    return all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in ids)


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
        trust_remote_code=False,
        output_loading_info=True,
        generation_config=generation_settings(folder)[0],
    )
    model, report = loaded
    return model.to(place).eval(), sorted(report["missing_keys"])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
