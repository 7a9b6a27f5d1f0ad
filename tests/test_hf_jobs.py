"""HF Jobs: what is asked of the Hub, against the rehearsal Hub in a process of its own; nothing runs there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from countdown_r1.errors import InputError
from countdown_r1.train.hf_jobs import job_request, submit
from countdown_r1.train.launch import Start
from countdown_r1.train.layout import choose
from countdown_r1.train.recipe import HfJobs, Launch, Recipe, load_recipe

LOOK = """
import json, sys
from pathlib import Path
from countdown_r1.hub import connect
hub = connect("rehearsal", data=Path("outputs/rehearsal-hub"))
import os, subprocess
from click.testing import CliRunner
from countdown_r1.cli import main
seen = []
import huggingface_hub
create = huggingface_hub.HfApi.run_uv_job
def spy(self, *args, **named):
    seen.append(create(self, *args, **named))
    return seen[-1]
huggingface_hub.HfApi.run_uv_job = spy
done = CliRunner().invoke(main, sys.argv[1:])
files = hub.api.list_repo_files("rehearsal/demo-input", repo_type="dataset")
info = hub.api.repo_info("rehearsal/demo-input", repo_type="dataset")
job = hub.api.inspect_job(job_id=seen[0].id, namespace="rehearsal")
volumes = [volume.to_dict() for volume in job.volumes]
print(json.dumps({"status": done.exit_code, "output": done.output, "files": files, "private": info.private,
    "command": job.command, "flavor": str(job.flavor), "secrets": job.secrets, "volumes": volumes,
    "labels": job.labels, "token": hub.token}))
"""


def start(recipe: Recipe, dataset: str = "me/data", forwarded: Sequence[str] = ()) -> Start:
    out = Path("outputs/x/model")
    return Start(recipe, choose(recipe), dataset, out, False, False, "", print, forwarded=forwarded)


def test_the_request_is_what_the_hub_takes_and_holds_no_token(tmp_path: Path) -> None:
    words = ["train", "demo", "--launcher", "hf-jobs", "--hub", "rehearsal", "--dataset", "rehearsal/puzzles"]
    words += ["--set", "hf_jobs.flavor=l4x1", "--set", "hf_jobs.hours=1.5"]
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["status"] == 0, seen["output"]
    wheel = next(name for name in seen["files"] if name.endswith(".whl"))
    assert "recipe.yaml" in seen["files"] and seen["private"]
    assert seen["command"][:4] == ["uv", "run", "--with", f"/input/{wheel}[train]"]
    assert "countdown-r1 train /input/recipe.yaml --dataset rehearsal/puzzles" in seen["command"][-1]
    assert seen["flavor"] == "l4x1"
    assert seen["volumes"] == [
        {"type": "dataset", "source": "rehearsal/demo-input", "mountPath": "/input", "readOnly": True}
    ]
    assert seen["secrets"] == {"HF_TOKEN": ""}
    assert "rehearsed: would run uv run" in seen["output"]
    assert seen["token"] not in seen["output"] and seen["token"] not in json.dumps(seen["command"])
    kept = [path for path in (tmp_path / "outputs").rglob("*") if path.is_file() and path.name != "token"]
    assert kept and not [path for path in kept if seen["token"].encode() in path.read_bytes()]


def test_a_machine_of_several_gpus_gets_the_extras_and_the_launcher_it_needs() -> None:
    recipe = Recipe("x", grpo={}, launch=Launch("hf-jobs", 1, 4, "zero2", "colocate"), hf_jobs=HfJobs("h200", 2))
    request = job_request(start(recipe), "me", "c.whl")
    assert request["dependencies"] == ["/input/c.whl[train,vllm,deepspeed]"]
    assert "--launcher accelerate" in request["script_args"][1]
    assert (request["flavor"], request["timeout"]) == ("h200", "2h")


def test_several_machines_are_refused() -> None:
    with pytest.raises(InputError, match="'hf-jobs' is one machine"):
        load_recipe("demo", ["launch.launcher=hf-jobs", "launch.nodes=2"])


@pytest.mark.parametrize("dataset", [".", "outputs/demo/dataset", "./puzzles", "/workspace/data", "me/x; id"])
def test_a_dataset_that_the_job_cannot_read_is_refused(dataset: str) -> None:
    recipe = Recipe("x", grpo={})
    with pytest.raises(InputError, match="push it with build-dataset --push-to"):
        submit(start(recipe, dataset))


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        (Recipe("x", base="./gpt2x", grpo={}), "model ./gpt2x is not on the Hub"),
        (Recipe("x", base="/workspace/gpt2x", grpo={}), "model /workspace/gpt2x is not on the Hub"),
        (Recipe("x", grpo={}).with_rewards(["mine.py:score"]), "reward mine.py:score is not on the Hub"),
    ],
)
def test_a_model_or_reward_of_this_machine_is_refused(recipe: Recipe, why: str) -> None:
    with pytest.raises(InputError, match=re.escape(why)):
        submit(start(recipe))


def words_of_the_job(script: str, folder: Path) -> list[list[str]]:
    """What the programs of a job's script are told when bash runs it; training fails with status 3."""
    for name, status in (("countdown-r1", 3), ("hf", 0)):
        say = f"import json, sys; print(json.dumps(sys.argv[1:])); sys.exit({status})"
        (folder / name).write_text(f"#!{sys.executable} -IS\n{say}\n")
        (folder / name).chmod(0o755)
    path = {"PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=path, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_no_word_of_the_command_is_read_by_the_jobs_shell(tmp_path: Path) -> None:
    begun = start(Recipe("x", grpo={}), "A/B; echo $HOME", ("--push-to", "me & id"))
    train, push = words_of_the_job(job_request(begun, "me; id", "c.whl")["script_args"][1], tmp_path)
    assert train[:6] == ["train", "/input/recipe.yaml", "--dataset", "A/B; echo $HOME", "--out", "x/model"]
    assert train[6:] == ["--launcher", "local", "--push-to", "me & id"]  # what its processes are told too
    assert push == ["upload", "me; id/x-run", "x", ".", "--private"]
