"""Completions of other programs: every name and container gives the same records, or one line says what is wanted."""

from __future__ import annotations

import csv
import gzip
import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from countdown_r1.cli import main
from countdown_r1.errors import InputError
from countdown_r1.train.aha import summarise
from countdown_r1.train.aha_report import report
from countdown_r1.train.reward_functions import SAMPLES, recorded
from countdown_r1.train.rewards import equation_reward
from countdown_r1.train.samples import read_records, read_samples

NUMS, TARGET = [19, 36, 55, 7], 65
ASK = "Using the numbers [19, 36, 55, 7], create an equation that equals 65. Show your work in <think> </think> tags."
THOUGHT = "19 + 36 = 55, no. Wait, let me try 55 + 36 = 91, 91 - 19 = 72, 72 - 7 = 65. Yes."
ANSWER = "<answer>55 + 36 - 19 - 7</answer>"
SAID = f"{THOUGHT}</think>\n{ANSWER}"
USER, REPLY = {"role": "user", "content": ASK}, {"role": "assistant", "content": SAID}
APART = {"role": "assistant", "content": ANSWER, "reasoning_content": THOUGHT}
OK, STATED = {"role": "assistant", "content": "ok"}, {"numbers": NUMS, "target": TARGET}
ROWS: dict[str, dict[str, Any]] = {
    "ours": {"prompt": ASK, "generation": SAID},
    "trl": {"prompt": ASK, "completion": SAID, "step": 3, "reward": 1.0},
    "trl chat": {"prompt": [USER], "completion": [REPLY]},
    "apart": {"prompt": [USER], "completion": [APART]},
    "verl": {"input": f"user\n{ASK}\nassistant\n", "output": SAID, "gts": "x", "score": 1.0, "step": 3},
    "verl several": {"prompt": [USER], "responses": [SAID, SAID, "x"]},
    "reasoning-gym": {"question": "Puzzle", "full_model_response": SAID, "metadata": STATED},
    "question": {"question": ASK, "response": SAID},
    "problem": {"problem": ASK, "model_output": SAID},
    "pipeline": {"generated_text": ASK + SAID, "prompt": ASK},
    "pipeline chat": {"generated_text": [USER, REPLY]},
    "messages": {"messages": [{"role": "system", "content": "Example: [1, 2] -> 3."}, USER, APART]},
    "few shots": {"messages": [{"role": "user", "content": "Use [1, 2, 3] to make 6."}, OK, USER, REPLY]},
    "sharegpt": {"conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": SAID}]},
    "openai": {"prompt": ASK, "choices": [{"index": 0, "message": REPLY}]},
    "vllm": {"prompt": ASK, "outputs": [{"text": SAID}]},
    "harness": {"doc": {"nums": NUMS, "target": TARGET}, "resps": [[SAID]]},
    "several": {"prompt": ASK, "completions": [SAID, SAID]},
    "several chats": {"prompt": [USER], "completions": [[REPLY], [APART]]},
    "wandb names": {"Prompt": ASK, "Completion": SAID, "Global Step": 3},
    "text": {"text": f"<|im_start|>user\n{ASK}<|im_end|>\n<|im_start|>assistant\n{SAID}"},
    "ground truth": {"raw_generation": SAID, "reward_model": {"style": "rule", "ground_truth": STATED}},
    "pair": {"generations": SAID, "ground_truth": [NUMS, TARGET]},
    "extra": {"response": SAID, "extra_info": {"nums": NUMS, "target": TARGET}},
    "spelt": {"response": SAID, "nums": "[19 36 55  7]", "target": "65"},
    "array": {"response": SAID, "nums": "array([np.int64(19), 36, 55, 7])", "target": 65.0},
}  # fmt: skip
CONTAINERS = (
    "jsonl",
    "json",
    "data.json",
    "table.json",
    "columns.json",
    "pretty.json",
    "jsonl.gz",
    "csv",
    "csv.gz",
    "tsv",
    "parquet",
)


