"""What users of similar programs complain about: each cannot happen here, or is caught before or while it does."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.trainer_callback import TrainerControl, TrainerState

from countdown_r1 import models
from countdown_r1.build_dataset.prompt import load_template, prompt_text
from countdown_r1.cli import main
from countdown_r1.errors import InputError
from countdown_r1.game.answer import judge
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.publish import tables
from countdown_r1.train import layout, preflight_gpu
from countdown_r1.train.callbacks import Timeline
from countdown_r1.train.clusters import Cost, Launch
from countdown_r1.train.cost import cost_of, cost_table, sessions
from countdown_r1.train.forecast import expected, forecast
from countdown_r1.train.generation import encode
from countdown_r1.train.layout import SLEEPING_GIB, Plan, choose, placed
from countdown_r1.train.memory import Shape, estimate
from countdown_r1.train.preflight import inspect
from countdown_r1.train.preflight_gpu import memory_findings
from countdown_r1.train.preflight_text import LONGEST
from countdown_r1.train.recipe import Recipe, load_recipe, shipped_recipes
from countdown_r1.train.rewards import format_reward
from countdown_r1.train.shaped_rewards import language_reward
from countdown_r1.train.timeline import read_timeline

MEASURED = Path(__file__).parents[1] / "benchmarks" / "results" / "grpo_step"
QWEN_3B = Shape(3_085_938_688, 36, 2048, 11008, 256, 151_936)
QWEN_7B = Shape(7_615_616_512, 28, 3584, 18944, 512, 152_064)


@pytest.fixture
def shaped(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Bases on the Hub get Qwen's shape without asking it."""
    for module in (layout, preflight_gpu):
        monkeypatch.setattr(module, "shape_of", lambda base: QWEN_7B if "7B" in base else QWEN_3B)
    yield


def memory_said(recipe: Recipe) -> tuple[bool, str]:
    return next(iter(memory_findings(recipe)))


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name.startswith("qwen")])
def test_the_shipped_recipes_fit_their_gpus(name: str, shaped: None) -> None:
    good, text = memory_said(load_recipe(name))
    assert good, text


@pytest.mark.parametrize("gpus", [2, 8])
def test_memory_that_runs_out_on_several_gpus_is_foreseen_with_the_way_out(gpus: int, shaped: None) -> None:
    changes = [f"launch.gpus_per_node={gpus}", "launch.sharding=none", "launch.gpu_gib=40"]
    good, text = memory_said(load_recipe("qwen2.5-3b-fast", changes))
    assert not good
    assert "of 40: use grpo.gradient_checkpointing=true" in text and "launch.sharding=zero3" in text


def test_full_training_on_one_24_gb_card_is_refused_and_qlora_named(shaped: None) -> None:
    good, text = memory_said(replace(load_recipe("qwen2.5-3b-qlora"), lora=None))
    assert not good and "see qwen2.5-3b-qlora" in text


def test_where_vllm_runs_and_which_gpu_it_takes_is_said() -> None:
    one = choose(load_recipe("qwen2.5-3b-en"))
    assert one.to_text() == "3 training process(es) on 1 node(s), vLLM server on 1 GPU(s) of the same node"
    nodes = choose(load_recipe("qwen2.5-3b-en", ["launch.launcher=slurm", "launch.nodes=3"]))
    assert (nodes.train_nodes, nodes.per_node, nodes.server_nodes, nodes.server_gpus) == (2, 4, 1, 4)
    beside = choose(load_recipe("qwen2.5-3b-fast"))
    assert "asleep while weights are updated" in beside.to_text()


@pytest.mark.parametrize(("gib", "vllm"), [(80, "colocate"), (24, "server")])
def test_memory_decides_where_vllm_runs(gib: int, vllm: str) -> None:
    recipe = load_recipe("qwen2.5-3b-fast", ["launch.vllm=auto", f"launch.gpu_gib={gib}"])
    chosen = choose(recipe, lambda: QWEN_3B)
    assert chosen.vllm == vllm
    assert f"of {gib} GiB" in chosen.to_text()
    assert (placed(recipe, chosen).grpo or {})["vllm_mode"] == vllm


