"""The experiment behind the shipped model, command by command at toy size on a CPU: what a GPU runs for an hour."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from countdown_r1 import manifest, models

pytestmark = pytest.mark.stress

ROOT = Path(__file__).parents[1]
Settings = dict[str, object]
COLD: Settings = {"puzzles": 200, "hidden_size": 32, "intermediate_size": 64, "layers": 1, "heads": 4, "kv_heads": 2}
COLD |= {"minutes": 0.05, "batch_rows": 2, "check_puzzles": 2, "workers": 0}
GRPO: Settings = {"grpo.max_steps": 2, "grpo.save_steps": 1, "grpo.per_device_train_batch_size": 4}
GRPO |= {"grpo.gradient_accumulation_steps": 1, "grpo.num_generations": 2, "grpo.max_completion_length": 16}
GRPO |= {"curriculum.lowest": 0.0, "curriculum.samples": 1, "curriculum.candidates": 8}


def options(settings: Settings, section: str = "") -> str:
    return " ".join(f"--set {section}{key}={value}" for key, value in settings.items())


def test_the_experiment_runs_from_random_weights_to_a_model_to_ship(tmp_path: Path) -> None:
    out, results, shipped = tmp_path / "tiny", tmp_path / "results", tmp_path / "shipped"
    sizes = {"COLD": options(COLD, "cold_start."), "GRPO": options(GRPO), "ASK": "--n 2 --samples 2 --room 8"}
    sizes |= {"ROWS": "200", "PYTHON": sys.executable, "SWEEP": "rate-1.2e-4 rate-6e-5"}
    places = {"OUT": out, "RESULTS": results, "SHIP": shipped}
    command = ["make", "-f", "benchmarks/tiny.mk", *(f"{name}={value}" for name, value in (sizes | places).items())]
    for goal in ("arms", "small", "record"):
        done = subprocess.run(
            [*command, goal],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert {path.name for path in results.iterdir()} >= {"summary.json", "sweep.json", "grpo.jsonl", "plain-grpo.jsonl"}
    weights = {"answer": None, "answer-mean": None, "truth": [1.0, 2.5], "truth-mean": [1.0, 2.5]}
    weights |= {"truth-cooler": [1.0, 2.5], "truth-hotter": [1.0, 2.5]}
    for name, expected in weights.items():
        assert (results / f"small.{name}.jsonl").is_file()
        settings = manifest.read(out / "small" / name).settings
        assert settings["grpo"].get("reward_weights") == expected
        assert settings["grpo"]["loss_type"] == ("grpo" if name.endswith("mean") else "dr_grpo")
    heats = [
        manifest.read(out / "small" / f"truth{name}").settings["grpo"]["temperature"]
        for name in ("-cooler", "", "-hotter")
    ]
    assert heats == [0.7, 1.0, 1.3]
    assert set(json.loads((results / "small.json").read_text())) == {"cold", *weights}
    summary = json.loads((results / "summary.json").read_text())
    assert set(summary) == {"cold", "grpo", "longer", "plain", "plain-grpo"}
    assert {"against_cold", "against_longer"} <= set(summary["grpo"]) and "against_plain" in summary["plain-grpo"]
    sweep = json.loads((results / "sweep.json").read_text())
    rates = {"rate-1.2e-4": 1.2e-4, "rate-6e-5": 6e-5}
    assert set(sweep) == {"cold", *rates}
    chosen = (out / "chosen").read_text().strip()
    assert sweep[chosen]["greedy"]["4 numbers"]["solved"] == max(
        sweep[name]["greedy"]["4 numbers"]["solved"] for name in rates
    )
    kept = {path.name.split(".", 1)[1].removesuffix(".jsonl") for path in results.glob("sweep.*.jsonl")}
    assert kept == rates.keys() - {chosen}  # that one is kept as GRPO's
    for name in ("grpo", "plain-grpo"):
        settings = json.loads((results / f"{name}.manifest.json").read_text())["settings"]
        assert settings["grpo"]["learning_rate"] == rates[chosen]
    record = manifest.read(shipped)
    assert record.stage == "train"
    assert record.results["test"]["greedy"]["n"] == 4
    assert record.results["base_manifest"]["settings"]["hidden_size"] == 32
    assert manifest.damaged_files(shipped) == []
    assert (shipped / "cost.json").read_bytes() == (results / "grpo.cost.json").read_bytes()
    model, _ = models.load(str(shipped))
    assert model.num_parameters() < 100_000
    spent = json.loads((results / "grpo.cost.json").read_text())["hours"] * 60
    longer = json.loads((results / "longer.manifest.json").read_text())["settings"]["minutes"]
    assert longer == pytest.approx(spent)
