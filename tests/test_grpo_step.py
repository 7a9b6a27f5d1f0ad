"""The benchmark of a distributed step at toy size: two processes as on two GPUs, QLoRA's adapters, and the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
EXTRA = Path(sys.executable).parents[1] / "sharded"
RUNS = (
    ("step", "--layout", "ours", "--gpus", "2", "--micro-batch", "4"),
    ("step", "--layout", "article", "--gpus", "2", "--steps", "0"),  # one trains, one would serve
    ("qlora", "--micro-batch", "2", "--profile"),
)


def bench(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "benchmarks/grpo_step.py", *words],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(EXTRA)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grpo_step")
    for words in RUNS:
        bench(*words, "--toy", "--model", str(folder / "model"), "--out", str(folder / "out"))
    return folder / "out"


def result(measured: Path, name: str) -> dict[str, Any]:
    return json.loads((measured / f"{name}.json").read_text())


@pytest.mark.parametrize(
    ("name", "processes", "steps"),
    [("step-ours-2gpu-mb4", 2, 3), ("step-article-2gpu-mb1", 1, 1), ("qlora-1gpu-mb2", 1, 2)],
)
def test_every_part_of_a_step_is_timed(measured: Path, name: str, processes: int, steps: int) -> None:
    found = result(measured, name)
    assert (found["training_processes"], len(found["steps"])) == (processes, steps)
    for step in found["steps"]:
        parts = sum(step[part] for part in ("generate", "sync", "score", "other", "update"))
        assert parts == pytest.approx(step["total"], abs=0.3)
        assert step["update"] > 0
    assert found["tokens_an_update"] > found["job"]["completions"] * 16  # each writes all 16 tokens behind its prompt
    assert found["model_flops_utilisation"] is None  # of a CPU nobody knows the peak


def test_the_reference_model_of_the_article_is_scored_and_ours_has_none(measured: Path) -> None:
    article, ours = (result(measured, f"step-{name}") for name in ("article-2gpu-mb1", "ours-2gpu-mb4"))
    assert article["seconds"]["score"] > 0
    assert ours["seconds"]["score"] == 0


def test_a_profile_lies_beside_the_result_that_asked_for_one(measured: Path) -> None:
    (profile,) = measured.glob("*.profile.txt")
    assert profile.name == "qlora-1gpu-mb2.profile.txt"
    assert "aten::mm" in profile.read_text() and "Self CPU" in profile.read_text()


def test_the_table_says_which_rows_are_a_first_step(measured: Path) -> None:
    text = bench("table", "--out", str(measured))
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    assert set(rows) == {"run", "step-ours-2gpu-mb4", "step-article-2gpu-mb1", "qlora-1gpu-mb2"}
    assert "| the first |" in rows["step-article-2gpu-mb1"]
    assert "times as fast as article on 2 GPUs (by its first step)" in text
