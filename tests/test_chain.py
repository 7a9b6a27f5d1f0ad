"""The whole chain at toy size, as a user runs it: its own processes, the real libraries, the rehearsal Hub."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOY = [
    "dataset.rows=600",
    "grpo.max_steps=2",
    "grpo.save_steps=1",
    "grpo.per_device_train_batch_size=4",
    "grpo.num_generations=2",
    "grpo.max_completion_length=48",
    "evaluate.limit=10",
    "evaluate.validation=4",
    "evaluate.max_new_tokens=48",
]
TOKEN = "hf_" + "aUserOwnTokenThatMustStayHome"
# What no toy run may do is leave this computer: look up or reach anything but loopback.
GUARD = """
import socket
def refuse(address):
    raise RuntimeError(f"left loopback for {address}")
def local(host):
    return host in (None, "", "localhost", "0.0.0.0", "::1") or str(host).startswith("127.")
look_up, connect = socket.getaddrinfo, socket.socket.connect
socket.getaddrinfo = lambda host, *rest, **more: look_up(host, *rest, **more) if local(host) else refuse(host)
def guarded(self, address):
    inside = self.family == socket.AF_UNIX or local(address[0])
    return connect(self, address) if inside else refuse(address)
socket.socket.connect = guarded
"""


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guard")
    (folder / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    return folder


def environment(guard: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(guard), "HF_TOKEN": TOKEN, "OMP_NUM_THREADS": "2"}


def command(*more: str) -> list[str]:
    changes = [part for change in TOY for part in ("--set", change)]
    return [sys.executable, "-m", "countdown_r1", "run", "demo", *changes, "--no-serve", *more]


def run(folder: Path, guard: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*more), cwd=folder, env=environment(guard), capture_output=True, text=True, check=False, timeout=240
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, guard: Path) -> tuple[Path, str]:
    """A run that was interrupted in its second stage and then run to its end, and what the end printed."""
    folder = tmp_path_factory.mktemp("chain")
    begun = subprocess.Popen(
        command(), cwd=folder, env=environment(guard), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    out = folder / "outputs" / "demo"
    deadline = time.monotonic() + 240
    while not (out / "model.partial" / "base").exists():
        assert begun.poll() is None, begun.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    begun.send_signal(signal.SIGINT)
    _, stderr = begun.communicate(timeout=180)
    assert begun.returncode == 130, stderr
    assert "run the same command again" in stderr
    assert (out / "dataset" / "manifest.json").exists()
    assert not (out / "model").exists()
    done = run(folder, guard)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "[1/4] dataset (finished before)" in done.stdout
    return folder, done.stdout


def test_the_summary_says_what_was_measured_and_what_was_published(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    out = folder / "outputs" / "demo"
    summary = json.loads((out / "evaluation" / "summary.json").read_text(encoding="utf-8"))
    assert [model["label"] for model in summary["models"]] == ["base", "checkpoint-1", "checkpoint-2"]
    assert "600 proven solvable; 10 held-out" in printed
    base = summary["models"][0]
    assert f"{base['solve_rate']:.1%}" in printed
    published = json.loads((out / "published" / "published.json").read_text(encoding="utf-8"))
    for repo in published["repos"]:
        assert repo["url"] in printed
        assert repo["url"].startswith("http://127.0.0.1:")


def test_every_stage_leaves_a_manifest_that_names_the_command(finished: tuple[Path, str]) -> None:
    for stage in ("dataset", "model", "evaluation", "published"):
        manifest = json.loads((finished[0] / "outputs" / "demo" / stage / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["command"].startswith("countdown-r1 ")
        assert manifest["files"]


def test_the_users_token_is_in_no_file_of_a_run(finished: tuple[Path, str]) -> None:
    files = [path for path in (finished[0] / "outputs").rglob("*") if path.is_file()]
    assert len(files) > 50
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


def test_a_second_run_reuses_every_stage_and_commits_nothing(finished: tuple[Path, str], guard: Path) -> None:
    folder, _ = finished
    recipe = folder / "outputs" / "demo" / "recipe.yaml"
    older = recipe.read_text(encoding="utf-8").replace("  compile: false\n", "")  # by a version without that key
    assert "compile" not in older
    recipe.write_text(older, encoding="utf-8")
    record = folder / "outputs" / "demo" / "published" / "published.json"
    before = json.loads(record.read_text(encoding="utf-8"))
    done = run(folder, guard)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("(finished before)") == 4
    after = json.loads(record.read_text(encoding="utf-8"))
    assert after["model"]["revision"] == before["model"]["revision"]


def test_another_recipe_does_not_take_over_a_finished_run(finished: tuple[Path, str], guard: Path) -> None:
    done = run(finished[0], guard, "--set", "grpo.learning_rate=3e-4")
    assert done.returncode == 1
    assert done.stderr.strip().startswith("Error: ")
    assert "another recipe" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_stage_is_named_before_anything_is_published(finished: tuple[Path, str], guard: Path) -> None:
    weights = finished[0] / "outputs" / "demo" / "model" / "checkpoint-1" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        done = run(finished[0], guard)
    finally:
        weights.write_bytes(whole)
    assert done.returncode == 1
    assert "checkpoint-1/model.safetensors is missing or damaged" in done.stderr
