"""hub.py against real servers: who gets which token, what a push does, and what an error says."""

import json
import os
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from countdown_r1.hub import Hub, web_url

USER_TOKEN = "hf_theUsersOwnTokenThatMustNotTravel"
PRELUDE = """
import json, os, sys, socket
from pathlib import Path
_real = socket.getaddrinfo
def _guarded(host, *rest, **options):
    if host not in (None, "127.0.0.1", "localhost", b"127.0.0.1", "192.0.2.1"):
        print("left loopback for", host, flush=True)
        os._exit(99)  # libraries swallow exceptions here
    return _real(host, *rest, **options)
socket.getaddrinfo = _guarded
from countdown_r1.errors import HubError
from countdown_r1.hub import *
from countdown_r1.hub_push import *
from countdown_r1.hub_verify import *
from countdown_r1.hub import user_name, set_private, load_dataset
data, work = Path("hub"), Path("work")
def write(**files):
    for name, text in files.items():
        path = work / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
def says(call):
    try:
        call()
    except HubError as error:
        return str(error)
    return "no error"
"""


def environment(tmp_path: Path, **extra: str) -> dict[str, str]:
    """The user's environment as a careless one: a token in a variable, one in a file, a proxy for everything."""
    home = tmp_path / "home"
    (home / ".cache" / "huggingface").mkdir(parents=True, exist_ok=True)
    (home / ".cache" / "huggingface" / "token").write_text(USER_TOKEN)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    settings = {"HOME": str(home), "HF_TOKEN": USER_TOKEN, "HUGGING_FACE_HUB_TOKEN": USER_TOKEN}
    settings |= {
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    return kept | settings | extra


def python(tmp_path: Path, script: str, **extra: str) -> list[str]:
    """Run a script in a process of its own, in ``tmp_path``; returns the lines it prints."""
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(script)]
    settings = environment(tmp_path, **extra)
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def answers(endpoint: str) -> bool:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(endpoint, timeout=5).close()
    except urllib.error.URLError:
        return False
    return True


def is_gone(endpoint: str) -> bool:
    """Whether the server at ``endpoint`` ends within a minute."""
    deadline = time.monotonic() + 60
    while answers(endpoint) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not answers(endpoint)


def test_a_push_is_an_exact_mirror_and_an_equal_folder_makes_no_commit(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        hub = connect("rehearsal", data=data)
        print(hub.rehearsal, user_name(hub), hub.token in repr(hub))
        print(ensure_repo(hub, "rehearsal/m", "model") == web_url(hub, "rehearsal/m", "model"))
        write(README_md="# M", a__one_txt="1", a__two_txt="2", empty_txt="")
        (work / "weights.safetensors").write_bytes(bytes(range(256)) * 100)
        first = push_folder(hub, "rehearsal/m", "model", work, message="First")
        print(push_folder(hub, "rehearsal/m", "model", work, message="Again") == first)
        checked = verify_folder(hub, "rehearsal/m", "model", work, revision=first)
        print(sorted(checked), {len(digest) for digest in checked.values()})
        (work / "a" / "two.txt").unlink()
        write(a__one_txt="one")
        second = push_folder(hub, "rehearsal/m", "model", work, message="Second")
        verify_folder(hub, "rehearsal/m", "model", work, revision="main")
        step = push_folder(hub, "rehearsal/m", "model", work / "a", revision="step-50", message="Step")
        verify_folder(hub, "rehearsal/m", "model", work / "a", revision="step-50")
        print([commit.title for commit in hub.api.list_repo_commits("rehearsal/m")])
        print(hub.api.list_repo_files("rehearsal/m", revision="step-50"))
        print(second != first, step != second, hub.api.model_info("rehearsal/m").private)
        """,
    )
    assert printed == [
        "True rehearsal False",
        "True",
        "True",
        "['README.md', 'a/one.txt', 'a/two.txt', 'empty.txt', 'weights.safetensors'] {64}",
        "['Second', 'First', 'initial commit']",
        "['.gitattributes', 'one.txt']",
        "True True True",
    ]


def test_reading_back_names_the_first_file_that_differs(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        hub = connect("rehearsal", data=data)
        ensure_repo(hub, "rehearsal/m", "model")
        write(a_txt="a", b_txt="b", c_txt="c")
        push_folder(hub, "rehearsal/m", "model", work, message="All")
        check = lambda: verify_folder(hub, "rehearsal/m", "model", work, revision="main")
        write(b_txt="B")
        print(says(check))
        write(b_txt="b", d_txt="d")
        print(says(check))
        (work / "d.txt").unlink()
        (work / "a.txt").unlink()
        print(says(check))
        write(a_txt="a")
        blob = data / "blobs" / verify_folder(hub, "rehearsal/m", "model", work, revision="main")["c.txt"][:2]
        next(blob.iterdir()).write_text("C")
        print(says(check))
        """,
    )
    states = ("b.txt differs", "d.txt is missing", "a.txt should not be there", "c.txt differs")
    fix = "; publish again, which sends only what differs"
    assert printed == [f"rehearsal/m at main: {state}{fix}" for state in states]


