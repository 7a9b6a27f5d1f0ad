"""The folder that becomes a Space, pushed to a rehearsal Hub and run from there; and waiting until a Space runs."""

from __future__ import annotations

import csv
import hashlib
import importlib
import json
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
import yaml
from gradio_client import Client
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from countdown_r1.errors import HubError, InputError, StageError
from countdown_r1.game.puzzle import Status
from countdown_r1.hub import Hub
from countdown_r1.space import gpu
from countdown_r1.space.deploy import private_note, push_space, wait_until_running
from countdown_r1.space.package import Wishes, package_space, requirements, write_wheel
from countdown_r1.space.stream import Writer

SERVER = runpy.run_path(str(Path(__file__).with_name("space_server.py")))
served, opened, running_browser = SERVER["served"], SERVER["opened"], SERVER["running_browser"]
TOY = runpy.run_path(str(Path(__file__).with_name("toy_model.py")))
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TOY["write_model"](tmp_path_factory.getbasetemp())


@pytest.fixture
def packaged(tmp_path: Path) -> Path:
    return package_space(tmp_path / "space", model_repo="someone/model", revision="abc123", dataset_repo="someone/data")


def test_the_space_folder_holds_a_small_app_a_wheel_pins_and_a_card(packaged: Path) -> None:
    names = sorted(path.name for path in packaged.iterdir())
    version = metadata.version("countdown-r1")
    wheel = f"countdown_r1-{version}-py3-none-any.whl"
    assert names == ["Dockerfile", "README.md", "app.py", wheel, "requirements.txt", "story.json"]
    app = (packaged / "app.py").read_text()
    assert len(app.splitlines()) < 45 and 'MODEL = "someone/model"' in app and 'REVISION = "abc123"' in app


def test_the_cards_settings_are_what_the_hub_accepts(packaged: Path) -> None:
    _, front, body = (packaged / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    settings = yaml.safe_load(front)
    assert settings["sdk"] == "gradio" and settings["app_file"] == "app.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", settings["sdk_version"])
    assert re.fullmatch(r"3\.\d+", settings["python_version"]) and isinstance(settings["python_version"], str)
    assert len(settings["short_description"]) <= 60
    assert settings["models"] == ["someone/model"] and settings["datasets"] == ["someone/data"]
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {settings["colorFrom"], settings["colorTo"]} <= colours
    assert "$" not in body and "https://huggingface.co/datasets/someone/data" in body


def test_a_card_for_the_rehearsal_hub_does_not_lead_to_loopback(tmp_path: Path) -> None:
    out = package_space(
        tmp_path, model_repo="a/b", revision="main", dataset_repo=None, endpoint="http://127.0.0.1:8000"
    )
    assert "127.0.0.1" not in (out / "README.md").read_text(encoding="utf-8")


def test_every_requirement_is_pinned_to_a_public_version(packaged: Path) -> None:
    lines = (packaged / "requirements.txt").read_text().splitlines()
    assert lines == requirements()
    names = {re.split("[=]", line)[0] for line in lines}
    assert {"gradio[mcp]", "torch", "transformers", "numpy", "pyyaml", "huggingface_hub"} <= names
    assert all(re.fullmatch(r"[\w.-]+(\[mcp\])?==[\w.]+", line) for line in lines)


def test_packing_twice_gives_the_same_bytes(packaged: Path, tmp_path: Path) -> None:
    again = package_space(
        tmp_path / "again", model_repo="someone/model", revision="abc123", dataset_repo="someone/data"
    )
    for path in packaged.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_the_wheel_is_what_pip_would_build_but_for_the_shipped_weights(tmp_path: Path) -> None:
    ours = zipfile.ZipFile(write_wheel(tmp_path))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w"]
    source = copy_of_sources(tmp_path / "source")
    subprocess.run([*command, str(tmp_path / "pip"), str(source)], check=True)
    theirs = zipfile.ZipFile(next((tmp_path / "pip").glob("*.whl")))
    expected = {name for name in theirs.namelist() if name.startswith("countdown_r1/")}
    weights = ("countdown_r1/train/tiny/", "countdown_r1/train/novice/")
    assert code_of(ours) == {name for name in expected if not name.startswith(weights)}
    assert all(ours.read(name) == theirs.read(name) for name in code_of(ours))


def test_the_wheels_record_lists_every_file_with_its_hash(tmp_path: Path) -> None:
    wheel = zipfile.ZipFile(write_wheel(tmp_path))
    record = next(name for name in wheel.namelist() if name.endswith("/RECORD"))
    rows = {name: (digest, size) for name, digest, size in csv.reader(wheel.read(record).decode().splitlines())}
    assert set(rows) == set(wheel.namelist())
    for name in set(rows) - {record}:
        content = wheel.read(name)
        digest = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        assert rows[name] == (f"sha256={digest}", str(len(content)))


