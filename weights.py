"""A model's files, looked at without loading them: which ones ``from_pretrained`` reads, and whether they are whole.

Only JSON and the headers of safetensors files are read, so that nothing here needs torch. The format:
https://huggingface.co/docs/safetensors (eight bytes with the header's length, the header, the tensors).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from . import manifest
from .errors import InputError, StageError
from .lfs import POINTER, is_lfs_pointer

# What from_pretrained reads beside weights: configurations, every kind of tokenizer, chat templates, processors.
MODEL_FILES = (
    *("config.json", "generation_config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "normalizer.json"),
    *("*.model", "*.spm", "*.tiktoken", "bpe.codes", "tekken.json", "chat_template.jinja", "chat_template.json"),
    *("additional_chat_templates/*.jinja", "preprocessor_config.json", "processor_config.json"),
    *("video_preprocessor_config.json", "image_processor_config.json"),
)
TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "*.spm", "*.tiktoken", "tekken.json")
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_CONFIGS = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
_WHOLE, _INDEX, _ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors"
_MAX_HEADER_BYTES = 100_000_000  # the format's own limit
_AGAIN = "write or download it again"
# What decides a model's completions, by the names that transformers and vLLM read.
_DECIDING = (
    *("*.safetensors", "config.json", "generation_config.json", "tokenizer*", "chat_template*", "vocab*"),
    *("merges.txt", "special_tokens_map.json", "added_tokens.json", "adapter_config.json"),
)
_BLOB = re.compile(r"[0-9a-f]{64}")


def check_present(folder: Path, name: str) -> None:
    """Raise ``StageError`` when one of a model's files is a link to nothing or a Git LFS pointer; ``name`` is what
    the user calls the model."""
    patterns = ("*.safetensors", "*.safetensors.index.json", *MODEL_FILES)
    # A glob without a wildcard finds no link that leads nowhere.
    found = {path for name in patterns for path in (folder.glob(name) if "*" in name else [folder / name])}
    for path in sorted(found):
        if why := broken(path):
            raise _damaged(name, why)


def check_files(folder: Path, name: str) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor that a model's files hold.

    Raises ``StageError`` when a file cannot be read, a shard or a tensor that the index names is missing, or a header
    does not fit its file.
    """
    check_present(folder, name)
    try:
        return _shapes(folder)
    except (InputError, ValueError, OSError, RecursionError) as error:
        why = str(error) or type(error).__name__
        raise _damaged(name, why if "; " in why else f"{why}; {_AGAIN}") from error


def broken(path: Path) -> str | None:
    """Why a file cannot be read at all, None when it can."""
    if path.is_symlink() and not path.exists():
        return f"{path.name} is a link to nothing; {_AGAIN}"
    return f"{path.name} {POINTER}" if is_lfs_pointer(path) else None


def _damaged(name: str, why: str) -> StageError:
    reason, _, fix = why.partition("; ")
    return StageError(f"{name}: the checkpoint is damaged ({reason})" + (f"; {fix}" if fix else ""))


def weight_files(folder: Path) -> list[str]:
    """The weights that ``from_pretrained`` reads, the index first; ValueError where there are none."""
    if (folder / "adapter_config.json").is_file():
        found = [_ADAPTER]
    elif (folder / _WHOLE).is_file() or not (folder / _INDEX).is_file():
        found = [_WHOLE]
    else:
        found = [_INDEX, *sorted(set(_weight_map(folder).values()))]
    for name in found:
        if not (folder / name).is_file():
            raise ValueError(_missing(folder, name))
    return found


def _missing(folder: Path, name: str) -> str:
    if list(folder.glob("*.safetensors.index.json")) and name not in (_WHOLE, _ADAPTER):
        return f"it lacks {name}, which its index names"
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern) if _is_weights(path))
    if pickled:
        return (
            f"its weights are pickled ({pickled[0]}), and only safetensors are read; "
            "load them where you trust them and save_pretrained() them again"
        )
    shards = sorted(path.name for path in folder.glob("model-*-of-*.safetensors"))
    if shards:
        return f"{shards[0]} is a shard, and {_INDEX} is missing"
    none = "it has no weights (*.safetensors): is it complete, or still being written?"
    return f"it lacks {name}" if any(folder.glob("*.safetensors")) else none


def _is_weights(path: Path) -> bool:
    return path.stem.startswith(("pytorch_model", "adapter_model", "model", "consolidated"))


