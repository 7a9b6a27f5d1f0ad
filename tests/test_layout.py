"""The package as a whole: who may import whom, what a wheel holds, and how fast the command line answers."""

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from countdown_r1 import cli

ROOT = Path(__file__).resolve().parent.parent
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
COMMAND = Path(sys.executable).with_name("countdown-r1")
HEAVY = {"torch", "transformers", "trl", "datasets", "gradio", "huggingface_hub", "matplotlib", "numpy", "uvicorn"}
HUB_PARTS = {"hub_changes", "hub_errors", "hub", "hub_push", "hub_verify", "scan", "scan_contents", "scan_rules"}
ROOT_PARTS = HUB_PARTS | {"errors", "extras", "lfs", "manifest", "models", "names", "places", "repo_names", "weights"}
MAY_IMPORT = {
    "errors": set[str](),
    "extras": {"errors"},
    "lfs": {"errors"},
    "manifest": {"errors"},
    "places": set(),
    "repo_names": {"errors"},
    "hub_errors": {"errors"},
    "rehearsal": {"errors", "manifest", "hub_errors", "repo_names"},
    "hub": {"errors", "manifest", "hub_errors", "rehearsal"},
    "scan_contents": set(),
    "scan_rules": set(),
    "scan": {"errors", "scan_contents", "scan_rules"},
    "hub_changes": {"errors", "manifest", "hub_errors", "hub"},
    "hub_push": {"hub_errors", "hub", "hub_changes", "scan"},
    "hub_verify": {"errors", "hub_errors", "hub", "hub_changes"},
    "names": {"errors"},
    "weights": {"errors", "manifest", "lfs"},
    "models": {"errors", "manifest", "hub_errors", "hub", "names", "weights"},
    "game": {"errors"},
    "build_dataset": ROOT_PARTS | {"game"},
    "train": ROOT_PARTS | {"game", "build_dataset"},
    "space": ROOT_PARTS | {"game", "build_dataset", "train"},  # of train what reads thoughts alone: READS_THOUGHTS
    "publish": ROOT_PARTS | {"game", "build_dataset", "train", "space", "rehearsal"},
    "chain": ROOT_PARTS | {"game", "build_dataset", "train", "space", "publish"},
    "cli": ROOT_PARTS | {"game", "build_dataset", "train", "space", "publish", "rehearsal", "chain"},
    "__main__": {"errors", "cli", "rehearsal"},  # what `python -m` runs, in a package or at the root
}
READS_THOUGHTS = {"aha", "samples", "thought", "truth", "turns"}
DOCTESTS = """
import doctest, importlib, json, sys
for name in json.loads(sys.stdin.read()):
    print(name, *doctest.testmod(importlib.import_module(name)), file=sys.stderr)
"""


def packages(folder: Path = ROOT, name: str = "countdown_r1") -> Iterator[tuple[str, Path]]:
    """Import name and folder of the package and of every package inside it."""
    yield name, folder
    for inside in sorted(folder.iterdir()):
        if (inside / "__init__.py").is_file():
            yield from packages(inside, f"{name}.{inside.name}")


def sources() -> list[Path]:
    """Every module of the package, as a path below its root."""
    return sorted(path.relative_to(ROOT) for _, folder in packages() for path in folder.glob("*.py"))


def data_files(package: str, folder: Path) -> list[str]:
    """What lies in a package beside its modules, as posix paths below it; for the root, these two."""
    if package == "countdown_r1":
        return ["py.typed", "secret_forms.json"]
    found = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".py")
    return [path.as_posix() for path in found if not any(part.startswith((".", "__")) for part in path.parts)]


def module_name(path: Path) -> str:
    return ".".join(("countdown_r1", *path.with_suffix("").parts)).removesuffix(".__init__")


