"""Recipes: strict parsing, messages that name the place, and TRL's own configuration behind ``grpo``."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from trl.trainer.grpo_config import GRPOConfig

from countdown_r1.errors import InputError
from countdown_r1.train.layout import choose, placed
from countdown_r1.train.recipe import (
    ColdStart,
    Launch,
    Recipe,
    load_recipe,
    parse_recipe,
    recipe_text,
    settings,
    shipped_recipes,
)
from countdown_r1.train.trl_config import grpo_config, rows_needed

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
EVERY_SECTION: dict[str, Any] = {
    "name": "all",
    "base": "someone/model@step-4",
    "dataset": {"rows": 10, "numbers": [3], "languages": ["zh"], "seed": 4, "source": "someone/puzzles"},
    "cold_start": {"numbers": [3], "number_weights": [1], "learning_rate": "1e-3", "steps": 5},
    "grpo": {"learning_rate": "5e-7", "max_steps": 3, "report_to": ["tensorboard"], "reward_weights": [1.0, 0.5]},
    "rewards": {"functions": ["format_reward"]},
    "evaluate": {"limit": 7, "temperature": 0},
    "launch": {"launcher": "accelerate", "nodes": 1, "gpus_per_node": 2},
    "cost": {"price_per_hour": 2, "currency": "EUR", "hardware": "八块 GPU"},
    "publish": {"dataset_name": "other", "public": False},
}


def write(folder: Path, values: Any) -> str:
    path = folder / "mine.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values), encoding="utf-8")
    return str(path)


def refusal(folder: Path, values: Any, *changes: str) -> str:
    """The one line that refuses a recipe, its ``grpo`` section included."""
    with pytest.raises(InputError) as raised:
        grpo_config(load_recipe(write(folder, values), changes), folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_parses_and_its_grpo_section_builds_trls_config(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert load_recipe(f"{name}.yaml") == recipe
    assert recipe.grpo is not None or recipe.cold_start is not None
    config = grpo_config(placed(recipe, choose(recipe)), tmp_path / "model")
    assert isinstance(config, GRPOConfig)
    assert config.output_dir == str(tmp_path / "model")
    for key, value in (recipe.grpo or {}).items():
        assert getattr(config, key) == value


MINI_R1 = {
    "max_steps": 450,
    "num_generations": 8,
    "max_completion_length": 1024,
    "learning_rate": 5e-7,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.03,
    "beta": 0.001,
    "save_steps": 25,
}


@pytest.mark.parametrize(
    ("name", "differs"),
    [
        ("qwen2.5-3b-en", {}),
        ("qwen2.5-3b-fast", {"beta": 0.0}),
        ("qwen2.5-3b-1gpu", {"beta": 0.0}),
        ("qwen2.5-7b-zh", {"max_steps": 200, "save_steps": 50}),
    ],
)
def test_the_articles_recipes_hold_the_articles_values(name: str, differs: dict[str, Any], tmp_path: Path) -> None:
    """Batch sizes are whatever makes 192 completions an update on the recipe's own GPUs."""
    recipe = load_recipe(name)
    laid_out = choose(recipe)
    config = grpo_config(placed(recipe, laid_out), tmp_path)
    assert {key: getattr(config, key) for key in MINI_R1} == MINI_R1 | differs
    per_process = config.per_device_train_batch_size * config.gradient_accumulation_steps
    assert per_process * laid_out.processes == 192
    assert laid_out.processes == {"qwen2.5-3b-fast": 4, "qwen2.5-3b-1gpu": 1}.get(name, 3)


def test_the_shipped_recipes_are_listed() -> None:
    assert {"demo", "tiny-cold-start"} <= set(shipped_recipes())
    with pytest.raises(InputError, match=r"one of .*demo"):
        load_recipe("demon")


@pytest.mark.parametrize("values", [EVERY_SECTION, {"name": "bare"}])
def test_a_recipes_text_reads_back_as_the_same_recipe(tmp_path: Path, values: dict[str, Any]) -> None:
    recipe = load_recipe(write(tmp_path, values))
    again = load_recipe(write(tmp_path, recipe_text(recipe)))
    assert again == recipe
    assert recipe_text(again) == recipe_text(recipe)
    assert settings(again) == settings(recipe)


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_survives_being_written_out(tmp_path: Path, name: str) -> None:
    recipe = load_recipe(name)
    assert load_recipe(write(tmp_path, recipe_text(recipe))) == recipe


