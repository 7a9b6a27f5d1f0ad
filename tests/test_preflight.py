"""``doctor``: what is wrong with a recipe, and how to fix it, before it costs anything."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from countdown_r1 import models
from countdown_r1.cli import main
from countdown_r1.train import preflight_gpu
from countdown_r1.train.memory import shape_of
from countdown_r1.train.preflight import Report, inspect, refused_to_write
from countdown_r1.train.recipe import ColdStart, Launch, Recipe, Rewards, load_recipe, shipped_recipes


@pytest.fixture
def tiny_copy(tmp_path: Path) -> Path:
    return shutil.copytree(models.SHIPPED["novice"], tmp_path / "tiny")


def problems(recipe: Recipe) -> str:
    report = inspect(recipe)
    assert not report.ok
    assert all("\n" not in line for line in report.problems)
    return "\n".join(report.problems)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_passes(name: str) -> None:
    recipe = load_recipe(name)
    if "/" in recipe.base:  # on the Hub; checked for a cluster, since neither is here
        recipe = load_recipe(name, ["base=tiny", "launch.launcher=kubernetes"])
    report = inspect(recipe)
    assert report.ok, report.to_text()
    assert report.facts


def test_the_facts_say_what_an_update_is_made_of() -> None:
    grpo = {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 3,
        "num_generations": 6,
        "max_completion_length": 100,
    }
    text = inspect(Recipe("x", grpo=grpo)).to_text()
    assert "ok       12 completions an update = 2 puzzles x 6, on 1 process(es)" in text
    assert "base tiny: 9.9 M parameters" in text
    assert "+ 100 new ones, the model takes 2560" in text
    assert "reward equation_reward" in text
    assert "GiB of disk free" in text


def test_the_batches_of_all_processes_count() -> None:
    """Six completions on one process are no whole number of groups of four; twelve on two are."""
    grpo = {"per_device_train_batch_size": 6, "num_generations": 4}
    report = inspect(Recipe("x", grpo=grpo, launch=Launch("accelerate", 1, 2)))
    assert report.ok, report.to_text()
    assert report.facts[0] == "12 completions an update = 3 puzzles x 4, on 2 process(es)"
    assert "divisible by num_generations (4)" in problems(Recipe("x", grpo=grpo))


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (Recipe("x", grpo={"num_generation": 4}), "did you mean 'num_generations'?"),
        (Recipe("x", grpo={"per_device_train_batch_size": "six"}), "expected a whole number, got 'six'"),
        (Recipe("x", grpo={"num_generations": 1}), "at least 2 generations"),
        (Recipe("x", grpo={}, rewards=Rewards(("equation",))), "no reward 'equation'"),
        (Recipe("x", grpo={}, base="no-such-model"), "no model 'no-such-model'"),
        (Recipe("x", grpo={"max_completion_length": 4000}), "the model takes 2560: lower max_completion_length"),
    ],
)
def test_a_problem_is_named_with_its_fix(recipe: Recipe, said: str) -> None:
    assert said in problems(recipe)


def test_every_problem_is_listed_at_once() -> None:
    text = problems(Recipe("x", grpo={"max_steps": "ten"}, base="no-such-model", rewards=Rewards(("equation",))))
    assert all(part in text for part in ("'max_steps'", "'no-such-model'", "'equation'"))


def test_tags_that_are_special_tokens_are_found(tiny_copy: Path) -> None:
    """A trainer's decoding would drop them, and every reward would be 0."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        values = json.loads((tiny_copy / name).read_text())
        for token in values.get("added_tokens", []):
            token["special"] = token["special"] or token["content"] == "</answer>"
        (tiny_copy / name).write_text(json.dumps(values))
    assert AutoTokenizer.from_pretrained(tiny_copy).decode([1023], skip_special_tokens=True) == ""
    assert "</answer> is lost when the tokenizer decodes" in problems(Recipe("x", grpo={}, base=str(tiny_copy)))


