"""`countdown-r1 aha`: what it reads, what it recovers, what it counts, and the report it writes."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from countdown_r1.build_dataset.prompt import LANGUAGES, chatml, load_template, messages
from countdown_r1.cli import main
from countdown_r1.errors import InputError
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.train.aha import read_records, summarise
from countdown_r1.train.aha_report import group, measure, report
from countdown_r1.train.aha_text import MAX_PRINTED, text_report
from countdown_r1.train.recover import recover_from_answer
from countdown_r1.train.reward_functions import SAMPLES, SUCCESSES, recorded
from countdown_r1.train.rewards import equation_reward
from countdown_r1.train.samples import Samples, read_samples

PUZZLE = Puzzle((55, 36, 7, 19), 65)
ANSWER = "</think>\n<answer> 55 + 36 - 7 - 19 </answer>"
TRUE = f"Try 55 + 7 = 62. No.\nWait, what about 55 + 36 = 91. 91 - 7 = 84. 84 - 19 = 65. Yes!{ANSWER}"
PLAIN = f"Try 55 + 7 = 62. No.\nTry 55 + 36 = 91. 91 - 7 = 84. 84 - 19 = 65. Yes!{ANSWER}"
CLAIMED = "55 + 7 = 62. 突然想到, 46 + 19 = 65, 7 * 8 = 54.</think>\n<answer> 46 + 19 </answer>"


def record(generation: str, label: str = "base", **changes: Any) -> dict[str, Any]:
    values = {"test_id": 7, "generation": generation, "nums": list(PUZZLE.nums), "target": 65, "checkpoint": label}
    return values | {"score": 1, "n_tokens": 40} | changes


def write_lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")
    return path


def measured(records: list[dict[str, Any]]) -> dict[str, Any]:
    samples = Samples([one | {"puzzle_from": "record"} for one in records])
    return measure(group(samples), samples, "here")


def run(*words: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["aha", *map(str, words)], catch_exceptions=False)
    return done.exit_code, done.stdout


def test_mixed_languages_are_counted_by_the_prompts_and_left_out_where_it_is_not_known(tmp_path: Path) -> None:
    chinese, english = {"language": "zh"}, {"prompt": "Using the numbers"}
    told = [record(TRUE, **chinese), record("不对。", **chinese), record(TRUE, **english), record(TRUE)]
    (model,) = measured(told)["models"]
    assert {name: (part["n"], part["mixed"], part["rate"]) for name, part in model["mixing"].items()} == {
        "en": (1, 0, 0.0),
        "zh": (2, 1, 0.5),
    }
    path = write_lines(tmp_path / "base" / "records.jsonl", told)
    assert "en 0.0%, zh 50.0%" in run(path)[1]
    run(path, "--out", tmp_path / "out")
    assert "en 0.0%, zh 50.0%" in (tmp_path / "out" / "report.html").read_text("utf-8")
    assert json.loads((tmp_path / "out" / "aha.json").read_text("utf-8"))["models"][0]["mixing"] == model["mixing"]


def test_an_evaluation_folder_is_read_model_by_model_in_the_order_of_steps(tmp_path: Path) -> None:
    for label in ("checkpoint-30", "base", "checkpoint-4", "final"):
        write_lines(tmp_path / label / "records.jsonl", [record(TRUE, label), record(PLAIN, label)])
    labels = [
        model["label"] for model in report(read_samples(tmp_path), "", None, overwrite=False, command="")["models"]
    ]
    assert labels == ["base", "checkpoint-4", "checkpoint-30", "final"]
    write_lines(tmp_path / "run" / "evaluation" / "base" / "records.jsonl", [record(TRUE)])
    assert len(read_records(tmp_path / "run")) == 1


def test_a_folder_of_two_evaluations_is_refused_rather_than_mixed(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_lines(tmp_path / name / "base" / "records.jsonl", [record(TRUE)])
    with pytest.raises(InputError, match=r"holds 2 of them \(first, second\); name one"):
        read_records(tmp_path)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_samples_that_training_writes_are_read_back(tmp_path: Path, language: str) -> None:
    """The prompt holds the tags as words; they must not be taken for the model's."""
    reward = recorded(equation_reward, tmp_path)
    completions = [TRUE, CLAIMED] * 200
    prompts = [chatml(load_template(language), PUZZLE)] * 400
    reward(completions=completions, prompts=prompts, nums=[list(PUZZLE.nums)] * 400, target=[65] * 400)
    found = read_samples(tmp_path / SAMPLES)
    counts = summarise(found.records)
    assert counts["n"] == len(found.records) > counts["solved"] > 5
    assert {one["generation"] for one in found.records} == {TRUE, CLAIMED}
    assert {(tuple(one["nums"]), one["target"], one["puzzle_from"]) for one in found.records} == {
        (PUZZLE.nums, 65, "prompt")
    }
    good = summarise(read_records(tmp_path / SUCCESSES))
    assert good["n"] == good["solved"] == good["completions"]


