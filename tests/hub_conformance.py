"""Checks that a Hub behaves as this project relies on it: the rehearsal Hub, the real one, or a mirror.

    python tests/hub_conformance.py --endpoint https://huggingface.co [--namespace NS] [--token TOKEN]

Every check goes through huggingface_hub, against one private throw-away repository with a random name that is
deleted at the end. The token may also stand in HF_TOKEN. Prints a line per check; exit status 1 on a failure.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huggingface_hub import HfApi

README = b"---\nlicense: apache-2.0\ntags:\n- conformance\n---\n# Throw-away\n"
LARGE = b"\0countdown\xff" * 20_000  # not text, so it goes through LFS wherever patterns do not decide


@dataclass
class Subject:
    """The Hub under test and the repository to try it with. ``commits`` are those made, oldest first."""

    api: HfApi
    anonymous: HfApi
    endpoint: str
    token: str
    repo_id: str
    commits: list[str] = field(default_factory=list)

    def url(self, path: str, revision: str = "main") -> str:
        return f"{self.endpoint}/{self.repo_id}/resolve/{revision}/{path}"

    def get(self, path: str, **headers: str) -> Any:
        from huggingface_hub.utils import get_session

        headers |= {"Authorization": f"Bearer {self.token}"}
        return get_session().get(self.url(path), headers=headers, follow_redirects=True)

    def add(self, path: str, content: bytes, **options: Any) -> str:
        from huggingface_hub import CommitOperationAdd

        operations = [CommitOperationAdd(path_in_repo=path, path_or_fileobj=content)]
        return self.api.create_commit(self.repo_id, operations, commit_message=f"Add {path}", **options).oid


def check_token_names_its_user(hub: Subject) -> None:
    assert hub.api.whoami()["name"]


def check_new_repository_is_private_and_has_a_first_commit(hub: Subject) -> None:
    url = hub.api.create_repo(hub.repo_id, private=True)
    assert str(url).endswith(hub.repo_id), url
    info = hub.api.model_info(hub.repo_id)
    assert info.private is True, info.private
    assert info.sha and len(info.sha) == 40, info.sha
    assert [sibling.rfilename for sibling in info.siblings or []] == [".gitattributes"]


def check_creating_it_again_is_409_and_exist_ok_passes(hub: Subject) -> None:
    assert _status(lambda: hub.api.create_repo(hub.repo_id, private=True)) == 409
    assert str(hub.api.create_repo(hub.repo_id, private=True, exist_ok=True)).endswith(hub.repo_id)


def check_folder_with_text_and_lfs_file_arrives_in_one_commit(hub: Subject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "runs" / "a b").mkdir(parents=True)
        (folder / "README.md").write_bytes(README)
        (folder / "empty.txt").touch()
        (folder / "runs" / "a b" / "ü.txt").write_text("25 + 50", encoding="utf-8")
        (folder / "weights.bin").write_bytes(LARGE)
        hub.commits.append(hub.api.upload_folder(repo_id=hub.repo_id, folder_path=folder, commit_message="All").oid)
    files = set(hub.api.list_repo_files(hub.repo_id))
    assert files == {".gitattributes", "README.md", "empty.txt", "runs/a b/ü.txt", "weights.bin"}, files
    assert hub.api.list_repo_commits(hub.repo_id)[0].title == "All"


def check_equal_files_make_no_commit(hub: Subject) -> None:
    assert hub.add("README.md", README) == hub.commits[-1]
    assert hub.add("weights.bin", LARGE) == hub.commits[-1]
    assert hub.api.model_info(hub.repo_id).sha == hub.commits[-1]


def check_tree_gives_sizes_and_hashes(hub: Subject) -> None:
    entries: dict[str, Any] = {entry.path: entry for entry in hub.api.list_repo_tree(hub.repo_id, recursive=True)}
    weights, readme = entries["weights.bin"], entries["README.md"]
    assert weights.lfs.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert weights.size == weights.lfs.size == len(LARGE)
    assert readme.lfs is None
    assert readme.blob_id == hashlib.sha1(b"blob %d\0" % len(README) + README).hexdigest()
    assert {"runs", "runs/a b"} <= entries.keys()
    below = [entry.path for entry in hub.api.list_repo_tree(hub.repo_id, "runs/a b")]
    assert below == ["runs/a b/ü.txt"], below
    top = {entry.path for entry in hub.api.list_repo_tree(hub.repo_id, expand=True)}
    assert top == {".gitattributes", "README.md", "empty.txt", "runs", "weights.bin"}, top


def check_paths_info_leaves_out_what_is_missing(hub: Subject) -> None:
    found = hub.api.get_paths_info(hub.repo_id, ["README.md", "runs", "missing.txt"])
    assert {entry.path: type(entry).__name__ for entry in found} == {"README.md": "RepoFile", "runs": "RepoFolder"}


def check_branch_with_a_slash_takes_a_commit_of_its_own(hub: Subject) -> None:
    hub.api.create_branch(hub.repo_id, branch="runs/step-50")
    assert _status(lambda: hub.api.create_branch(hub.repo_id, branch="runs/step-50")) == 409
    hub.api.create_branch(hub.repo_id, branch="runs/step-50", exist_ok=True)
    oid = hub.add("only-here.txt", b"1\n", revision="runs/step-50")
    assert hub.api.file_exists(hub.repo_id, "only-here.txt", revision="runs/step-50")
    assert not hub.api.file_exists(hub.repo_id, "only-here.txt")
    assert hub.api.model_info(hub.repo_id, revision="runs/step-50").sha == oid
    branches = {branch.name: branch.target_commit for branch in hub.api.list_repo_refs(hub.repo_id).branches}
    assert branches == {"main": hub.commits[-1], "runs/step-50": oid}, branches


def check_tag_stays_where_it_is(hub: Subject) -> None:
    hub.api.create_tag(hub.repo_id, tag="v1.0", revision=hub.commits[0])
    assert _status(lambda: hub.api.create_tag(hub.repo_id, tag="v1.0")) == 409
    hub.commits.append(hub.add("later.txt", b"2\n"))
    assert [tag.target_commit for tag in hub.api.list_repo_refs(hub.repo_id).tags] == [hub.commits[0]]
    assert not hub.api.file_exists(hub.repo_id, "later.txt", revision="v1.0")


def check_commit_on_an_outdated_parent_is_412(hub: Subject) -> None:
    assert _status(lambda: hub.add("conflict.txt", b"3\n", parent_commit=hub.commits[0])) == 412
    hub.commits.append(hub.add("agreed.txt", b"3\n", parent_commit=hub.commits[-1]))


def check_download_gives_the_bytes_and_the_commit(hub: Subject) -> None:
    with tempfile.TemporaryDirectory() as name:
        for path, content in (("weights.bin", LARGE), ("README.md", README), ("empty.txt", b"")):
            got = hub.api.hf_hub_download(hub.repo_id, path, revision=hub.commits[0], cache_dir=name)
            assert Path(got).read_bytes() == content, path
            assert hub.commits[0] in got, got
        folder = hub.api.snapshot_download(hub.repo_id, revision="runs/step-50", cache_dir=name)
        assert (Path(folder) / "runs" / "a b" / "ü.txt").read_text(encoding="utf-8") == "25 + 50"
        assert (Path(folder) / "only-here.txt").read_bytes() == b"1\n"


def check_metadata_of_a_file(hub: Subject) -> None:
    from huggingface_hub import get_hf_file_metadata

    weights = get_hf_file_metadata(hub.url("weights.bin"), token=hub.token)
    assert (weights.etag, weights.size) == (hashlib.sha256(LARGE).hexdigest(), len(LARGE)), weights
    readme = get_hf_file_metadata(hub.url("README.md"), token=hub.token)
    assert readme.etag == hashlib.sha1(b"blob %d\0" % len(README) + README).hexdigest(), readme
    assert readme.commit_hash == hub.commits[-1], readme


def check_range_gives_206_and_the_part(hub: Subject) -> None:
    answer = hub.get("weights.bin", Range="bytes=10-29")
    assert answer.status_code == 206, answer.status_code
    assert answer.content == LARGE[10:30]
    assert answer.headers["Content-Range"] == f"bytes 10-29/{len(LARGE)}"
    assert hub.get("weights.bin", Range=f"bytes={len(LARGE)}-").status_code == 416


def check_missing_things_are_told_apart(hub: Subject) -> None:
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    cases: list[tuple[type[Exception], Callable[[], object]]] = [
        (RepositoryNotFoundError, lambda: hub.api.model_info(hub.repo_id + "-missing")),
        (RevisionNotFoundError, lambda: hub.api.model_info(hub.repo_id, revision="missing")),
        (RevisionNotFoundError, lambda: list(hub.api.list_repo_tree(hub.repo_id, revision="missing"))),
        (EntryNotFoundError, lambda: hub.api.hf_hub_download(hub.repo_id, "missing.txt")),
        (EntryNotFoundError, lambda: list(hub.api.list_repo_tree(hub.repo_id, "missing"))),
    ]
    for expected, call in cases:
        assert type(_error(call)) in (expected, *expected.__subclasses__()), (expected, _error(call))


def check_private_repository_is_invisible_without_a_token(hub: Subject) -> None:
    from huggingface_hub import get_hf_file_metadata
    from huggingface_hub.errors import RepositoryNotFoundError

    for call in (
        lambda: hub.anonymous.model_info(hub.repo_id),
        lambda: list(hub.anonymous.list_repo_tree(hub.repo_id)),
        lambda: get_hf_file_metadata(hub.url("README.md"), token=False),
    ):
        assert isinstance(_error(call), RepositoryNotFoundError), _error(call)
        assert _status(call) in (401, 404)


def check_wrong_or_no_token_cannot_write(hub: Subject) -> None:
    from huggingface_hub import HfApi

    wrong = HfApi(endpoint=hub.endpoint, token="hf_" + "x" * 34)
    assert _status(wrong.whoami) == 401
    assert _status(lambda: wrong.create_repo(hub.repo_id + "-wrong")) == 401
    assert _status(lambda: hub.anonymous.create_repo(hub.repo_id + "-nobody")) == 401
    assert _status(lambda: hub.anonymous.delete_repo(hub.repo_id)) in (401, 404)


def check_broken_card_is_refused_before_the_upload(hub: Subject) -> None:
    assert isinstance(_error(lambda: hub.add("README.md", b"---\ntags: [a\n---\n")), ValueError)
    assert hub.api.model_info(hub.repo_id).sha == hub.commits[-1]


def check_deleting_files_and_folders(hub: Subject) -> None:
    hub.api.delete_file("later.txt", hub.repo_id)
    hub.api.delete_folder("runs", hub.repo_id)
    files = set(hub.api.list_repo_files(hub.repo_id))
    assert files == {".gitattributes", "README.md", "empty.txt", "weights.bin", "agreed.txt"}, files
    assert _status(lambda: hub.api.delete_file("later.txt", hub.repo_id)) in (400, 404)
    assert hub.api.file_exists(hub.repo_id, "later.txt", revision=hub.commits[1])


def check_copying_an_lfs_file_inside(hub: Subject) -> None:
    from huggingface_hub import CommitOperationCopy

    copy = CommitOperationCopy(src_path_in_repo="weights.bin", path_in_repo="best/weights.bin")
    hub.api.create_commit(hub.repo_id, [copy], commit_message="Copy")
    assert hub.get("best/weights.bin").content == LARGE


def check_a_path_names_the_commit_that_last_touched_it_and_its_description_comes_back(hub: Subject) -> None:
    oid = hub.add("signed.txt", b"1\n", commit_description="More about it\n\nSigned-by: conformance")
    paths = ["README.md", "agreed.txt", "signed.txt", ".gitattributes"]
    found: list[Any] = hub.api.get_paths_info(hub.repo_id, paths, expand=True)
    listed = hub.api.list_repo_commits(hub.repo_id)
    expected = dict(zip(paths, [hub.commits[0], hub.commits[-1], oid, listed[-1].commit_id], strict=True))
    last = {entry.path: entry.last_commit.oid for entry in found}
    assert last == expected, last
    assert "Signed-by: conformance" in listed[0].message.splitlines(), listed[0].message
    assert listed[-1].title == "initial commit", listed[-1].title


def check_branch_and_tag_can_be_deleted_but_main_cannot(hub: Subject) -> None:
    hub.api.delete_branch(hub.repo_id, branch="runs/step-50")
    hub.api.delete_tag(hub.repo_id, tag="v1.0")
    refs = hub.api.list_repo_refs(hub.repo_id)
    assert ([branch.name for branch in refs.branches], refs.tags) == (["main"], [])
    assert _status(lambda: hub.api.delete_branch(hub.repo_id, branch="main")) >= 400


def check_repository_is_listed_for_its_owner_only(hub: Subject) -> None:
    author, name = hub.repo_id.split("/")
    assert hub.repo_id in [model.id for model in hub.api.list_models(author=author, search=name)]
    assert hub.repo_id not in [model.id for model in hub.anonymous.list_models(author=author, search=name)]


CHECKS: list[Callable[[Subject], None]] = [
    check for name, check in list(globals().items()) if name.startswith("check_")
]


def _error(call: Callable[[], object]) -> Exception | None:
    """What a call raises. Any kind: which one it was is what the checks compare."""
    try:
        call()
    except Exception as error:
        return error
    return None


def _status(call: Callable[[], object]) -> int:
    """The HTTP status a call fails with, 0 when it does not."""
    return getattr(getattr(_error(call), "response", None), "status_code", 0)


def run(hub: Subject) -> int:
    """Run every check in order; returns how many failed."""
    failed = 0
    for check in CHECKS:
        started, name = time.monotonic(), check.__name__.removeprefix("check_").replace("_", " ")
        try:
            check(hub)
        except Exception as error:  # a failing check is reported, whatever it died of, and the next one runs
            failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}", flush=True)
        else:
            print(f"ok      {name} ({time.monotonic() - started:.2f} s)", flush=True)
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--token", default=os.environ.get("HF_TOKEN"))
    parser.add_argument("--namespace")
    options = parser.parse_args()
    if not options.token:
        parser.error("no token: pass --token, or set HF_TOKEN")
    with tempfile.TemporaryDirectory() as home:
        # Read when huggingface_hub is imported, so set first. Plain LFS is the protocol under test.
        os.environ |= {"HF_ENDPOINT": options.endpoint, "HF_HOME": home, "HF_HUB_DISABLE_XET": "1"}
        os.environ |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        sys.exit(1 if _run_on(options.endpoint.rstrip("/"), options.token, options.namespace) else 0)


def _run_on(endpoint: str, token: str, namespace: str | None) -> int:
    from huggingface_hub import HfApi

    api, anonymous = HfApi(endpoint=endpoint, token=token), HfApi(endpoint=endpoint, token=False)
    try:
        owner = namespace or api.whoami()["name"]
    except OSError as error:
        print(f"FAILED  {endpoint} does not accept this token: {error}")
        return 1
    hub = Subject(api, anonymous, endpoint, token, f"{owner}/conformance-{secrets.token_hex(6)}")
    print(f"{endpoint}: {len(CHECKS)} checks on {hub.repo_id}", flush=True)
    try:
        failed = run(hub)
    finally:
        api.delete_repo(hub.repo_id, missing_ok=True)
    gone = not api.repo_exists(hub.repo_id)
    print(f"{'ok    ' if gone else 'FAILED'}  the throw-away repository is deleted")
    failed += not gone
    print(f"{failed} of {len(CHECKS) + 1} checks failed" if failed else f"all {len(CHECKS) + 1} checks passed")
    return failed


if __name__ == "__main__":
    main()