def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def imports_of(path: Path, module: ast.Module) -> Iterator[tuple[str, int]]:
    """Absolute names of all that a module imports from the package or from tests, and the line. Lazy ones too."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ["countdown_r1", *path.parts[:-1]]
            start = above[: len(above) + 1 - node.level] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] in ("countdown_r1", "tests"):
                yield name, node.lineno


def part(path: Path) -> str:
    """The part of the package a module belongs to: a package inside it, or a module at its root."""
    return "__main__" if path.stem == "__main__" else path.with_suffix("").parts[0]


def wrong_imports(path: Path, module: ast.Module) -> list[str]:
    """Imports that point up, or to tests, as ``path:line name``."""
    own = part(path)
    allowed = MAY_IMPORT[own] | {own}
    found = [(name, line, (*name.split("."), "")) for name, line in imports_of(path, module)]
    return [f"{path}:{line} {name}" for name, line, parts in found if parts[0] == "tests" or parts[1] not in allowed]


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output, and an exit status of 0."""
    environment = os.environ | variables
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_imports_point_down_only() -> None:
    modules = [path for path in sources() if path != Path("__init__.py")]
    assert len(modules) > 50
    assert {part(path) for path in modules} == MAY_IMPORT.keys()
    assert [wrong for path in modules for wrong in wrong_imports(path, tree(path))] == []


def test_the_space_takes_from_training_what_reads_thoughts_and_that_needs_no_torch() -> None:
    modules = [path for path in sources() if path.parts[0] == "space"]
    names = {name.split(".")[2] for path in modules for name, _ in imports_of(path, tree(path)) if ".train." in name}
    assert names <= READS_THOUGHTS
    script = f"""
import sys
for name in {sorted(READS_THOUGHTS)}:
    __import__("countdown_r1.train." + name)
print(*{{name.split(".")[0] for name in sys.modules}})
"""
    assert not {"torch", "transformers", "trl"} & set(run(sys.executable, "-c", script).stdout.split())


@pytest.mark.parametrize(
    ("path", "source", "wrong"),
    [
        ("game/solver.py", "def f():\n    from ..build_dataset import prompt", "countdown_r1.build_dataset.prompt"),
        ("space/app.py", "from ..publish.cards import Links", "countdown_r1.publish.cards.Links"),
        ("rehearsal/api.py", "from .. import hub", "countdown_r1.hub"),
        ("hub.py", "from . import models", "countdown_r1.models"),
        ("train/grpo.py", "import countdown_r1.publish.cards", "countdown_r1.publish.cards"),
        ("publish/cards.py", "from tests.toy_run import make", "tests.toy_run.make"),
    ],
)
def test_an_import_that_points_up_is_found(path: str, source: str, wrong: str) -> None:
    assert [line.split()[1] for line in wrong_imports(Path(path), ast.parse(source))] == [wrong]


def test_inside_the_package_imports_are_relative() -> None:
    absolute = [
        f"{path}:{node.lineno}"
        for path in sources()
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("countdown_r1"))
        or (isinstance(node, ast.Import) and any(alias.name.startswith("countdown_r1") for alias in node.names))
    ]
    assert absolute == []


def test_nothing_is_evaluated_from_text_and_no_error_is_caught_blindly() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path in sources()
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"))
        or (isinstance(node, ast.ExceptHandler) and node.type is None)
    ]
    assert found == []


def test_every_package_and_every_data_file_is_listed_for_the_wheel() -> None:
    found = dict(packages())
    assert set(SETUPTOOLS["packages"]) == found.keys()
    listed: dict[str, list[str]] = SETUPTOOLS["package-data"]
    assert listed.keys() <= found.keys()
    for package, folder in found.items():
        matched = [{path.relative_to(folder).as_posix() for path in folder.glob(p)} for p in listed.get(package, [])]
        assert set().union(*matched) == set(data_files(package, folder)), package
        assert all(matched), f"a pattern of {package} matches nothing"


