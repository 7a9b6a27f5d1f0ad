"""Evaluation records on disk: one line each whatever they hold, and whole ones survive an interruption."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from countdown_r1 import manifest, models
from countdown_r1.errors import StageError
from countdown_r1.train.aha import read_records
from countdown_r1.train.generation import Completion, Decoding
from countdown_r1.train.records import Pass, append, begin, line_of, record, resume, tidy
from countdown_r1.train.summary import summarise_records
from countdown_r1.weights import weights_sha256

ROWS = [{"nums": [n, n + 1], "target": 2 * n + 1, "language": "en", "level": 0, "prompt": "p"} for n in range(1, 5)]
PASS = Pass("base/records.jsonl", "base", ROWS, Decoding(samples=2), "0" * 64)
SOLVED = "</think>\n<answer>1 + 2</answer>"


def written(folder: Path, one: Pass = PASS, text: str = SOLVED) -> list[dict[str, Any]]:
    """All records of a pass, saved in two batches."""
    made = [
        record(number, row, "prompt", Completion(text, 7, 0.25), one.label, sample)
        for number, row in enumerate(one.rows)
        for sample in range(one.decoding.samples)
    ]
    begin(folder, one)
    append(folder / one.name, made[:5])
    append(folder / one.name, made[5:])
    return made


def test_saved_records_come_back_as_they_were(tmp_path: Path) -> None:
    made = written(tmp_path)
    tidy(tmp_path, [PASS])
    assert resume(tmp_path, PASS) == made
    assert made[0]["score"] == 1 and made[2]["score"] == 0


def test_a_pass_that_never_began_has_no_records(tmp_path: Path) -> None:
    tidy(tmp_path, [PASS])
    assert resume(tmp_path, PASS) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_last_line_that_was_cut_short_is_asked_again(tmp_path: Path, cut: int) -> None:
    made = written(tmp_path)
    path = tmp_path / PASS.name
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert resume(tmp_path, PASS) == made[:-1]
    append(path, made[-1:])
    assert path.read_bytes() == whole


def other(line: bytes, **changes: Any) -> bytes:
    return (json.dumps({**json.loads(line), **changes}) + "\n").encode()


DAMAGE = {
    "no JSON": lambda line: b"nonsense\n",
    "half a line": lambda line: line[:60] + b"\n",
    "NUL bytes": lambda line: b"\0" * len(line[:-1]) + b"\n",
    "invalid UTF-8": lambda line: line.replace(b"prompt", b"\xff\xfe\xfd", 1),
    "empty": lambda line: b"\n",
    "no object": lambda line: b"[1, 2]\n",
    "deeply nested": lambda line: b"[" * 200_000 + b"\n",
    "another puzzle": lambda line: other(line, test_id=9),
    "another sample": lambda line: other(line, sample=5),
    "other numbers": lambda line: other(line, nums=[3, 3]),
    "another target": lambda line: other(line, target=1),
    "no text": lambda line: other(line, generation=None),
    "a length in words": lambda line: other(line, n_tokens="seven"),
    "a huge number": lambda line: b'{"test_id": ' + b"9" * 5_000 + b"}\n",
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_from_a_damaged_line_on_everything_is_asked_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = written(tmp_path)
    path = tmp_path / PASS.name
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], DAMAGE[damage](lines[3]), *lines[4:]]))
    assert resume(tmp_path, PASS) == made[:3]
    assert path.read_bytes() == b"".join(lines[:3])
    assert "line 4 is damaged" in caplog.text


def test_more_records_than_were_asked_for_are_dropped(tmp_path: Path) -> None:
    made = written(tmp_path)
    append(tmp_path / PASS.name, made[:1])
    assert resume(tmp_path, PASS) == made


def test_a_saved_verdict_is_not_believed_but_judged_again(tmp_path: Path) -> None:
    made = written(tmp_path)
    path = tmp_path / PASS.name
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(other(line, score=1, verdict="solved", format=0) for line in lines))
    assert resume(tmp_path, PASS) == made


CHANGES = {
    "weights": replace(PASS, weights_sha256="1" * 64),
    "puzzles": replace(PASS, rows=ROWS[:3]),
    "prompts": replace(PASS, rows=[{**row, "prompt": "q"} for row in ROWS]),
    "label": replace(PASS, label="other"),
    "temperature": replace(PASS, decoding=replace(PASS.decoding, temperature=0.5)),
    "tokens": replace(PASS, decoding=replace(PASS.decoding, max_new_tokens=5)),
    "seed": replace(PASS, decoding=replace(PASS.decoding, seed=1)),
    "samples": replace(PASS, decoding=replace(PASS.decoding, samples=3)),
    "backend": replace(PASS, decoding=replace(PASS.decoding, backend="vllm")),
}


@pytest.mark.parametrize("what", list(CHANGES))
def test_anything_that_decides_the_answers_starts_over(tmp_path: Path, what: str) -> None:
    written(tmp_path)
    tidy(tmp_path, [CHANGES[what]])
    assert resume(tmp_path, CHANGES[what]) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("changes", [{"batch_size": 3}, {"greedy": True}])
def test_what_decides_no_answer_starts_nothing_over(tmp_path: Path, changes: dict[str, Any]) -> None:
    made = written(tmp_path)
    same = replace(PASS, decoding=replace(PASS.decoding, **changes))
    tidy(tmp_path, [same])
    assert resume(tmp_path, same) == made


def test_only_the_model_that_changed_is_asked_again_and_nothing_else_is_left(tmp_path: Path) -> None:
    last = replace(PASS, name="last/records.jsonl", label="last")
    made = written(tmp_path)
    written(tmp_path, last)
    written(tmp_path, replace(PASS, name="gone/records.jsonl", label="gone"))
    (tmp_path / "summary.json").write_text("{}")
    changed = replace(last, weights_sha256="2" * 64)
    tidy(tmp_path, [PASS, changed])
    assert resume(tmp_path, PASS) == made
    assert resume(tmp_path, changed) == []
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"base/records.jsonl", "resume.json"}


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\0"])
def test_a_damaged_note_of_what_was_asked_starts_over(tmp_path: Path, text: str) -> None:
    written(tmp_path)
    (tmp_path / "resume.json").write_text(text)
    tidy(tmp_path, [PASS])
    assert resume(tmp_path, PASS) == []


def test_a_record_is_one_line_for_every_reader_and_reads_back_the_same(tmp_path: Path) -> None:
    text = 'a\nb\r\u2028c\u2029d\x85e\x0b\x0c\x1cf\0 "</think>'
    made = written(tmp_path, text=text)
    line = line_of(made[0])
    assert line.splitlines() == [line[:-1]]
    assert json.loads(line) == made[0]
    assert resume(tmp_path, PASS) == made
    assert len(read_records(tmp_path / PASS.name)) == len(made)


def test_a_completion_of_10_mb_is_saved_read_and_counted_in_seconds(tmp_path: Path) -> None:
    text = ("1 + 2 = 3. " * 930_000)[: 10 * 2**20] + SOLVED
    one = replace(PASS, rows=ROWS[:1], decoding=Decoding())
    began = time.monotonic()
    made = written(tmp_path, one, text)
    assert resume(tmp_path, one) == made
    summary = summarise_records("base", made, [])
    assert summary["solve_rate"] == 1.0
    assert time.monotonic() - began < 20


def test_the_hash_of_a_model_is_that_of_what_decides_its_answers(tmp_path: Path) -> None:
    folder = shutil.copytree(models.SHIPPED["novice"], tmp_path / "model")
    before = weights_sha256(folder)
    assert weights_sha256(models.SHIPPED["novice"]) == before
    (folder / "README.md").write_text("other words")
    (folder / "manifest.json").unlink()
    assert weights_sha256(folder) == before
    for name in ("model.safetensors", "tokenizer.json", "generation_config.json", "chat_template.jinja"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole + b" ")
        assert weights_sha256(folder) != before, name
        (folder / name).write_bytes(whole)
    (folder / "model.safetensors").unlink()
    with pytest.raises(StageError, match="has no weights"):
        weights_sha256(folder)


def test_a_file_in_the_hubs_cache_is_hashed_by_its_name(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    source = models.SHIPPED["novice"]
    for path in (source / "model.safetensors", source / "config.json"):
        blob = blobs / manifest.sha256(path)
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(blob)
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("model.safetensors", "config.json"):
        shutil.copy(source / name, plain / name)
    assert weights_sha256(snapshot) == weights_sha256(plain)
