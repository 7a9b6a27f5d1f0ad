"""Pushes to a real rehearsal Hub where others wrote too: what is refused, what is listed, what is left as it was."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PRELUDE = """
import io, json, os, sys
from contextlib import redirect_stderr
from pathlib import Path
from countdown_r1.errors import HubError
from countdown_r1.hub import connect, ensure_repo
from countdown_r1.hub_changes import *
from countdown_r1 import hub_push
from countdown_r1.hub_push import push_folder, push_text
data, work = Path("hub"), Path("work")
hub = connect("rehearsal", data=data)
def write(folder=work, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
def repo(name, kind="model"):
    ensure_repo(hub, f"rehearsal/{name}", kind, space_sdk="gradio" if kind == "space" else None)
    return f"rehearsal/{name}"
def stranger(name, revision="main", kind="model", title="Upload", **files):
    from huggingface_hub import CommitOperationAdd
    adds = [CommitOperationAdd(key.replace("_", "."), text.encode()) for key, text in files.items()]
    return hub.api.create_commit(name, adds, commit_message=title, revision=revision, repo_type=kind).oid
def push(name, folder=work, kind="model", **wishes):
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            push_folder(hub, name, kind, folder, message="Ours", **wishes)
    except HubError as error:
        return str(error)
    return said.getvalue().strip() or "pushed"
def files(name, revision="main", kind="model"):
    return sorted(set(hub.api.list_repo_files(name, revision=revision, repo_type=kind)) - {KEPT})
def head(name, revision="main"):
    return hub.api.repo_info(name, revision=revision).sha
"""


def python(tmp_path: Path, script: str) -> list[str]:
    """Run a script in a process of its own, in ``tmp_path``; returns the lines it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(script)]
    settings = kept | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


FIX = "which others wrote; choose another name, or pass --replace to do it (their history stays on the Hub)"


def test_what_others_wrote_is_listed_and_stays_until_replace_lets_it_go(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        write(README_md="# Ours", a_txt="a")
        name = repo("theirs")
        stranger(name, README_md="# Theirs", model_bin="1", infer_py="2")
        before = head(name)
        print(push(name))
        print(head(name) == before, files(name))
        print(push(name, replace=True))
        print(files(name), push(name))
        """,
    )
    lost = "delete infer.py, model.bin and overwrite README.md in rehearsal/theirs at main"
    assert printed == [
        f"not pushed: it would {lost}, {FIX}",
        "True ['README.md', 'infer.py', 'model.bin']",
        f"--replace: {lost}, which others wrote",
        "['README.md', 'a.txt'] pushed",
    ]


def test_a_card_that_was_changed_or_a_file_that_was_added_after_our_push_is_somebody_elses(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        name = repo("ours")
        write(README_md="# One", a_txt="a")
        push(name)
        write(README_md="# Two")
        (work / "a.txt").unlink()
        print(push(name), files(name))
        stranger(name, README_md="# Two, with a hint")
        write(README_md="# Three")
        print(push(name))
        stranger(name, README_md="# Three")  # the very bytes that we send
        stranger(name, notes_md="by hand")
        print(push(name))
        hub.api.delete_file("notes.md", name)
        print(push(name))
        """,
    )
    assert printed == [
        "pushed ['README.md']",
        f"not pushed: it would overwrite README.md in rehearsal/ours at main, {FIX}",
        f"not pushed: it would delete notes.md in rehearsal/ours at main, {FIX}",
        "pushed",
    ]


def test_what_the_hub_itself_wrote_may_go_and_a_history_that_only_looks_like_it_may_not(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        from countdown_r1.rehearsal.store import Change, Store
        write(README_md="---\\nsdk: gradio\\ntitle: Ours\\ncolorFrom: red\\ncolorTo: red\\n---\\n# Ours")
        space = repo("space", "space")
        print(files(space, kind="space"), push(space, kind="space"))
        store = Store(data)
        for name, title in (("forced", FIRST_TITLE), ("squashed", "Super-squash branch 'main'")):
            repo(name)
            steps = [(path, store.add_file(b"1")) for path in (KEPT, "README.md", "model.bin")]
            found = store.repo("models", f"rehearsal/{name}")
            store._advance(found, "refs/heads/main", Change(title, "", None, steps), None)
            print(push(f"rehearsal/{name}"))
        """,
    )
    assert printed == [
        "['README.md'] pushed",
        f"not pushed: it would delete model.bin and overwrite README.md in rehearsal/forced at main, {FIX}",
        f"not pushed: it would delete model.bin and overwrite README.md in rehearsal/squashed at main, {FIX}",
    ]


def test_a_new_branch_takes_copies_from_main_and_only_what_is_its_own_is_kept_from_us(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        name = repo("branches")
        stranger(name, README_md="# Theirs", model_bin="1")
        write(README_md="# Step", a_txt="a")
        print(push(name, revision="step-1"), files(name, "step-1"), files(name))
        hub.api.create_branch(name, branch="step-2")  # as a killed push leaves it
        print(push(name, revision="step-2"))
        hub.api.create_branch(name, branch="step-3")
        stranger(name, "step-3", extra_bin="only here")
        print(push(name, revision="step-3"))
        """,
    )
    assert printed == [
        "pushed ['README.md', 'a.txt'] ['README.md', 'model.bin']",
        "pushed",
        f"not pushed: it would delete extra.bin in rehearsal/branches at step-3, {FIX}",
    ]


