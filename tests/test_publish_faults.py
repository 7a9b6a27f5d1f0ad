"""A Hub that fails on purpose: each kind of fault, uploads through Xet, and publications that are killed on the way.

`make stress` runs ``benchmarks/publish_stress.py`` with 200 publications of each kind; here is one of each.
"""

import json
import os
import runpy
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from countdown_r1.errors import InputError
from countdown_r1.rehearsal.faults import KINDS, _pick, parse_faults

ROOT = Path(__file__).resolve().parent.parent
PRELUDE = """
import http.client, json, os, signal, subprocess, sys, time
from pathlib import Path
def serve(data, *more):
    command = [sys.executable, "-m", "countdown_r1.rehearsal", "--data", str(data), "--parent-pid", str(os.getpid())]
    process = subprocess.Popen([*command, *more], stdout=subprocess.PIPE, text=True)
    return process.stdout.readline().strip()
def met(data):
    lines = [json.loads(line) for line in (data / "requests.jsonl").read_text().splitlines()]
    return [line for line in lines if "fault" in line]
from countdown_r1.hub import *
from countdown_r1.hub_push import *
from countdown_r1.hub_verify import *
from countdown_r1 import hub_errors
from countdown_r1.errors import HubError
def says(call):
    try:
        call()
    except HubError as error:
        return str(error)
    return "no error"
data, work = Path("hub"), Path("work")
work.mkdir()
(work / "README.md").write_text("# M")
(work / "weights.safetensors").write_bytes(bytes(range(256)) * 4000)
"""


def python(tmp_path: Path, script: str, **extra: str) -> list[str]:
    """Run a script in a process of its own, in ``tmp_path``; returns the lines it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    settings = kept | {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_TOKEN": "hf_theUsersOwn"} | extra
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(script)]
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_pushes_ride_out_a_hub_that_fails_one_request_in_four_without_a_second_commit(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        endpoint = serve(data, "--faults", "0.25", "--fault-seed", "3")
        hub = connect(endpoint, data=data)
        hub_errors._FIRST_WAIT_SECONDS = 0.01
        ensure_repo(hub, "rehearsal/m", "model")
        for number in range(3):
            (work / "more.txt").write_text(str(number))
            commit = push_folder(hub, "rehearsal/m", "model", work, message=f"Push {number}")
            verify_folder(hub, "rehearsal/m", "model", work, revision=commit)
        print([one.title for one in hub_errors.retried(lambda: hub.api.list_repo_commits("rehearsal/m"))])
        print(len(met(data)) > 5, len({line["fault"] for line in met(data)}) > 3)
        """,
    )
    assert printed == ["['Push 2', 'Push 1', 'Push 0', 'initial commit']", "True True"]


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("429", ["429 1", "429 1", "False"]),
        ("503", ["503", "503", "False"]),
        ("412", ["200", "412", "False"]),
        ("slow", ["200 slow", "200 slow", "True"]),
        ("cut", ["ConnectionResetError", "ConnectionResetError", "False"]),
        ("truncated", ["IncompleteRead", "200", "True"]),
        ("lost", ["200", "ConnectionResetError", "True"]),
    ],
)
def test_each_kind_of_fault_does_what_its_name_says(tmp_path: Path, kind: str, seen: list[str]) -> None:
    printed = python(
        tmp_path,
        f"""
        from countdown_r1.rehearsal.store import Change, Store
        store = Store(data)
        repo = store.create("models", "rehearsal/m", private=False, sdk=None, space={{}})
        endpoint = serve(data, "--faults", "{kind}=0.99999")
        token = (data / "token").read_text()
        def ask(method, path, body=None):
            connection, began = http.client.HTTPConnection(endpoint.removeprefix("http://")), time.monotonic()
            try:
                connection.request(method, path, body, {{"Authorization": "Bearer " + token}})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                return type(error).__name__.replace("RemoteDisconnected", "ConnectionResetError")
            asked = answer.getheader("Retry-After") or ("t=1" in answer.getheader("RateLimit", "") and "1") or ""
            slow = "slow" if time.monotonic() - began > 0.5 else ""
            return " ".join(filter(None, [str(answer.status), asked, slow]))
        print(ask("GET", "/api/models/rehearsal/m"))
        header = {{"key": "header", "value": {{"summary": "Two"}}}}
        file = {{"key": "file", "value": {{"path": "a.txt", "content": "1", "encoding": "utf-8"}}}}
        body = json.dumps(header) + "\\n" + json.dumps(file)
        print(ask("POST", "/api/models/rehearsal/m/commit/main", body))
        time.sleep(0.1)
        print("a.txt" in store.resolve(store.repo("models", "rehearsal/m"), "main").tree)
        """,
    )
    assert printed == seen