def test_a_pushed_space_runs_from_its_folder_alone_against_the_pushed_model(tmp_path: Path) -> None:
    python = environment_without_the_package(tmp_path / "venv")
    with rehearsed(tmp_path / "hub", tmp_path / "space") as hub:
        settings = {"HF_HUB_OFFLINE": "0", "PYTHONPATH": "", "COUNTDOWN_R1_COMPARE": "rehearsal/friend"}
        options = {"cwd": tmp_path / "space", "env": hub | settings}
        with served(lambda _: [str(python), "app.py"], **options) as url:
            result = Client(url, verbose=False).predict("90 5 12", 73, api_name="/solve")
            assert result["verdict"] in set(Status) and result["n_tokens"] > 10
            with running_browser() as browser, opened(browser, url) as page:
                expect(page.locator("#origin")).to_contain_text(re.compile("rehearsal/tiny.*[0-9a-f]{12}"))
                compare_steps_and_a_friend(page)


def compare_steps_and_a_friend(page: Page) -> None:
    """Training steps are branches on the Hub; a slider goes over them, and the owner has allowed another model."""
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#left input")).to_have_value("step-10")
    expect(page.locator("#right input")).to_have_value("step-30")
    page.locator("#step input[type=number]").fill("19")
    page.locator("#step input[type=number]").press("Enter")
    expect(page.locator("#right input")).to_have_value("step-20")
    page.click("#compare-go")
    expect(page.locator("#side-left h3")).to_have_text("step-10")
    expect(page.locator("#side-right h3")).to_have_text("step-20")
    expect(page.locator("#difference table")).to_be_visible()
    page.click("#left input")
    offered = page.get_by_role("option").all_text_contents()
    assert [name.strip().lstrip("✓ ") for name in offered][1:] == ["step-10", "step-20", "step-30", "rehearsal/friend"]
    page.get_by_role("option", name="rehearsal/friend").click()
    page.click("#compare-go")
    expect(page.locator("#side-left h3")).to_have_text("rehearsal/friend")
    expect(page.locator("#difference table")).to_contain_text("rehearsal/friend")


REHEARSAL = """
import sys
from pathlib import Path
from countdown_r1.hub import connect, ensure_repo
from countdown_r1.hub_push import push_folder

hub = connect("rehearsal", data=Path(sys.argv[1]))
from huggingface_hub import snapshot_download
from countdown_r1.models import SHIPPED
from countdown_r1.space.deploy import push_space

for name in ("rehearsal/tiny", "rehearsal/friend"):
    ensure_repo(hub, name, "model")
    push_folder(hub, name, "model", SHIPPED["novice"], message="weights")
for step in (10, 20, 30):
    hub.api.create_branch("rehearsal/tiny", branch=f"step-{step}")
commits, said = [], []
for _ in range(2):
    push_space("rehearsal/tiny", "rehearsal/demo", hub, echo=said.append)
    commits.append(hub.api.space_info("rehearsal/demo").sha)
assert commits[0] == commits[1], "nothing changed, and yet there is a new commit"
assert "rehearsal/tiny is private" in said[0] and "HF_TOKEN" in said[0], said
assert "runs no Spaces" in said[-1], said
snapshot_download("rehearsal/demo", repo_type="space", local_dir=sys.argv[2])
print(hub.endpoint, hub.token, flush=True)
sys.stdin.read()
"""


@contextmanager
def rehearsed(data: Path, space: Path) -> Iterator[dict[str, str]]:
    """A rehearsal Hub with the shipped model and its Space, which is downloaded to ``space``; yields its address."""
    command = [sys.executable, "-c", REHEARSAL, str(data), str(space)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=data.parent)
    assert process.stdin is not None and process.stdout is not None
    endpoint, _, token = process.stdout.readline().strip().partition(" ")
    assert endpoint.startswith("http://127.0.0.1:")
    home = str(data.parent / "home")
    yield {"HF_ENDPOINT": endpoint, "HF_TOKEN": token, "HF_HOME": home, "HF_HUB_DISABLE_XET": "1"}
    process.stdin.close()
    assert process.wait(20) == 0


