"""The Dockerfile without an image builder: its RUN lines as a script, in an environment of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from countdown_r1.train.hf_jobs import extras
from countdown_r1.train.recipe import load_recipe, shipped_recipes

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_steps_run_and_end_with_a_program_that_answers(tmp_path: Path) -> None:
    """Packages that are installed here already stand for those that pip would download."""
    context = tmp_path / "context"
    ignored = (ROOT / ".dockerignore").read_text().split()
    shutil.copytree(ROOT, context, ignore=shutil.ignore_patterns(*(name.removeprefix("**/") for name in ignored)))
    venv.create(tmp_path / "image", with_pip=True)
    site = next((tmp_path / "image" / "lib").glob("python*/site-packages"))
    here = [path for path in sys.path if path.endswith("site-packages")] or [sysconfig.get_paths()["purelib"]]
    (site / "here.pth").write_text("\n".join(here) + "\n")
    steps = re.findall(r"^RUN (.+)$", TEXT, re.MULTILINE)
    assert len(steps) == 2
    environment = os.environ | {"EXTRAS": "train", "CONSTRAINTS": "constraints/cpu.txt"}
    environment["PATH"] = f"{tmp_path / 'image' / 'bin'}:{environment['PATH']}"
    script = "set -e\n" + "\n".join(steps)
    done = subprocess.run(
        ["sh", "-c", script], cwd=context, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "countdown-r1, version" in done.stdout
    assert (site / "countdown_r1" / "train" / "kubernetes.py").is_file()


def test_the_image_is_the_one_the_recipe_names_and_holds_what_a_pod_runs() -> None:
    assert "docker build -t countdown-r1 ." in TEXT
    assert "\nWORKDIR /workspace\n" in TEXT


@pytest.mark.parametrize("name", shipped_recipes())
def test_the_image_holds_the_extras_that_every_shipped_recipe_needs(name: str) -> None:
    (held,) = re.findall(r"^ARG EXTRAS=(.+)$", TEXT, re.MULTILINE)
    assert set(extras(load_recipe(name))) <= set(held.split(","))