def test_an_update_has_its_192_completions_however_many_gpus_there_are() -> None:
    for gpus, processes, steps in ((4, 3, 8), (3, 2, 12), (2, 1, 24)):
        recipe = load_recipe("qwen2.5-3b-en", [f"launch.gpus_per_node={gpus}"])
        grpo = placed(recipe, choose(recipe)).grpo or {}
        assert grpo["gradient_accumulation_steps"] == steps
        assert grpo["per_device_train_batch_size"] * processes * steps == 192


def test_an_update_that_cannot_be_divided_is_refused_with_sizes_that_can() -> None:
    recipe = load_recipe("qwen2.5-3b-en", ["launch.gpus_per_node=8"])
    with pytest.raises(InputError, match="no whole number of micro-batches of 56"):
        placed(recipe, choose(recipe))
    recipe = load_recipe("qwen2.5-3b-fast", ["grpo.per_device_train_batch_size=5"])
    with pytest.raises(InputError, match="use a per_device_train_batch_size of 12, 16, 24, 48"):
        placed(recipe, choose(recipe))
    recipe = load_recipe("qwen2.5-3b-fast", ["launch.gpus_per_node=5"])
    with pytest.raises(InputError, match="; use another number of GPUs"):
        placed(recipe, choose(recipe))


def test_a_server_needs_a_gpu_that_does_not_train() -> None:
    with pytest.raises(InputError, match="use vllm: colocate"):
        choose(Recipe("x", grpo={}, launch=Launch(vllm="server")))


@pytest.fixture
def tokenizer_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(models.SHIPPED["novice"], tmp_path / "copy"))


def problems(base: Path, **grpo: Any) -> str:
    return "\n".join(inspect(Recipe("x", base=str(base), grpo=grpo)).problems)


def change_template(folder: Path, old: str, new: str) -> None:
    path = folder / "chat_template.jinja"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_template_that_thinks_by_itself_is_found(tokenizer_copy: Path) -> None:
    """The format reward would stay 0: a second thought stands before the pre-filled one."""
    change_template(tokenizer_copy, "<|im_start|>assistant\n", "<|im_start|>assistant\n<think>\n\n</think>\n<think>")
    assert "a second: remove <think> from the template" in problems(tokenizer_copy)


def test_a_turn_that_ends_with_no_end_token_is_found(tokenizer_copy: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_copy)
    tokenizer.eos_token = tokenizer.pad_token
    tokenizer.save_pretrained(tokenizer_copy)
    config = json.loads((tokenizer_copy / "config.json").read_text())
    config["eos_token_id"] = tokenizer.pad_token_id
    (tokenizer_copy / "config.json").write_text(json.dumps(config))
    said = problems(tokenizer_copy)
    assert "a turn ends with '<|im_end|>', which is no end token of the model" in said
    assert "set the tokenizer's eos_token to it" in said


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (
            ("eos_token",),
            "problem  the tokenizer has no eos_token, so no completion would ever end: set it to a turn's",
        ),
        (
            ("eos_token", "pad_token"),
            "problem  the tokenizer has no eos_token, so no completion would ever end: set it",
        ),
        (("pad_token",), "ok       a completion ends with '<|im_end|>', batches are filled with '<|im_end|>'"),
    ],
)
def test_a_missing_end_token_is_found_and_stands_in_for_a_missing_pad_token(
    missing: tuple[str, ...], said: str, tokenizer_copy: Path
) -> None:
    path = tokenizer_copy / "tokenizer_config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in values.items() if key not in missing}))
    report = inspect(Recipe("x", base=str(tokenizer_copy), grpo={}))
    assert said in report.to_text()
    assert report.ok == ("eos_token" not in missing)


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("bos", "prompts begin with '<|im_start|>' twice, since the chat template and the tokenizer add it"),
        ("eos", "the tokenizer closes every prompt with its end token"),
    ],
)
def test_a_tokenizer_that_adds_tokens_to_a_prompt_is_found_and_healed_by_the_fix(
    added: str, said: str, tokenizer_copy: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_copy)
    tokenizer.bos_token = "<|im_start|>"
    for adds in (True, False):
        setattr(tokenizer, f"add_{added}_token", adds)
        tokenizer.save_pretrained(tokenizer_copy)
        fix = f"{said}: in Python, set tokenizer.add_{added}_token = False and save it again"
        assert problems(tokenizer_copy) == (fix if adds else "")


