"""The rehearsal Hub before its real clients, and before hostile ones."""

import base64
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from countdown_r1.rehearsal.card import card_data, rendered, validate_card
from countdown_r1.rehearsal.client import TAKEN_STATUS, start_or_join
from countdown_r1.rehearsal.server import Clients, Door, make_app
from countdown_r1.rehearsal.store import Store

CONFORMANCE = Path(__file__).with_name("hub_conformance.py")
TOKEN_OF_THE_TESTS = "hf_rehearsal_of_the_tests"
GUARD = """
import os, socket
_real = socket.getaddrinfo
def _guarded(host, *rest, **options):
    if host not in (None, "127.0.0.1", "localhost", b"127.0.0.1"):
        print("left loopback for", host, flush=True)
        os._exit(99)  # libraries swallow exceptions here
    return _real(host, *rest, **options)
socket.getaddrinfo = _guarded
"""


@dataclass
class Server:
    """A running rehearsal Hub and raw access to it."""

    process: subprocess.Popen[str] | None
    endpoint: str
    token: str
    data: Path

    def ask(
        self, method: str, path: str, body: object = None, token: str | None = "own", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One request, its path sent as it is. ``token``: None for none, "own" for the server's."""
        connection = http.client.HTTPConnection(self.endpoint.removeprefix("http://"), timeout=60)
        if token:
            headers["Authorization"] = f"Bearer {self.token if token == 'own' else token}"
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, content, names)
        answer = connection.getresponse()
        got = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return got

    def commit(self, repo: str, *lines: dict[str, Any], revision: str = "main") -> tuple[int, dict[str, Any]]:
        header = {"key": "header", "value": {"summary": "A commit"}}
        body = "".join(json.dumps(line) + "\n" for line in (header, *lines)).encode()
        status, _, answer = self.ask("POST", f"/api/models/{repo}/commit/{revision}", body)
        return status, json.loads(answer)

    def create(self, name: str, kind: str = "model", *, private: bool = False, again: bool = False) -> str:
        body = {"name": name, "type": kind, "visibility": "private" if private else "public"}
        status, _, answer = self.ask("POST", "/api/repos/create", body)
        assert status == 200 or (again and status == 409), answer
        return f"rehearsal/{name}"


def file_line(path: str, content: bytes) -> dict[str, Any]:
    value = {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}
    return {"key": "file", "value": value}


