"""The measurement of language mixing at toy size: what it runs, that it goes on, what it draws."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "language_mixing.py"
SMALL = ("grpo.max_steps=1", "grpo.save_steps=1", "grpo.per_device_train_batch_size=8", "grpo.max_completion_length=24")


def script(*words: str | Path) -> str:
    command = [sys.executable, str(SCRIPT), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_is_trained_asked_and_drawn_once_and_its_figures_are_kept(toy_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset").symlink_to(toy_dataset)
    sets = [part for change in SMALL for part in ("--set", change)]
    asked = ["--seeds", "4", "--variants", "weight5", "--n", "6", "--threads", "1", "--out", tmp_path, *sets]
    assert "weight5-4: done" in script(*asked)
    path = tmp_path / "language_mixing.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    (run,) = found["runs"]
    assert (run["variant"], run["seed"], run["steps"]) == ("weight5", 4, 1)
    assert {name: part["n"] for name, part in run["languages"].items()} == {"en": 3, "zh": 3}
    assert sum(counts[0] for name, counts in run["curve"][0].items() if name != "step") == 8
    assert str(tmp_path) not in path.read_text(encoding="utf-8")
    trained = (tmp_path / "weight5-4" / "model" / "recipe.yaml").read_text(encoding="utf-8")
    assert "language_reward" in trained and "- 5.0" in trained
    script(*asked)
    assert json.loads(path.read_text(encoding="utf-8"))["runs"] == [run]
    drawn = script("draw", path, "--out", tmp_path)
    assert "| nothing yet (`novice`) | " in drawn and "| the answer and 5 x `language_reward` | " in drawn
    assert (tmp_path / "what-grpo-taught-languages.png").read_bytes().startswith(b"\x89PNG")


def test_the_docs_table_is_what_was_measured(tmp_path: Path) -> None:
    root = SCRIPT.parents[1]
    drawn = script("draw", root / "benchmarks" / "results" / "demo" / "language_mixing.json", "--out", tmp_path)
    assert drawn.partition("\n\n")[0] in (root / "docs" / "what-grpo-taught.md").read_text(encoding="utf-8")