def test_faults_are_drawn_by_seed_and_about_as_often_as_asked_for() -> None:
    rates = parse_faults("0.2").rates
    draws = [_pick(rates, "GET", "/a", at / 10_000) for at in range(10_000)]
    hit = [kind for kind in draws if kind]
    assert len(hit) == 2_000 and set(hit) == set(KINDS) - {"412", "lost"}
    commits = {_pick(rates, "POST", "/api/models/a/b/commit/main", at / 10_000) for at in range(2_000)}
    assert commits == set(KINDS) - {"truncated"}


@pytest.mark.parametrize("text", ["", "1", "-0.1", "often", "429", "418=0.1", "429=0.6,500=0.6", "429=x"])
def test_faults_that_mean_nothing_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match="are no faults: use a share below 1"):
        parse_faults(text)


def test_uploads_and_downloads_go_through_xet_where_the_hub_says_so(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        serve(data, "--xet")
        hub = connect("rehearsal", data=data)
        ensure_repo(hub, "rehearsal/m", "model")
        commit = push_folder(hub, "rehearsal/m", "model", work, message="Through Xet")
        checked = verify_folder(hub, "rehearsal/m", "model", work, revision=commit)
        print(push_folder(hub, "rehearsal/m", "model", work, message="Again") == commit)
        from huggingface_hub import hf_hub_download, get_hf_file_metadata, hf_hub_url
        path = hf_hub_download("rehearsal/m", "weights.safetensors")
        print(Path(path).read_bytes() == (work / "weights.safetensors").read_bytes())
        metadata = get_hf_file_metadata(hf_hub_url("rehearsal/m", "weights.safetensors"), token=hub.token)
        print(metadata.xet_file_data is not None, metadata.etag == checked["weights.safetensors"])
        asked = [json.loads(line) for line in (data / "requests.jsonl").read_text().splitlines()]
        print(sorted({line["path"].split("/")[5] for line in asked if "/xet-" in line["path"]}))
        print([line["path"] for line in asked if line["method"] == "PUT"])
        """,
    )
    assert printed == ["True", "True", "True True", "['xet-read-token', 'xet-write-token']", "[]"]


def test_reads_come_from_a_mirror_without_any_token_and_writes_go_to_the_hub(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        mirror = serve(Path("mirror"))
        serve(data)
        other = "from countdown_r1.hub import *; from countdown_r1.hub_push import *; from pathlib import Path;"
        other += "hub = connect('rehearsal', data=Path('mirror')); ensure_repo(hub, 'rehearsal/base', 'model');"
        other += "push_folder(hub, 'rehearsal/base', 'model', Path('work'), message='Base');"
        other += "hub.api.update_repo_settings('rehearsal/base', private=False)"
        (work / "README.md").write_text("---\\nlicense: mit\\n---\\n# Base")
        subprocess.run([sys.executable, "-c", other], check=True)
        hub = connect("rehearsal", data=data, mirror=mirror)
        ensure_repo(hub, "rehearsal/m", "model")
        push_folder(hub, "rehearsal/m", "model", work, message="M")
        from huggingface_hub import hf_hub_download
        print(Path(hf_hub_download("rehearsal/base", "README.md")).read_text().splitlines()[-1])
        from countdown_r1.publish.licences import licence_of
        print(licence_of(hub, "rehearsal/base"), licence_of(hub, "rehearsal/m"))
        print([name for name in os.environ if name != "COUNTDOWN_R1_HUB_TOKEN" and os.environ[name] == hub.token])
        child = "from huggingface_hub import get_token, constants; print(get_token(), constants.ENDPOINT)"
        print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout.split()[0])
        """,
    )
    assert printed == ["# Base", "Licence(id='mit', name=None, link=None) None", "[]", "None"]
    requests = [json.loads(line) for line in (tmp_path / "mirror" / "requests.jsonl").read_text().splitlines()]
    reads = [line for line in requests if line["token"] == "none" and not line["path"].startswith("/-/lfs/")]
    assert len(reads) >= 3 and {line["method"] for line in reads} <= {"GET", "HEAD"}
    assert {line["token"] for line in requests} == {"none", "rehearsal"}, "the mirror's owner alone sent it a token"