@pytest.mark.parametrize("chat", [False, True])
def test_the_completions_that_trl_saves_are_read_by_step(tmp_path: Path, chat: bool) -> None:
    """With prompts as strings, or as the turns of a chat."""
    template = load_template("en")
    prompt: Any = messages(template, PUZZLE) if chat else chatml(template, PUZZLE)
    for step in (2, 10):
        completion: Any = [{"role": "assistant", "content": TRUE}] if chat else TRUE
        table = pa.table({"step": [step] * 2, "prompt": [prompt] * 2, "completion": [completion] * 2})
        (tmp_path / "completions").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "completions" / f"completions_{step:05d}.parquet")
    found = read_samples(tmp_path)
    assert [(one["checkpoint"], one["puzzle_from"]) for one in found.records] == [("step 2", "prompt")] * 2 + [
        ("step 10", "prompt")
    ] * 2
    assert summarise(found.records)["solved"] == 4


def test_the_article_s_list_of_records_is_read(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([record(TRUE), record(PLAIN)], indent=2))
    assert len(read_records(path)) == 2


def test_sample_files_of_other_runs_are_read_and_what_stays_unknown_is_counted(tmp_path: Path) -> None:
    """Mini-R1 writes the completion alone behind a line of =, so the puzzle is only in the thought."""
    path = tmp_path / "completion_samples.txt"
    blocks = [
        f"<think>I have to use the numbers 55, 36, 7 and 19 to get 65. {TRUE}",
        f"<think>使用[55, 36, 7, 19]这几个数字,构建一个等于65的等式。{TRUE}",
        "<think>\n</think> Hello",
        "no tags at all",
    ]
    path.write_text("".join(f"\n\n==============\n{block}" for block in blocks), encoding="utf-8")
    found = read_samples(path)
    assert [one["puzzle_from"] for one in found.records] == ["thought", "thought", None, None]
    assert found.notes == {"completions whose puzzle could not be recovered": 2}
    assert summarise(found.records)["solved"] == 2
    text = text_report(report(found, "there", None, overwrite=False, command=""))
    assert "2 completions whose puzzle could not be recovered" in text


