"""Loading what others trained as a user would, before the first byte of it leaves; its numbers take no memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import InputError, StageError
from ..weights import TOKENIZERS, check_files, code_files, loader_of, read_json

_NO_WORDS = ("image_token", "audio_token", "video_token")  # stand for no row of a text model's embedding


def check_loadable(folder: Path, name: str, *, trust_code: bool = False) -> str | None:
    """Load a model or an adapter as a user would, but for the numbers in its weights: every tensor on ``meta``.

    Returns what could not be looked at here, in words. Raises ``StageError`` when a file is damaged or a weight is
    missing or of another shape, and ``InputError`` when ``auto_map`` names code that is not trusted or not there.
    """
    shapes = check_files(folder, name)
    _check_code(folder, name, trust_code)
    if missing := [library for library in ("torch", "transformers", "accelerate") if find_spec(library) is None]:
        fix = "pip install 'countdown-r1[train]'"
        return f"{name}: shapes were not compared, since {', '.join(missing)} is not installed: {fix}"
    try:
        with _quiet():
            adapter = (folder / "adapter_config.json").is_file()
            return _try_adapter(folder, shapes) if adapter else _try_model(folder, trust_code)
    except ImportError as error:
        return f"{name}: not loaded, since it needs a library that is not installed ({_first_line(error)})"
    except Exception as error:  # anything a damaged file or a model's own code can raise
        raise StageError(f"{name}: it cannot be loaded ({_first_line(error)}); nothing was sent") from error


def _check_code(folder: Path, name: str, trusted: bool) -> None:
    for module, config in code_files(folder).items():
        if not trusted:
            fix = "pass --trust-remote-code to run and publish it, or remove auto_map"
            raise InputError(f"{name}: auto_map in {config} names code, {module}; {fix}")
        if " of " not in module and not (folder / module).is_file():
            raise InputError(f"{name}: auto_map in {config} names {module}, which is not there")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' own reports and bars: what is wrong is said in one line."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity(50)  # critical
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _try_model(folder: Path, trust_code: bool) -> str | None:
    import transformers

    trust = {"trust_remote_code": trust_code, "local_files_only": True}
    config: Any = transformers.AutoConfig.from_pretrained(folder, **trust)
    note = _try_tokenizer(folder, trust, _rows(config))
    if getattr(config, "quantization_config", None):
        return note or f"{folder.name}: quantised weights, so shapes were not compared"
    kind: Any = getattr(transformers, loader_of(read_json(folder / "config.json")), None)
    if kind is None:
        raise ValueError(f"transformers has no {loader_of(read_json(folder / 'config.json'))}")
    checks = {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
    _, report = kind.from_pretrained(folder, device_map="meta", **checks, **trust)
    if lacking := sorted(report["missing_keys"]):
        raise ValueError(f"it lacks {len(lacking)} weights, {lacking[0]} first")
    for key, found, wanted in sorted(report["mismatched_keys"]):
        raise ValueError(f"{key} has the shape {list(found)}, and config.json says {list(wanted)}")
    return note


def _rows(config: Any) -> int | None:
    """Rows of the embedding, by the configuration (of the text part, where there are several)."""
    return getattr(config.get_text_config(), "vocab_size", None)


def _try_tokenizer(folder: Path, trust: dict[str, bool], rows: int | None) -> str | None:
    """The tokenizer loads, and the embedding has a row for each of its tokens."""
    from transformers import AutoTokenizer

    if not any(path for pattern in TOKENIZERS for path in folder.glob(pattern)):
        raise ValueError("it has no tokenizer; save the one it was trained with into its folder")
    converted = (folder / "tokenizer.json").is_file() or not any(folder.glob("*.model"))
    if not converted and find_spec("sentencepiece") is None:
        return f"{folder.name}: tokenizer not loaded, since sentencepiece is not installed"
    tokenizer = AutoTokenizer.from_pretrained(folder, **trust)
    silent = {tokenizer.init_kwargs.get(kind) for kind in _NO_WORDS}
    beyond = [token for token, at in tokenizer.get_vocab().items() if rows and at >= rows and token not in silent]
    if beyond:
        raise ValueError(f"its tokenizer has {len(beyond)} tokens beyond the {rows} rows of the embedding: {beyond[0]}")
    return None


def _try_adapter(folder: Path, shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The adapter's settings are PEFT's, and each of its matrices has its partner and the rank that they say."""
    settings = read_json(folder / "adapter_config.json")
    for name, shape in shapes.items():
        partner = name.replace(".lora_A.", ".lora_B.")
        if partner not in shapes:
            raise ValueError(f"it lacks {partner}")
        if partner != name and not settings.get("rank_pattern") and shape[0] != settings.get("r"):
            raise ValueError(f"{name} has the rank {shape[0]}, and adapter_config.json says {settings.get('r')}")
    if any(path for pattern in TOKENIZERS for path in folder.glob(pattern)):
        _try_tokenizer(folder, {"trust_remote_code": False, "local_files_only": True}, None)
    if find_spec("peft") is None:
        return f"{folder.name}: peft is not installed, so its settings were not read: pip install 'countdown-r1[qlora]'"
    from peft import PeftConfig

    PeftConfig.from_pretrained(str(folder))
    return None


def _first_line(error: Exception) -> str:
    text = f"the key {error} is missing" if isinstance(error, KeyError) else str(error).strip()
    return (text.splitlines() or [type(error).__name__])[0]
