"""The commands `publish` and `unpublish` as a person types them: what they ask, what they list, what they refuse."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from countdown_r1 import manifest

TOY = runpy.run_path(str(Path(__file__).with_name("toy_run.py")))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("command")
    TOY["write_run"](place / "outputs" / "toy", weights=False)
    return place


def command(place: Path, *words: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    full = [sys.executable, "-m", "countdown_r1", *words]
    return subprocess.run(
        full, cwd=place, env=kept, input=answer, capture_output=True, text=True, check=False, timeout=120
    )


PUBLISH = ("publish", "outputs/toy", "--push-to", "rehearsal", "--hub", "rehearsal")


def test_public_asks_once_more_and_no_means_that_nothing_happens(place: Path) -> None:
    done = command(place, *PUBLISH, "--public", answer="n\n")
    assert done.returncode == 1 and "becomes public under rehearsal. Go on? [y/N]" in done.stdout
    assert not (place / "outputs" / "rehearsal-hub").exists() and not (place / "outputs" / "toy" / "published").exists()


def test_a_dry_run_lists_repositories_commits_files_and_sizes(place: Path) -> None:
    done = command(place, *PUBLISH, "--dry-run", "--public")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert heads[0].startswith("dataset rehearsal/Countdown-r1-zero@main: commit 'Dataset', ")
    assert "model rehearsal/countdown-r1-toy@step-2: commit 'Weights: checkpoint-2', 5 files" in heads
    assert heads[-1].startswith("5 repositories, 8 commits at most, ") and heads[-1].endswith("; nothing was sent")
    sizes = [int(line.split()[0].replace(",", "")) for line in lines if line.startswith(" ") and " in all" not in line]
    assert sum(sizes) == int(heads[-1].split()[6].replace(",", ""))


def test_a_dry_run_is_one_json_object_for_other_programs(place: Path) -> None:
    done = command(place, *PUBLISH, "--dry-run", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["namespace"], told["tag"]) == (
        0,
        "rehearsal",
        None,
    ) and "nothing was sent" in done.stderr
    assert {part["role"] for part in told["pushed"]} >= {"dataset", "model", "space"}
    assert all(part["sizes"].keys() == part["sha256"].keys() for part in told["pushed"])


def test_an_address_on_a_card_is_refused_until_it_is_allowed_by_name(place: Path) -> None:
    run = place / "outputs" / "cited"
    shutil.copytree(place / "outputs" / "toy", run)
    card = run / "dataset" / "README.md"
    card.write_text(card.read_text() + "\nWritten with first.author@university.edu.\n")
    TOY["reopen"](run, "dataset")
    words = ("publish", "outputs/cited", "--push-to", "rehearsal", "--hub", "rehearsal", "--dry-run")
    refused = command(place, *words)
    assert refused.returncode == 1 and "e-mail address (firs..., 27 characters)" in refused.stderr
    assert "pass --allow-email ADDRESS" in refused.stderr and "university" not in refused.stderr
    assert command(place, *words, "--allow-email", "other@university.edu").returncode == 1
    assert command(place, *words, "--allow-email", "first.author@university.edu").returncode == 0


def test_a_run_whose_dataset_is_on_another_hub_says_how_to_get_it(place: Path) -> None:
    run = place / "outputs" / "far"
    shutil.copytree(place / "outputs" / "toy", run)
    shutil.rmtree(run / "dataset")
    record = manifest.read(run / "model")
    record.results["dataset"] = f"someone/puzzles@{'a' * 40}"
    manifest.write(run / "model", record)
    words = ("publish", "outputs/far", "--push-to", "rehearsal", "--hub", "rehearsal")
    fix = f"hf download someone/puzzles --repo-type dataset --revision {'a' * 40} --local-dir outputs/far/dataset"
    dry, done = command(place, *words, "--dry-run"), command(place, *words)
    assert dry.returncode == done.returncode == 1
    assert "lacks its dataset, and a dry run downloads nothing" in dry.stderr and fix in dry.stderr
    assert "answered 404" in done.stderr and fix in done.stderr and not (run / "dataset").exists()


def test_what_was_not_published_cannot_be_taken_back(place: Path) -> None:
    done = command(place, "unpublish", "outputs/toy", "--hub", "rehearsal")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("is missing: this run was not published, or was taken back already")


def test_unpublish_asks_before_it_deletes_and_no_keeps_everything(place: Path) -> None:
    assert command(place, *PUBLISH, "--no-space").returncode == 0
    record = place / "outputs" / "toy" / "published" / "published.json"
    kept = command(place, "unpublish", "outputs/toy", "--hub", "rehearsal", answer="n\n")
    assert kept.returncode == 1 and "delete  model   rehearsal/countdown-r1-toy" in kept.stdout and record.exists()
    gone = command(place, "unpublish", "outputs/toy", "--hub", "rehearsal", answer="y\n")
    assert gone.returncode == 0 and not record.exists(), gone.stderr
    assert not list((place / "outputs" / "rehearsal-hub" / "repos").glob("*/*/*/repo.json"))


def test_two_publications_of_one_run_do_not_mix(place: Path) -> None:
    import fcntl

    (place / "outputs" / "toy" / ".publish").mkdir(exist_ok=True)
    with (place / "outputs" / "toy" / ".publish" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = command(place, *PUBLISH)
    assert done.returncode == 1 and "is being published by another process" in done.stderr