def write(path: Path, rows: list[dict[str, Any]], kind: str) -> Path:
    path = path / f"file.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    names = list(rows[0])
    texts = {
        "jsonl": "\n".join(map(json.dumps, rows)),
        "json": json.dumps(rows),
        "data.json": json.dumps({"version": "1.0", "data": rows}),
        "table.json": json.dumps({"columns": names, "data": [list(row.values()) for row in rows]}),
        "columns.json": json.dumps({name: [row[name] for row in rows] for name in names}),
        "pretty.json": json.dumps({"metrics": {"n": 1}, "generations": rows}, indent=2),
    }
    text = texts.get(kind.removesuffix(".gz"))
    if text is None:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, names, delimiter="\t" if kind == "tsv" else ",")
            writer.writeheader()
            cells = [
                {name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items()}
                for row in rows
            ]
            writer.writerows(cells)
        text = path.read_text()
    path.write_bytes(gzip.compress(text.encode()) if kind.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("name", ROWS)
def test_every_name_and_container_gives_the_same_records(tmp_path: Path, name: str, kind: str) -> None:
    row = ROWS[name]
    if kind == "parquet" and name == "pair":  # Arrow has no list of a list and a number
        row = row | {"ground_truth": json.dumps(row["ground_truth"])}
    found = read_samples(write(tmp_path, [row] * 3, kind))
    n = 3 * (2 if name.startswith("several") else 3 if name == "verl several" else 1)
    assert len(found.records) == n
    assert sum(one["generation"] == SAID for one in found.records) == (6 if n > 3 else 3)
    assert all((one["nums"], one["target"]) == (NUMS, TARGET) for one in found.records)
    assert {one["checkpoint"] for one in found.records} == {"step 3" if any("tep" in key for key in row) else "file"}
    assert all(isinstance(one["prompt"], str) and one["test_id"] < 3 for one in found.records)
    assert found.notes == ({"rows that hold several completions, each of which is read": 3} if n > 3 else {})
    assert summarise(found.records)["solved"] == (6 if n > 3 else 3)


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"idx": 3, "resp": "x"}, "keys idx, resp, and no completion: is 'resp' what is wanted as 'response'?"),
        ({"prompt": "p", "respones": "x"}, "respones, and no completion: is 'respones' what is wanted as 'resp"),
        ({"nums": "[1, 2]", "zzz": 3}, "keys nums, zzz; the completion is wanted as 'generation'"),
        ({"completion": {"a": 1}, "b": 1}, "keys completion, b, but 'completion' holds no text and no chat"),
    ],
)  # fmt: skip
def test_a_file_without_completions_is_told_its_keys_and_the_nearest_name(
    tmp_path: Path, row: dict[str, Any], said: str, kind: str
) -> None:
    path = write(tmp_path, [row] * 2, kind)
    with pytest.raises(InputError) as raised:
        read_samples(path)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert CliRunner().invoke(main, ["aha", str(path)]).exit_code == 1


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl.gz", b"no gzip"),
        ("a.jsonl.gz", gzip.compress(b'{"generation": "x"}' * 99, mtime=0)[:-20]),
        ("a.csv", b""),
        ("a.csv", b"prompt,completion\n"),
        ("a.csv", b'prompt,completion\n"never closed'),
        ("a.csv", b"\0\0\xff,\n\0"),
        ("a.json", b"{}"),
        ("a.json", b'{"data": 3}'),
        ("a.json", b'{"columns": ["completion"], "data": [3, "x"]}'),
        ("a.json", b'{"a": {"b": [[[[' + b"[" * 9_000),
        ("a.jsonl", b'{"completion": {"completion": {"completion": {"completion": {"completion": []}}}}}'),
        ("a.parquet", b""),
    ],
)  # fmt: skip
def test_a_broken_file_is_one_line_or_is_said_to_be_empty(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    done = CliRunner().invoke(main, ["aha", str(tmp_path / name)])
    assert done.exit_code in (0, 1)
    assert done.exit_code == 1 or "empty files: 1" in done.output or "never write </think>" in done.output
    assert len(done.stderr.splitlines()) <= 1
    assert "Traceback" not in done.output


def test_a_folder_of_files_named_by_step_is_read(tmp_path: Path) -> None:
    for step in (1, 2):
        (tmp_path / f"{step}.jsonl").write_text(json.dumps(ROWS["verl"] | {"step": step}) + "\n")
    (tmp_path / "metrics.jsonl").write_text('{"loss": 1}\n')
    assert [one["checkpoint"] for one in read_records(tmp_path)] == ["step 1", "step 2"]


UNTAGGED = f"Try {THOUGHT}\n{ANSWER}"
PLAIN_ASK = "Using the numbers [19, 36, 55, 7], create an equation that equals 65. Return <answer> equation </answer>."


@pytest.mark.parametrize(
    ("prompt", "completion", "solved", "note"),
    [
        (PLAIN_ASK, UNTAGGED, 1, "have no think tags, as their prompts ask"),
        ([USER | {"content": PLAIN_ASK}], [REPLY | {"content": UNTAGGED}], 1, "have no think tags, as their prompts"),
        (ASK, UNTAGGED, 0, "never write </think>, so none of them can count"),
        (f"{PLAIN_ASK}\n<think>", UNTAGGED, 0, "never write </think>"),
        ("", UNTAGGED, 0, "never write </think>"),
        (PLAIN_ASK, f"<think>{UNTAGGED}", 0, "never write </think>"),
        (PLAIN_ASK, f"Try {THOUGHT}", 0, "never write </think>"),
        (PLAIN_ASK, f"Try {THOUGHT}\n<answer>1</answer>\n{ANSWER}", 0, "have no think tags, as their prompts ask"),
    ],
)  # fmt: skip
def test_answers_that_close_no_thought_count_where_the_prompt_asks_for_none_and_are_said(
    tmp_path: Path, prompt: Any, completion: Any, solved: int, note: str
) -> None:
    row = {"prompt": prompt, "completion": completion, "nums": NUMS, "target": TARGET}
    path = write(tmp_path, [row] * 2, "jsonl")
    assert f"  2 completions {note}" in CliRunner().invoke(main, ["aha", str(path)]).output
    measured = report(read_samples(path), "", None, overwrite=False, command="")
    assert measured["models"][0]["solved"] == 2 * solved
    assert [count for said, count in measured["notes"].items() if note in said] == [2]


def test_the_page_says_how_many_close_no_thought(tmp_path: Path) -> None:
    path = write(tmp_path, [{"prompt": ASK, "completion": UNTAGGED}] * 2, "jsonl")
    assert CliRunner().invoke(main, ["aha", str(path), "--out", str(tmp_path / "out")]).exit_code == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "2 completions never write &lt;/think&gt;, so none of them can count" in page


def test_the_samples_of_a_chat_are_written_and_read_back(tmp_path: Path) -> None:
    reward = recorded(equation_reward, tmp_path)
    completions: list[Any] = [[APART], [REPLY], SAID, None, [{"role": "assistant", "content": None}], "\ud800"] * 60
    prompts: list[Any] = [
        [USER],
        [{"role": "user", "content": [{"type": "text", "text": ASK}]}],
        f"{ASK}\n<think>",
    ] * 120
    columns: dict[str, list[Any]] = {}
    asked: dict[str, Any] = {"nums": [NUMS] * 360, "target": [TARGET] * 360, "log_extra": columns.__setitem__}
    scores = reward(completions=completions, prompts=prompts, log_metric=lambda *_: None, **asked)
    assert scores == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0] * 60
    assert columns["verdict"][:4] == ["solved", "solved", "solved", "unfinished thought"]
    records = read_records(tmp_path / SAMPLES)
    assert {one["puzzle_from"] for one in records} == {"prompt"}
    assert {one["generation"] for one in records} == {SAID, "", "?"}


UNITS = [
    " ",
    "\t",
    "\n",
    "\r\n",
    " \n",
    "1 ",
    "= ",
    "[",
    "(",
    "[reward ",
    "\\frac{",
    "\\boxed{",
    "need ",
    "1,",
    "<answer>",
    "Assistant:\n",
]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", ["completion_samples.txt", "a.jsonl"])
def test_any_text_of_200_kb_is_looked_at_in_seconds(tmp_path: Path, unit: str, name: str) -> None:
    long = unit * (200_000 // len(unit))
    path = tmp_path / name
    if name.endswith("txt"):
        path.write_text(f"=======\n{long}\n=======\n<think>{long}</think>{long}<answer>{long}</answer>")
    else:
        rows = [{"prompt": long, "completion": f"{long}</think>{ANSWER}"}, {"text": long}]
        path.write_text("\n".join(map(json.dumps, rows)))
    began = time.process_time()
    assert CliRunner().invoke(main, ["aha", str(path)]).exit_code == 0
    assert time.process_time() - began < 6