def test_a_damaged_base_is_a_problem_and_not_a_crash(tiny_copy: Path) -> None:
    (tiny_copy / "model.safetensors").write_bytes(b"")
    assert "the checkpoint is damaged" in problems(Recipe("x", grpo={}, base=str(tiny_copy)))


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for turn in messages %}\n{{ turn.content }}", "Unexpected end of template."),
        ("{{ raise_exception('System role not supported') }}", "System role not supported"),
        ("{{ messages[0].content.words() }}", "has no attribute 'words'"),
    ],
)
def test_a_chat_template_that_breaks_is_a_problem_and_ends_a_training_in_one_line(
    template: str, said: str, tiny_copy: Path, toy_dataset: Path, tmp_path: Path
) -> None:
    (tiny_copy / "chat_template.jinja").write_text(template)
    text = problems(Recipe("x", grpo={}, base=str(tiny_copy)))
    assert f"the chat template of {tiny_copy} does not take the turns system, user (" in text
    assert said in text and "mend that template" in text
    words = ["train", "demo", "--set", f"base={tiny_copy}", "--dataset", str(toy_dataset)]
    done = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "model")])
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit), done.exception
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert said in line


def test_a_chat_template_may_insist_on_a_system_turn(tiny_copy: Path) -> None:
    path = tiny_copy / "chat_template.jinja"
    insists = "{% if messages[0].role != 'system' %}{{ raise_exception('say who you are') }}{% endif %}"
    path.write_text(insists + path.read_text())
    assert inspect(Recipe("x", grpo={}, base=str(tiny_copy))).ok


@pytest.mark.parametrize(("stated", "inner"), [(None, 256), (96, 96)])
def test_a_gpt_2_has_a_shape_too(stated: int | None, inner: int, tiny_copy: Path) -> None:
    config = GPT2Config(vocab_size=1024, n_embd=64, n_layer=2, n_head=4, n_inner=stated, bos_token_id=0, eos_token_id=2)
    GPT2LMHeadModel(config).save_pretrained(tiny_copy)
    assert shape_of(str(tiny_copy)).intermediate == inner
    report = inspect(Recipe("x", grpo={"max_completion_length": 100}, base=str(tiny_copy)))
    assert "GiB a training GPU" in report.to_text()


def test_a_cold_start_needs_no_base() -> None:
    recipe = Recipe("x", base="no-such-model", cold_start=ColdStart())
    report = inspect(recipe)
    assert report.ok, report.to_text()
    assert "no 'grpo' section: cold start only" in report.facts
    assert "time and money: not known for a cold start by steps" in report.facts


def test_the_doctor_says_the_time_of_a_cold_start() -> None:
    assert any(fact.startswith("expected: 6.25 minutes") for fact in inspect(load_recipe("tiny-cold-start")).facts)


@pytest.mark.parametrize(
    ("steps", "every", "count"),
    [(450, 25, 18), (450, 100, 5), (400, 0.05, 20), (10, 500, 1), (3, 0.1, 3), (-1, 500, 1)],
)
def test_the_disk_is_estimated_for_every_checkpoint_that_will_be_there(steps: int, every: float, count: int) -> None:
    report = inspect(Recipe("x", grpo={"max_steps": steps, "save_steps": every}))
    assert f", {count} checkpoint(s) need" in report.to_text()


def test_weights_that_are_not_one_for_each_reward_are_a_problem() -> None:
    assert "3 weights for the rewards equation_reward, format_reward" in problems(
        Recipe("x", grpo={"reward_weights": [1.0, 1.0, 1.0]})
    )


def test_a_full_disk_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    full: Callable[[Any], Any] = lambda _: SimpleNamespace(free=100 * 2**20)  # noqa: E731
    monkeypatch.setattr(preflight_gpu.shutil, "disk_usage", full)
    assert re.search(
        r"0.1 GiB of disk free, 1 checkpoint\(s\) need 2.*: free some space", problems(Recipe("x", grpo={}))
    )


def test_a_report_is_ok_without_problems_and_lists_facts_first() -> None:
    assert Report(("a",), ()).ok
    assert Report(("a",), ("b",)).to_text() == "ok       a\nproblem  b"