def test_a_beginning_that_only_the_tokenizer_file_knows_is_found_twice_too(tokenizer_copy: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_copy)
    tokenizer.bos_token, tokenizer.add_bos_token = "<|im_start|>", True
    tokenizer.save_pretrained(tokenizer_copy)
    path = tokenizer_copy / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bos_token": None}))
    assert AutoTokenizer.from_pretrained(tokenizer_copy).bos_token is None
    assert "prompts begin with '<|im_start|>' twice" in problems(tokenizer_copy)


@pytest.mark.parametrize("chat", [True, False])
def test_a_beginning_that_only_trl_and_vllm_would_give_a_prompt_is_found_and_healed_by_the_fix(
    chat: bool, tokenizer_copy: Path
) -> None:
    """As with a Llama: its tokenizer puts a token before each text, whatever the chat template says."""
    if not chat:
        (tokenizer_copy / "chat_template.jinja").unlink()
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_copy)
    before = prompt_text(tokenizer, load_template("en"), LONGEST)
    tokenizer.bos_token, tokenizer.add_bos_token = "<|endoftext|>", True
    tokenizer.save_pretrained(tokenizer_copy)
    said = problems(tokenizer_copy)
    assert said.startswith("prompts begin with '<|endoftext|>' where TRL or vLLM encodes them and without it elsewhere")
    fix = re.search(
        r"set (tokenizer.add_bos_token = False) and (tokenizer.chat_template = .*), and save it again", said
    )
    assert fix
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_copy)
    for line in fix.groups():
        exec(line, {"tokenizer": tokenizer})  # to the letter, as the doctor says it
    tokenizer.save_pretrained(tokenizer_copy)
    assert problems(tokenizer_copy) == ""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_copy)
    prompt = prompt_text(tokenizer, load_template("en"), LONGEST)
    assert prompt == f"<|endoftext|>{before}"
    assert tokenizer(prompt)["input_ids"] == encode(tokenizer, [prompt])[0]


def test_a_vocabulary_with_too_few_rows_is_found(tokenizer_copy: Path) -> None:
    config = AutoConfig.from_pretrained(tokenizer_copy)
    config.vocab_size -= 24
    AutoModelForCausalLM.from_config(config).save_pretrained(tokenizer_copy)
    assert "the tokenizer has 1,024 tokens, the model 1,000: resize its embeddings" in problems(tokenizer_copy)


def test_prompts_longer_than_the_model_are_found(tokenizer_copy: Path) -> None:
    assert "lower max_completion_length" in problems(tokenizer_copy, max_completion_length=9000)


@pytest.mark.parametrize(
    ("completion", "earned"),
    [
        ("1</think>\n<answer> 1 + 2 </answer>", 1.0),
        ("1</think><think>2</think>\n<answer> 1 + 2 </answer>", 0.0),
        ("1</think>\n<answer> 1 + 2 </answer><answer> 3 </answer>", 0.0),
        ("!!!!!!!!!!!!!!!!", 0.0),
    ],
)
def test_several_blocks_and_collapsed_output_earn_no_format(completion: str, earned: float) -> None:
    assert format_reward([completion]) == [earned]
    assert not judge(Puzzle((1, 2), 4), completion).solved