def test_the_user_s_token_never_travels_and_children_inherit_that(tmp_path: Path) -> None:
    child = "from huggingface_hub import HfApi, get_token; print(HfApi().whoami()['name'], get_token() == {!r})"
    printed = python(
        tmp_path,
        f"""
        hub = connect("rehearsal", data=data)
        ensure_repo(hub, "rehearsal/d", "dataset")
        write(README_md="# D")
        push_folder(hub, "rehearsal/d", "dataset", work, message="D")
        import subprocess, huggingface_hub
        print([name for name, value in os.environ.items() if {USER_TOKEN!r} in value])
        print(huggingface_hub.get_token() == hub.token, Path(os.environ["HF_HOME"]).is_relative_to(data.resolve()))
        command = [sys.executable, "-c", {child!r}.format(hub.token)]
        print(subprocess.run(command, capture_output=True, text=True).stdout)
        again = connect(None, data=Path("elsewhere"))
        print(again == hub, connect(hub.endpoint, data=data) == hub)
        """,
    )
    assert printed == ["[]", "True True", "rehearsal True", "", "True True"]
    log = [json.loads(line) for line in (tmp_path / "hub" / "requests.jsonl").read_text().splitlines()]
    assert {line["token"] for line in log} <= {"rehearsal", "none"}
    assert sum(line["token"] == "rehearsal" for line in log) > 10
    for path in (path for path in tmp_path.rglob("*") if path.is_file() and "home" not in path.parts):
        assert USER_TOKEN.encode() not in path.read_bytes(), path
    assert not list((tmp_path / "hub" / "clients").iterdir())


def test_a_url_on_loopback_gets_its_own_token_or_none(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        hub = connect("rehearsal", data=data)
        for name in ("COUNTDOWN_R1_HUB_TOKEN", "HF_TOKEN", "HF_HOME", "HF_ENDPOINT"):
            os.environ.pop(name, None)
        os.environ["HF_TOKEN"] = "hf_user"
        port = hub.endpoint.rsplit(":", 1)[1]
        print(says(lambda: connect(hub.endpoint, data=Path("elsewhere"))))
        os.environ["COUNTDOWN_R1_HUB_TOKEN"] = "hf_wrong"
        import subprocess
        lines = ["import sys", "from countdown_r1.hub import *", "try: connect(sys.argv[1])"]
        lines.append("except HubError as error: print(error)")
        for address in (hub.endpoint, f"http://127.1:{port}", f"http://0.0.0.0:{port}"):
            command = [sys.executable, "-c", "\\n".join(lines), address]
            print(subprocess.run(command, capture_output=True, text=True).stdout, end="")
        """,
    )
    assert "no token for http://127.0.0.1" in printed[0]
    assert "set COUNTDOWN_R1_HUB_TOKEN" in printed[0]
    assert "refused the token" in printed[1]
    assert "set COUNTDOWN_R1_HUB_TOKEN" in printed[1]
    assert len(printed) == 4
    log = (tmp_path / "hub" / "requests.jsonl").read_text()
    whose = {json.loads(line)["token"] for line in log.splitlines()}
    assert len([name for name in whose if name.startswith("sha256")]) == 1  # hf_wrong, never hf_user


def test_every_failure_is_one_line_with_the_fix(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        os.environ["HF_ENDPOINT"] = "ftp://x"
        print(says(lambda: connect(None)))
        print(says(lambda: connect("http://192.0.2.1")))
        print(says(lambda: connect("rehersal")))
        del os.environ["HF_ENDPOINT"]
        Path("file").write_text("")
        print(says(lambda: connect("rehearsal", data=Path("file"))))
        hub = connect("rehearsal", data=data)
        write(README_md="---\\ntags: [a\\n---\\n", sub__x_txt="x")
        push = lambda repo, folder=work: push_folder(hub, repo, "model", folder, message="M")
        print(says(lambda: push("rehearsal/missing")))
        ensure_repo(hub, "rehearsal/m", "model")
        print(says(lambda: push("rehearsal/m")))
        print(says(lambda: push("rehearsal/m", Path("nowhere"))))
        write(sub___gitignore="x")
        print(says(lambda: push("rehearsal/m", work / "sub")))
        print(says(lambda: ensure_repo(hub, "rehearsal/m", "table")))
        print(says(lambda: ensure_repo(hub, "rehearsal/../m", "model")))
        set_private(hub, "rehearsal/m", "model", False)
        print(says(lambda: ensure_repo(hub, "rehearsal/m", "model")))
        print(says(lambda: connect("http://127.0.0.1:1", data=data)))
        """,
    )
    expected = [
        "'ftp://x' is not a Hub",
        "is not encrypted",
        "'rehersal' is not a Hub: use 'hub', 'rehearsal', or a URL",
        "the rehearsal Hub cannot use file",
        "no such repository",
        "YAML metadata is not valid",
        "nowhere is not a folder",
        "holds a .gitignore",
        "'table' is not a repository type",
        "creating rehearsal/../m: ",
        "exists and is public",
        "this process is bound to http://127.0.0.1:",
    ]
    assert len(printed) == len(expected), printed
    for line, words in zip(printed, expected, strict=True):
        assert words in line