def test_the_command_ends_with_1_when_there_is_a_problem() -> None:
    done = CliRunner().invoke(main, ["doctor", "demo"])
    assert (done.exit_code, "problem" in done.output) == (0, False), done.output
    bad = CliRunner().invoke(main, ["doctor", "demo", "--set", "grpo.num_generations=7"])
    assert bad.exit_code == 1
    assert "problem  section 'grpo': generation_batch_size (64) must be divisible by num_generations (7)." in bad.output


def scoped(namespace: str, *rights: str) -> dict[str, Any]:
    """What the Hub says of a fine-grained token."""
    entity = {"type": "org", "name": namespace}
    return {"role": "fineGrained", "fineGrained": {"scoped": [{"entity": entity, "permissions": list(rights)}]}}


@pytest.mark.parametrize(
    ("access", "namespace", "said"),
    [
        ({"role": "write"}, "me", None),
        ({"role": "write"}, "lab", None),
        ({"role": "write"}, "other", "none of this token's: me, lab; use one of them"),
        ({"role": "read"}, "me", "may only read"),
        (scoped("lab", "repo.content.read", "repo.write"), "lab", None),
        (scoped("lab", "repo.content.read"), "lab", "may not write to repositories of 'lab'"),
        (scoped("lab", "repo.write"), "me", "may not write to repositories of 'me'"),
    ],
)
def test_a_token_that_cannot_publish_is_found_before_the_training(
    access: dict[str, Any], namespace: str, said: str | None
) -> None:
    who = {"name": "me", "orgs": [{"name": "lab"}], "auth": {"accessToken": access}}
    problem = refused_to_write(who, namespace)
    assert problem is None if said is None else said in (problem or "")


def test_the_hub_is_asked_whether_the_run_may_be_published(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "countdown_r1", "doctor", "demo", "--hub", "rehearsal", "--push-to"]
    for namespace, status, said in (("rehearsal", 0, "may publish to"), ("somebody", 1, "is none of this token's")):
        done = subprocess.run([*command, namespace], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        assert said in done.stdout


@pytest.mark.parametrize(
    ("module", "extra", "changes"),
    [
        ("vllm", "vllm", ["launch.vllm=colocate"]),
        ("deepspeed", "deepspeed", ["launch.sharding=zero2"]),
        ("peft", "qlora", ["lora.bits=4"]),
        ("bitsandbytes", "qlora", ["lora.bits=4"]),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    module: str, extra: str, changes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # from here on as if it were not installed
    recipe = load_recipe("qwen2.5-3b-qlora" if extra == "qlora" else "demo", ["base=novice", *changes])
    assert f"{module} is not installed: pip install 'countdown-r1[{extra}]'" in problems(recipe)
    assert module not in inspect(load_recipe("demo")).to_text()


def test_sharding_without_a_gpu_is_found_with_two_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)  # it remembers what it counted at first
    changes = ["launch.launcher=accelerate", "launch.sharding=fsdp2"]
    said = "sharding 'fsdp2' needs GPUs, none is found here: set sharding=none, or a launcher of a cluster"
    assert said in problems(load_recipe("demo", changes))
    assert "needs GPUs" not in inspect(load_recipe("demo", [*changes, "launch.launcher=slurm"])).to_text()


def test_more_gpus_than_there_are_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for gpus, launcher, good in ((2, "accelerate", True), (4, "accelerate", False), (4, "slurm", True)):
        report = inspect(Recipe("x", grpo={}, launch=Launch(launcher, 1, gpus, gpu_gib=80)))
        assert report.ok == good, report.to_text()
        assert ("4 GPUs are asked for, 2 found: lower gpus_per_node" in report.to_text()) != good


def test_compiled_layers_need_a_compiler_here_and_none_on_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe("demo", ["launch.compile=true"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert "compile needs a C compiler, none is found: install gcc, or set compile=false" in problems(recipe)
    assert inspect(load_recipe("demo", ["launch.compile=true", "launch.launcher=kubernetes"])).ok