def test_mixed_languages_can_be_made_to_cost() -> None:
    prompts = ["用[1, 2]构建一个等于3的等式。让我们一步一步地解决这个谜题。\n<think>"] * 2
    texts = ["我们试试 1 + 2 = 3。</think>\n<answer> 1 + 2 </answer>", "We try this and then that one, so it is three."]
    same, mixed = language_reward(completions=texts, prompts=prompts)
    assert same > mixed


def test_time_and_money_are_said_before_a_start() -> None:
    recipe = load_recipe("qwen2.5-3b-en")
    said = forecast(Plan(recipe, choose(recipe)))[-1]
    assert said == "expected: 450 updates x 52 s = 6.5 h on 4x H100 80 GB, 26.0 GPU-hours, 78.00 USD"
    assert "30 updates x 7.5 s" in forecast(Plan(load_recipe("demo"), choose(load_recipe("demo"))))[-1]
    unmeasured = load_recipe("demo", ["cost.seconds_per_step=null"])
    assert "not known; measure a few steps" in forecast(Plan(unmeasured, choose(unmeasured)))[-1]
    cold = load_recipe("tiny-cold-start", ["cold_start.minutes=4.75"])
    assert "4.75 minutes of training" in forecast(Plan(cold, choose(cold)))[-1]


@pytest.mark.parametrize(
    ("changes", "held", "ideal"),
    [
        (["launch.launcher=slurm", "launch.nodes=3"], "12 GPUs on 3 machines", "2.2 h"),
        (["launch.launcher=slurm", "launch.nodes=2", "launch.gpus_per_node=2"], "4 GPUs on 2 machines", "6.5 h"),
        (["launch.launcher=local", "launch.gpus_per_node=1"], "1 GPU", "26.0 h"),
    ],
)
def test_what_was_measured_on_other_gpus_is_no_total_here(changes: list[str], held: str, ideal: str) -> None:
    said = expected(load_recipe("qwen2.5-3b-en", changes))
    stated = "the recipe states 450 updates x 52 s = 6.5 h for 4 GPUs (4x H100 80 GB)"
    assert said.startswith(f"time and money: not known for {held}; {stated}, which would be {ideal} here")
    assert "if it scaled ideally; measure a few steps" in said
    assert "USD" not in said


def test_a_cluster_s_own_figures_count_every_machine() -> None:
    changes = ["launch.launcher=slurm", "launch.nodes=3", "cost.gpus=12", "cost.nodes=3", "cost.seconds_per_step=20"]
    said = expected(load_recipe("qwen2.5-3b-en", changes))
    assert said == "expected: 450 updates x 20 s = 2.5 h on 4x H100 80 GB x 3, 30.0 GPU-hours, 90.00 USD"


def test_shipped_recipes_say_for_how_many_gpus_their_time_holds() -> None:
    timed = [recipe for recipe in map(load_recipe, shipped_recipes()) if recipe.cost.seconds_per_step]
    assert timed and all((recipe.cost.nodes, recipe.cost.gpus) == (1, recipe.launch.gpus) for recipe in timed)


@pytest.mark.parametrize(
    ("grpo", "said"),
    [
        ({"max_prompt_length": 256}, "'max_prompt_length' any more: prompts are never cut"),
        ({"warmup_ratio": 0.03}, "a fraction in warmup_steps"),
        ({"torch_dtype": "bfloat16"}, "it is called dtype now"),
        ({"use_liger_kernel": True}, "set launch.compile=true instead"),
        ({"use_liger_loss": True}, "computed in chunks without it"),
        ({"vllm_device": "auto"}, "section 'launch', key 'vllm'"),
        ({"vllm_gpu_memory_utilization": 0.5}, "is not read without vLLM"),
        ({"eval_steps": 5}, "'eval_steps' is not read: remove it"),
        ({"max_steps": 5, "num_train_epochs": 2}, "'num_train_epochs' is not read"),
        ({"deepspeed": "ds.json"}, "launch.sharding says it"),
        ({"push_to_hub": True}, "use countdown-r1 publish"),
    ],
)
def test_keys_that_are_gone_or_not_read_are_named(grpo: dict[str, Any], said: str) -> None:
    assert said in "\n".join(inspect(Recipe("x", grpo=grpo)).problems)