REFUSING = """
import threading, socket, uvicorn
from email.utils import formatdate
from countdown_r1.rehearsal.server import Door, make_app
from countdown_r1.rehearsal.store import Store
data.mkdir()
door, asked = Door(make_app(Store(data), "hf_t"), "hf_t", 0), []
async def refusing(scope, receive, send):
    answer = scope["type"] == "http" and answers(scope["method"], scope["path"])
    if not answer:
        return await door(scope, receive, send)
    asked.append(time.monotonic())
    status, headers = answer
    headers = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.bind(("127.0.0.1", 0))
door.port = listener.getsockname()[1]
server = uvicorn.Server(uvicorn.Config(refusing, log_level="critical", lifespan="off", http="h11"))
threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
hub = connect(f"http://127.0.0.1:{door.port}", data=data)
"""


def refused(tmp_path: Path, answers: str, script: str) -> list[str]:
    """Run a script against a rehearsal Hub that first asks ``answers(method, path)`` for a status and headers."""
    text = f"answers = lambda method, path: {answers}\n{REFUSING}\n{textwrap.dedent(script)}"
    return python(tmp_path, text, COUNTDOWN_R1_HUB_TOKEN="hf_t")


def test_the_hub_is_given_the_time_it_asks_for_in_each_form_it_may_ask(tmp_path: Path) -> None:
    printed = refused(
        tmp_path,
        "(waits.pop(0)()) if path == '/api/repos/create' and waits else None",
        """
        hub_errors._FIRST_WAIT_SECONDS = 0.001  # what is waited is what was asked for
        forms = {
            "seconds": lambda: (429, {"Retry-After": "1"}),
            "date": lambda: (503, {"Retry-After": formatdate(time.time() + 2, usegmt=True)}),
            "rate limit": lambda: (429, {"RateLimit": '"api";r=0;t=1', "RateLimit-Policy": '"api";q=500;w=300'}),
            "nonsense": lambda: (503, {"Retry-After": "soon", "RateLimit": "?"}),
        }
        for name, form in forms.items():
            waits = [form]
            asked.clear()
            ensure_repo(hub, f"rehearsal/{name.replace(' ', '-')}", "model")
            waited = time.monotonic() - asked[0]
            print(name, len(asked), waited > 0.9, waited < 4)
        print(hub_errors._wait_seconds(RuntimeError(), 1) < 1)
        """,
    )
    assert printed == [
        "seconds 1 True True",
        "date 1 True True",
        "rate limit 1 True True",
        "nonsense 1 False True",
        "True",
    ]


def test_many_files_go_in_few_commits_the_card_last_and_a_lost_answer_repeats_none(tmp_path: Path) -> None:
    printed = refused(
        tmp_path,
        "None",
        """
        import countdown_r1.hub_push as push
        push.MAX_COMMIT_FILES, push.MAX_COMMIT_TEXT_BYTES, hub_errors._FIRST_WAIT_SECONDS = 10, 5_000, 0.01
        for number in range(35):
            (work / f"{number:02}.txt").write_text(f"{number}" * 10)
        for number in range(3):
            (work / f"long-{number}.txt").write_text("x" * 3_000)
        door_itself, troubles = door, iter(["", "lost", "", "412", "lost", ""])
        async def door(scope, receive, send):
            trouble = next(troubles, "") if "/commit/" in scope.get("path", "") else ""
            if trouble == "412":
                await send({"type": "http.response.start", "status": 412, "headers": [(b"content-length", b"0")]})
                return await send({"type": "http.response.body", "body": b""})
            async def lose(message):
                pass
            await door_itself(scope, receive, lose if trouble else send)
        ensure_repo(hub, "rehearsal/m", "model")
        commit = push_folder(hub, "rehearsal/m", "model", work, message="All")
        print(len(verify_folder(hub, "rehearsal/m", "model", work, revision=commit)))
        oids = [one.commit_id for one in hub.api.list_repo_commits("rehearsal/m")]
        trees = [set(hub.api.list_repo_files("rehearsal/m", revision=oid)) for oid in oids]
        print([len(after - before) for after, before in zip(trees, trees[1:])][::-1])
        print(["README.md" in tree for tree in trees][::-1])
        """,
    )
    assert printed == ["40", "[10, 10, 10, 6, 1, 1, 1, 1]", str([False] * 8 + [True])]