def test_the_examples_in_docstrings_are_true() -> None:
    """In a process of its own: libraries of the Hub read their endpoint when they are imported."""
    paths = [path for path in sources() if path.stem != "__main__"]
    names = {module_name(path): path for path in paths}
    done = subprocess.run(
        [sys.executable, "-c", DOCTESTS],
        input=json.dumps(list(names)),
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = (line.split() for line in done.stderr.splitlines() if line.startswith("countdown_r1"))
    results = {name: (int(failed), int(tried)) for name, failed, tried in lines}
    assert results.keys() == names.keys(), done.stderr
    assert {name for name, (failed, _) in results.items() if failed} == set(), done.stdout
    with_examples = {name for name, path in names.items() if ">>> " in (ROOT / path).read_text(encoding="utf-8")}
    assert {name for name, (_, tried) in results.items() if tried} == with_examples
    assert len(with_examples) > 10


@pytest.mark.parametrize("command", sorted(cli.main.commands))
def test_every_command_explains_itself(command: str) -> None:
    printed = run(COMMAND, command, "--help").stdout
    assert printed.startswith(f"Usage: countdown-r1 {command} ")
    assert len(printed.splitlines()) > 5


def test_help_lists_every_command_and_costs_less_than_300_ms_of_processor_time() -> None:
    printed = run(COMMAND, "--help").stdout
    assert [name for name in cli.main.commands if f"\n  {name} " not in printed] == []
    costs: list[float] = []
    for _ in range(3):
        process = subprocess.Popen([COMMAND, "--help"], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        costs.append(usage.ru_utime + usage.ru_stime)
    assert min(costs) < 0.3, costs


def test_the_command_line_is_imported_without_heavy_libraries() -> None:
    script = "import sys, countdown_r1.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(run(sys.executable, "-c", script).stdout.split())
    assert {"click", "countdown_r1"} <= loaded
    assert loaded & HEAVY == set()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, so that nothing is left in them and nothing old gets in."""
    source, out = tmp_path_factory.mktemp("source") / "countdown-r1", tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "outputs", "*.egg-info", "venv")
    shutil.copytree(ROOT, source, ignore=left_out)
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", out)
    run(sys.executable, "-m", "pip", "wheel", "-q", *options, source)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bin`` of an environment with the wheel; what it depends on comes from this one, its editable install not."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel)
    script = "import sysconfig; print(sysconfig.get_path('purelib'))"
    here, there = (Path(run(name, "-c", script).stdout.strip()) for name in (sys.executable, python))
    (there / "dependencies.pth").write_text(f"{here}\n")  # a plain path: .pth files found there are not run
    return folder / "bin"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A user's folder with modules named like ours."""
    for name in ("train", "space", "publish", "game", "build_dataset", "rehearsal", "hub", "errors", "cli", "models"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user was imported')\n")
    return tmp_path


def test_a_wheel_holds_every_module_and_data_file_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        entry_points = next(name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        assert b"countdown-r1 = countdown_r1.cli:main" in archive.read(entry_points)
    expected = {f"countdown_r1/{path.as_posix()}" for path in sources()}
    for package, folder in packages():
        expected |= {f"{package.replace('.', '/')}/{name}" for name in data_files(package, folder)}
    assert held == expected


def test_an_installed_wheel_runs_beside_files_named_like_its_modules(installed: Path, hostile: Path) -> None:
    python = installed / "python"
    where = run(python, "-c", "import countdown_r1.cli; print(countdown_r1.cli.__file__)", cwd=hostile).stdout.strip()
    assert Path(where).is_relative_to(installed.parent)
    usage = "Usage: python -m countdown_r1.train "
    assert run(python, "-m", "countdown_r1.train", "--help", cwd=hostile).stdout.startswith(usage)
    assert "--parent-pid" in run(python, "-m", "countdown_r1.rehearsal", "--help", cwd=hostile).stdout
    version = run(installed / "countdown-r1", "--version", cwd=hostile).stdout
    assert version == f"countdown-r1, version {cli_version()}\n"


def test_an_installed_wheel_finds_its_recipes_templates_and_model(installed: Path, hostile: Path) -> None:
    script = """
        from countdown_r1.build_dataset.prompt import load_template
        from countdown_r1.models import SHIPPED
        from countdown_r1.train.recipe import load_recipe, shipped_recipes
        print(*[load_recipe(name).name for name in shipped_recipes()])
        print(*[load_template(name).language for name in ("en", "zh")])
        print(*[(path / "config.json").is_file() for path in SHIPPED.values()])
        """
    lines = run(installed / "python", "-P", "-c", "\n".join(map(str.strip, script.splitlines())), cwd=hostile).stdout
    names = sorted(path.stem for path in (ROOT / "train" / "recipes").glob("*.yaml"))
    assert lines.splitlines() == [" ".join(names), "en zh", "True True"]


def cli_version() -> str:
    """The version that pyproject.toml gives."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
