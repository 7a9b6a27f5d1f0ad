"""The folder that becomes a Space, pushed to a rehearsal Hub and run from there; and waiting until a Space runs."""

from __future__ import annotations

import csv
import hashlib
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
from typing import Any

import pytest
import uvicorn
import yaml
from gradio_client import Client
from playwright.sync_api import expect
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
        options = {"cwd": tmp_path / "space", "env": hub | {"HF_HUB_OFFLINE": "0", "PYTHONPATH": ""}}
        with served(lambda _: [str(python), "app.py"], **options) as url:
            result = Client(url, verbose=False).predict("90 5 12", 73, api_name="/solve")
            assert result["verdict"] in set(Status) and result["n_tokens"] > 10
            with running_browser() as browser, opened(browser, url) as page:
                expect(page.locator("#origin")).to_contain_text(re.compile("rehearsal/tiny.*[0-9a-f]{12}"))


REHEARSAL = """
import sys
from pathlib import Path
from countdown_r1.hub import connect, ensure_repo
from countdown_r1.hub_push import push_folder

hub = connect("rehearsal", data=Path(sys.argv[1]))
from huggingface_hub import snapshot_download
from countdown_r1.models import SHIPPED
from countdown_r1.space.deploy import push_space

ensure_repo(hub, "rehearsal/tiny", "model")
push_folder(hub, "rehearsal/tiny", "model", SHIPPED["novice"], message="weights")
commits = []
for _ in range(2):
    push_space("rehearsal/tiny", "rehearsal/demo", hub, echo=lambda line: print(line, file=sys.stderr))
    commits.append(hub.api.space_info("rehearsal/demo").sha)
assert commits[0] == commits[1], "nothing changed, and yet there is a new commit"
snapshot_download("rehearsal/demo", repo_type="space", local_dir=sys.argv[2])
print(hub.endpoint, hub.token, flush=True)
sys.stdin.read()
"""


@contextmanager
def rehearsed(data: Path, space: Path) -> Iterator[dict[str, str]]:
    """A rehearsal Hub with the shipped model and its Space, which is downloaded to ``space``; yields its address."""
    command = [sys.executable, "-c", REHEARSAL, str(data), str(space)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
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
    writer = Writer(decoder, tokenizer, lambda: iter(()))
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert gpu.on_gpu(writer) is writer
    assert gpu.seconds([1], (), 100, 1.0, 0) < gpu.seconds([1], (), 2048, 1.0, 0) <= gpu.MAX_SECONDS


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
    """A server on loopback that says one stage after the other about a Space, and has its build log."""
    left = list(stages)

    async def runtime(_: Request) -> Response:
        stage = left.pop(0) if len(left) > 1 else left[0]
        return JSONResponse({"stage": stage, "hardware": {"current": None, "requested": None}})

    async def logs(request: Request) -> Response:
        assert request.path_params["kind"] == "build"
        lines = "".join(f"data: {json.dumps({'data': line, 'timestamp': ''})}\n\n" for line in log)
        return Response(lines, media_type="text/event-stream")

    routes = [Route("/api/spaces/me/demo/runtime", runtime), Route("/api/spaces/me/demo/logs/{kind}", logs)]
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


def test_pushing_waits_until_the_space_runs_and_says_each_stage_once() -> None:
    said: list[str] = []
    with hub_with_a_space(["BUILDING", "BUILDING", "APP_STARTING", "RUNNING"], []) as hub:
        wait_until_running(hub, "me/demo", said.append)
    assert [line.rpartition(": ")[2] for line in said] == ["building", "app starting", "running"]


def test_a_space_that_cannot_be_built_shows_the_end_of_its_log(capsys: pytest.CaptureFixture[str]) -> None:
    log = [*(f"step {number}\n" for number in range(100)), "ERROR: No matching distribution found for torch==99\n"]
    with (
        hub_with_a_space(["BUILDING", "BUILD_ERROR"], log) as hub,
        pytest.raises(HubError, match=r"does not run \(BUILD_ERROR\): ERROR: No matching distribution.*torch==99"),
    ):
        wait_until_running(hub, "me/demo", lambda _: None)
    printed = capsys.readouterr().err
    assert "step 99" in printed and "step 10\n" not in printed and "hf_of_the_test" not in printed


def test_waiting_for_a_space_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with hub_with_a_space(["BUILDING"], []) as hub, pytest.raises(HubError, match="still BUILDING"):
        wait_until_running(hub, "me/demo", print, seconds=0.1)


def test_a_private_model_is_explained_and_no_token_is_sent() -> None:
    note = private_note("me/model", "me/demo")
    assert "HF_TOKEN" in note and "settings of me/demo" in note