def start(data: Path, *options: str) -> Server:
    """A server on ``data`` that ends with this process at the latest."""
    command = [sys.executable, "-m", "countdown_r1.rehearsal", "--data", str(data)]
    command += ["--parent-pid", str(os.getpid()), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    endpoint = process.stdout.readline().strip()
    assert endpoint.startswith("http://127.0.0.1:"), endpoint + process.stdout.read()
    return Server(process, endpoint, (data / "token").read_text().strip(), data)


def stop(server: Server, how: int = signal.SIGTERM) -> None:
    assert server.process is not None
    server.process.send_signal(how)
    server.process.wait(60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = start(tmp_path_factory.mktemp("hub"))
    yield running
    stop(running)


@contextmanager
def serving(app: ASGIApp, door: Door) -> Iterator[str]:
    """Serve ``app``, which ends in ``door``, from a thread of this process; yields its address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # before the thread gets that far, a client waits instead of being refused
        door.port = listener.getsockname()[1]
        running = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", http="h11"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{door.port}"
        finally:
            running.should_exit = True
            thread.join(60)


def client(server: Server, script: str, **extra: str) -> str:
    """Run a Python script as a Hub client in a process of its own, held on loopback; returns what it prints."""
    home = server.data / "home-of-a-client"
    settings = {"HF_ENDPOINT": server.endpoint, "HF_TOKEN": server.token, "HF_HOME": str(home)}
    settings |= {"HF_HUB_DISABLE_XET": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}
    settings |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", GUARD + textwrap.dedent(script)]
    done = subprocess.run(command, env=os.environ | settings | extra, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_conformance_check_passes(server: Server) -> None:
    command = [sys.executable, str(CONFORMANCE), "--endpoint", server.endpoint, "--token", server.token]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "all 23 checks passed"


def test_the_conformance_script_finds_a_hub_that_ignores_range(tmp_path: Path) -> None:
    door = Door(make_app(Store(tmp_path), TOKEN_OF_THE_TESTS), TOKEN_OF_THE_TESTS, 0)

    async def without_range(scope: Scope, receive: Receive, send: Send) -> None:
        kept = [pair for pair in scope["headers"] if pair[0].lower() != b"range"]
        await door(dict(scope) | {"headers": kept}, receive, send)

    with serving(without_range, door) as endpoint:
        command = [sys.executable, str(CONFORMANCE), "--endpoint", endpoint, "--token", TOKEN_OF_THE_TESTS]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert failed == ["FAILED  range gives 206 and the part: AssertionError: 200"]


def test_datasets_loads_two_configs_of_a_pushed_folder_at_a_revision(server: Server) -> None:
    printed = client(
        server,
        """
        import tempfile, pathlib, datasets
        from huggingface_hub import HfApi
        datasets.config.USE_PARQUET_EXPORT = False
        api, folder = HfApi(), pathlib.Path(tempfile.mkdtemp())
        yaml = "configs:\\n"
        for config, target in (("en", 65), ("zh", 24)):
            yaml += f"- config_name: {config}\\n  data_files:\\n  - split: test\\n    path: {config}/test-*.parquet\\n"
            rows = datasets.Dataset.from_dict({"nums": [[19, 36, 55, 7]], "target": [target]})
            (folder / config).mkdir()
            rows.to_parquet(folder / config / "test-00000-of-00001.parquet")
        (folder / "README.md").write_text(f"---\\n{yaml}---\\n# Puzzles\\n")
        api.create_repo("rehearsal/puzzles", repo_type="dataset", private=True)
        first = api.upload_folder(repo_id="rehearsal/puzzles", repo_type="dataset", folder_path=folder).oid
        api.create_tag("rehearsal/puzzles", tag="v1.0", repo_type="dataset")
        changed = datasets.Dataset.from_dict({"nums": [[1, 2]], "target": [3]})
        changed.to_parquet(folder / "en" / "test-00000-of-00001.parquet")
        api.upload_folder(repo_id="rehearsal/puzzles", repo_type="dataset", folder_path=folder)
        for config, revision in (("en", None), ("en", "v1.0"), ("zh", first)):
            print(datasets.load_dataset("rehearsal/puzzles", config, split="test", revision=revision)[0])
        datasets.load_dataset("rehearsal/puzzles", "zh", split="test").push_to_hub("rehearsal/pushed", private=True)
        print(datasets.load_dataset("rehearsal/pushed", split="test")[0])
        """,
    )
    assert printed.splitlines()[-4:] == [
        "{'nums': [1, 2], 'target': 3}",
        "{'nums': [19, 36, 55, 7], 'target': 65}",
        "{'nums': [19, 36, 55, 7], 'target': 24}",
        "{'nums': [19, 36, 55, 7], 'target': 24}",
    ]


def test_transformers_pushes_and_loads_weights_from_a_branch(server: Server) -> None:
    printed = client(
        server,
        """
        import torch
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
        from transformers import PreTrainedTokenizerFast
        sizes = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
        model = LlamaForCausalLM(LlamaConfig(vocab_size=32, **sizes))
        model.push_to_hub("rehearsal/tiny", private=True)
        base = {name: value.clone() for name, value in model.state_dict().items()}
        with torch.no_grad():
            model.lm_head.weight.add_(1.0)
        words = Tokenizer(models.WordLevel({"[UNK]": 0, "25": 1, "+": 2}, unk_token="[UNK]"))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        from huggingface_hub import HfApi
        HfApi().create_branch("rehearsal/tiny", branch="step-50")
        model.push_to_hub("rehearsal/tiny", revision="step-50")
        PreTrainedTokenizerFast(tokenizer_object=words).push_to_hub("rehearsal/tiny", revision="step-50")
        main = AutoModelForCausalLM.from_pretrained("rehearsal/tiny").state_dict()
        step = AutoModelForCausalLM.from_pretrained("rehearsal/tiny", revision="step-50").state_dict()
        print(all(torch.equal(main[name], base[name]) for name in base))
        print(all(torch.equal(step[name], value) for name, value in model.state_dict().items()))
        print(torch.equal(step["lm_head.weight"], main["lm_head.weight"]))
        print(AutoTokenizer.from_pretrained("rehearsal/tiny", revision="step-50")("25 + 25").input_ids)
        """,
    )
    assert printed.splitlines()[-4:] == ["True", "True", "False", "[1, 2, 1]"]


def test_spaces_and_collections_answer_their_client(server: Server) -> None:
    printed = client(
        server,
        """
        from huggingface_hub import HfApi
        api, space = HfApi(), "rehearsal/demo"
        api.create_repo(space, repo_type="space", space_sdk="gradio", private=True)
        print(api.get_space_runtime(space).stage)
        api.upload_file(path_or_fileobj=b"print()", path_in_repo="app.py", repo_id=space, repo_type="space")
        api.request_space_hardware(space, "zero-a10g")
        print(api.get_space_runtime(space).stage, api.get_space_runtime(space).requested_hardware)
        api.add_space_secret(space, "KEY", "very-secret-value")
        api.add_space_variable(space, "MODEL", "rehearsal/tiny")
        print({key: item.value for key, item in api.get_space_variables(space).items()})
        api.delete_space_variable(space, "MODEL")
        print(api.get_space_variables(space), api.space_info(space).sdk)
        made = api.create_collection("Countdown R1", private=True)
        again = api.create_collection("Countdown R1", exists_ok=True)
        full = api.add_collection_item(made.slug, space, "space", note="the demo")
        api.add_collection_item(made.slug, space, "space", exists_ok=True)
        print(made.slug == again.slug, [(item.item_id, item.note) for item in full.items])
        print(api.update_collection_metadata(made.slug, title="Renamed").title, len(list(api.list_collections())))
        api.delete_collection_item(made.slug, full.items[0].item_object_id)
        print(api.get_collection(made.slug).items)
        api.delete_collection(made.slug)
        api.update_repo_settings(space, repo_type="space", private=False)
        print([space.id for space in api.list_spaces(token=False)], list(api.list_datasets(author="nobody")))
        """,
    )
    assert printed.splitlines() == [
        "NO_APP_FILE",
        "STOPPED zero-a10g",
        "{'MODEL': 'rehearsal/tiny'}",
        "{} gradio",
        "True [('rehearsal/demo', 'the demo')]",
        "Renamed 1",
        "[]",
        "['rehearsal/demo'] []",
    ]
    stored = b"".join(path.read_bytes() for path in server.data.rglob("*") if path.is_file())
    assert b"very-secret-value" not in stored


def test_a_space_lists_its_branches_and_tags(server: Server) -> None:
    printed = client(
        server,
        """
        from huggingface_hub import HfApi
        api, space = HfApi(), "rehearsal/space-with-refs"
        api.create_repo(space, repo_type="space", space_sdk="gradio")
        api.create_branch(space, repo_type="space", branch="next")
        api.create_tag(space, repo_type="space", tag="v1.0")
        refs = api.list_repo_refs(space, repo_type="space")
        print([ref.name for ref in refs.branches], [ref.name for ref in refs.tags])
        """,
    )
    assert printed.splitlines() == ["['main', 'next'] ['v1.0']"]
    assert server.ask("GET", "/api/spaces/rehearsal/space-with-refs/unheard-of")[0] == 404


def test_a_killed_server_comes_back_with_every_acknowledged_commit(tmp_path: Path) -> None:
    acknowledged: dict[str, str] = {}
    for round_number in range(2):
        running = start(tmp_path)
        if round_number == 0:
            running.create("work")

        def write(running: Server = running, prefix: str = f"{round_number}-") -> None:
            for number in range(10_000):
                try:
                    name = f"{prefix}{number}.txt"
                    status, answer = running.commit("rehearsal/work", file_line(name, name.encode() * 1000))
                except (OSError, http.client.HTTPException):
                    return
                assert status == 200
                acknowledged[answer["commitOid"]] = name

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.5 + 0.1 * round_number)
        stop(running, signal.SIGKILL)
        writer.join(60)
    back = start(tmp_path)
    _, _, listed = back.ask("GET", "/api/models/rehearsal/work/commits/main")
    history = [commit["id"] for commit in json.loads(listed)]
    assert len(acknowledged) >= 10
    assert set(acknowledged) <= set(history)
    for oid, name in acknowledged.items():
        status, headers, content = back.ask("GET", f"/rehearsal/work/resolve/{oid}/{name}")
        assert (status, headers["x-repo-commit"], content) == (200, oid, name.encode() * 1000)
    stop(back)


def test_the_server_ends_with_the_process_it_was_started_for(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    running = start(tmp_path, "--parent-pid", str(parent.pid))
    assert running.ask("GET", "/")[0] == 200
    parent.kill()  # and not waited for: it stays a zombie
    assert running.process is not None
    assert running.process.wait(60) == 0
    parent.communicate()


def test_a_signal_that_comes_while_its_processes_are_looked_at_ends_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = uvicorn.Server(uvicorn.Config("unused"))

    def look(_: int) -> bool:
        stopping.handle_exit(signal.SIGTERM, None)
        return True

    monkeypatch.setattr("countdown_r1.rehearsal.server.is_alive", look)
    watching = threading.Thread(target=Clients(stopping, {os.getpid()}).watch, daemon=True)
    watching.start()
    watching.join(10)
    assert not watching.is_alive()
    assert stopping.should_exit


def test_a_server_takes_no_process_on_once_its_last_one_is_gone() -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    clients = Clients(uvicorn.Server(uvicorn.Config("unused")), {parent.pid})
    assert clients.add(os.getpid())
    clients.pids.remove(os.getpid())
    parent.communicate()
    clients.watch()
    assert clients.server.should_exit
    assert not clients.add(os.getpid())


def test_a_client_refused_by_a_server_about_to_end_starts_a_new_one_once_the_folder_is_free(tmp_path: Path) -> None:
    ending = uvicorn.Server(uvicorn.Config("unused"))
    ending.should_exit = True
    app = make_app(Store(tmp_path / "old"), TOKEN_OF_THE_TESTS)
    app.state.clients = Clients(ending, {os.getpid()})
    door = Door(app, TOKEN_OF_THE_TESTS, 0)
    (tmp_path / "token").write_text(TOKEN_OF_THE_TESTS)
    with (tmp_path / "lock").open("w") as lock, serving(door, door) as old:
        fcntl.flock(lock, fcntl.LOCK_EX)
        threading.Timer(1.5, lock.close).start()  # by then a first new server has found the folder taken
        (tmp_path / "server.json").write_text(json.dumps({"endpoint": old, "port": door.port, "pid": os.getpid()}))
        refused = Server(None, old, TOKEN_OF_THE_TESTS, tmp_path)
        assert refused.ask("POST", "/api/rehearsal/clients", {"pid": os.getpid()})[0] == 503
        joined = start_or_join(tmp_path)
        assert joined.endpoint != old
        assert Server(None, joined.endpoint, joined.token, tmp_path).ask("GET", "/api/whoami-v2")[0] == 200
    os.kill(json.loads((tmp_path / "server.json").read_text())["pid"], signal.SIGTERM)


@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.45, 0.55, 0.7])
def test_a_client_that_comes_as_the_last_one_goes_gets_a_server_that_stays(tmp_path: Path, seconds: float) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start(tmp_path, "--parent-pid", str(parent.pid))
    parent.communicate()
    time.sleep(seconds)
    joined = start_or_join(tmp_path)
    time.sleep(1.2)  # longer than a server that ends takes to end
    assert Server(None, joined.endpoint, joined.token, tmp_path).ask("GET", "/api/whoami-v2")[0] == 200
    os.kill(json.loads((tmp_path / "server.json").read_text())["pid"], signal.SIGTERM)


def test_a_bad_port_folder_or_host_and_a_second_server_are_one_line_errors(server: Server, tmp_path: Path) -> None:
    port = server.endpoint.rsplit(":", 1)[1]
    for options, status, expected in (
        (["--data", str(tmp_path), "--port", port], 1, f"port {port} cannot be used"),
        (["--data", str(tmp_path), "--port", "99999"], 1, "port 99999 cannot be used"),
        (["--data", str(server.data / "token")], 1, "cannot use"),
        (["--data", str(tmp_path), "--host", "0.0.0.0"], 1, "listens on 127.0.0.1 only, not on 0.0.0.0"),
        (["--data", str(server.data)], TAKEN_STATUS, "another rehearsal Hub serves"),
    ):
        command = [sys.executable, "-m", "countdown_r1.rehearsal", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1), done.stderr
        assert done.stderr.startswith("error: "), done.stderr
        assert expected in done.stderr


def test_a_restart_takes_the_same_port_and_token(tmp_path: Path) -> None:
    first = start(tmp_path)
    stop(first)
    second = start(tmp_path)
    stop(second)
    assert (first.endpoint, first.token) == (second.endpoint, second.token)
    assert json.loads((tmp_path / "server.json").read_text())["endpoint"] == first.endpoint


def test_its_token_is_readable_by_its_owner_only(server: Server) -> None:
    assert (server.data / "token").stat().st_mode & 0o777 == 0o600
    assert len(server.token) > 40


def test_a_foreign_token_is_refused_even_for_a_page_and_noted_by_digest_only(server: Server) -> None:
    foreign = "hf_of_the_user"
    status, headers, _ = server.ask("GET", "/", token=foreign)
    assert (status, headers["x-error-message"]) == (401, "Invalid credentials in Authorization header")
    log = (server.data / "requests.jsonl").read_text()
    assert f"sha256:{hashlib.sha256(foreign.encode()).hexdigest()[:16]}" in log
    assert foreign not in log
    assert server.token not in log


def test_writing_without_a_token_is_401_with_a_reason(server: Server) -> None:
    repo = server.create("guarded")
    for method, path in (
        ("POST", "/api/repos/create"),
        ("DELETE", "/api/repos/delete"),
        ("PUT", f"/api/models/{repo}/settings"),
        ("POST", f"/api/models/{repo}/branch/x"),
        ("DELETE", f"/api/models/{repo}/tag/x"),
        ("POST", f"/api/models/{repo}/commit/main"),
        ("POST", f"/api/models/{repo}/preupload/main"),
        ("POST", f"/{repo}.git/info/lfs/objects/batch"),
        ("POST", "/api/collections"),
        ("POST", "/api/rehearsal/clients"),
    ):
        status, headers, _ = server.ask(method, path, {"name": "guarded"}, token=None)
        assert (status, "token" in headers["x-error-message"]) == (401, True), path
    assert server.ask("GET", f"/api/models/{repo}")[0] == 200


@pytest.mark.parametrize(
    "path",
    ["../up.txt", "a/../../up.txt", "/etc/passwd", "a//b", ".", "a/./b", ".git/config", "a\\b", "a\0b", "x" * 2000],
)
def test_a_commit_with_a_path_outside_the_repository_is_400(server: Server, path: str) -> None:
    status, answer = server.commit(server.create("paths", again=True), file_line(path, b"x"))
    assert (status, "not a path inside a repository" in answer["error"]) == (400, True)


@pytest.mark.parametrize(
    "name", ["../../evil", "a/b/c", ".hidden", "a..b", "a--b", "x.git", "", "a" * 200, "a\nb", "é"]
)
def test_a_repository_name_that_could_leave_the_folder_is_400(server: Server, name: str) -> None:
    assert server.ask("POST", "/api/repos/create", {"name": name})[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        "/rehearsal/guarded/resolve/main/../../../../token",
        "/rehearsal/guarded/resolve/main/%2e%2e%2f%2e%2e%2ftoken",
        "/rehearsal/guarded/blob/main/..%2f..%2ftoken",
        "/rehearsal/guarded/resolve/..%2f..%2ftoken/README.md",
        "/api/models/..%2f..%2f/token",
        "/api/models/%2e%2e/blobs",
        "/../token",
    ],
)
def test_no_address_reads_the_server_s_own_files(server: Server, path: str) -> None:
    status, _, body = server.ask("GET", path)
    assert status in (400, 404)
    assert server.token.encode() not in body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json\n",
        b"[1]\n",
        b'{"key": "file", "value": {}}\n',
        b'{"key": "header"}\n',
        b'{"key": "header", "value": {"summary": ""}}\n',
        b'{"key": "header", "value": {"summary": 5}}\n',
        b'{"key": "header", "value": {"summary": "' + b"x" * 5000 + b'"}}\n',
        b'{"key": "header", "value": {"summary": "a", "parentCommit": "main"}}\n',
        b'{"key": "header", "value": {"summary": "\\ud800"}}\n',
        b'{"key": "header", "value": {"summary": "a"}}\n{"key": "what", "value": {"path": "a"}}\n',
        b'{"key": "header", "value": {"summary": "a"}}\n{"key": "file", "value": {"path": "a", "content": "?", '
        b'"encoding": "base64"}}\n',
        b'{"key": "header", "value": {"summary": "a"}}\n{"key": "lfsFile", "value": {"path": "a", "oid": "'
        + b"0" * 64
        + b'"}}\n',
        b"[" * 100_000,
    ],
)
def test_a_malformed_commit_is_400_and_changes_nothing(server: Server, body: bytes) -> None:
    server.create("malformed", again=True)
    before = server.ask("GET", "/api/models/rehearsal/malformed/refs")[2]
    assert server.ask("POST", "/api/models/rehearsal/malformed/commit/main", body)[0] == 400
    assert server.ask("GET", "/api/models/rehearsal/malformed/refs")[2] == before


def test_a_file_cannot_be_where_a_folder_is(server: Server) -> None:
    repo = server.create("clash")
    assert server.commit(repo, file_line("a", b"1"), file_line("a/b", b"2"))[0] == 400
    assert server.commit(repo, file_line("a/b", b"2"))[0] == 200
    assert server.commit(repo, file_line("a", b"1"))[0] == 400


def test_an_oversized_header_is_400_and_the_server_lives(server: Server) -> None:
    connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=60)
    connection.request("GET", "/", headers={"X-Long": "x" * 200_000})
    assert connection.getresponse().status == 400
    connection.close()
    assert server.ask("GET", "/")[0] == 200


def test_a_page_that_renamed_itself_to_this_address_is_refused(server: Server) -> None:
    assert server.ask("GET", "/", token=None, Host="evil.example:80")[0] == 400
    assert server.ask("GET", "/api/models", token=None, Host="evil.example")[0] == 400


def test_an_lfs_upload_is_kept_only_with_the_announced_sha256_and_size(server: Server) -> None:
    repo, content = server.create("lfs"), b"weights" * 1000
    wanted = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
    batch = {"operation": "upload", "objects": [wanted]}
    address = f"/{repo}.git/info/lfs/objects/batch"
    answer = json.loads(server.ask("POST", address, batch)[2])["objects"][0]
    href = answer["actions"]["upload"]["href"].removeprefix(server.endpoint)
    for wrong in (content[:-1] + b"!", content[:-1], content + b"!"):
        assert server.ask("PUT", href, wrong, token=None)[0] == 400
    assert server.ask("PUT", href[:-4] + "0000", content, token=None)[0] == 403
    assert "actions" in json.loads(server.ask("POST", address, batch)[2])["objects"][0]
    assert not list((server.data / "tmp").iterdir())
    assert server.ask("PUT", href, content, token=None)[0] == 200
    assert "actions" not in json.loads(server.ask("POST", address, batch)[2])["objects"][0]
    assert server.commit(repo, {"key": "lfsFile", "value": {"path": "w.bin", **wanted}})[0] == 200
    assert server.ask("GET", f"/{repo}/resolve/main/w.bin")[2] == content


def test_lists_come_in_pages(server: Server) -> None:
    repo = server.create("many")
    assert server.commit(repo, *[file_line(f"{number:04}.txt", b"x") for number in range(1100)])[0] == 200
    status, headers, first = server.ask("GET", f"/api/models/{repo}/tree/main")
    assert (status, len(json.loads(first))) == (200, 1000)
    following = headers["link"].split(">")[0].removeprefix("<" + server.endpoint)
    _, headers, second = server.ask("GET", following)
    assert len(json.loads(first) + json.loads(second)) == 1101
    assert "link" not in headers


HOSTILE = """---
title: "<script>window.ran = 1</script>"
tags: ["<img src=x onerror=window.ran=1>"]
---
# Card <script>window.ran = 1</script>
<img src=x onerror="window.ran = 1">
[link](javascript:window.ran=1) [data](data:text/html,<script>window.ran=1</script>)
![here](figure.svg) ![elsewhere](https://tracker.example/pixel.png) ![slashes](//tracker.example/p.png)
[file](notes/a.txt) <svg onload="window.ran = 1"></svg>
"""


def hostile_repo(server: Server) -> str:
    if server.ask("GET", "/api/models/rehearsal/hostile")[0] == 404:
        server.create("hostile", private=True)
        script = b'<svg xmlns="http://www.w3.org/2000/svg"><script>document.title = "ran"</script></svg>'
        lines = [
            ("README.md", HOSTILE.encode()),
            ("figure.svg", script),
            ("page.html", b"<script>document.title=1</script>"),
        ]
        assert server.commit("rehearsal/hostile", *[file_line(*line) for line in lines])[0] == 200
    return "rehearsal/hostile"


def test_a_hostile_card_is_shown_as_text(server: Server) -> None:
    status, headers, body = server.ask("GET", f"/{hostile_repo(server)}", token=None)
    page = body.decode()
    assert status == 200
    for forbidden in ("<script", "<img src=x", "<svg", 'href="javascript:', 'src="https:', 'src="//'):
        assert forbidden not in page, forbidden
    assert "&lt;script&gt;" in page
    assert '<img src="/rehearsal/hostile/blob/main/figure.svg" alt="here"' in page
    assert 'href="/rehearsal/hostile/blob/main/notes/a.txt"' in page
    assert "script-src" not in headers["content-security-policy"]
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")


def test_a_file_of_a_repository_is_never_a_page_of_its_own(server: Server) -> None:
    repo = hostile_repo(server)
    for name, kind in (("page.html", "text/plain; charset=utf-8"), ("figure.svg", "image/svg+xml")):
        _, headers, _ = server.ask("GET", f"/{repo}/blob/main/{name}", token=None)
        assert headers["content-type"] == kind
        assert "sandbox" in headers["content-security-policy"]
    _, headers, _ = server.ask("GET", f"/{repo}/resolve/main/page.html")
    assert headers["content-type"] == "application/octet-stream"


def test_a_browser_runs_nothing_and_asks_no_other_host(server: Server) -> None:
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(color_scheme="dark")
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{server.endpoint}/{hostile_repo(server)}", wait_until="networkidle")
        assert page.evaluate("window.ran") is None
        assert "what would be public" in page.inner_text(".banner")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 28)"
        page.set_viewport_size({"width": 360, "height": 640})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.goto(f"{server.endpoint}/rehearsal/hostile/blob/main/figure.svg")
        assert page.title() != "ran"
        browser.close()
    assert {url.split("/")[2] for url in asked} == {server.endpoint.removeprefix("http://")}


def test_the_pages_show_badges_branches_files_and_commits_without_a_token(server: Server) -> None:
    repo = server.create("shown", "dataset", private=True)
    card = b"---\npretty_name: Puzzles <1>\nlanguage: [en, zh]\n---\n# Head\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    header = {"key": "header", "value": {"summary": "First & only"}}
    body = "\n".join(
        json.dumps(line) for line in (header, file_line("README.md", card), file_line("d/ü 1.txt", b"x" * 1234))
    )
    assert server.ask("POST", f"/api/datasets/{repo}/commit/main", body.encode())[0] == 200
    for name in ("step-10", "step-9", "runs%2Fa"):
        assert server.ask("POST", f"/api/datasets/{repo}/branch/{name}", {})[0] == 201
    assert server.ask("POST", f"/api/datasets/{repo}/tag/main", {"tag": "v1.0"})[0] == 201
    index = server.ask("GET", "/", token=None)[2].decode()
    assert "this is what would be public" in index
    assert "Nothing here has left this computer." in index
    assert f'href="/datasets/{repo}"' in index
    assert "Puzzles &lt;1&gt;" in index
    for path in (f"/datasets/{repo}", f"/datasets/{repo}/tree/runs%2Fa", f"/datasets/{repo}/tree/v1.0"):
        page = server.ask("GET", path, token=None)[2].decode()
        for shown in ("private", "<h1>Head</h1>", "<td>en, zh</td>", "1.2 kB", "First &amp; only", "<td>1</td>"):
            assert shown in page, (path, shown)
        assert page.index(">main</a>") < page.index(">step-9</a>") < page.index(">step-10</a>")
    link = f"/datasets/{repo}/blob/main/d/%C3%BC%201.txt"
    assert link in server.ask("GET", f"/datasets/{repo}", token=None)[2].decode()
    assert server.ask("GET", link, token=None)[2] == b"x" * 1234
    status, _, missing = server.ask("GET", "/datasets/rehearsal/nothing", token=None, Accept="text/html")
    assert (status, b"<h1>Not here</h1>" in missing) == (404, True)


def test_a_collection_is_a_page_that_the_start_page_leads_to(server: Server) -> None:
    about = b"---\npretty_name: gathered-data\n---\n"
    named = server.create("gathered-data", "dataset"), server.create("gathered-gone", "model")
    header = {"key": "header", "value": {"summary": "Card"}}
    body = "\n".join(json.dumps(line) for line in (header, file_line("README.md", about)))
    assert server.ask("POST", f"/api/datasets/{named[0]}/commit/main", body.encode())[0] == 200
    made = server.ask(
        "POST", "/api/collections", {"title": "Mine & <yours>", "namespace": "rehearsal", "private": True}
    )
    slug = json.loads(made[2])["slug"]
    for kind, repo in zip(("dataset", "model"), named, strict=True):
        item = {"item": {"id": repo, "type": kind}, "note": "the <b>rows</b>" if kind == "dataset" else None}
        assert server.ask("POST", f"/api/collections/{slug}/items", item)[0] == 200
    assert server.ask("DELETE", "/api/repos/delete", {"name": "gathered-gone", "organization": "rehearsal"})[0] == 200
    index = server.ask("GET", "/", token=None)[2].decode()
    assert f'href="/collections/{slug}">Mine &amp; &lt;yours&gt;</a>' in index
    assert "<p>gathered-data</p>" not in index  # the id says it already
    status, headers, body = server.ask("GET", f"/collections/{slug}", token=None)
    page = body.decode()
    assert status == 200 and headers["content-security-policy"].startswith("default-src 'none'")
    assert f'href="/datasets/{named[0]}"' in page and "the &lt;b&gt;rows&lt;/b&gt;" in page
    assert 'badge private">private' in page and "gathered-gone" not in page
    assert server.ask("GET", "/collections/rehearsal/none", token=None, Accept="text/html")[0] == 404


def test_cards_are_validated_as_the_hub_does_before_an_upload() -> None:
    assert validate_card("---\nlicense: mit\n---\n", "model") == ([], [])
    assert validate_card("# No metadata", "model") == ([], ["empty or missing yaml metadata in repo card"])
    assert validate_card("---\ntags: [a\n---\n", "model")[0]
    assert validate_card("---\n- a\n---\n", "dataset")[0] == ["YAML metadata is not a mapping of keys to values"]
    assert validate_card("---\ntags: a\n---\n", "dataset")[0] == ['"tags" must be a list of texts']
    space = "---\nsdk: gradio\nsdk_version: {}\ncolorFrom: {}\n---\n"
    assert validate_card(space.format("6.31.0", "red"), "space") == ([], [])
    assert len(validate_card(space.format("'6.31'", "crimson"), "space")[0]) == 2


def test_yaml_bombs_and_odd_values_in_a_card_stay_small() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    )
    assert card_data(f"---\n{bomb}---\n") == {}
    assert card_data("---\n" + "[" * 400 + "\n---\n") == {}
    assert card_data("---\nn: .nan\nd: 2026-01-01\n1: [{a: !!set {b}}]\n---\n") == {
        "n": "nan",
        "d": "2026-01-01",
        "1": [{"a": ["b"]}],
    }
    assert "http://[" not in rendered("[x](http://[)", "/a/blob/main/")