def test_a_late_connect_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        import huggingface_hub.constants
        print(says(lambda: connect("rehearsal", data=data)))
        """,
    )
    assert len(printed) == 1
    assert "this process is bound to https://huggingface.co already" in printed[0]


def test_a_missing_and_an_unreachable_hub_say_so(tmp_path: Path) -> None:
    (tmp_path / "home" / ".cache" / "huggingface").mkdir(parents=True)
    script = """
        import countdown_r1.hub_errors
        countdown_r1.hub_errors._FIRST_WAIT_SECONDS = 0.01
        (Path.home() / ".cache" / "huggingface" / "token").unlink()
        print(says(lambda: connect({!r})))
        """
    gone = python(tmp_path, script.format("http://127.0.0.1:1"), COUNTDOWN_R1_HUB_TOKEN="hf_x")
    assert gone[0].startswith("checking the token: cannot reach http://127.0.0.1:1 (")
    nobody = python(tmp_path, script.format("hub"), HF_TOKEN="", HUGGING_FACE_HUB_TOKEN="")
    assert nobody == ["no token for https://huggingface.co: run `hf auth login`, or set HF_TOKEN"]


def test_a_busy_hub_conflicts_and_a_lost_answer_are_ridden_out_without_a_second_commit(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        import threading, uvicorn
        from countdown_r1 import hub_errors
        from countdown_r1.rehearsal.server import Door, make_app
        from countdown_r1.rehearsal.store import Store
        hub_errors._FIRST_WAIT_SECONDS = 0.01
        troubles, met = ["lost", 503, 429, 409, 412], []
        data.mkdir()
        door = Door(make_app(Store(data), "hf_t"), "hf_t", 0)

        async def lose(scope, receive):  # the commit happens, the connection breaks in the answer
            async def swallow(message):
                pass
            await door(scope, receive, swallow)

        async def flaky(scope, receive, send):
            if scope["type"] != "http" or "/commit/" not in scope["path"] or not troubles:
                return await door(scope, receive, send)
            met.append(trouble := troubles.pop(0))
            headers = [(b"content-length", b"100"), (b"retry-after", b"0")]
            if trouble == "lost":
                await lose(scope, receive)
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                return await send({"type": "http.response.body", "body": b"{"})
            await send({"type": "http.response.start", "status": trouble, "headers": headers[1:]})
            await send({"type": "http.response.body", "body": b"busy"})

        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        door.port = listener.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(flaky, log_level="critical", lifespan="off", http="h11"))
        threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
        hub = connect(f"http://127.0.0.1:{door.port}", data=data)
        ensure_repo(hub, "rehearsal/m", "model")
        write(a_txt="1")
        first = push_folder(hub, "rehearsal/m", "model", work, message="One")
        print(met, first == hub.api.model_info("rehearsal/m").sha)
        write(a_txt="2", b_bin="two")
        push_folder(hub, "rehearsal/m", "model", work, message="Two")
        verify_folder(hub, "rehearsal/m", "model", work, revision="main")
        print(met, [commit.title for commit in hub.api.list_repo_commits("rehearsal/m")])
        troubles += [500] * 20
        write(a_txt="3")
        print(says(lambda: push_folder(hub, "rehearsal/m", "model", work, message="Three")), len(troubles))
        """,
        COUNTDOWN_R1_HUB_TOKEN="hf_t",
    )
    assert printed[:2] == ["['lost'] True", "['lost', 503, 429, 409, 412] ['Two', 'One', 'initial commit']"]
    assert "answered 500" in printed[2]
    assert printed[2].endswith("run the command again: what arrived is not sent twice 8")