def test_a_fixed_update_and_accumulation_steps_are_one_too_many() -> None:
    recipe = load_recipe("demo", ["launch.completions_per_update=64"])
    assert "'gradient_accumulation_steps' is not read" in "\n".join(inspect(recipe).problems)


def test_zero_spreads_what_whole_copies_hold() -> None:
    needed = {
        sharding: estimate(
            load_recipe("qwen2.5-3b-fast", ["launch.compile=false", f"launch.sharding={sharding}"]), QWEN_3B, 4
        )
        for sharding in ("none", "zero2", "zero3", "fsdp2")
    }
    states = {name: m.training - m.parts["activations"] - m.parts["context"] for name, m in needed.items()}
    assert states["none"] > states["zero2"] > states["zero3"]
    assert states["fsdp2"] == pytest.approx(states["zero3"])
    assert states["none"] == pytest.approx(18 * 3.0859 / 1.0737, rel=0.01)


@pytest.mark.parametrize(
    ("result", "name", "changes", "processes"),
    [
        ("step-ours-2gpu-mb4", "qwen2.5-3b-fast", [], 2),
        ("step-ours-1gpu-mb2", "qwen2.5-3b-fast", ["grpo.per_device_train_batch_size=2"], 1),
        ("step-article-best-2gpu-mb16", "qwen2.5-3b-en", ["grpo.per_device_train_batch_size=16"], 1),
        ("step-article-2gpu-mb1", "qwen2.5-3b-en", ["grpo.per_device_train_batch_size=1"], 1),
    ],
)
def test_the_memory_estimate_is_near_what_gpus_used(result: str, name: str, changes: list[str], processes: int) -> None:
    used = json.loads((MEASURED / f"{result}.json").read_text())["gib"]["used_peak"]
    assert 0.8 * used < estimate(load_recipe(name, changes), QWEN_3B, processes).training + SLEEPING_GIB < 1.1 * used


def test_without_vllm_the_keys_of_the_completions_count() -> None:
    qlora = load_recipe("qwen2.5-3b-qlora")
    needed, few = (estimate(r, QWEN_3B, 1) for r in (qlora, load_recipe(qlora.name, ["grpo.max_completion_length=16"])))
    gib = json.loads((MEASURED / "qlora-1gpu-mb2.json").read_text())["gib"]
    assert gib["allocated_peak"] < needed.training < 24
    assert needed.training - few.training > 3
    assert "sampling" in needed.to_text()


EVENTS = [
    {"event": "start", "time": 0.0, "gpus": 4},
    {"event": "step", "time": 1800.0, "step": 1, "generate": 600.0, "reward": 60.0, "update": 900.0},
    {"event": "start", "time": 7200.0, "gpus": 4},  # the first session was killed
    {"event": "step", "time": 9000.0, "step": 2, "generate": 600.0, "reward": 60.0, "update": 900.0},
    {"event": "end", "time": 9000.0, "step": 2, "tokens": 5000.0, "joules": 7.2e6},
]


def test_the_cost_counts_all_sessions_and_compares_elastic_with_reserved() -> None:
    cost = cost_of(Cost(12.0, "USD", "4x"), sessions(EVENTS))
    assert (cost["sessions"], cost["hours"], cost["total"]) == (2, 1.0, 12.0)
    assert cost["gpu_hours"] == {"allocated": 4.0, "busy": pytest.approx(3.3333)}
    assert (cost["elastic_gpu_hours"], cost["reserved_gpu_hours"], cost["saved_by_elastic"]) == (4.0, 10.0, 0.6)
    assert cost["stages"]["generation"] == {"gpu_hours": pytest.approx(1.3333), "total": 4.0}
    assert sum(stage["total"] for stage in cost["stages"].values()) == pytest.approx(12.0)
    assert (cost["tokens"], cost["energy_kwh"]) == (5000, 2.0)


