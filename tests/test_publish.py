"""Publishing to a real rehearsal Hub: what arrives, what a second time does, what is refused, what goes unnoticed not.

The Hub's clients read their endpoint when they are imported, so everything happens in processes of its own
(``publish_scenario.py``), once; the tests look at what they saw.
"""

import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from huggingface_hub import ModelCard

SCENARIO = Path(__file__).with_name("publish_scenario.py")
TOY = runpy.run_path(str(Path(__file__).with_name("toy_run.py")))
COMMIT_LENGTH = 40


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("publish")


@pytest.fixture(scope="session")
def run(place: Path) -> Path:
    return TOY["write_run"](place / "toy")


@pytest.fixture(scope="session")
def killed(place: Path, run: Path) -> list[str]:
    """Lines printed by a publication that got SIGKILL after its second verified revision."""
    assert scenario(place, "interrupted").returncode == -signal.SIGKILL
    wait_for_end(place / "hub")
    return json.loads((place / "lines.json").read_text())


@pytest.fixture(scope="session")
def day(place: Path, killed: list[str]) -> dict[str, Any]:
    done = scenario(place, "day")
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((place / "day.json").read_text())


def scenario(place: Path, step: str) -> subprocess.CompletedProcess[str]:
    """One process of the scenario, with a user's token in its environment that must stay at home."""
    environment = os.environ | {"HF_TOKEN": "hf_" + "u5E" * 12, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    environment = {key: value for key, value in environment.items() if key not in ("HF_ENDPOINT", "HF_HOME")}
    command = [sys.executable, str(SCENARIO), str(place), step]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=place, check=False)


def wait_for_end(hub: Path) -> None:
    """Until the server whose only client was killed has gone."""
    address = urlsplit(json.loads((hub / "server.json").read_text())["endpoint"])
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex((str(address.hostname), address.port or 0)):
                return
        time.sleep(0.05)
    raise AssertionError("the rehearsal Hub outlived its client by ten seconds")


def test_a_publication_killed_between_repositories_claims_nothing(killed: list[str], day: dict[str, Any]) -> None:
    parts = ["rehearsal/Countdown-r1-zero@main", "rehearsal/countdown-r1-toy@step-0"]
    assert [line.split()[2] for line in killed] == parts
    left = day["left by the kill"]
    assert not left["record"] and "v1.0" not in left["refs"]["model"] and "space" not in left["refs"]


def test_the_same_command_completes_it_and_repeats_no_commit(day: dict[str, Any]) -> None:
    before, after = day["left by the kill"]["refs"], day["state"]
    assert after["dataset"]["main"] == before["dataset"]["main"]
    assert after["model"]["step-0"] == before["model"]["step-0"]
    assert {"main", "step-0", "step-2", "step-4", "v1.0"} <= after["model"].keys()


def test_main_is_the_best_by_validation_and_tagged(day: dict[str, Any], run: Path) -> None:
    files = day["files"]
    best = json.loads((run / "model" / "manifest.json").read_text())["files"]["checkpoint-2/model.safetensors"]
    assert files["model@main"]["model.safetensors"] == files["model@step-2"]["model.safetensors"] == best
    assert files["model@step-4"]["model.safetensors"] != best != files["model@step-0"]["model.safetensors"]
    assert day["state"]["model"]["v1.0"] == day["state"]["model"]["main"]


def test_publishing_again_makes_no_commit(day: dict[str, Any]) -> None:
    assert day["state again"] == day["state"]
    assert day["lines again"] == day["lines"]


def test_everything_is_private_unless_asked_for(day: dict[str, Any]) -> None:
    assert [day["state"][kind]["private"] for kind in ("dataset", "model", "space")] == [True] * 3
    opened = day["public"]["state"]
    assert [opened[kind]["private"] for kind in ("dataset", "model", "space")] == [False] * 3


def test_nothing_is_pushed_privately_to_what_is_public(day: dict[str, Any]) -> None:
    kind, message = day["public"]["private again"]
    assert kind == "HubError" and "is public" in message