def test_two_writers_at_once_both_succeed_and_never_mix(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        from concurrent.futures import ThreadPoolExecutor
        hub = connect("rehearsal", data=data)
        ensure_repo(hub, "rehearsal/m", "model")
        for writer in "ab":
            for number in range(5):
                write(**{f"{writer}__{writer}{number}_txt": writer})
        def push(writer):
            return [push_folder(hub, "rehearsal/m", "model", work / writer, message=writer) for _ in range(3)]
        with ThreadPoolExecutor() as pool:
            made = [oid for oids in pool.map(push, "ab") for oid in oids]
        for oid in made:
            files = hub.api.list_repo_files("rehearsal/m", revision=oid)
            print({name[0] for name in files if name != ".gitattributes"} in ({"a"}, {"b"}), len(files))
        """,
    )
    assert printed == ["True 6"] * 6


def test_load_dataset_reads_a_pushed_folder_and_stays_on_loopback(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        hub = connect("rehearsal", data=data)
        ensure_repo(hub, "rehearsal/d", "dataset")
        import datasets
        (work / "en").mkdir(parents=True)
        rows = datasets.Dataset.from_dict({"nums": [[55, 36, 7, 19]], "target": [65]})
        rows.to_parquet(work / "en" / "test-00000-of-00001.parquet")
        front = "configs:\\n- config_name: en\\n  data_files:\\n  - split: test\\n    path: en/test-*\\n"
        write(README_md=f"---\\n{front}---\\n")
        sha = push_folder(hub, "rehearsal/d", "dataset", work, message="Data")
        for revision in (sha, "main"):  # datasets looks a public host up for a branch main only
            print(load_dataset(hub, "rehearsal/d", "en", split="test", revision=revision)[0])
        print(says(lambda: load_dataset(hub, "rehearsal/d", "fr", split="test", revision=sha)))
        """,
        HTTP_PROXY="",  # a proxy would look public names up in its place, unseen by the guard
        http_proxy="",
    )
    assert printed[:2] == ["{'nums': [55, 36, 7, 19], 'target': 65}"] * 2
    assert "loading rehearsal/d: " in printed[2]
    assert "fr" in printed[2]


def test_the_server_ends_with_the_last_process_that_uses_it(tmp_path: Path) -> None:
    script = PRELUDE + textwrap.dedent(
        """
        hub = connect("rehearsal", data=data)
        print(hub.endpoint, flush=True)
        input()
        print(user_name(hub), flush=True)
        """
    )

    def client() -> subprocess.Popen[str]:
        command, settings = [sys.executable, "-c", script], environment(tmp_path)
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=tmp_path, env=settings, stdin=pipe, stdout=pipe, text=True)

    first, second = client(), client()  # at once: only one of them starts the server
    assert first.stdout is not None
    assert second.stdout is not None
    endpoint = first.stdout.readline().strip()
    assert second.stdout.readline().strip() == endpoint
    first.kill()
    first.communicate()
    time.sleep(1.5)
    assert answers(endpoint)
    assert second.communicate("\n")[0] == "rehearsal\n"
    assert is_gone(endpoint)


@pytest.mark.parametrize(
    ("repo_type", "revision", "expected"),
    [
        ("model", None, "https://hub.example/ns/name"),
        ("dataset", "v1.0", "https://hub.example/datasets/ns/name/tree/v1.0"),
        ("space", "runs/a", "https://hub.example/spaces/ns/name/tree/runs%2Fa"),
    ],
)
def test_a_page_s_address_follows_type_and_revision(repo_type: str, revision: str | None, expected: str) -> None:
    assert web_url(Hub("https://hub.example", None, False), "ns/name", repo_type, revision) == expected
