"""The SLURM launcher on a real SLURM: two nodes on this host, a toy model, gloo, a stand-in for vLLM."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from countdown_r1 import manifest
from countdown_r1.errors import InputError, StageError
from countdown_r1.train import slurm
from countdown_r1.train.clusters import Launch, Slurm
from countdown_r1.train.launch import Start
from countdown_r1.train.layout import choose, placed
from countdown_r1.train.recipe import Recipe, recipe_text
from countdown_r1.train.slurm import follow, job_state, sbatch_script, submit
from countdown_r1.train.timeline import read_timeline

HERE = Path(__file__).parent
SLURM = Slurm(gpu_gres=None, cpus_per_task=1, hours=0.2)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="SLURM's daemons, and installing them, need root")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    start = runpy.run_path(str(HERE / "slurm_cluster.py"))["cluster"]
    folder = tmp_path_factory.mktemp("slurm")
    program = folder / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n" + (HERE / "vllm_stand_in.py").read_text())
    program.chmod(0o755)
    with start(folder / "cluster") as environment:
        path = f"{program.parent}:{environment['PATH']}"
        yield environment | {"PATH": path, "STAND_IN_NOTES": str(folder / "notes"), "OMP_NUM_THREADS": "1"}


def write(recipe: Recipe, folder: Path, steps: int, vllm: str = "none", nodes: int = 2) -> Path:
    grpo = dict(recipe.grpo or {}, max_steps=steps, save_steps=2)
    if vllm == "server":
        grpo["use_vllm"] = False  # there is no vLLM here: the training samples by itself, the server role still runs
    launch = Launch("slurm", nodes, 2 // nodes, vllm=vllm)
    path = folder / "run.yaml"
    path.write_text(recipe_text(replace(recipe, name="run", grpo=grpo, launch=launch, slurm=SLURM)))
    return path


def begin(recipe: Path, dataset: Path, folder: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "countdown_r1", "train", str(recipe), "--dataset", str(dataset)]
    return subprocess.Popen(
        [*command, "--out", str(folder / "model")],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def job_of(folder: Path) -> str:
    return next((folder / "logs").glob("slurm-*.log")).stem.removeprefix("slurm-")


@needs_root
def test_two_nodes_train_and_a_job_goes_on_after_its_time_limit_and_after_a_preemption(
    toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path, cluster: dict[str, str]
) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    begun = begin(write(toy_recipe, folder, 12), toy_dataset, folder, cluster)

    def after(step: int, *command: str) -> None:
        deadline = time.monotonic() + 240
        while not (folder / "model.partial" / f"checkpoint-{step}" / "sealed.json").exists():
            assert begun.poll() is None, begun.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        subprocess.run([*command, job_of(folder)], env=cluster, check=True)

    after(2, "scancel", "--batch", "--signal=USR1")  # what --signal=B:USR1@... sends shortly before the time is up
    after(8, "scontrol", "requeue")
    said, _ = begun.communicate(timeout=400)
    assert begun.returncode == 0, said
    assert said.splitlines()[-1] == str(folder / "model")
    record = manifest.read(folder / "model")
    assert (record.results["world_size"], record.results["steps"]) == (2, 12)
    assert all(f"start {session}, on n1 n2" in said for session in (1, 2, 3))
    assert "time is up: back into the queue" in said
    assert "stopping after this step, with a checkpoint" in said
    steps = [json.loads(line)["step"] for line in (folder / "model" / "metrics.jsonl").read_text().splitlines()]
    assert sorted(set(steps)) == list(range(1, 13))
    cost = json.loads((folder / "model" / "cost.json").read_text())
    assert cost["sessions"] == 3
    assert 0 < cost["elastic_gpu_hours"] < cost["reserved_gpu_hours"]


@needs_root
def test_the_last_node_serves_while_the_first_trains(
    toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path, cluster: dict[str, str]
) -> None:
    begun = begin(write(toy_recipe, tmp_path, 2, "server"), toy_dataset, tmp_path, cluster)
    said, _ = begun.communicate(timeout=300)
    assert begun.returncode == 0, said
    assert manifest.read(tmp_path / "model").results["world_size"] == 1
    told, node, _ = Path(cluster["STAND_IN_NOTES"]).read_text().splitlines()
    assert told.startswith("serve ") and "--weight-transfer-config" in told
    assert node == "n2"
    assert "http://n2:8000" in (tmp_path / "model" / "recipe.yaml").read_text()
    assert subprocess.run(["squeue", "-h"], env=cluster, capture_output=True, text=True, check=True).stdout == ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", cluster["SLURM_CONF"])
        assert job_state(job_of(tmp_path)) == "COMPLETED"
        assert job_state("424242") == "UNKNOWN"


@needs_root
def test_a_node_is_divided_among_the_gpus_that_slurm_gave(
    toy_recipe: Recipe, toy_dataset: Path, tmp_path: Path, cluster: dict[str, str]
) -> None:
    rewards = replace(toy_recipe.rewards, functions=(f"{HERE / 'gpus_reward.py'}:noted",))
    recipe = write(replace(toy_recipe, rewards=rewards), tmp_path, 2, "server", nodes=1)
    begun = begin(recipe, toy_dataset, tmp_path, cluster | {"CUDA_VISIBLE_DEVICES": "6,4"})
    said, _ = begun.communicate(timeout=300)
    assert begun.returncode == 0, said
    assert Path(cluster["STAND_IN_NOTES"]).read_text().splitlines()[1:] == ["n1", "4"]
    assert Path(cluster["STAND_IN_NOTES"]).with_suffix(".train").read_text().splitlines() == ["6", "6,4"]
    cost = json.loads((tmp_path / "model" / "cost.json").read_text())
    assert (cost["processes"], cost["server_gpus"]) == (1, 1)
    assert next(read_timeline(tmp_path / "model" / "timeline.jsonl"))["servers_metered"]


def start(
    nodes: int, vllm: str, asked: Slurm = SLURM, out: Path = Path("outputs/x/model"), gpus: int = 4, **more: Any
) -> Start:
    recipe = Recipe("x", base="someone/model", grpo={}, launch=Launch("slurm", nodes, gpus, vllm=vllm), slurm=asked)
    layout = choose(recipe)
    return replace(Start(placed(recipe, layout), layout, "me/data", out, False, False, "", print), **more)


@pytest.mark.parametrize(("nodes", "vllm"), [(1, "none"), (1, "server"), (3, "server"), (2, "colocate")])
def test_the_script_is_bash(nodes: int, vllm: str) -> None:
    text = sbatch_script(start(nodes, vllm))
    checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert ("vllm serve" in text) is (vllm == "server")


def test_one_node_is_divided_between_training_and_the_server() -> None:
    text = sbatch_script(start(1, "server"))
    assert "--ntasks=3 --ntasks-per-node=3" in text
    assert text.count("${CUDA_VISIBLE_DEVICES:-0,1,2,3}") == 2  # those that SLURM gave, if it says
    assert "cut -d, -f1-3 <<<" in text and "cut -s -d, -f4-4 <<<" in text


def test_what_the_recipe_asks_of_the_cluster_is_in_the_script() -> None:
    asked = Slurm("gpu", "lab", 1.5, "gpu:h100", 12, 300, ("module load cuda",), ("--exclusive",))
    text = sbatch_script(start(2, "none", asked))
    for line in ("--partition=gpu", "--account=lab", "--time=90", "--gres=gpu:h100:4", "--exclusive", "--nodes=2"):
        assert f"#SBATCH {line}\n" in text
    assert "#SBATCH --signal=B:USR1@300\n" in text and "#SBATCH --requeue\n" in text
    assert "\nmodule load cuda\n" in text


def test_a_path_that_the_shell_would_read_is_only_a_path(tmp_path: Path) -> None:
    """The whole script runs, with programs that do nothing in SLURM's place."""
    stub = tmp_path / "bin"
    stub.mkdir()
    (stub / "scontrol").write_text('#!/bin/sh\nif [ "$1" = requeue ]; then echo requeued; else echo n1; echo n2; fi\n')
    (stub / "srun").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@"\ntouch {stub}/served\n')
    (stub / "python3").write_text(f"#!/bin/sh\nuntil [ -e {stub}/served ]; do sleep 0.05; done\n")
    for program in stub.iterdir():
        program.chmod(0o755)
    folder = tmp_path / "a $(touch pwned)'s `touch pwned`"
    folder.mkdir()
    text = sbatch_script(start(2, "server", out=folder / "model", forwarded=("--push-to", "me", "--hub", "hub")))
    environment = {"PATH": f"{stub}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_ID": "7"}
    done = subprocess.run(
        ["bash", "-c", text], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not list(Path.cwd().glob("pwned")) and not list(tmp_path.rglob("pwned"))
    lines = done.stdout.splitlines()
    assert f"--output={folder}/logs/vllm-%j.log" in lines
    assert lines[lines.index("--out") + 1 :][:5] == [str(folder / "model"), "--push-to", "me", "--hub", "hub"]


@pytest.mark.parametrize("partial", [True, False])
def test_the_job_goes_back_into_the_queue_while_the_run_is_unfinished_whatever_an_older_one_left(
    tmp_path: Path, partial: bool
) -> None:
    stub = tmp_path / "bin"
    stub.mkdir()
    (stub / "scontrol").write_text('#!/bin/sh\nif [ "$1" = requeue ]; then echo requeued; else echo n1; fi\n')
    (stub / "srun").write_text("#!/bin/sh\nkill -USR1 $PPID; sleep 1\n")
    for program in stub.iterdir():
        program.chmod(0o755)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").touch()
    if partial:
        (tmp_path / "model.partial").mkdir()
    text = sbatch_script(start(1, "none", out=tmp_path / "model", overwrite=True))
    environment = {"PATH": f"{stub}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "n1", "SLURM_JOB_ID": "7"}
    done = subprocess.run(["bash", "-c", text], env=environment, capture_output=True, text=True, check=False)
    assert ("requeued" in done.stdout) is partial, done


@pytest.mark.parametrize(("given", "enough"), [("7,5", True), ("5", False), (None, True)])
def test_a_node_with_too_few_gpus_starts_no_server_on_those_that_train(
    tmp_path: Path, given: str | None, enough: bool
) -> None:
    (stub := tmp_path / "bin").mkdir()
    (stub / "scontrol").write_text("#!/bin/sh\necho n1\n")
    (stub / "srun").write_text('#!/bin/sh\nwhile [ "$1" != bash ]; do shift; done; exec "$@"\n')
    (stub / "vllm").write_text(f'#!/bin/sh\necho "served on $CUDA_VISIBLE_DEVICES"; touch {stub}/served; sleep 60\n')
    (stub / "python3").write_text(f"#!/bin/sh\nsleep 0.1; [ -e {stub}/served ]\n")
    for program in stub.iterdir():
        program.chmod(0o755)
    text = sbatch_script(start(1, "server", gpus=2)).replace(sys.executable, "true")
    environment = {"PATH": f"{stub}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "n1", "SLURM_JOB_ID": "7"}
    environment |= {"CUDA_VISIBLE_DEVICES": given} if given else {}
    environment |= dict.fromkeys(("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"), "0")
    done = subprocess.run(
        ["bash", "-c", text], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode == 0) is enough
    said = [line for line in done.stdout.splitlines() if line.startswith("served")]
    assert said == ([f"served on {(given or '0,1')[-1]}"] if enough else [])
    assert ("2 GPUs are needed here, SLURM gave 5" in done.stderr) is not enough


def test_a_controller_that_is_silent_for_a_moment_does_not_end_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program := tmp_path / "scontrol").write_text(
        "#!/bin/sh\necho x >> looks; case $(wc -l < looks) in 1) echo JobState=RUNNING;; 2|3) exit 1;; "
        "*) echo JobState=COMPLETED;; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert follow("7", tmp_path / "log", print) == "COMPLETED"
    monkeypatch.setattr(slurm, "SILENT_SECONDS", 1.5)
    program.write_text("#!/bin/sh\nexit 1\n")
    assert follow("7", tmp_path / "log", print) == slurm.SILENT


def test_what_could_not_run_on_any_node_is_refused_before_the_queue(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").touch()
    with pytest.raises(StageError, match="exists already; pass --overwrite"):
        submit(start(2, "none", out=tmp_path / "model"))
    with pytest.raises(InputError, match="no dataset at no/such/folder"):
        submit(start(2, "none", dataset="no/such/folder"))
    alone = start(1, "none", dataset="no/such/folder")
    sbatch_script(replace(alone, recipe=replace(alone.recipe, grpo=None)))  # a cold start reads none
    with pytest.raises(InputError, match="cannot hold SLURM's logs, its name has '%' in it"):
        submit(start(2, "none", out=tmp_path / "100%" / "model"))


def test_without_slurm_the_launcher_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="needs sbatch"):
        submit(start(2, "none"))