def test_what_the_record_says_is_what_the_hub_serves(day: dict[str, Any]) -> None:
    record = day["record"]
    for one in record["pushed"]:
        served = day["files"][f"{one['role']}@{one['revision']}"]
        served.pop(".gitattributes")
        assert served == one["sha256"]
    assert [repo["type"] for repo in record["repos"]] == ["dataset", "model", "dataset", "dataset", "space"]
    assert record["model"]["revision"] == day["state"]["model"]["main"] and record["tag"] == "v1.0"
    assert all(len(repo["revision"]) == COMMIT_LENGTH for repo in record["repos"])


def test_nothing_but_the_allow_list_leaves(day: dict[str, Any], run: Path) -> None:
    assert (run / "model" / "checkpoint-4" / "optimizer.pt").exists(), "the toy run holds what must stay"
    published = {name for files in day["files"].values() for name in files}
    named = (name for name in published if name not in (".gitattributes", "Dockerfile"))
    suffixes = " ".join(sorted({Path(name).suffix for name in named}))
    assert suffixes == ".0 .jinja .json .jsonl .md .parquet .png .py .safetensors .txt .whl .yaml"
    assert not [name for name in published if "optimizer" in name or "box-17" in name or ".env" in name]


def test_no_path_no_host_and_no_token_is_in_what_was_published(day: dict[str, Any], place: Path) -> None:
    token = (place / "hub" / "token").read_text().strip()
    for private in (str(place), "box-17", "/opt/somewhere", "127.0.0.1", token):
        assert private not in day["texts"]
    assert token not in json.dumps(day["record"]) + json.dumps(day["lines"])


def test_the_published_card_parses_and_its_numbers_were_measured(day: dict[str, Any], run: Path) -> None:
    data = ModelCard(day["card"]).data.to_dict()
    (result,) = data["model-index"][0]["results"]
    summary = json.loads((run / "evaluation" / "summary.json").read_text())
    best = next(model for model in summary["models"] if model["label"] == summary["best"])
    assert [metric["value"] for metric in result["metrics"]] == [best["solve_rate"], best["format_rate"]]
    assert result["dataset"]["revision"] == day["state"]["dataset"]["main"]
    for model in summary["models"]:
        assert f"{100 * model['solve_rate']:.1f}% (" in day["card"] and f"| {model['mean_tokens']} |" in day["card"]


def test_repositories_are_linked_to_each_other(day: dict[str, Any]) -> None:
    card, dataset_card = day["card"], day["public"]["dataset card"]
    assert "](/datasets/rehearsal/Countdown-r1-zero)" in card and "](/spaces/rehearsal/countdown-r1-toy-demo)" in card
    assert ModelCard(card).data.to_dict()["datasets"] == ["rehearsal/Countdown-r1-zero"]
    assert "](/rehearsal/countdown-r1-toy)" in dataset_card and "](/rehearsal/countdown-r1-open)" in dataset_card


def test_every_picture_and_every_link_of_every_card_leads_somewhere(day: dict[str, Any]) -> None:
    prefixes = {"model": "/", "dataset": "/datasets/", "space": "/spaces/"}
    pages = {prefixes[repo["type"]] + repo["id"] for repo in day["record"]["repos"]}
    assert set(day["cards"]) == set(day["files"])
    pictures = 0
    for where, card in day["cards"].items():
        for mark, target in re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", card):
            pictures += mark == "!"
            known = day["files"][where].keys() if mark else pages
            assert target.removesuffix("/tree/main") in known or target.startswith(("#", "https://")), (where, target)
    assert pictures == 4  # two of the training and the evaluation, two of the dataset


def test_every_card_is_written_in_english_and_in_chinese(day: dict[str, Any]) -> None:
    for where, card in day["cards"].items():
        english, _, chinese = card.partition("中文")
        assert len(english) > 400 and len(re.findall(r"[\u4e00-\u9fff]", chinese)) > 10, where


def test_the_card_of_the_space_names_its_model_and_what_was_measured(day: dict[str, Any]) -> None:
    card = day["cards"]["space@main"]
    assert f"`rehearsal/countdown-r1-toy` at revision `{day['state']['model']['main']}`" in card
    assert "checkpoint-2 solves 71.4% of 500 held-out puzzles" in card and "checkpoint-2 解出了 500 道" in card
    assert 'Client("rehearsal/countdown-r1-toy-demo")' in card


def test_the_code_on_the_card_runs_and_asks_in_the_words_of_the_evaluation(day: dict[str, Any]) -> None:
    assert day["snippet"]["same prompt"]
    assert day["snippet"]["completion"]
    assert day["snippet"]["revision"] == day["state"]["model"]["step-2"], "a commit with the weights of main"


