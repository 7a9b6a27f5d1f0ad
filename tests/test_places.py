"""What says where on whose computer something ran: gone from commands, texts and values, and nothing else with it."""

import shlex

import pytest

from countdown_r1.places import command_without_places, without_paths, without_places

PATHS = {
    "/root/x/two.jsonl": "two.jsonl",
    "/tmp/x/two.jsonl": "two.jsonl",
    "/data": "data",
    "/home/my user/a b/题 目.jsonl": "题 目.jsonl",
    "../secret/two.jsonl": "two.jsonl",
    "a/../../secret/ds": "ds",
    "~/puzzles/two.jsonl": "two.jsonl",
    "~someone/two.jsonl": "two.jsonl",
    "file:///root/x/two.jsonl": "two.jsonl",
    "file:///C:/x y/two.jsonl": "two.jsonl",
    "C:\\Users\\some one\\two.jsonl": "two.jsonl",
    "d:/puzzles/two.jsonl": "two.jsonl",
    "\\\\server\\share\\two.jsonl": "two.jsonl",
    "/srv/it's/two.jsonl": "two.jsonl",
    "/x/rewards.py:mine": "rewards.py:mine",
    "/x/ds/": "ds",
    "/home/someone": "~",
    "C:\\Users\\someone": "~",
}
KEPT = ["outputs/demo/dataset", "me/puzzles@main", "https://example.com/a/b", "hf://datasets/a/b", "0:0.25,1:0.5"]
KEPT += ["1/2/3", "(55 - 36)/7/2", "<think>a/b</think>", "and/or", "s3://bucket/a/b", "19 = 55 / 7 / 2", "a\nb/c"]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_one_computer_keeps_its_last_part_in_every_form_of_an_option(path: str) -> None:
    for form in ("{}", "--source={}", "dataset.source={}"):
        words = ["/opt/my apps/countdown-r1", "build-dataset", "--out", form.format(path), "--rows", "5"]
        told = command_without_places(shlex.join(words))
        assert told == shlex.join(["countdown-r1", "build-dataset", "--out", form.format(PATHS[path]), "--rows", "5"])


@pytest.mark.parametrize(
    "path", [path for path in PATHS if path not in ("/data", "a/../../secret/ds", "/srv/it's/two.jsonl")]
)
def test_a_path_that_is_a_value_or_stands_in_quotes_keeps_its_last_part(path: str) -> None:
    assert without_places({"a": [path]}) == {"a": [PATHS[path]]}
    assert without_paths(f"out: '{path}'\n") == f"out: '{PATHS[path]}'\n"


@pytest.mark.parametrize("text", KEPT)
def test_what_is_no_path_of_one_computer_is_not_touched(text: str) -> None:
    assert without_places([text]) == [text] and without_paths(f"see {text}, ok") == f"see {text}, ok"
    assert command_without_places(shlex.join(["countdown-r1", text])) == shlex.join(["countdown-r1", text])


def test_a_command_inside_a_value_is_cleaned_as_a_command_and_private_keys_go() -> None:
    value = {"command": "countdown-r1 x '/tmp/a b/c'", "host": "box", "inner": {"cwd": "/x/y", "n": 1}}
    assert without_places(value) == {"command": "countdown-r1 x c", "inner": {"n": 1}}
    assert command_without_places("countdown-r1 x 'unbalanced /tmp/a/b") == "countdown-r1 x 'unbalanced b"