def test_every_section_is_parsed_into_its_types(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, EVERY_SECTION))
    assert recipe.dataset.numbers == (3,)
    assert isinstance(recipe.cold_start, ColdStart)
    assert recipe.cold_start.learning_rate == 0.001
    assert recipe.cold_start.number_weights == (1.0,)
    assert recipe.launch == Launch("accelerate", 1, 2)
    assert isinstance(recipe.cost.price_per_hour, float)
    assert isinstance(recipe.evaluate.temperature, float)


def test_the_file_name_is_the_name_of_a_recipe_without_one(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, {"base": "tiny"})).name == "mine"


@pytest.mark.parametrize("text", ["5e-7", "5.0e-7", "0.0000005"])
def test_a_learning_rate_may_be_written_as_people_write_it(tmp_path: Path, text: str) -> None:
    """YAML 1.1 reads ``5e-7`` as text."""
    config = grpo_config(load_recipe(write(tmp_path, f"name: x\ngrpo:\n  learning_rate: {text}\n")), tmp_path)
    assert math.isclose(config.learning_rate, 5e-7)
    changed = load_recipe(write(tmp_path, {"name": "x"}), [f"grpo.learning_rate={text}"])
    assert math.isclose(grpo_config(changed, tmp_path).learning_rate, 5e-7)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"grop": {}}, ["section 'recipe'", "'grop'", "did you mean 'grpo'?"]),
        ({"dataset": {"row": 5}}, ["section 'dataset'", "'row'", "did you mean 'rows'?"]),
        ({"cold_start": {"learning_rat": 5}}, ["section 'cold_start'", "did you mean 'learning_rate'?"]),
        ({"grpo": {"num_generation": 8}}, ["section 'grpo'", "'num_generation'", "did you mean 'num_generations'?"]),
        ({"grpo": {"max_prompt_length": 8}}, ["section 'grpo'", "'max_prompt_length'"]),
        ({"evaluate": {"zzz": 8}}, ["section 'evaluate'", "'zzz'", "it has limit, validation"]),
        ({"grpo": {1: 2}}, ["section 'grpo'", "'1'"]),
        ({1: 2}, ["section 'recipe'", "'1'"]),
    ],
)
def test_an_unknown_key_is_refused_with_section_key_and_the_nearest_name(
    tmp_path: Path, values: dict[Any, Any], parts: list[str]
) -> None:
    message = refusal(tmp_path, values)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"dataset": {"rows": "many"}}, ["section 'dataset', key 'rows'", "a whole number", "'many'"]),
        ({"dataset": {"rows": 2.5}}, ["section 'dataset', key 'rows'", "a whole number", "2.5"]),
        ({"dataset": {"rows": True}}, ["section 'dataset', key 'rows'", "a whole number", "True"]),
        ({"dataset": {"numbers": 3}}, ["section 'dataset', key 'numbers'", "a list", "3"]),
        ({"dataset": {"numbers": ["x"]}}, ["section 'dataset', key 'numbers'", "a whole number", "'x'"]),
        ({"dataset": {"languages": "en"}}, ["section 'dataset', key 'languages'", "a list", "'en'"]),
        ({"cost": {"price_per_hour": "cheap"}}, ["section 'cost', key 'price_per_hour'", "a number", "'cheap'"]),
        ({"cost": {"price_per_hour": True}}, ["section 'cost', key 'price_per_hour'", "a number", "True"]),
        ({"publish": {"public": "yes please"}}, ["section 'publish', key 'public'", "true or false"]),
        ({"base": 4}, ["section 'recipe', key 'base'", "a text", "4"]),
        ({"name": 4}, ["section 'recipe', key 'name'", "a text", "4"]),
        ({"dataset": None}, ["section 'dataset' must be a mapping", "None"]),
        ({"dataset": [1]}, ["section 'dataset' must be a mapping", "[1]"]),
        ({"grpo": [1]}, ["key 'grpo'", "a mapping", "[1]"]),
        ({"grpo": "fast"}, ["key 'grpo'", "a mapping", "'fast'"]),
        ({"grpo": {"max_steps": "ten"}}, ["section 'grpo', key 'max_steps'", "a whole number", "'ten'"]),
        ({"grpo": {"learning_rate": "low"}}, ["section 'grpo', key 'learning_rate'", "a number", "'low'"]),
        ({"grpo": {"gradient_checkpointing": "no!"}}, ["section 'grpo', key 'gradient_checkpointing'", "'no!'"]),
        ({"cold_start": {"numbers": [3]}}, ["section 'cold_start'", "'number_weights'"]),
        ({"cold_start": {"vocab_size": 262}}, ["section 'cold_start'", "not 262"]),
        ({"cold_start": {"vocab_size": 40_000}}, ["section 'cold_start'", "'vocab_size' is between"]),
        ({"rewards": {"functions": []}}, ["section 'rewards'", "'functions' is empty"]),
        ({"launch": {"launcher": "slrum"}}, ["section 'launch'", "'slrum'", "local, accelerate"]),
        ({"launch": {"gpus_per_node": 0, "launcher": "accelerate"}}, ["section 'launch'", "at least 1"]),
        ({"launch": {"gpus_per_node": 2}}, ["section 'launch'", "'local' is one process", "accelerate"]),
        ({"name": "../up"}, ["name", "'../up'"]),
        ({"name": "a/b"}, ["name", "'a/b'"]),
        ({"name": ".."}, ["name", "'..'"]),
        ({"name": ""}, ["name", "''"]),
    ],
)
def test_a_bad_value_is_refused_with_section_key_what_was_expected_and_what_came(
    tmp_path: Path, values: dict[str, Any], parts: list[str]
) -> None:
    message = refusal(tmp_path, values)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("grpo.per_device_train_batch_size=0", "at least 1, got 0"),
        ("grpo.per_device_train_batch_size=-8", "at least 1, got -8"),
        ("grpo.num_generations=0", "at least 1, got 0"),
        ("grpo.gradient_accumulation_steps=0", "at least 1, got 0"),
        ("grpo.max_completion_length=-5", "at least 1, got -5"),
        ("grpo.learning_rate=-5e-7", "at least 0, got -5e-7"),
        ("grpo.save_steps=.nan", "at least 0, got nan"),
        ("launch.completions_per_update=0", "at least 1, got 0"),
        ("launch.completions_per_update=-192", "at least 1, got -192"),
        ("launch.gpu_gib=.nan", "expected a number, got nan"),
        ("slurm.hours=.inf", "expected a number, got inf"),
        ("slurm.hours=-3", "at least 0.01, got -3.0"),
        ("slurm.cpus_per_task=-1", "at least 1, got -1"),
        ("slurm.warning_seconds=-9", "at least 0, got -9"),
        ("kubernetes.hours=.nan", "expected a number, got nan"),
        ("kubernetes.hours=-1", "at least 0.01, got -1.0"),
        ("kubernetes.cpus=0", "at least 1, got 0"),
        ("hf_jobs.hours=0", "at least 0.01, got 0.0"),
        ("cost.seconds_per_step=-5", "at least 0.001, got -5.0"),
        ("cost.price_per_hour=.nan", "expected a number, got nan"),
        ("cost.price_per_hour=-1", "at least 0, got -1.0"),
        ("cold_start.heads=0", "at least 1, got 0"),
        ("dataset.rows=-1", "at least 1, got -1"),
        ("dataset.languages=[]", "name at least one, such as [en]"),
    ],
)
def test_a_number_that_means_nothing_is_refused_when_the_recipe_is_read(change: str, said: str) -> None:
    section, _, key = change.partition("=")[0].partition(".")
    with pytest.raises(InputError, match=re.escape(f"section '{section}', key '{key}': {said}")):
        load_recipe("tiny-cold-start" if section == "cold_start" else "demo", [change])