def test_the_dataset_loads_back_by_config_and_revision(day: dict[str, Any], run: Path) -> None:
    rows = json.loads((run / "dataset" / "manifest.json").read_text())["results"]["splits"]["train"]["rows"]
    assert day["dataset rows"] == {"en": rows, "zh": rows}
    assert day["dataset rows by this package"] == rows


def test_a_dry_run_lists_every_file_with_its_size_also_when_the_hub_cannot_be_reached(day: dict[str, Any]) -> None:
    pushed = {f"{one['role']}@{one['revision']}": one["sizes"] for one in day["record"]["pushed"]}
    assert day["dry run"]["sizes"] == pushed and day["dry run"]["tag"] is None
    listed = [line for line in day["dry run"]["lines"] if line.startswith(" ") and not line.endswith("in all")]
    assert len(listed) == sum(len(files) for files in pushed.values())
    said = (
        "compared with nothing, for the Hub could not be asked: asking what is there: cannot reach http://127.0.0.1:9"
    )
    assert [line[: len(said)] for line in day["dry run"]["lines"] if "compared" in line] == [said]


STAY_BEHIND = "notebook, .env, pickled arguments, TensorBoard text"


def test_a_token_planted_in_what_would_be_published_stops_everything_and_is_shown_masked(day: dict[str, Any]) -> None:
    places = {name: seen for name, seen in day["planted"].items() if name != STAY_BEHIND}
    assert len(places) >= 11
    for name, seen in places.items():
        kind, message = seen["error"]
        assert kind == "HubError" and "Hugging Face token (hf_a..., 39 characters)" in message, name
        assert "aB3aB3" not in message and not seen["lines"] and not seen["reached the hub"], name


def test_a_token_planted_where_nothing_is_published_from_stays_behind(day: dict[str, Any]) -> None:
    assert day["planted"][STAY_BEHIND]["error"] is None and day["planted"][STAY_BEHIND]["reached the hub"]


def test_no_planted_token_ever_reached_the_hub(day: dict[str, Any], place: Path) -> None:
    blobs = [path.read_bytes() for path in (place / "hub" / "blobs").glob("*/*")]
    assert len(blobs) > 60
    assert not [blob for blob in blobs if b"aB3aB3aB3" in blob]


def test_without_the_scanner_every_one_of_these_places_would_have_given_its_token_away(
    place: Path, day: dict[str, Any]
) -> None:
    done = scenario(place, "unguarded")
    assert done.returncode == 0, done.stderr[-4000:]
    arrived = json.loads((place / "unguarded.json").read_text())
    assert arrived == {name: name != STAY_BEHIND for name in day["planted"]}


def test_a_flipped_byte_in_a_checkpoint_is_refused_by_name(day: dict[str, Any]) -> None:
    kind, message = day["flipped"]
    assert kind == "StageError" and "checkpoint-4/model.safetensors changed" in message and "\n" not in message


def test_a_blob_that_rots_on_the_server_is_noticed(day: dict[str, Any]) -> None:
    kind, message = day["corrupted"]["error"]
    assert kind == "HubError" and "model.safetensors differs" in message


def test_another_run_on_the_same_dataset_is_no_reason_for_new_commits(day: dict[str, Any]) -> None:
    assert day["corrupted"]["state"]["model"]["step-2"] == day["state"]["model"]["step-2"]
    assert day["corrupted"]["state"]["dataset"]["main"] != day["state"]["dataset"]["main"]


def test_the_record_of_one_place_is_never_in_the_way_of_another_and_none_is_lost(day: dict[str, Any]) -> None:
    seen = day["other namespace"]
    assert seen["dry"] == [["rehearsal"], False]
    assert seen["both"] == ["someone-else", "rehearsal"] and seen["back"] == ["rehearsal", "someone-else"]
    assert seen["same"], "publishing there again makes no commit"
    assert seen["kept"] == "v1.0"


def test_only_the_rehearsal_hubs_own_token_was_sent(day: dict[str, Any], place: Path) -> None:
    requests = [json.loads(line) for line in (place / "hub" / "requests.jsonl").read_text().splitlines()]
    assert len(requests) > 100
    assert {request["token"] for request in requests} <= {"rehearsal", None, "none"}