@pytest.mark.parametrize(
    ("status", "message", "words"),
    [
        (402, "Payment required", "needs a paid plan (Gradio Spaces do, static ones do not): publish with --no-space"),
        (403, "You don't have the rights to create a model under the namespace", "an organisation in which you have"),
        (401, "Invalid credentials in Authorization header", "refused the token"),
    ],
)
def test_a_hub_that_refuses_is_explained_with_the_fix_and_not_asked_again(
    tmp_path: Path, status: int, message: str, words: str
) -> None:
    printed = refused(
        tmp_path,
        f"({status}, {{'X-Error-Message': {message!r}}}) if path == '/api/repos/create' else None",
        """
        print(says(lambda: ensure_repo(hub, "org/m", "space", space_sdk="gradio")), len(asked))
        """,
    )
    assert len(printed) == 1
    assert message.split(" in ", maxsplit=1)[0] in printed[0] and words in printed[0] and printed[0].endswith(" 1")


def test_a_token_that_may_read_alone_is_explained_where_it_first_writes(tmp_path: Path) -> None:
    printed = refused(
        tmp_path,
        "(403, {'X-Error-Message': 'This token has no write permission'}) if '/commit/' in path else None",
        """
        ensure_repo(hub, "rehearsal/m", "model")
        print(says(lambda: push_folder(hub, "rehearsal/m", "model", work, message="M")), len(asked))
        """,
    )
    assert "This token has no write permission" in printed[0] and printed[0].endswith(" 1")
    assert "a token with write access (a fine-grained one names what it may write)" in printed[0]


def test_a_space_that_needs_a_paid_plan_leaves_the_rest_verified_and_no_space_completes_it(tmp_path: Path) -> None:
    toy = Path(__file__).with_name("toy_run.py")
    printed = refused(
        tmp_path,
        "(402, {'X-Error-Message': 'Gradio Spaces need PRO'}) if path.endswith('/create') and next(made) > 4 else None",
        f"""
        import itertools, runpy
        from countdown_r1.publish.publish import Wish, publish
        made = itertools.count(1)
        run = runpy.run_path({str(toy)!r})["write_run"](Path("outputs/toy"), weights=False)
        lines = []
        push = lambda wish: publish(run, namespace="rehearsal", hub=hub, wish=wish, echo=lines.append)
        print(says(lambda: push(Wish())))
        print(sum(line.startswith("verified") for line in lines), Path(run, "published").exists())
        made = itertools.count(-9)
        published = push(Wish(space=False))
        print(published.space, published.tag, len(hub.api.get_collection(published.collection).items))
        """,
    )
    refusal, before, after = printed
    assert "creating rehearsal/countdown-r1-toy-demo" in refusal and "402 (Gradio Spaces need PRO)" in refusal
    assert "publish with --no-space" in refusal
    assert before == "7 False" and after == "None v1.1 4", "cards that name no Space are news, and a tag never moves"


def test_one_publication_of_each_kind_is_killed_and_completed(tmp_path: Path) -> None:
    toy = runpy.run_path(str(Path(__file__).with_name("toy_run.py")))["write_run"](tmp_path / "toy", weights=False)
    script = [sys.executable, str(ROOT / "benchmarks" / "publish_stress.py"), "--publishes", "1", "--jobs", "1"]
    script += ["--kill-within", "3", "--run", str(toy)]
    modes = {mode: [*script, "--mode", mode, "--faults", "0.1", "--out", f"{mode}.json"] for mode in ("lfs", "xet")}
    running = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) for command in modes.values()]
    assert [process.wait(250) for process in running] == [0, 0]
    for mode in modes:
        result = json.loads((tmp_path / f"{mode}.json").read_text())
        assert (result["verified"], result["killed"], result["problems"]) == (1, 1, [])
        assert result["faulty"] > 3 and max(map(int, result["extra_commits"])) <= 2