@pytest.mark.parametrize(
    "change", ["cost.price_per_hour=0", "evaluate.temperature=0", "grpo.beta=0", "grpo.max_steps=-1"]
)
def test_zero_and_less_are_taken_where_they_mean_something(change: str) -> None:
    assert load_recipe("demo", [change]).name == "demo"


def test_a_number_that_is_infinite_is_no_number_for_trl_either(tmp_path: Path) -> None:
    assert refusal(tmp_path, {"grpo": {"save_steps": math.inf}}) == (
        "section 'grpo', key 'save_steps': expected a number, got inf"
    )


@pytest.mark.parametrize("key", ["partition", "account", "gpu_gres", "options"])
def test_what_slurm_is_asked_for_cannot_add_lines_to_the_script(tmp_path: Path, key: str) -> None:
    text = "gpu\n#SBATCH --nodes=9"
    message = refusal(tmp_path, {"slurm": {key: ["--exclusive", text] if key == "options" else text}})
    assert message.startswith(f"section 'slurm', key '{key}': expected one line, got 'gpu\\n#SBATCH")
    assert load_recipe(write(tmp_path, {"slurm": {"setup": ["if true; then\n  module load cuda\nfi"]}}))


@pytest.mark.parametrize(
    "grpo",
    [
        {"generation_batch_size": 8, "steps_per_generation": 2},
        {"per_device_train_batch_size": 6, "num_generations": 4},
        {"loss_type": "grpo", "num_generations": 1},
        {"save_strategy": "sometimes"},
        {"lr_scheduler_type": "wavy"},
    ],
)
def test_what_trl_refuses_is_one_line_that_names_the_section(tmp_path: Path, grpo: dict[str, Any]) -> None:
    assert refusal(tmp_path, {"grpo": grpo}).startswith("section 'grpo'")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is empty or not a mapping"),
        ("- 1\n- 2\n", "is empty or not a mapping"),
        ("name: [\n", "is not valid YAML"),
        ("name: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_named(tmp_path: Path, text: str, part: str) -> None:
    message = refusal(tmp_path, text)
    assert part in message
    assert "mine.yaml" in message


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes("name: 演示\n".encode("gb18030"))
    with pytest.raises(InputError, match=r"mine\.yaml cannot be read as UTF-8"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("change", "section", "key", "value"),
    [
        ("dataset.rows=7", "dataset", "rows", 7),
        ("dataset.numbers=[3]", "dataset", "numbers", (3,)),
        ("evaluate.temperature=0", "evaluate", "temperature", 0.0),
        (" cost.hardware = one GPU", "cost", "hardware", "one GPU"),
        ("dataset.source=a=b.csv", "dataset", "source", "a=b.csv"),
        ("dataset.source=null", "dataset", "source", None),
        ("publish.public=true", "publish", "public", True),
    ],
)
def test_set_changes_one_value(tmp_path: Path, change: str, section: str, key: str, value: object) -> None:
    recipe = load_recipe(write(tmp_path, {"name": "x"}), [change])
    assert getattr(getattr(recipe, section), key) == value


def test_set_reaches_the_top_level_makes_sections_and_the_last_one_wins(tmp_path: Path) -> None:
    text = "name: x\ngrpo:\ndataset: {rows: 3}\n"  # an empty section, as after commenting all of it out
    changes = ["name=other", "base=a/b@c", "grpo.max_steps=1", "grpo.max_steps=2", "dataset.seed=5"]
    recipe = load_recipe(write(tmp_path, text), changes)
    assert (recipe.name, recipe.base, recipe.grpo) == ("other", "a/b@c", {"max_steps": 2})
    assert (recipe.dataset.rows, recipe.dataset.seed) == (3, 5)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ("dataset.rows", "--set takes section.key=value, got 'dataset.rows'"),
        ("=5", "--set takes section.key=value"),
        (".rows=5", "--set takes section.key=value"),
        ("a.b.c=5", "--set takes section.key=value"),
        ("name.rows=5", "'name' is not a section"),
        ("dataset.rows=[1", "is not valid YAML"),
        ("dataset.rwos=5", "did you mean 'rows'?"),
        ("datset.rows=5", "did you mean 'dataset'?"),
        ("grpo.learning_rate=fast", "section 'grpo', key 'learning_rate': expected a number, got 'fast'"),
    ],
)
def test_a_set_that_cannot_be_applied_says_why(tmp_path: Path, change: str, part: str) -> None:
    assert part in refusal(tmp_path, {"name": "x"}, change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("loss_type=foo", "no loss_type 'foo'; it is one of grpo, bnpo, dr_grpo"),
        ("importance_sampling_level=foo", "it is one of token, sequence"),
        ("scale_rewards=foo", "it is one of group, batch, none"),
        ("sync_ref_model=true", "key 'sync_ref_model' must stay false: no checkpoint holds"),
        ("save_only_model=true", "key 'save_only_model' must stay false"),
        ("remove_unused_columns=true", "must stay false: the rewards read nums and target"),
        ("temperature=0", r"key 'temperature': at least 0\.01, got 0"),
    ],
)
def test_what_would_break_later_is_refused_before_anything_is_loaded(change: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        grpo_config(load_recipe("demo", [f"grpo.{change}"]), tmp_path)


@pytest.mark.parametrize("key", ["epsilon_high", "max_grad_norm", "delta"])
def test_what_clips_may_be_endless(key: str, tmp_path: Path) -> None:
    assert getattr(grpo_config(load_recipe("demo", [f"grpo.{key}=.inf"]), tmp_path), key) == math.inf


@pytest.mark.parametrize("change", ["grpo.max_grad_norm=.nan", "grpo.learning_rate=.inf", "grpo.save_steps=.inf"])
def test_other_endless_numbers_are_refused_before_training(change: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a number, got (nan|inf)"):
        grpo_config(load_recipe("demo", [change]), tmp_path)


def test_rewards_are_added_to_those_of_the_recipe() -> None:
    recipe = Recipe("x").with_rewards(["mine.py:brevity"])
    assert recipe.rewards.functions == ("equation_reward", "format_reward", "mine.py:brevity")


def test_on_a_cpu_the_config_is_float32_and_logs_what_later_stages_read(tmp_path: Path) -> None:
    config = grpo_config(Recipe("x", grpo={"bf16": True}), tmp_path)
    assert (config.use_cpu, config.bf16) == (True, False)
    assert config.log_completions
    assert config.report_to == ["tensorboard"]


@pytest.mark.parametrize(
    ("grpo", "rows"),
    [
        ({"max_steps": 10, "per_device_train_batch_size": 8, "num_generations": 4}, 20),
        ({"max_steps": 10, "per_device_train_batch_size": 8, "num_generations": 8}, 10),
        (
            {"max_steps": 3, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, "num_generations": 4},
            6,
        ),
        ({"num_train_epochs": 1}, None),
        (
            {"max_steps": 6, "per_device_train_batch_size": 4, "num_generations": 2, "steps_per_generation": 4},
            16,  # two batches of 8, the second half used
        ),
        ({"max_steps": 6, "per_device_train_batch_size": 4, "num_generations": 2, "num_iterations": 2}, 6),
    ],
)
def test_only_the_rows_that_will_be_asked_are_rendered(tmp_path: Path, grpo: dict[str, Any], rows: int | None) -> None:
    assert rows_needed(grpo_config(Recipe("x", grpo=grpo), tmp_path)) == rows


def test_parsing_leaves_the_given_values_alone() -> None:
    values = {"grpo": {"max_steps": "3"}}
    parse_recipe(values, "x")
    assert values == {"grpo": {"max_steps": "3"}}


def test_layers_that_are_gathered_piece_by_piece_are_not_compiled() -> None:
    with pytest.raises(InputError, match=r"nothing to compile; set compile=false, or sharding to zero1"):
        load_recipe("qwen2.5-3b-fast", ["launch.sharding=zero3"])


def test_recipes_whose_data_differ_publish_it_under_different_names() -> None:
    trained = [recipe for recipe in map(load_recipe, shipped_recipes()) if recipe.grpo is not None]
    data: dict[str, set[Any]] = {}
    for recipe in trained:
        data.setdefault(recipe.publish.dataset_name, set()).add(repr(recipe.dataset))
    assert {name: len(sections) for name, sections in data.items()} == dict.fromkeys(data, 1)
    assert load_recipe("qwen2.5-3b-en").publish.dataset_name == "Countdown-r1-zero", "the articles' data"


def test_the_recipe_for_one_gpu_says_where_its_time_was_measured() -> None:
    recipe = load_recipe("qwen2.5-3b-1gpu")
    measured = json.loads((RESULTS / "grpo_step" / "step-ours-1gpu-mb2.json").read_text())
    assert (measured["micro_batch"], measured["accumulation"]) == (2, 96)
    assert recipe.cost.seconds_per_step == pytest.approx(measured["seconds"]["total"], abs=0.05)
    assert recipe.launch.gpus == recipe.cost.gpus == 1
    assert recipe.dataset == load_recipe("qwen2.5-3b-fast").dataset
    grpo = dict(recipe.grpo or {})
    assert grpo["per_device_train_batch_size"] == 2 and grpo["save_total_limit"] == 4
