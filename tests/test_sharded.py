"""ZeRO-2, ZeRO-3, FSDP2 and QLoRA for real: two processes over gloo, compared with whole copies (DDP)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from countdown_r1 import manifest
from countdown_r1.errors import TrainingError
from countdown_r1.train.launch import kill_all
from countdown_r1.train.recipe import Launch, Recipe, load_recipe, recipe_text
from countdown_r1.train.resume import SEAL
from countdown_r1.train.sharding import check_sharded
from countdown_r1.train.timeline import read_timeline

HERE = Path(__file__).parent
EXTRA = Path(sys.executable).parents[1] / "sharded"  # DeepSpeed, PEFT and bitsandbytes, kept out of everyday runs
PYTHONPATH = os.pathsep.join(filter(None, (str(EXTRA), os.environ.get("PYTHONPATH"))))
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
STEPS = 2
# Stands in for the driver's library: counters in millijoules that rise at each look, faster on the second node.
METERS = """
import itertools, os
looks = itertools.count()
class NVMLError(Exception): ...
def nvmlInit(): ...
def nvmlDeviceGetCount(): return 2
def nvmlDeviceGetHandleByIndex(place): return place
def nvmlDeviceGetTotalEnergyConsumption(handle):
    return 1000 * (next(looks) // 2) * (1 if int(os.environ["RANK"]) < 2 else 10)
"""
NODES = """
import os, sys
from pathlib import Path
rank = int(os.environ["RANK"])
os.environ["LOCAL_RANK"] = str(rank % 2)  # two nodes of two processes
import torch.distributed
from transformers.trainer_callback import TrainerControl, TrainerState
from countdown_r1.train.callbacks import Timeline
torch.distributed.init_process_group("gloo")
timeline = Timeline(Path(sys.argv[1], "timeline.jsonl"), 4, 0.0)
for happened in (timeline.on_save, timeline.on_train_end):
    happened(None, TrainerState(), TrainerControl())
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


def environment(**variables: str) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": PYTHONPATH} | variables


def run(command: list[str], **variables: str) -> str:
    env = environment(**variables)
    done = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def trained(toy_recipe: Recipe, toy_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One run folder for each way of sharding; a KL term makes the loss something else than 0."""
    assert EXTRA.is_dir(), "make test installs DeepSpeed and PEFT there"
    folder = tmp_path_factory.mktemp("sharded")
    grpo = dict(toy_recipe.grpo or {}, max_steps=STEPS, save_steps=STEPS, beta=0.05, learning_rate=1e-3)
    grpo |= {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    for name in ("none", "zero1", "zero2", "zero3", "fsdp2"):
        recipe = replace(toy_recipe, name=name, grpo=grpo, launch=Launch("accelerate", 1, 2, sharding=name))
        path = folder / f"{name}.yaml"
        path.write_text(recipe_text(recipe))
        program = ["-m", "countdown_r1.train"] if name == "none" else [str(HERE / "sharded_cpu.py")]
        run([*TORCHRUN, *program, str(path), "--dataset", str(toy_dataset), "--out", str(folder / name)])
    return {name: folder / name for name in ("none", "zero1", "zero2", "zero3", "fsdp2")}


def logged(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "reward" in line]


@pytest.mark.parametrize("sharding", ["zero1", "zero2", "zero3", "fsdp2"])
def test_losses_and_gradients_equal_those_of_whole_copies(trained: dict[str, Path], sharding: str) -> None:
    ours, whole = logged(trained[sharding]), logged(trained["none"])
    assert len(ours) == len(whole) == STEPS
    assert abs(whole[-1]["loss"]) > 1e-5
    for left, right in zip(ours, whole, strict=True):
        for name in ("loss", "grad_norm", "reward", "kl", "entropy"):
            assert left[name] == pytest.approx(right[name], rel=1e-3, abs=1e-6), name


@pytest.mark.parametrize("sharding", ["zero1", "zero2", "zero3", "fsdp2"])
def test_the_weights_are_whole_and_the_same(trained: dict[str, Path], sharding: str) -> None:
    for part in ("", f"checkpoint-{STEPS}"):
        ours, whole = (load_file(trained[name] / part / "model.safetensors") for name in (sharding, "none"))
        assert ours.keys() == whole.keys()
        assert max(float((ours[name].float() - whole[name].float()).abs().max()) for name in whole) < 5e-3
        moved = load_file(trained[sharding] / "base" / "model.safetensors")
        assert any(not torch.equal(ours[name], moved[name]) for name in whole)
    assert manifest.read(trained[sharding]).results["world_size"] == 2


@pytest.mark.parametrize("sharding", ["zero1", "zero3", "fsdp2"])
def test_a_killed_sharded_run_goes_on_to_the_losses_and_weights_of_an_undisturbed_one(
    trained: dict[str, Path], toy_dataset: Path, sharding: str
) -> None:
    whole, folder = trained[sharding], trained[sharding].with_name(f"killed-{sharding}")
    path, partial = folder.with_suffix(".yaml"), folder.with_suffix(".partial")
    path.write_text(recipe_text(load_recipe(str(whole.with_suffix(".yaml")), ["grpo.save_steps=1"])))
    command = [*TORCHRUN, str(HERE / "sharded_cpu.py"), str(path), "--dataset", str(toy_dataset), "--out", str(folder)]
    process = subprocess.Popen(command, env=environment(), start_new_session=True)
    deadline = time.monotonic() + 240
    while not (partial / "checkpoint-1" / SEAL).exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    kill_all(process)
    kept = (partial / "metrics.jsonl").read_text().splitlines()[0]
    assert not (partial / f"checkpoint-{STEPS}" / SEAL).exists()
    run(command)
    assert (folder / "metrics.jsonl").read_text().splitlines()[0] == kept  # with the time that the first run measured
    assert [line["step"] for line in logged(folder)] == list(range(1, STEPS + 1))
    for left, right in zip(logged(folder), logged(whole), strict=True):
        for name in ("loss", "grad_norm", "reward", "kl", "entropy", "learning_rate", "completions/mean_length"):
            assert left[name] == pytest.approx(right[name], abs=1e-6), (left["step"], name)
    ours, others = (load_file(place / "model.safetensors") for place in (folder, whole))
    assert all(torch.equal(ours[name], others[name]) for name in others)


def test_the_energy_of_all_nodes_is_counted_once_each(tmp_path: Path) -> None:
    (tmp_path / "pynvml.py").write_text(METERS)
    (tmp_path / "nodes.py").write_text(NODES)
    run([*TORCHRUN[:-1], "4", str(tmp_path / "nodes.py"), str(tmp_path)], PYTHONPATH=str(tmp_path))
    found = list(read_timeline(tmp_path / "timeline.jsonl"))
    assert [event["event"] for event in found] == ["start", "save", "end"]
    # In joules, of two GPUs on each node: a counter shows 1 more at each look, on the second node 10 more.
    assert [event["joules"] for event in found[1:]] == [2 + 20, 4 + 40]


def test_the_energy_is_that_of_the_gpus_in_use(tmp_path: Path) -> None:
    (tmp_path / "pynvml.py").write_text(
        METERS
        + """
def nvmlDeviceGetTotalEnergyConsumption(handle): return 1000 * 7**handle
def nvmlDeviceGetUUID(handle): return f"GPU-{handle}f00d"
"""
    )
    asked = "from countdown_r1.train.timeline import joules; print(joules())"
    for visible, expected in {"0": 1, "1": 7, "0, 1": 8, "GPU-1f": 7, "": 0, "-1": 0}.items():
        told = run([sys.executable, "-c", asked], PYTHONPATH=str(tmp_path), CUDA_VISIBLE_DEVICES=visible)
        assert float(told) == expected, visible


def test_quietly_falling_back_to_whole_copies_is_an_error() -> None:
    check_sharded("zero3", "DEEPSPEED")
    check_sharded("none", "MULTI_CPU")
    with pytest.raises(TrainingError, match="'fsdp2' was asked for, but the processes run as MULTI_CPU"):
        check_sharded("fsdp2", "MULTI_CPU")


SMALL = [
    "base=tiny",
    "grpo.max_steps=1",
    "grpo.max_completion_length=8",
    "launch.launcher=local",
    "launch.sharding=none",
]
SMALL += [
    "grpo.gradient_accumulation_steps=4",
    "launch.gpus_per_node=1",
    "launch.vllm=none",
    "launch.completions_per_update=null",
    "grpo.save_steps=1",
]


def test_the_qlora_recipe_trains_adapters_of_4_bit_weights_and_leaves_a_whole_model(
    toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(
        "qwen2.5-3b-qlora",
        [
            *SMALL,
            "grpo.learning_rate=0.05",
            "grpo.warmup_steps=0",
            "grpo.temperature=3.0",
            "grpo.max_completion_length=32",
        ],
    )
    assert recipe.lora is not None and recipe.lora.bits == 4
    (tmp_path / "q.yaml").write_text(recipe_text(replace(recipe, rewards=toy_recipe.rewards)))
    command = [sys.executable, "-m", "countdown_r1", "train", "q.yaml", "--dataset", str(toy_dataset), "--out", "m"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    final, base = (load_file(tmp_path / "m" / name / "model.safetensors") for name in ("", "base"))
    assert final.keys() == base.keys()
    assert any(not torch.equal(final[name], base[name]) for name in base)
    assert not list((tmp_path / "m").rglob("adapter*"))
    assert logged(tmp_path / "m")[0]["grad_norm"] > 0


@pytest.mark.parametrize("name", ["qwen2.5-3b-en", "qwen2.5-3b-fast", "qwen2.5-7b-zh"])
def test_a_large_recipe_builds_its_trainer_and_takes_a_step_at_toy_size(
    name: str, toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path
) -> None:
    from countdown_r1.train.stage import train

    recipe = replace(load_recipe(name, SMALL), rewards=toy_recipe.rewards)
    written = train(recipe, str(toy_dataset), tmp_path / "model")
    assert written is not None and written.results["steps"] == 1