def test_commits_without_a_signature_are_ours_when_the_ledger_says_so(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        name = repo("older")
        known = stranger(name, README_md="# Ours, by an older version", old_txt="1")
        write(README_md="# Ours")
        print(push(name)[:36], push(name, own={known}))
        stranger(name, more_txt="2")
        print(push(name, own={known})[:32])
        """,
    )
    assert printed == [
        "not pushed: it would delete old.txt  pushed",
        "not pushed: it would delete more",
    ]


def test_a_commit_that_comes_in_between_is_seen_before_ours_is_made(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        name, upload = repo("race"), hub_push._upload
        def meanwhile(*args):
            upload(*args)
            if "theirs.txt" not in files(name):
                stranger(name, theirs_txt="1")
        hub_push._upload = meanwhile
        write(README_md="# Ours")
        print(push(name)[:40], files(name))
        """,
    )
    assert printed == ["not pushed: it would delete theirs.txt i ['theirs.txt']"]


def test_where_every_commit_is_ours_one_list_of_them_is_all_that_is_asked(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        name = repo("many")
        for number in range(230):
            write(**{f"f{number}_txt": "1"})
        push(name)
        for number in range(230):
            write(**{f"f{number}_txt": "2"})
        def asked():
            lines = [json.loads(line) for line in (data / "requests.jsonl").read_text().splitlines()]
            return [sum(word in line["path"] for line in lines) for word in ("/commits/", "/paths-info/")]
        before = asked()
        push(name)
        print([after - old for after, old in zip(asked(), before)])
        push(name)
        print([after - old for after, old in zip(asked(), before)])
        stranger(name, **{f"f{number}_txt": "3" for number in range(230)})
        print(push(name).split(" at ")[0], [after - old for after, old in zip(asked(), before)])
        """,
    )
    named = "f0.txt, f1.txt, f10.txt, f100.txt, f101.txt and 225 more files"
    assert printed == ["[1, 0]", "[1, 0]", f"not pushed: it would overwrite {named} in rehearsal/many [2, 3]"]


def test_a_change_of_a_card_that_others_wrote_stays_theirs(tmp_path: Path) -> None:
    printed = python(
        tmp_path,
        """
        write(README_md="# Ours")
        for name in ("theirs", "ours"):
            push(repo(name))
        stranger("rehearsal/theirs", README_md="# Ours, by hand")
        for name in ("theirs", "ours"):
            push_text(hub, Branch(f"rehearsal/{name}", "model"), "README.md", "# Without a line", message="Line")
            print(push(f"rehearsal/{name}")[:40])
        """,
    )
    assert printed == ["not pushed: it would overwrite README.md", "pushed"]


@pytest.mark.parametrize("branch", ["main", "step-7"])
def test_a_repository_that_others_wrote_to_is_refused_before_something_long_begins(tmp_path: Path, branch: str) -> None:
    printed = python(
        tmp_path,
        f"""
        def taken(name):
            try:
                refuse_taken(hub, name, "model")
            except HubError as error:
                return str(error)[:55]
        name = repo("long")
        print(taken("rehearsal/nowhere"), taken(name))
        write(README_md="# Ours")
        push(name, revision="{branch}")
        hub.api.create_branch(name, branch="their-own")
        stranger(name, "their-own", model_bin="1")
        print(taken(name))
        stranger(name, "{branch}", model_bin="1")
        print(taken(name))
        """,
    )
    assert printed == ["None None", "None", f"not pushed: it would delete model.bin in rehearsal/long at {branch}"[:55]]
