"""An installation without the extras: what needs none works, what needs one says which, in one line."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from countdown_r1 import cli, extras
from countdown_r1.models import SHIPPED
from countdown_r1.train.clusters import Cost
from countdown_r1.train.cost import write_cost

ROOT = Path(__file__).resolve().parent.parent
TOY = runpy.run_path(str(Path(__file__).with_name("toy_run.py")))
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


def base_distributions() -> set[str]:
    """Names of all that a plain ``pip install countdown-r1`` brings: what it requires, and what that requires."""
    found, left = set[str](), [extras.DISTRIBUTION]
    while left:
        name = left.pop()
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                left += {requirement.name} - found
                found.add(requirement.name)
    return found


def top_level(distribution: str) -> Iterator[str]:
    """What a distribution put directly into ``site-packages``."""
    for file in metadata.files(distribution) or ():
        if file.parts[0] not in ("..", "__pycache__"):
            yield file.parts[0]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bin`` of an environment that holds this package and links to what it requires, and none of its extras."""
    folder = tmp_path_factory.mktemp("base")
    venv.create(folder, with_pip=False, symlinks=True)
    here, there = Path(sysconfig.get_path("purelib")), folder / "lib" / PYTHON / "site-packages"
    for name in {part for distribution in base_distributions() for part in top_level(distribution)}:
        (there / name).symlink_to(here / name)
    (there / "countdown_r1").symlink_to(ROOT)
    info = next(path for path in here.glob("countdown_r1-*.dist-info"))
    (there / info.name).symlink_to(info)
    return folder / "bin"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run at ``outputs/toy`` of a folder that also holds ``priced``, what one cost."""
    work = tmp_path_factory.mktemp("work")
    (work / "priced").mkdir()
    (work / "priced" / "timeline.jsonl").write_text('{"event": "start", "time": 1.0, "gpus": 1}\n')
    write_cost(Cost(price_per_hour=3.0), work / "priced")
    return TOY["write_run"](work / "outputs" / "toy", weights=False)


def countdown(base: Path, *words: str, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the program in the base installation; it must end with ``status`` and without a traceback."""
    command = [str(base / "python"), "-P", "-m", "countdown_r1", *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == status, done.stdout + done.stderr
    return done


def test_the_base_installation_of_these_tests_has_no_extra(base: Path) -> None:
    names = sorted(extras.extras())
    script = f"from importlib.util import find_spec; print(*[n for n in {names} if find_spec(n)], 'datasets')"
    done = subprocess.run([base / "python", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["datasets"]


def test_every_command_explains_itself_there(base: Path, tmp_path: Path) -> None:
    script = """
from click.testing import CliRunner
from countdown_r1.cli import main
for name in main.commands:
    done = CliRunner().invoke(main, [name, "--help"])
    print(name, done.exit_code, done.output.startswith("Usage:"))
"""
    done = subprocess.run([base / "python", "-P", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == [f"{name} 0 True" for name in cli.main.commands]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("build-dataset --rows 60 --numbers 3 --out data", "data"),
        ("verify-dataset outputs/toy/dataset", "no problems"),
        ("aha outputs/toy/evaluation", "checkpoint-4"),
        ("aha outputs/toy/evaluation --out aha", "aha"),
        ("cost priced", "all"),
        ("train demo --dry-run", "would train 'demo'"),
        ("train demo --dry-run --launcher accelerate --gpus-per-node 2", "torch.distributed.run"),
        ("train demo --dry-run --launcher slurm", "#SBATCH"),
        ("train qwen2.5-3b-fast --dry-run --launcher slurm --nodes 2", "#SBATCH"),
        ("train demo --dry-run --launcher kubernetes --dataset me/puzzles", "kind: Job"),
        ("train demo --dry-run --launcher hf-jobs --dataset me/puzzles", "would start a job"),
        ("doctor demo", "model, tokenizer and prompts: transformers is not installed: pip install"),
    ],
)
def test_what_needs_no_extra_works_without_any(base: Path, run: Path, words: str, said: str) -> None:
    assert said in countdown(base, *words.split(), cwd=run.parents[1]).stdout


def test_a_run_and_a_model_of_others_are_published_and_taken_back_without_any_extra(base: Path, tmp_path: Path) -> None:
    TOY["write_run"](tmp_path / "toy", weights=False)
    shutil.copytree(SHIPPED["novice"], tmp_path / "theirs")
    hub = ("--push-to", "rehearsal", "--hub", "rehearsal")
    said = countdown(base, "publish", "toy", *hub, cwd=tmp_path).stdout
    assert re.search(r"published space +http://127\.0\.0\.1:\d+/spaces/", said)
    assert "published model" in countdown(base, "publish", "theirs", "--adopt", *hub, cwd=tmp_path).stdout
    assert "deleted space" in countdown(base, "unpublish", "toy", "--yes", *hub[2:], cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        ("train demo --dataset outputs/toy/dataset --out o", "torch", "train"),
        ("train demo --dataset outputs/toy/dataset --out o --launcher accelerate", "torch", "train"),
        ("train tiny-cold-start --out o", "torch", "train"),
        ("evaluate tiny --dataset outputs/toy/dataset", "torch", "train"),
        ("solve 1 2 3 --target 6", "torch", "train"),
        ("space", "gradio", "space"),
        ("run demo", "torch", "train"),
    ],
)
def test_what_needs_an_extra_names_it_in_one_line(base: Path, run: Path, words: str, package: str, extra: str) -> None:
    cwd = run.parents[1]
    before = sorted(cwd.rglob("*"))
    lines = countdown(base, *words.split(), cwd=cwd, status=1).stderr.splitlines()
    assert lines == [f"Error: {package} is not installed: pip install 'countdown-r1[{extra}]'"]
    assert sorted(cwd.rglob("*")) == before


def test_an_extra_with_the_name_of_the_command_is_the_one_to_install() -> None:
    assert extras.lacking("torch", "space") == "torch is not installed: pip install 'countdown-r1[space]'"
    assert extras.lacking("torch", "solve") == "torch is not installed: pip install 'countdown-r1[train]'"


def test_the_extras_are_those_of_pyproject() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    found = {(re.split(r"[^\w.-]", text)[0], extra) for extra, texts in listed.items() for text in texts}
    assert {(package, extra) for package, names in extras.extras().items() for extra in names} == {
        (package, extra) for package, extra in found if extra != "dev"
    }


def caught(source: str, module: str) -> BaseException:
    """The error of code that runs as if it stood in ``module``, called by nothing else."""
    try:
        exec(compile(source, module, "exec"), {"__name__": module})  # what an import statement does
    except Exception as error:
        here = error.__traceback__
        return error.with_traceback(here and here.tb_next)
    raise AssertionError("it was imported")


@pytest.mark.parametrize(
    ("source", "module", "said"),
    [
        (
            "import vllm.engine",
            "countdown_r1.train.backends",
            "vllm is not installed: pip install 'countdown-r1[vllm]'",
        ),
        ("raise ImportError('4-bit needs `bitsandbytes`: pip install -U bitsandbytes')", "transformers.x", "[qlora]'"),
        (
            "import no_such_part",
            "transformers.models",
            "the installed transformers is broken or does not",
        ),
        ("from trl import Nothing", "countdown_r1.train.grpo", "the installed trl is broken or does not fit (cannot"),
        ("import no_such_base", "countdown_r1.hub", "no_such_base is not installed (No module named"),
        ("import no_such_thing", "countdown_r1_reward_0123456789abcdef", None),
        ("import vllm", "somebodys_reward", None),
        ("exec('import no_such_part', {'__name__': 'pandas.io'})", "countdown_r1_reward_0123456789abcdef", None),
        ("from countdown_r1.errors import Nothing", "countdown_r1.cli", None),
        ("raise ValueError('torch')", "countdown_r1.cli", None),
    ],
)
def test_a_missing_package_a_broken_one_and_a_file_of_the_users_are_told_apart(
    source: str, module: str, said: str | None
) -> None:
    text = extras.explained(caught(source, module))
    assert text is None if said is None else said in (text or "")


def test_a_checkpoint_is_not_called_damaged_where_a_package_is_missing(base: Path) -> None:
    script = "from countdown_r1.models import load\nload('tiny')"
    done = subprocess.run([base / "python", "-P", "-c", script], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError: No module named" in done.stderr and "damaged" not in done.stderr
