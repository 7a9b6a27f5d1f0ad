"""Every command that pushes, as a person types it, at repositories and under names that are not its own to take."""

import hashlib
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from countdown_r1 import models

TOY = runpy.run_path(str(Path(__file__).with_name("toy_run.py")))
HUB = ("--hub", "rehearsal")
STRANGER = """
import sys
from pathlib import Path
from countdown_r1.hub import connect
hub = connect("rehearsal", data=Path("outputs/rehearsal-hub"))
from huggingface_hub import CommitOperationAdd
kind, repo_id, *names = sys.argv[1:]
sdk = "gradio" if kind == "space" else None
hub.api.create_repo(repo_id, repo_type=kind, private=True, exist_ok=True, space_sdk=sdk)
adds = [CommitOperationAdd(name, b"by hand") for name in names]
hub.api.create_commit(repo_id, adds, commit_message="Upload by hand", repo_type=kind)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("foreign")
    TOY["write_run"](place / "outputs" / "toy", weights=False)
    shutil.copytree(models.SHIPPED["novice"], place / "prod")
    return place


def run(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    settings = kept | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=place, env=settings, capture_output=True, text=True, check=False, timeout=240
    )


def command(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(place, "-m", "countdown_r1", *words)


def stranger(place: Path, kind: str, repo_id: str, *names: str) -> None:
    done = run(place, "-c", STRANGER, kind, repo_id, *names)
    assert done.returncode == 0, done.stderr


def repos(place: Path) -> dict[str, str]:
    """The state of every repository of the rehearsal Hub, as one hash each."""
    folder = place / "outputs" / "rehearsal-hub" / "repos"
    found = {}
    for repo in folder.glob("*/*/*"):
        texts = [path.read_bytes() for path in sorted(repo.rglob("*.json"))]
        found[repo.relative_to(folder).as_posix()] = hashlib.sha256(b"".join(texts)).hexdigest()
    return found


def files(place: Path, kind: str, repo_id: str) -> list[str]:
    repo = place / "outputs" / "rehearsal-hub" / "repos" / kind / repo_id
    head = json.loads((repo / "repo.json").read_text())["refs"]["refs/heads/main"]
    return sorted(json.loads((repo / "commits" / f"{head}.json").read_text())["tree"])


PUBLISH = ("publish", "outputs/toy", *HUB, "--push-to")
FOREIGN = {
    "adopted model": ("model", "anna/prod", ("publish", "prod", "--adopt", *HUB, "--push-to", "anna")),
    "model": ("model", "bert/countdown-r1-toy", (*PUBLISH, "bert")),
    "dataset": ("dataset", "cleo/Countdown-r1-zero", (*PUBLISH, "cleo")),
    "evaluation": ("dataset", "dora/countdown-r1-toy-evaluation", (*PUBLISH, "dora")),
    "Space of a run": ("space", "emil/countdown-r1-toy-demo", (*PUBLISH, "emil")),
    "built dataset": (
        "dataset",
        "fred/puzzles",
        ("build-dataset", "--rows", "60", "--numbers", "3", "--out", "built", *HUB, "--push-to", "fred/puzzles"),
    ),
    "live checkpoints": ("model", "gina/countdown-r1-demo", ("train", "demo", *HUB, "--push-to", "gina")),
    "chain": ("space", "hugo/countdown-r1-demo", ("run", "demo", "--no-serve", *HUB, "--push-to", "hugo")),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_repository_of_others_is_refused_before_anything_is_sent(place: Path, name: str) -> None:
    kind, repo_id, words = FOREIGN[name]
    stranger(place, kind, repo_id, "README.md", "theirs.bin")
    before = repos(place)
    done = command(place, *words)
    assert done.returncode == 1 and repos(place) == before, done.stdout
    [line] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "theirs.bin" in line and f"in {repo_id} at main, which others wrote" in line and "--replace" in line
    assert not (place / "outputs" / "demo").exists(), "nothing has begun"


def test_a_dry_run_marks_what_is_not_ours_and_leaves_the_hub_as_it_is(place: Path) -> None:
    stranger(place, "model", "ida/countdown-r1-toy", "README.md", "theirs.bin")
    log = place / "outputs" / "rehearsal-hub" / "requests.jsonl"
    before, asked = repos(place), len(log.read_text().splitlines())
    done = command(place, *PUBLISH, "ida", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert repos(place) == before
    requests = [json.loads(line) for line in log.read_text().splitlines()[asked:]]
    sent = [line["path"] for line in requests if line["method"] not in ("GET", "HEAD")]
    assert {path.rsplit("/", 2)[1] for path in sent} <= {"paths-info", "rehearsal"}, "one reads, one waits for us"
    said = done.stdout
    assert "deletes  theirs.bin  (others wrote it)" in said and "README.md  (changes, others wrote it)" in said
    assert "  -by hand" in said and "  +pipeline_tag" in said, "how the card changes"
    told = "model ida/countdown-r1-toy: is there, private; files: "
    [state] = [line for line in said.splitlines() if line.startswith(told)]
    assert "2 of others; refused without --replace; tag to come: v1.0" in state and "1 deleted" in state
    assert "dataset ida/Countdown-r1-zero: does not exist; would be created private" in said


def test_replace_says_what_goes_and_publishing_again_is_no_news(place: Path) -> None:
    stranger(place, "model", "jona/prod", "README.md", "theirs.bin")
    words = ("publish", "prod", "--adopt", *HUB, "--push-to", "jona")
    done = command(place, *words, "--replace")
    assert done.returncode == 0, done.stderr
    lost = "delete theirs.bin and overwrite README.md in jona/prod at main, which others wrote"
    assert f"--replace: {lost}" in done.stderr
    assert "theirs.bin" not in files(place, "models", "jona/prod")
    opened = command(place, *words, "--replace", "--public", "--yes")
    assert opened.returncode == 1, "the history holds what others kept private"
    assert "jona/prod is private, and --public would open commits of others (Upload by hand)" in opened.stderr
    before = repos(place)
    again = command(place, *words, "--dry-run")
    assert again.returncode == 0 and "files: nothing changes; keeps the tag v1.0" in again.stdout
    assert command(place, *words).returncode == 0 and repos(place) == before


def test_a_space_of_others_is_refused_as_well(place: Path) -> None:
    stranger(place, "space", "kai/demo", "app.py")
    assert command(place, "publish", "prod", "--adopt", *HUB, "--push-to", "kai").returncode == 0
    words = ("space", "--model", "kai/prod", "--push-to", "kai/demo", "--no-wait", *HUB)
    done = command(place, *words)
    assert done.returncode == 1 and "overwrite app.py in kai/demo at main" in done.stderr
    assert files(place, "spaces", "kai/demo") == [".gitattributes", "README.md", "app.py"]
    assert command(place, *words, "--replace").returncode == 0
    assert "requirements.txt" in files(place, "spaces", "kai/demo")


def test_unpublish_leaves_whole_what_others_had_a_part_in(place: Path) -> None:
    assert command(place, *PUBLISH, "lena", "--no-space").returncode == 0
    stranger(place, "model", "lena/countdown-r1-toy", "notes.md")
    done = command(place, "unpublish", "outputs/toy", "--yes", "--from", "lena", *HUB)
    assert done.returncode == 0, done.stderr
    assert "keep    model   lena/countdown-r1-toy, which holds commits of others (Upload by hand)" in done.stdout
    assert "deleted dataset lena/Countdown-r1-zero" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("outputs/toy stays published where others had a part in it")
    assert {"README.md", "model.safetensors", "notes.md"} <= set(files(place, "models", "lena/countdown-r1-toy"))
    assert [name for name in repos(place) if "/lena/" in name] == ["models/lena/countdown-r1-toy"]


def test_a_model_that_another_folder_published_over_ours_is_not_taken_back(place: Path) -> None:
    words = ("publish", "prod", "--adopt", *HUB, "--push-to", "mona")
    assert command(place, *words).returncode == 0
    other = place / "elsewhere" / "prod"
    shutil.copytree(models.SHIPPED["tiny"], other)
    done = command(place, "publish", "elsewhere/prod", "--adopt", *HUB, "--push-to", "mona")
    assert done.returncode == 0 and "mona/prod was published from another folder: a new version" in done.stdout
    back = command(place, "unpublish", "prod", "--yes", "--from", "mona", *HUB)
    assert "keep    model   mona/prod, which was published from another folder since" in back.stdout
    assert "models/mona/prod" in repos(place)


def test_a_folder_whose_name_the_hub_refuses_is_told_before_anything_is_sent(place: Path) -> None:
    shutil.copytree(place / "outputs" / "toy", place / "my run")
    before = repos(place)
    for more in (("--dry-run",), ()):
        done = command(place, "publish", "my run", *HUB, "--push-to", "nora", *more)
        assert done.returncode == 1 and "'nora/countdown-r1-my run'" in done.stderr, done.stderr
        assert "rename the folder of the run" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert repos(place) == before


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (("publish", "outputs/toy", "--push-to", "me/toy", "--dry-run"), "name a user or an organisation alone"),
        (("train", "demo", "--out", "my run2/model", "--push-to", "me", "--dry-run"), "rename the folder of the run"),
        (("train", "demo", "--push-to", "m e"), "name a user or an organisation alone"),
        (("run", "demo", "--out", "my run3", "--push-to", "me", "--no-serve"), "rename the folder of the run"),
        (("space", "--model", "me/m", "--push-to", "me/my demo"), "choose another --push-to"),
        (("build-dataset", "--out", "never", "--push-to", "puzzles"), "a repository is NAMESPACE/NAME"),
    ],
)
def test_every_command_that_pushes_knows_the_names_that_the_hub_takes(
    place: Path, words: tuple[str, ...], fix: str
) -> None:
    done = command(place, *words, *HUB)
    assert done.returncode == 1 and fix in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and not (place / "never").exists()


def test_a_record_of_one_namespace_is_in_nobodys_way_and_is_found_again(place: Path) -> None:
    words = ("publish", "elsewhere/two", "--adopt", *HUB, "--push-to")
    shutil.copytree(models.SHIPPED["tiny"], place / "elsewhere" / "two")
    assert [command(place, *words, name, "--overwrite").returncode for name in ("olga", "paul")] == [0, 0]
    both = command(place, "unpublish", "elsewhere/two", "--yes", *HUB)
    assert both.returncode == 1 and "was published to paul and olga on the rehearsal Hub; say which" in both.stderr
    gone = command(place, "unpublish", "elsewhere/two", "--yes", "--from", "paul", *HUB)
    assert gone.returncode == 0 and "deleted model   paul/two" in gone.stdout
    assert json.loads((place / "elsewhere/two/published/published.json").read_text())["namespace"] == "olga"
    assert command(place, *words, "olga", "--dry-run").stdout.count("nothing changes") == 1
    assert command(place, "unpublish", "elsewhere/two", "--yes", *HUB).returncode == 0
    assert not (place / "elsewhere/two/published").exists() and "models/olga/two" not in repos(place)


def test_a_pushed_manifest_tells_no_place_of_this_computer_and_the_one_here_keeps_it(place: Path) -> None:
    secret = place / "Kunde Nr. 7" / "题目"
    secret.mkdir(parents=True)
    source = secret / "two.jsonl"
    rows = [{"nums": [1, 2, number], "target": number + 3} for number in range(10, 60)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("--source", str(source), "--out", str(secret / "ds"), "--languages", "en", "--push-to", "quin/sd")
    done = command(place, "build-dataset", *words, *HUB)
    assert done.returncode == 0, done.stderr
    repo = place / "outputs" / "rehearsal-hub" / "repos" / "datasets" / "quin" / "sd"
    head = json.loads((repo / "repo.json").read_text())["refs"]["refs/heads/main"]
    digest = json.loads((repo / "commits" / f"{head}.json").read_text())["tree"]["manifest.json"]["sha256"]
    text = (place / "outputs" / "rehearsal-hub" / "blobs" / digest[:2] / digest).read_text()
    assert "Kunde" not in text and str(place) not in text and str(place).replace("/", "\\/") not in text
    pushed, here = json.loads(text), json.loads((secret / "ds" / "manifest.json").read_text())
    assert pushed["command"].startswith("countdown-r1 build-dataset --source two.jsonl --out ds --languages en")
    assert str(source) in here["command"] and pushed | {"command": ""} == here | {"command": ""}
    assert sorted(path.name for path in secret.iterdir()) == ["ds", "two.jsonl"], "no copy is left"