def test_gpus_of_a_vllm_server_are_paid_for_and_busy_while_it_writes() -> None:
    """Three train, one writes: 3/4 of the held GPUs wait for completions, and one for updates."""
    events = [{**event, "gpus": 3, "server_gpus": 1} if event["event"] == "start" else event for event in EVENTS]
    cost = cost_of(Cost(12.0, "USD", "4x"), sessions(events))
    assert (cost["processes"], cost["server_gpus"]) == (3, 1)
    assert cost["gpu_hours"] == {"allocated": 4.0, "busy": pytest.approx((1200 * 1 + 1800 * 3) / 3600, abs=1e-4)}
    assert (cost["elastic_gpu_hours"], cost["reserved_gpu_hours"]) == (4.0, 10.0)
    assert cost["stages"]["generation"] == {"gpu_hours": pytest.approx(1.3333), "total": 4.0}


@pytest.mark.parametrize("metered", [True, False])
def test_energy_is_that_of_all_gpus_or_says_whose_it_is(metered: bool, tmp_path: Path) -> None:
    servers = {"gpus": 3, "server_gpus": 1, "servers_metered": metered}
    events = [{**event, **servers} if event["event"] == "start" else event for event in EVENTS]
    cost = cost_of(Cost(12.0, "USD", "4x"), sessions(events))
    found = (cost["energy_kwh"], cost["training_energy_kwh"])
    assert found == ((2.0, None) if metered else (None, 2.0))
    (tmp_path / "cost.json").write_text(json.dumps(cost))
    told = "energy 2.0000 kWh" + ("" if metered else " of the GPUs that train")
    assert told in cost_table(tmp_path).splitlines()
    label = "Energy in kWh" if metered else "Energy of the GPUs that train, in kWh"
    assert f"| {label} | 2 |" in tables.cost(cost)


def test_a_price_is_that_of_the_gpus_it_is_stated_for() -> None:
    for gpus, total, hardware in ((4, 12.0, "4x"), (8, 0.0, "")):
        cost = cost_of(Cost(12.0, "USD", "4x", gpus=gpus), sessions(EVENTS))
        assert (cost["total"], cost["hardware"], cost["gpu_hours"]["allocated"]) == (total, hardware, 4.0)


def test_the_timeline_goes_on_behind_a_line_that_a_kill_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    Timeline(path, 2, 0.0)
    with path.open("a") as file:
        file.write('{"event": "step", "ti')
    assert [event["event"] for event in read_timeline(path)] == ["start"]
    Timeline(path, 2, 9.0).on_train_end(None, TrainerState(), TrainerControl())
    assert [event["event"] for event in read_timeline(path)] == ["start", "start", "end"]
    assert len(path.read_text().splitlines()) == 3


def test_a_run_without_events_costs_nothing() -> None:
    assert cost_of(Cost(), sessions([]))["total"] == 0.0


def test_the_cost_of_a_run_is_a_table_with_the_price_of_a_point(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "evaluation").mkdir()
    values = cost_of(Cost(12.0, "USD", "4x"), sessions(EVENTS))
    (tmp_path / "model" / "cost.json").write_text(json.dumps(values))
    summary = {"models": [{"solve_rate": 0.2}, {"solve_rate": 0.45}]}
    (tmp_path / "evaluation" / "summary.json").write_text(json.dumps(summary))
    done = CliRunner().invoke(main, ["cost", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "generation       1.3333       4.0000" in done.output
    assert "elastic 4.0000 against reserved 10.0000 GPU-hours: 60.0% less, over 2 session(s)" in done.output
    assert "a point of solve rate took 0.1600 GPU-hours, 0.4800 USD (25.0 gained)" in done.output
    assert CliRunner().invoke(main, ["cost", str(tmp_path / "evaluation")]).exit_code == 1