def test_a_wheel_installed_from_the_space_packs_itself_again(packaged: Path, tmp_path: Path) -> None:
    python = environment_without_the_package(tmp_path / "venv")
    wheel = next(packaged.glob("*.whl"))
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, wheel], check=True
    )
    code = (
        "from pathlib import Path; from countdown_r1.space import package; "
        "package.package_space(Path('out'), model_repo='someone/model', revision='abc123', dataset_repo='someone/data')"
    )
    subprocess.run([python, "-c", code], cwd=tmp_path, check=True, env=os.environ | {"PYTHONPATH": ""})
    assert (tmp_path / "out" / wheel.name).read_bytes() == wheel.read_bytes()
    assert (tmp_path / "out" / "requirements.txt").read_text() == (packaged / "requirements.txt").read_text()


def test_a_space_for_a_model_in_a_folder_is_refused(folder: Path) -> None:
    hub: Any = None  # refused before the Hub is asked
    with pytest.raises(InputError, match="publish it first"):
        push_space(str(folder), "someone/space", hub)


def test_an_uninstalled_package_cannot_be_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("countdown_r1.space.package.DISTRIBUTION", "countdown-r1-nowhere")
    with pytest.raises(StageError, match="not installed"):
        write_wheel(tmp_path)


def test_what_a_build_left_beside_the_sources_does_not_end_up_in_the_wheel(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "countdown_r1.egg-info"
    left.mkdir()
    (left / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: countdown-r1\nVersion: 0.0.1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    wheel = write_wheel(tmp_path)
    assert wheel.read_bytes() == next(packaged.glob("*.whl")).read_bytes()


def code_of(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if name.startswith("countdown_r1/")}


def copy_of_sources(folder: Path) -> Path:
    """The checkout without what a build would leave in it or must not see."""
    skipped = shutil.ignore_patterns(".*", "build", "outputs", "tests", "benchmarks", "*.egg-info", "__pycache__")
    return Path(shutil.copytree(ROOT, folder, ignore=skipped))


def environment_without_the_package(folder: Path) -> Path:
    """A virtual environment that sees the libraries of this one, and not the package; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    linked = Path(sysconfig.get_paths()["purelib"])
    for library in linked.iterdir():
        if "countdown_r1" not in library.name and not library.name.endswith(".pth"):
            (site / library.name).symlink_to(library)
    python = folder / "bin" / "python"
    found = subprocess.run([python, "-c", "import countdown_r1"], capture_output=True, cwd=folder, check=False)
    assert b"No module named 'countdown_r1'" in found.stderr
    return python


def test_a_space_for_zero_gpu_imports_spaces_first_and_pins_what_runs_there(tmp_path: Path) -> None:
    out = package_space(
        tmp_path, model_repo="a/b", revision="main", dataset_repo=None, wishes=Wishes(others=("a/c",), zero_gpu=True)
    )
    app = (out / "app.py").read_text(encoding="utf-8")
    assert app.index("import spaces") < app.index("countdown_r1")
    compile(app, "app.py", "exec")
    assert 'OTHERS = ["a/c"]' in app
    lines = (out / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert "torch==2.8.0" in lines and any(line.startswith("spaces==") for line in lines)
    settings = yaml.safe_load((out / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert settings["suggested_hardware"] == "zero-a10g" and settings["python_version"] == "3.12"


def test_off_zero_gpu_a_writer_stays_as_it_is_and_on_it_asks_for_time_by_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoder: Any = None
    tokenizer: Any = None
    writer = Writer(decoder, tokenizer, lambda: iter(()), frozenset())
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert gpu.on_gpu(writer) is writer
    assert gpu.seconds([1], (), 100, 1.0, 0) < gpu.seconds([1], (), 2048, 1.0, 0) <= gpu.MAX_SECONDS


def test_on_zero_gpu_tokens_are_made_in_the_function_that_asks_for_the_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a stand-in for the decorator of ``spaces`` 0.51.3, which does its work on that hardware alone."""
    (tmp_path / "spaces.py").write_text(
        "asked = []\ndef GPU(task=None, *, duration=None, size=None):\n"
        "    return lambda made: lambda *given: (asked.append(duration(*given)), made(*given))[1]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    model: Any = SimpleNamespace(tokens=lambda *given: iter(range(given[2])))
    tokenizer: Any = None
    writer = gpu.on_gpu(Writer(model, tokenizer, model.tokens, frozenset()))
    assert list(writer.tokens([1], (), 80, 1.0, 0)) == list(range(80))
    assert importlib.import_module("spaces").asked == [gpu.seconds([1], (), 80, 1.0, 0)] == [12]


def test_the_docker_file_installs_the_pins_and_starts_the_page(packaged: Path) -> None:
    lines = (packaged / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert lines[-1] == 'CMD ["python", "app.py"]'
    assert any(line.startswith("FROM python:3.") and line.endswith("-slim") for line in lines)
    assert any("requirements.txt" in line and line.startswith("RUN pip install") for line in lines)
    assert any("GRADIO_SERVER_NAME=0.0.0.0" in line for line in lines)


def test_the_story_of_the_run_travels_with_the_space(tmp_path: Path) -> None:
    story = {"run": "mine", "models": [], "replay": []}
    out = package_space(tmp_path, model_repo="a/b", revision="main", dataset_repo=None, wishes=Wishes(story))
    assert json.loads((out / "story.json").read_text(encoding="utf-8")) == story


@contextmanager
def hub_with_a_space(stages: list[str], log: list[str]) -> Iterator[Hub]:
    """A server on loopback that says one stage after the other about a Space and has its logs, the build's and the
    run's. Making a Space there needs a paid plan."""
    left = list(stages)

    async def runtime(_: Request) -> Response:
        stage = left.pop(0) if len(left) > 1 else left[0]
        return JSONResponse({"stage": stage, "hardware": {"current": None, "requested": None}})

    async def logs(request: Request) -> Response:
        said = [f"{request.path_params['kind']}: {line}" for line in log]
        lines = "".join(f"data: {json.dumps({'data': line, 'timestamp': ''})}\n\n" for line in said)
        return Response(lines, media_type="text/event-stream")

    async def model(_: Request) -> Response:
        return JSONResponse({"id": "me/model", "sha": "1" * 40, "private": True, "tags": [], "siblings": []})

    async def refused(_: Request) -> Response:
        return JSONResponse({"error": "Payment required"}, 402)

    routes = [
        Route("/api/spaces/me/demo/runtime", runtime),
        Route("/api/spaces/me/demo/logs/{kind}", logs),
        Route("/api/models/me/model/revision/main", model),
        Route("/api/repos/create", refused, methods=["POST"]),
    ]
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            yield Hub(f"http://127.0.0.1:{bound.getsockname()[1]}", "hf_of_the_test", rehearsal=False)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(autouse=True)
def looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("countdown_r1.space.deploy.LOOK_SECONDS", 0.05)


def test_pushing_waits_until_the_space_runs_and_says_each_stage_once() -> None:
    said: list[str] = []
    with hub_with_a_space(["BUILDING", "BUILDING", "APP_STARTING", "RUNNING"], []) as hub:
        wait_until_running(hub, "me/demo", said.append)
    assert [line.rpartition(": ")[2] for line in said] == ["building", "app starting", "running"]


def test_a_space_that_cannot_be_built_shows_the_end_of_its_log(capsys: pytest.CaptureFixture[str]) -> None:
    log = [*(f"step {number}\n" for number in range(100)), "ERROR: No matching distribution found for torch==99\n"]
    with (
        hub_with_a_space(["BUILDING", "BUILD_ERROR"], log) as hub,
        pytest.raises(HubError, match=r"does not run \(BUILD_ERROR\): build: ERROR: No matching distrib.*torch==99"),
    ):
        wait_until_running(hub, "me/demo", lambda _: None)
    printed = capsys.readouterr().err
    assert "step 99" in printed and "step 10\n" not in printed and "hf_of_the_test" not in printed


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("RUNTIME_ERROR", r"does not run \(RUNTIME_ERROR\): run: out of memory; the log above says why"),
        ("PAUSED", "resume it in its settings"),
    ],
)
def test_a_space_that_does_not_run_says_why_and_what_to_do(stage: str, message: str) -> None:
    with hub_with_a_space([stage], ["out of memory"]) as hub, pytest.raises(HubError, match=message):
        wait_until_running(hub, "me/demo", lambda _: None)


def test_a_plan_that_has_no_spaces_is_explained() -> None:
    with hub_with_a_space([], []) as hub, pytest.raises(HubError, match=r"402.*needs a paid plan"):
        push_space("me/model", "me/demo", hub, echo=lambda _: None)


def test_a_token_in_a_story_is_found_before_anything_is_sent() -> None:
    thought = {"label": "base", "solved": False, "n_tokens": 9, "completion": f"hf_{'aB3' * 11}x"}
    story = {"run": "mine", "models": [], "replay": [{"nums": [1, 2], "target": 3, "thoughts": [thought]}]}
    with hub_with_a_space([], []) as hub, pytest.raises(HubError, match=r"story\.json.*token"):
        push_space("me/model", "me/demo", hub, wishes=Wishes(story), echo=lambda _: None)


def test_waiting_for_a_space_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with hub_with_a_space(["BUILDING"], []) as hub, pytest.raises(HubError, match="still BUILDING"):
        wait_until_running(hub, "me/demo", print, seconds=0.1)


def test_a_private_model_is_explained_and_no_token_is_sent() -> None:
    note = private_note("me/model", "me/demo")
    assert "HF_TOKEN" in note and "settings of me/demo" in note