def _weight_map(folder: Path) -> dict[str, str]:
    values = read_json(folder / _INDEX).get("weight_map")
    if not isinstance(values, dict) or not values:
        raise ValueError(f"{_INDEX} has no weight_map")
    for file in values.values():
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
            raise ValueError(f"{_INDEX} names {file!r}, which is no safetensors file beside it")
    return values


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes by the tensor's name, of all the files that are read."""
    names = weight_files(folder)
    headers = {name: read_header(folder / name) for name in names if name != _INDEX}
    for tensor, file in (_weight_map(folder) if names[0] == _INDEX else {}).items():
        if tensor not in headers[file]:
            raise ValueError(f"{file} lacks {tensor}, which the index puts there")
    found = {tensor: shape for header in headers.values() for tensor, shape in header.items()}
    empty = [tensor for tensor, shape in found.items() if 0 in shape]
    if empty or not found:
        what = f"{empty[0]} is empty" if found else f"{names[0]} holds no tensor"
        raise ValueError(f"{what}, as where ZeRO-3 saved each process's share; gather the weights and save them again")
    return found


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor in a safetensors file. Raises ``ValueError`` when the header does not fit the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
            raise ValueError(f"{path.name} has no safetensors header")
        try:
            header = json.loads(file.read(length))
        except ValueError:
            header = None
    if not isinstance(header, dict):
        raise ValueError(f"{path.name} has no safetensors header")
    tensors = {name: _tensor(path, name, about) for name, about in header.items() if name != "__metadata__"}
    end = 0
    for begin, after, _ in sorted(tensors.values()):
        if begin != end:
            raise ValueError(f"the tensors of {path.name} leave a gap or overlap")
        end = after
    if end != size - 8 - length:
        raise ValueError(f"{path.name} has {size:,} bytes, and its header tells of {end + 8 + length:,}")
    return {name: shape for name, (_, _, shape) in tensors.items()}


def _tensor(path: Path, name: str, about: Any) -> tuple[int, int, tuple[int, ...]]:
    """First byte, byte behind the last one, shape."""
    values: dict[str, Any] = about if isinstance(about, dict) else {}
    shape, offsets = (
        value if isinstance(value, list) else [-1] for value in map(values.get, ("shape", "data_offsets"))
    )
    if len(offsets) != 2 or not all(type(number) is int and number >= 0 for number in [*shape, *offsets]):
        raise ValueError(f"the header of {path.name} says nothing sensible of {name}")
    begin, end = offsets
    bits = re.search(r"\d+", str(values.get("dtype")))
    if bits and 8 * (end - begin) != math.prod(shape) * int(bits[0]):
        raise ValueError(f"{name} in {path.name} has not the bytes that its shape needs")
    return begin, end, tuple(shape)


def code_files(folder: Path) -> dict[str, str]:
    """The modules that ``auto_map`` names, each with the file that names it; those of other repositories are no files
    of this folder, and end in the repository's name."""
    found: dict[str, str] = {}
    for config in _CONFIGS:
        for reference in _texts(read_json(folder / config).get("auto_map")):
            repo, _, name = reference.rpartition("--")
            module = name.partition(".")[0]
            found[f"{module}.py of {repo}" if repo else f"{module}.py"] = config
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def loader_of(config: dict[str, Any]) -> str:
    """The class of transformers that loads a model of this ``config.json``: the causal one, or the architecture's."""
    named = config.get("architectures")
    architecture = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""
    causal = architecture.endswith(("ForCausalLM", "LMHeadModel")) or config.get("auto_map")
    return architecture if architecture.isidentifier() and not causal else "AutoModelForCausalLM"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, {} without the file. Raises ``InputError`` when it is not valid JSON."""
    try:
        values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {str(error) or type(error).__name__}") from error
    return values if isinstance(values, dict) else {}


def weights_sha256(folder: Path) -> str:
    """One hash over the files that decide what a model writes.

    Raises ``StageError`` when there are no weights. The Hub's cache names a file by its hash, which is taken as it is.
    """
    if not any(folder.glob("*.safetensors")):
        raise StageError(
            f"{folder} has no weights (*.safetensors): is the checkpoint complete, or still being written?"
        )
    paths = sorted({path for pattern in _DECIDING for path in folder.glob(pattern) if path.is_file()})
    digest = hashlib.sha256()
    for path in tqdm(paths, desc=f"reading {folder.name}", unit="file", delay=2, leave=False):
        blob = path.resolve().name
        digest.update(f"{path.name} {blob if _BLOB.fullmatch(blob) else manifest.sha256(path)}\n".encode())
    return digest.hexdigest()
