"""A model's files are looked at before anything loads or publishes them: whole, fetched, and what the index says."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from countdown_r1 import models
from countdown_r1.errors import CountdownError, InputError, StageError
from countdown_r1.lfs import is_lfs_pointer, refuse_pointer
from countdown_r1.weights import check_files, code_files, loader_of, read_header, weight_files

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 6562296\n"
ONE, TWO = (f"model-0000{number}-of-00002.safetensors" for number in (1, 2))
INDEX = "model.safetensors.index.json"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return shutil.copytree(models.SHIPPED["novice"], tmp_path / "mine")


def save(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, path, metadata={"format": "pt"})


def sharded(folder: Path) -> dict[str, str]:
    """Split the weights of a model into two files and an index, which is returned."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    where = {name: ONE if at < len(names) // 2 else TWO for at, name in enumerate(names)}
    for file in (ONE, TWO):
        save(folder / file, {name: weights[name] for name in names if where[name] == file})
    write_index(folder, where)
    return where


def write_index(folder: Path, where: dict[str, str]) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))


def replace_with(content: bytes | None, name: str = "model.safetensors") -> Callable[[Path], None]:
    """A fault: the file holds something else, or is a link to nothing."""

    def fault(folder: Path) -> None:
        (folder / name).unlink()
        if content is None:
            (folder / name).symlink_to("../blobs/none")
        else:
            (folder / name).write_bytes(content)

    return fault


def without_a_shard(folder: Path) -> None:
    sharded(folder)
    (folder / TWO).unlink()


def without_the_index(folder: Path) -> None:
    sharded(folder)
    (folder / INDEX).unlink()


def with_a_tensor_in_the_wrong_shard(folder: Path) -> None:
    where = sharded(folder)
    write_index(folder, where | {"model.norm.weight": ONE, next(iter(where)): TWO})


def with_a_shard_elsewhere(folder: Path) -> None:
    write_index(folder, dict.fromkeys(sharded(folder), "../" + ONE))


def with_a_shard_not_fetched(folder: Path) -> None:
    sharded(folder)
    replace_with(POINTER, TWO)(folder)


def with_stubs(folder: Path) -> None:
    save(folder / "model.safetensors", {"model.norm.weight": torch.zeros(0)})


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 500_000)


def header(text: str, data: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + data


def tensor(dtype: str, shape: str, offsets: str) -> Callable[[Path], None]:
    """A file of two bytes whose header tells of one tensor."""
    text = f'{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}'
    return replace_with(header(text, b"xx"))


FAULTS = {
    "is a link to nothing": replace_with(None),
    "config.json is a link to nothing": replace_with(None, "config.json"),
    "model.safetensors is a Git LFS pointer": replace_with(POINTER),
    "tokenizer.json is a Git LFS pointer": replace_with(POINTER, "tokenizer.json"),
    f"lacks {TWO}, which its index names": without_a_shard,
    f"{INDEX} is missing": without_the_index,
    "which the index puts there": with_a_tensor_in_the_wrong_shard,
    "no safetensors file beside it": with_a_shard_elsewhere,
    f"{TWO} is a Git LFS pointer": with_a_shard_not_fetched,
    "ZeRO-3": with_stubs,
    r"its weights are pickled \(pytorch_model.bin\)": pickled,
    "its header tells of": cut,
    "no safetensors header": replace_with(b"\xff" * 64),
    "leave a gap": tensor("U8", "[1]", "[1,2]"),
    "not the bytes that its shape needs": tensor("F32", "[1]", "[0,2]"),
    "nothing sensible": tensor("U8", "[true]", "[0,1]"),
    "holds no tensor": replace_with(header("{}")),
}


@pytest.mark.parametrize("words", FAULTS)
def test_what_is_wrong_with_a_model_is_one_line_wherever_it_is_loaded(model: Path, words: str) -> None:
    FAULTS[words](model)
    with pytest.raises(StageError, match=f"damaged .*{words}") as caught:
        models.load(str(model))
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(model))


def test_shards_that_are_whole_load_and_are_the_files_that_count(model: Path) -> None:
    sharded(model)
    (model / "model-00003-of-00003.safetensors").write_bytes(b"a leftover")
    assert weight_files(model) == [INDEX, ONE, TWO]
    assert check_files(model, "mine")["model.norm.weight"] == (256,)
    models.load(str(model), "cpu")


def test_one_whole_file_goes_before_an_index_as_for_transformers(model: Path) -> None:
    (model / INDEX).write_text("{}")
    assert weight_files(model) == ["model.safetensors"]


@given(st.binary(max_size=200) | st.text(max_size=60).map(header))
def test_no_bytes_make_the_header_reader_fail_with_anything_but_words(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "x.safetensors"
    path.write_bytes(content)
    try:
        read_header(path)
    except ValueError as error:
        assert "x.safetensors" in str(error)


def test_a_pointer_is_known_by_its_first_line_and_refused_with_the_fix(tmp_path: Path) -> None:
    for name, content in (("a", POINTER), ("b", b"oid sha256:" + b"a" * 64), ("c", b""), ("d", b"version 1\n")):
        (tmp_path / name).write_bytes(content)
    assert [name for name in "abcde" if is_lfs_pointer(tmp_path / name)] == ["a"]
    with pytest.raises(InputError, match="git lfs pull"):
        refuse_pointer(tmp_path / "a")
    refuse_pointer(tmp_path / "d")


def test_code_is_found_wherever_auto_map_names_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoConfig": "mine.Config", "AutoModel": None}}))
    names = {"AutoTokenizer": ["their/repo--tok.Slow", "fast.Fast"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"auto_map": names}))
    assert set(code_files(tmp_path)) == {"mine.py", "tok.py of their/repo", "fast.py"}
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(CountdownError, match="not valid JSON"):
        code_files(tmp_path)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "AutoModelForCausalLM"),
        ({"architectures": ["Qwen2_5_VLForConditionalGeneration"]}, "Qwen2_5_VLForConditionalGeneration"),
        ({"architectures": ["Mine"], "auto_map": {"AutoModelForCausalLM": "mine.Mine"}}, "AutoModelForCausalLM"),
        ({"architectures": ["a; import os"]}, "AutoModelForCausalLM"),
        ({}, "AutoModelForCausalLM"),
    ],
)
def test_the_class_that_loads_a_model_is_that_of_its_architecture(config: dict[str, object], expected: str) -> None:
    assert loader_of(config) == expected