def test_in_a_file_of_right_answers_the_answer_tells_the_puzzle(tmp_path: Path) -> None:
    path = tmp_path / "success_completion_samples.txt"
    path.write_text(f"==============\n<think>{TRUE}\n", encoding="utf-8")
    (found,) = read_records(path)
    assert (sorted(found["nums"]), found["target"], found["puzzle_from"]) == ([7, 19, 36, 55], 65, "answer")
    assert recover_from_answer("7 / 2") is recover_from_answer("1 +") is recover_from_answer("0 + 1") is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("records.jsonl", "not json\n"),
        ("records.jsonl", "3\n"),
        ("records.jsonl", '{"generation": 5}\n'),
        ("records.jsonl", "[" * 100_000),
        ("records.jsonl", '["generation", "score", "target", "test_id"]\n'),
        ("records.jsonl", b"\xff\xfe\x00\n"),
        ("completion_samples.txt", b"\xff\xfe\x00\n"),
        ("completion_samples.txt", "some notes of mine\n"),
        ("completions_1.parquet", "no parquet"),
    ],
)
def test_a_file_of_another_kind_is_named_in_one_line(tmp_path: Path, name: str, text: str | bytes) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError, match="neither evaluation records nor completion samples") as raised:
        read_records(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_parquet_file_without_completions_and_a_folder_without_anything_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give an evaluation folder"):
        read_records(tmp_path)
    pq.write_table(pa.table({"nums": [[1, 2]]}), tmp_path / "completions.parquet")
    with pytest.raises(InputError, match="its rows have the keys nums; the completion is wanted as 'generation'"):
        read_records(tmp_path)


def test_damage_is_passed_over_and_counted(tmp_path: Path) -> None:
    """A record cut short, one without a generation, bytes that are no UTF-8, NUL bytes, halves of a surrogate pair."""
    lines = [
        json.dumps(record(TRUE)),
        json.dumps(record("\0 \ud83d 55 + 7 = 62")),
        '{"test_id": 1}',
        '{"generation": "55',
    ]
    data = "\n".join(lines).encode().replace(b"Yes!", b"\xff\xfe!")
    (tmp_path / "records.jsonl").write_bytes(data)
    found = read_samples(tmp_path / "records.jsonl")
    assert found.notes == {
        "records that are cut short or hold no generation": 2,
        "characters that are not UTF-8 and were replaced": 2,
    }
    assert [one["generation"].count("\0") for one in found.records] == [0, 1]
    assert run(tmp_path)[0] == 0


@pytest.mark.parametrize("name", ["records.jsonl", "completion_samples.txt", "results.json"])
def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\n\n")
    code, text = run(tmp_path / name, "--out", tmp_path / "out")
    assert (code, text.splitlines()[:2]) == (0, ["no completions to look at", "  empty files: 1"])
    assert "No completions to look at" in (tmp_path / "out" / "report.html").read_text()


def test_a_record_whose_numbers_are_no_puzzle_is_looked_up_in_its_prompt(tmp_path: Path) -> None:
    prompt = chatml(load_template("en"), PUZZLE)
    odd = [
        {"nums": None},
        {"nums": [1] * 9},
        {"target": "x"},
        {"nums": [0.5, 2], "target": 65},
        {"nums": ["55", 36.0, 7, 19]},
    ]
    write_lines(tmp_path / "records.jsonl", [record(TRUE, prompt=prompt) | one for one in odd])
    found = read_records(tmp_path)
    assert [one["puzzle_from"] for one in found] == ["prompt"] * 4 + ["record"]
    assert all(one["nums"] == list(PUZZLE.nums) for one in found)


@pytest.mark.parametrize("unit", ["=", "\n==============\n", "<think>", "<answer>", "a", "\n=====\t\t"])
def test_a_sample_file_of_10_mb_is_read_in_seconds(tmp_path: Path, unit: str) -> None:
    path = tmp_path / "success_completion_samples.txt"
    path.write_text(f"<think>\n==============\n{unit * (10_000_000 // len(unit))}")
    began = time.perf_counter()
    read_samples(path)
    assert time.perf_counter() - began < 5


def test_counts_stand_beside_turns_without_a_cue_and_beside_the_base() -> None:
    found = measured([record(TRUE), record(PLAIN), record(CLAIMED, "checkpoint-4"), record(TRUE, "checkpoint-4")])
    assert found["base"] == "base"
    assert found["all_turns"]["with_cue"] == {"n": 3, "solved": 2, "rate": 0.6667, "interval": [0.2077, 0.9385]}
    assert found["all_turns"]["without_cue"]["rate"] == 1.0
    text = text_report(found)
    assert "2 of 3 (66.7%) with a cue, 1 of 1 (100.0%) without one. The 95% intervals overlap" in text
    assert "Ahas per completion: 50.0% in base, 50.0% in checkpoint-4. The 95% intervals overlap" in text
    apart = text_report(measured([record(PLAIN)] * 100 + [record(TRUE, "checkpoint-4")] * 100))
    assert "0.0% in base, 100.0% in checkpoint-4. That is a difference" in apart
    alone = text_report(measured([record(TRUE, "checkpoint-4")]))
    assert "There is no base model among these" in alone


def test_any_model_can_be_named_as_the_base(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "records.jsonl", [record(TRUE, "mine"), record(PLAIN, "theirs")])
    assert "Ahas per completion: 0.0% in theirs, 100.0% in mine." in run(path, "--base", "theirs")[1]
    refused = CliRunner().invoke(main, ["aha", str(path), "--base", "other"])
    assert (refused.exit_code, refused.stderr) == (
        1,
        "Error: no completion is of 'other'; --base is one of mine, theirs\n",
    )


def test_many_models_are_printed_in_part_and_the_json_has_all() -> None:
    found = measured([record(TRUE, f"checkpoint-{step}") for step in range(1, 60)])
    assert len(found["models"]) == 59
    text = text_report(found)
    assert text.count("checkpoint-59") >= 2
    assert f"({59 - MAX_PRINTED} models between these are in the JSON)" in text


def test_the_command_prints_a_summary_or_json(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "records.jsonl", [record(TRUE), record(CLAIMED)])
    code, text = run(path)
    assert code == 0
    assert re.search(r"base +2 +1 +50\.0%", text)
    assert "not given: 46" in text
    values = json.loads(run(path, "--json")[1])
    assert [(one["solved"], one["not_given"], one["false_claims"]) for one in values["moments"]] == [
        (True, [], []),
        (False, [46, 8], ["7 * 8 = 54, but it makes 56"]),
    ]
    path.write_text("{}\n")
    refused = CliRunner().invoke(main, ["aha", str(path)])
    assert (refused.exit_code, refused.output[:7]) == (1, "Error: ")


class Tags(HTMLParser):
    """Tags, what they load, and the marked texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.marked: dict[str, list[str]] = {}
        self.kind = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.loads += [value for name in ("src", "href", "srcset") if (value := found.get(name))]
        self.kind = found.get("class") or "" if tag == "mark" else ""

    def handle_data(self, data: str) -> None:
        if self.kind:
            self.marked.setdefault(self.kind, []).append(data)
            self.kind = ""


def test_the_report_is_one_file_that_shows_a_models_text_as_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}\u202e\0"
    records = [
        record(evil + TRUE, f"{evil} $x^"),
        record(CLAIMED.replace("46 + 19 <", f"46 + 19 {evil}<"), evil, nums=[2, 3]),
    ]
    write_lines(tmp_path / "records.jsonl", records)
    code, text = run(tmp_path / "records.jsonl", "--out", tmp_path / "out")
    assert (code, text.splitlines()[-1]) == (0, str(tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "aha.json",
        "aha.png",
        "manifest.json",
        "report.html",
    ]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.tags
    assert tags.tags.count("img") == 1
    assert all(load.startswith("data:image/png;base64,") for load in tags.loads)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert "\u202e" not in page
    assert "\0" not in page
    assert "prefers-color-scheme: dark" in page
    assert (tmp_path / "out" / "aha.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_quotes_the_best_and_highlights_what_was_found(tmp_path: Path) -> None:
    write_lines(tmp_path / "records.jsonl", [record(TRUE), record(TRUE), record(CLAIMED)])
    assert run(tmp_path / "records.jsonl", "--out", tmp_path / "out")[0] == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    shown = {kind: texts[1:] for kind, texts in tags.marked.items()}  # the first of each explains the colour
    assert shown == {
        "cue": ["Wait", "突然想到"],
        "right": ["84 - 19"],
        "wrong": ["7 * 8 = 54"],
        "stranger": ["46 + 19"],
    }
    assert page.count("<article>") == 2, "one quote of each puzzle and kind"
    assert "numbers that were not given: 46" in page
    assert "given numbers that the answer leaves out: 55, 36, 7" in page


def test_a_folder_that_is_there_is_only_replaced_when_asked(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "records.jsonl", [])
    assert run(path, "--out", tmp_path / "out")[0] == 0
    assert run(path, "--out", tmp_path / "out")[0] == 1
    assert run(path, "--out", tmp_path / "out", "--overwrite")[0] == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    assert run(path, "--out", tmp_path / "mine", "--overwrite")[0] == 1
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep me"
