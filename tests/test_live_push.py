"""Checkpoints pushed while training goes on, by a real trainer to a real rehearsal Hub that is away for a while."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from countdown_r1.train.recipe import Recipe, recipe_text

SCRIPT = """
import json, os, runpy, subprocess, sys, time
from pathlib import Path

def serve(*more):
    command = [sys.executable, "-m", "countdown_r1.rehearsal", "--data", "hub", "--parent-pid", str(os.getpid())]
    process = subprocess.Popen([*command, *more], stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()

server, endpoint = serve()
from countdown_r1.hub import connect
hub = connect(endpoint, data=Path("hub"))
from countdown_r1 import hub_errors
from countdown_r1.publish.live import LivePush
from transformers import TrainerCallback
hub_errors._ATTEMPTS, hub_errors._FIRST_WAIT_SECONDS = 2, 0.01
hub_errors.retried.__defaults__ = (2,)

class Away(TrainerCallback):
    \"\"\"The Hub goes away before the first checkpoint is saved; the training has to end without it.\"\"\"

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == 0:
            server.kill()
            server.wait()

class Back(TrainerCallback):
    def on_train_end(self, args, state, control, **_):
        seen["before the end"] = sorted(live.failed)
        if sys.argv[1] == "back":
            serve("--port", endpoint.rpartition(":")[2])

seen = {}
live = LivePush(hub, "rehearsal/countdown-r1-toy", again_seconds=0.2, last_seconds=20)
from countdown_r1.build_dataset.dataset import build
from countdown_r1.build_dataset.generate import Wish
from countdown_r1.train.recipe import Recipe, Rewards
from countdown_r1.train.stage import train
build(Path("dataset"), rows=400, wish=Wish((3,)), command="countdown-r1 build-dataset")
values = {"max_steps": 2, "save_steps": 1, "per_device_train_batch_size": 4, "num_generations": 2}
values |= {"max_completion_length": 16, "save_total_limit": 1, "temperature": 2.0}
recipe = Recipe("toy", grpo=values, rewards=Rewards(("format_reward", "equation_reward")))
try:
    from countdown_r1.train import grpo
    grpo.RewardWatch.on_log = lambda self, *args, **event: None  # two steps may well earn nothing
    train(recipe, "dataset", Path("model"), callbacks=[Away(), Back(), live])
finally:
    seen["failed"] = live.failed
    if sys.argv[1] == "back":
        refs = hub.api.list_repo_refs("rehearsal/countdown-r1-toy").branches
        seen["branches"] = sorted(ref.name for ref in refs)
        seen["files"] = sorted(hub.api.list_repo_files("rehearsal/countdown-r1-toy", revision="step-1"))
        seen["private"] = hub.api.model_info("rehearsal/countdown-r1-toy").private
    seen["trained"] = Path("model", "model.safetensors").exists()
    seen["left"] = Path("model", ".live").exists()
    print(json.dumps(seen))
"""


def train(tmp_path: Path, word: str) -> tuple[dict, str]:
    """A training whose Hub is killed before the first step; with ``back`` it returns when training ends."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), word]
    settings = kept | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_checkpoints_wait_for_a_hub_that_is_away_and_arrive_without_optimizer_state(tmp_path: Path) -> None:
    seen, said = train(tmp_path, "back")
    assert seen["before the end"] and "live push: step-1 is not on the Hub yet: creating" in said
    assert seen["branches"] == ["main", "step-1", "step-2"] and seen["failed"] == {}
    assert {"model.safetensors", "config.json", "tokenizer.json", "generation_config.json"} <= set(seen["files"])
    assert not {"optimizer.pt", "training_args.bin", "scheduler.pt", "trainer_state.json"} & set(seen["files"])
    assert seen["private"] and seen["trained"] and not seen["left"]


def test_a_hub_that_never_comes_back_costs_the_pushes_and_not_the_training(tmp_path: Path) -> None:
    seen, said = train(tmp_path, "gone")
    assert seen["trained"] and sorted(seen["failed"]) == ["1", "2"]
    assert "step-1, step-2 did not reach rehearsal/countdown-r1-toy; `countdown-r1 publish` sends" in said


@pytest.mark.timeout(600)  # five processes of torch, one after the other
def test_two_processes_push_each_checkpoint_once_and_publishing_adds_what_was_measured(
    tmp_path: Path, toy_recipe: Recipe, toy_dataset: Path
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    settings = kept | {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "countdown_r1", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False, timeout=240
        )
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
        return done

    (tmp_path / "toy.yaml").write_text(recipe_text(replace(toy_recipe, name="toy")))
    hub, dataset = ("--hub", "rehearsal"), "rehearsal/Countdown-r1-zero"
    push = "import sys; from pathlib import Path; from countdown_r1.hub import connect; hub = connect('rehearsal');"
    push += f"from countdown_r1.build_dataset.dataset import push; push(Path(sys.argv[1]), {dataset!r}, hub)"
    subprocess.run([sys.executable, "-c", push, str(toy_dataset)], cwd=tmp_path, env=settings, check=True)
    two = ("--launcher", "accelerate", "--gpus-per-node", "2", "--push-to", "rehearsal")
    trained = run("train", "toy.yaml", "--dataset", dataset, "--out", "outputs/toy/model", *two, *hub)
    assert "live push" not in trained.stderr, "nothing failed"
    live = branches(tmp_path)
    assert sorted(live) == ["main", "step-1", "step-2"]
    assert [titles[0] for _, titles in (live["step-1"], live["step-2"])] == [
        "Step 1 of the training",
        "Step 2 of the training",
    ]
    assert len(live["step-1"][1]) == len(live["step-2"][1]) == 2, "a commit each, on top of the empty repository"
    assert "evaluation.json" not in live["step-2"][0]
    few = ("--limit", "2", "--max-new-tokens", "8", "--no-greedy", "--language", "en")
    run("evaluate", "outputs/toy/model", "--dataset", dataset, "--out", "outputs/toy/evaluation", *few, *hub)
    run("publish", "outputs/toy", "--push-to", "rehearsal", "--no-space", *hub)
    published = branches(tmp_path)
    data = branches(tmp_path, "datasets", "Countdown-r1-zero")["main"]
    built = json.loads((toy_dataset / "manifest.json").read_text())["files"]
    assert all(data[0][name] == digest for name, digest in built.items() if name != "README.md")
    assert data[1][0] == "Dataset" and len(data[1]) == 3, "the rows were there: the card alone was news"
    expected = {"README.md", "config.json", "evaluation.json", "generation_config.json", "model.safetensors"}
    for step in (1, 2):
        files, titles = published[f"step-{step}"]
        assert titles[:2] == [f"Weights: checkpoint-{step}", f"Step {step} of the training"]
        assert expected | {"tokenizer.json", "tokenizer_config.json"} <= set(files)
        assert not [name for name in files if "optimizer" in name or "training_args" in name or "rng" in name]
        (measured,) = json.loads(content(tmp_path, files["evaluation.json"]))["models"]
        assert measured["label"] == f"checkpoint-{step}" and measured["n"] == 2
        assert "pushed while the training goes on" not in content(tmp_path, files["README.md"])


def branches(
    place: Path, kind: str = "models", name: str = "countdown-r1-toy"
) -> dict[str, tuple[dict[str, str], list[str]]]:
    """Files (SHA-256 by path) and commit titles, newest first, of each branch of a repository, read off the disk."""
    repo = place / "outputs" / "rehearsal-hub" / "repos" / kind / "rehearsal" / name
    found = {}
    for ref, head in json.loads((repo / "repo.json").read_text())["refs"].items():
        if ref.startswith("refs/heads/"):
            commits: list[dict[str, Any]] = []
            commit = head
            while commit:
                commits.append(json.loads((repo / "commits" / f"{commit}.json").read_text()))
                commit = commits[-1]["parent"]
            files = {path: entry["sha256"] for path, entry in commits[0]["tree"].items()}
            found[ref.removeprefix("refs/heads/")] = (files, [one["title"] for one in commits])
    return found


def content(place: Path, sha256: str) -> str:
    return (place / "outputs" / "rehearsal-hub" / "blobs" / sha256[:2] / sha256).read_text()
