"""What a save would refuse is repaired, or found before the first step: generation flags, tokenizers, a full disk."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.torch import load_file
from transformers import AutoTokenizer, GenerationConfig
from transformers.trainer_utils import align_special_tokens

from countdown_r1 import models
from countdown_r1.errors import StageError
from countdown_r1.manifest import stage_folder
from countdown_r1.train import disk, saving, trainer
from countdown_r1.train.preflight import inspect
from countdown_r1.train.recipe import ColdStart, Recipe, load_recipe
from countdown_r1.train.stage import train

CHANGE = Callable[[Path], object]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return shutil.copytree(models.SHIPPED["novice"], tmp_path / "base")


def write(folder: Path, name: str, values: Any) -> None:
    (folder / name).write_text(values if isinstance(values, str) else json.dumps(values))


@pytest.mark.parametrize(
    ("stated", "left_out"),
    [
        ({"temperature": 0.7, "top_p": 0.9, "top_k": 20, "do_sample": False}, {"temperature", "top_p", "top_k"}),
        ({"temperature": 0.7, "do_sample": True}, set()),  # wherever it stands in the file
        ({"early_stopping": True, "length_penalty": 2.0}, {"early_stopping", "length_penalty"}),
        ({"early_stopping": True, "num_beams": 4, "num_return_sequences": 4}, set()),
        ({"num_return_sequences": 3}, {"num_return_sequences"}),
        ({"max_new_tokens": 0}, {"max_new_tokens"}),
        ({"max_new_tokens": "many"}, {"max_new_tokens"}),
        ({"output_scores": True}, {"output_scores"}),
        ({"cache_implementation": "none"}, {"cache_implementation"}),
        ({"use_cache": False, "cache_implementation": "static"}, {"cache_implementation"}),
        ({"watermarking_config": {"seeding_scheme": "none"}}, {"watermarking_config"}),
        ({"logits_processor": [1]}, {"logits_processor"}),
        ({"pad_token_id": -1}, {"pad_token_id"}),
        ({"pad_token_id": "<pad>"}, {"pad_token_id"}),
        ({"repetition_penalty": 1.1, "something_new": {"a": [1]}}, set()),
    ],
)
def test_a_model_is_loaded_with_the_generation_flags_that_can_be_saved_and_no_others(
    stated: dict[str, Any], left_out: set[str], base: Path, tmp_path: Path
) -> None:
    write(base, "generation_config.json", {"bos_token_id": 7, "eos_token_id": [2, 5], **stated})
    assert set(models.generation_settings(base)[1]) == left_out
    model, tokenizer = models.load(str(base))
    align_special_tokens(model, tokenizer)  # as every trainer does; what has changed is validated strictly
    model.save_pretrained(tmp_path / "saved")
    saved = GenerationConfig.from_pretrained(tmp_path / "saved")
    saved.validate(strict=True)
    assert (saved.bos_token_id, set(saved.eos_token_id), saved.pad_token_id) == (7, {2, 5}, tokenizer.pad_token_id)
    for key in stated.keys() - left_out:
        assert getattr(saved, key) == stated[key]


@pytest.mark.parametrize("text", ["[1]", "{", '{"a": 1', ""])
def test_generation_settings_that_are_no_mapping_are_those_of_the_configuration(text: str, base: Path) -> None:
    write(base, "generation_config.json", text)
    config = json.loads((base / "config.json").read_text())
    write(base, "config.json", config | {"temperature": 0.5, "max_length": 30})
    found, left_out = models.generation_settings(base)
    assert (found.eos_token_id, found.max_length, left_out) == (config["eos_token_id"], 30, ["temperature"])


def test_flags_that_are_left_out_are_said_once_and_training_leaves_what_loads(
    base: Path, toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(base, "generation_config.json", {"do_sample": False, "temperature": 0.7, "num_return_sequences": 2})
    recipe = replace(toy_recipe, base=str(base), grpo=dict(toy_recipe.grpo or {}, max_steps=1))
    train(recipe, str(toy_dataset), tmp_path / "model")
    said = [line for line in capfd.readouterr().err.splitlines() if "generation flags" in line]
    assert len(said) == 1 and "left out of what training writes: temperature, num_return_sequences" in said[0]
    assert said[0] in inspect(recipe).facts
    for name in ("base", "checkpoint-1", "."):
        saved = GenerationConfig.from_pretrained(tmp_path / "model" / name)
        saved.validate(strict=True)
    assert saved.eos_token_id and saved.pad_token_id == AutoTokenizer.from_pretrained(base).pad_token_id


def tokenizer_with(base: Path, **changes: Any) -> None:
    write(base, "tokenizer_config.json", json.loads((base / "tokenizer_config.json").read_text()) | changes)


def named_with_a_slash(base: Path) -> None:
    """A template that transformers reads and does not write."""
    template = (base / "chat_template.jinja").read_text()
    (base / "chat_template.jinja").unlink()
    tokenizer_with(base, chat_template=[{"name": name, "template": template} for name in ("default", "tool/use")])


def without_text(base: Path) -> None:
    (base / "chat_template.jinja").unlink()
    tokenizer_with(base, chat_template=7)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (named_with_a_slash, "Invalid chat template name: 'tool/use'"),
        (without_text, "its chat template is 7, no text"),
        (
            lambda base: tokenizer_with(base, tokenizer_class="ByT5Tokenizer"),
            "transformers reads another tokenizer than the one in tokenizer.json",
        ),
        (
            lambda base: tokenizer_with(base, pad_token="<|never seen|>"),
            "the tokenizer has 1,025 tokens, the model 1,024: resize its embeddings",
        ),
        (lambda base: (base / "tokenizer.json").unlink(), "the checkpoint is damaged"),
    ],
)
def test_a_tokenizer_that_no_checkpoint_could_hold_is_one_line_of_doctor_and_training_before_any_step(
    change: CHANGE, said: str, base: Path, toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path
) -> None:
    change(base)
    recipe = replace(toy_recipe, base=str(base))
    assert any(said in problem for problem in inspect(recipe).problems), inspect(recipe).to_text()
    with pytest.raises(Exception, match=re.escape(said)) as raised:
        train(recipe, str(toy_dataset), tmp_path / "model")
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("model*/completion_samples/*"))


def test_a_state_that_cannot_be_saved_ends_the_run_before_its_first_step(
    toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise NotImplementedError("this scheduler has no state")

    monkeypatch.setattr(trainer.GRPOTrainer, "_save_optimizer_and_scheduler", refused)
    with pytest.raises(StageError, match=r"no checkpoint could be saved in .* this scheduler has no state"):
        train(toy_recipe, str(toy_dataset), tmp_path / "model")
    assert not list(tmp_path.glob("model.partial/completion_samples/*"))
    assert not list(tmp_path.rglob(saving.PLACE))


def test_large_weights_are_not_written_twice_and_nothing_else_changes(
    toy_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    load_again = saving._load_again

    def look(place: Path, adapters: bool = False) -> None:
        seen.append({path.name for path in place.iterdir()})
        load_again(place, adapters)

    monkeypatch.setattr(saving, "_load_again", look)
    monkeypatch.setattr(trainer, "LARGE_BYTES", 0)
    train(toy_run.recipe, str(toy_run.dataset), tmp_path / "model")
    (names,) = seen
    assert "model.safetensors" not in names
    assert {"config.json", "tokenizer.json", "optimizer.pt", "scheduler.pt", "trainer_state.json"} <= names
    there, here = (load_file(folder / "model.safetensors") for folder in (toy_run.folder, tmp_path / "model"))
    assert all(bool((there[name] == here[name]).all()) for name in there)


def test_a_disk_without_room_for_the_run_is_found_before_its_first_step(
    toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving.shutil, "disk_usage", lambda _: SimpleNamespace(free=100 * 2**20))
    with pytest.raises(StageError, match=r"no space for the run in .*: 0.1 GiB are free, 2 checkpoint\(s\)") as raised:
        train(toy_recipe, str(toy_dataset), tmp_path / "model")
    assert "grpo.save_total_limit" in str(raised.value)
    assert not list(tmp_path.glob("model.partial/completion_samples/*"))


def test_what_a_run_has_written_already_counts_as_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe("demo")
    _, needed = disk.disk_bytes(recipe, 1_000_000)
    (tmp_path / "weights").write_bytes(bytes(needed // 2 + 1))
    monkeypatch.setattr(saving.shutil, "disk_usage", lambda _: SimpleNamespace(free=needed // 2))
    saving.check_room(recipe, 1_000_000, tmp_path)
    with pytest.raises(StageError, match="no space"):
        saving.check_room(recipe, 2_000_000, tmp_path)


def test_fewer_kept_checkpoints_need_less_disk() -> None:
    changes = ["grpo.max_steps=100", "grpo.save_steps=10"]
    every, few = (load_recipe("demo", [*changes, *more]) for more in ([], ["grpo.save_total_limit=3"]))
    assert [disk.disk_bytes(recipe, 1)[0] for recipe in (every, few)] == [10, 3]
    assert disk.disk_bytes(few, 10**9)[1] < disk.disk_bytes(every, 10**9)[1]


def test_a_cold_start_rehearses_its_saves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ValueError("GenerationConfig is invalid:\n- `temperature`")

    monkeypatch.setattr(GenerationConfig, "save_pretrained", refused)
    sizes = ColdStart((3,), (1.0,), puzzles=50, hidden_size=32, intermediate_size=32, layers=1, heads=2, kv_heads=2)
    recipe = Recipe("cold", cold_start=replace(sizes, steps=1, row_tokens=300, batch_rows=1, workers=0, vocab_size=300))
    with pytest.raises(StageError, match="no step is taken: GenerationConfig is invalid: - `temperature`"):
        train(recipe, "", tmp_path / "model")
    assert not (tmp_path / "model.partial" / "cold_start.jsonl").exists()


@pytest.mark.parametrize("where", ["/proc/nowhere/model", "file/model"])
def test_a_folder_that_cannot_be_made_is_one_line(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StageError, match="cannot be made"), stage_folder(tmp_path / where, overwrite=False):
        pass
