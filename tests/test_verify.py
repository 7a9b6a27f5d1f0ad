"""The certificate: what ``verify-dataset`` proves of built folders and of other people's files, and what it finds."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from countdown_r1 import manifest
from countdown_r1.build_dataset import comparison
from countdown_r1.build_dataset.dataset import build
from countdown_r1.build_dataset.generate import Wish, generate
from countdown_r1.build_dataset.prompt import load_template
from countdown_r1.build_dataset.report import LISTED, Findings, Problem, Report
from countdown_r1.build_dataset.schema import table
from countdown_r1.build_dataset.verify import verify
from countdown_r1.errors import InputError
from countdown_r1.game.split import SPLITS

ROWS = 600
SHARD = "00000-of-00001.parquet"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "dataset"
    build(out, rows=ROWS, seed=3, command="countdown-r1 build-dataset")
    return out


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "dataset"))


def read(path: Path) -> pa.Table:
    return pq.ParquetFile(path).read()


def rewritten(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the rows of a parquet file and keep its columns."""
    table = read(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def without_hashes(folder: Path) -> None:
    """Let the manifest agree with files that a test has changed."""
    written = manifest.read(folder)
    manifest.write(folder, written)


def found(report: Report, where: str, row: int | None = None) -> list[Problem]:
    return [problem for problem in report.problems if problem.where == where and problem.row == row]


def bare(path: Path, rows: list[tuple[Any, Any]], **columns: list[Any]) -> Path:
    """Other people's parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nums, target = pa.array([row[0] for row in rows]), pa.array([row[1] for row in rows])
    pq.write_table(pa.table({"nums": nums, "target": target} | columns), path)
    return path


SOLVABLE = [([1, 2], 3), ([3, 4, 5], 12), ([44, 19, 35], 98), ([55, 36, 7, 19], 65)]


def test_a_fresh_build_is_certified_with_its_counts(built: Path) -> None:
    report = verify(str(built))
    assert (report.ok, report.problems, report.notes) == (True, [], [])
    assert len(report.tables) == 12
    proof = report.proof
    assert (proof.rows, proof.puzzles, proof.solvable, proof.labels_equal, proof.ids_equal) == (ROWS,) * 5
    assert (proof.prompts, proof.prompts_equal) == (4 * ROWS, 4 * ROWS)
    assert proof.configs == ["en", "zh", "en-chatml", "zh-chatml"]
    assert proof.files_equal == len(manifest.read(built).files)
    sets = {
        f"en/{split}": len({tuple(sorted(nums)) for nums in read(built / f"en/{split}-{SHARD}")["nums"].to_pylist()})
        for split in SPLITS
    }
    assert (proof.number_sets, proof.shared_sets) == (sets, 0)


def test_the_report_reads_well_and_its_json_holds_the_same(built: Path) -> None:
    report = verify(str(built))
    lines = report.to_text().splitlines()
    assert re.fullmatch(r"en/train +5\d\d rows", lines[0])
    assert lines[-1] == f"{built}: {ROWS} puzzles, no problems"
    assert any(
        re.fullmatch(r"  sets of numbers +en/train \d+, en/validation \d+, .*; in two splits: 0", x) for x in lines
    )
    values = json.loads(report.to_json())
    assert values["ok"] is True
    assert values["proof"] == asdict(report.proof)
    assert (values["kinds"], values["problems"], values["tables"]) == ({}, [], report.tables)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"n_solutions": 77}, "n_solutions differs", "n_solutions is 77; the solver finds"),
        ({"n_solutions": None}, "n_solutions differs", "n_solutions is null; the solver finds"),
        ({"level": 9}, "level differs", "level is 9; the solver finds"),
        ({"easiest_solution": "1 + 1"}, "easiest_solution differs", "'1 \\+ 1', wrong: uses 1"),
        ({"easiest_solution": None}, "easiest_solution differs", "easiest_solution is null; the solver finds"),
        ({"easiest_solution": "(" * 10**5}, "easiest_solution differs", "longer than"),
        ({"id": "0"}, "id differs", "id is '0', not '[0-9a-f]{16}'"),
        ({"id": None}, "no id", "id is null"),
        ({"prompt": []}, "prompt differs", "at character 1: '' instead of 'system"),
        ({"prompt": None}, "prompt differs", "prompt differs from its template"),
        ({"assistant_prefix": "<think>"}, "assistant_prefix differs", "at character 1: '<think>' instead of"),
        ({"target": 10**9}, "no solution", "no solution: 1000000000 from"),
        ({"target": 10**12}, "out of range", "at most 1,000,000,000"),
        ({"target": None}, "malformed", "the target is a NoneType"),
        ({"nums": None}, "malformed", "nums is missing"),
        ({"nums": [1, 2, None]}, "malformed", "which is not a whole number"),
        ({"nums": []}, "out of range", "a puzzle has 1 to 6 numbers"),
        ({"nums": [1] * 7}, "out of range", "a puzzle has 1 to 6 numbers, got 7"),
        ({"nums": [0, 5, 5]}, "out of range", "between 1 and 10,000, got 0"),
        ({"nums": [-5, 5]}, "out of range", "between 1 and 10,000, got -5"),
        ({"nums": [10_001, 5]}, "out of range", "between 1 and 10,000, got 10001"),
    ],
)
def test_a_changed_value_is_found_with_its_place(copied: Path, change: dict[str, Any], kind: str, message: str) -> None:
    rewritten(copied / f"en/test-{SHARD}", lambda rows: rows[2].update(change))
    report = verify(str(copied))
    [problem] = [problem for problem in found(report, "en/test", 3) if problem.kind == kind]
    assert re.search(message, problem.what), problem
    assert report.findings.kinds[kind] == 1
    assert report.findings.kinds["file changed"] == 1
    assert json.loads(report.to_json())["kinds"][kind] == 1
    assert f"en/test row 3: {problem.what}" in report.to_text()


def test_a_right_solution_that_is_not_the_easiest_is_told_apart(copied: Path) -> None:
    path = copied / f"en/train-{SHARD}"
    texts = read(path)["easiest_solution"].to_pylist()
    place = next(place for place, text in enumerate(texts) if re.fullmatch(r"\d+( \+ \d+)+", text))
    first, *rest = texts[place].split(" + ")
    rewritten(path, lambda rows: rows[place].update(easiest_solution=" + ".join([*rest, first])))
    [problem] = found(verify(str(copied)), "en/train", place + 1)
    assert "which is right but not the easiest" in problem.what


@pytest.mark.parametrize(
    ("config", "change", "kind", "message"),
    [
        ("zh", {"level": 9}, "configs differ", r"level is 9, in en/test it is \d"),
        ("zh-chatml", {"easiest_solution": None}, "configs differ", "easiest_solution is null, in en/test it is '"),
        ("zh", {"nums": [1, 2]}, "configs differ", r"nums is \[1, 2\], in en/test it is \["),
        ("zh", {"nums": None}, "configs differ", "nums is null, in en/test"),
        ("en-chatml", {"id": "0"}, "configs differ", "id is '0', in en/test it is"),
        ("en-chatml", {"prompt": "Hello"}, "prompt differs", "at character 1: 'Hello' instead of '<|im_start|>"),
        (
            "zh",
            {"prompt": [{"role": "user", "content": None}]},
            "prompt differs",
            "at character 1: 'user: ' instead of",
        ),
    ],
)
def test_what_only_another_config_has_wrong_is_found_there(
    copied: Path, config: str, change: dict[str, Any], kind: str, message: str
) -> None:
    rewritten(copied / f"{config}/test-{SHARD}", lambda rows: rows[4].update(change))
    report = verify(str(copied))
    [problem] = [problem for problem in found(report, f"{config}/test", 5) if problem.kind == kind]
    assert re.search(message.replace("|", r"\|"), problem.what), problem
    assert not found(report, "en/test", 5)


def test_two_swapped_rows_are_no_longer_paired(copied: Path) -> None:
    def swap(rows: list[dict[str, Any]]) -> None:
        rows[1], rows[2] = rows[2], rows[1]

    rewritten(copied / f"zh/test-{SHARD}", swap)
    report = verify(str(copied))
    assert report.findings.kinds == {"configs differ": 2, "file changed": 1}
    assert [problem.row for problem in report.problems if problem.kind == "configs differ"] == [2, 3]


def test_files_cut_at_other_rows_are_compared_all_the_same(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_ROWS", 100)
    rows = read(copied / f"zh/train-{SHARD}")
    (copied / f"zh/train-{SHARD}").unlink()
    for place, (start, count) in enumerate(((0, 7), (7, 130), (137, len(rows)))):
        name = f"train-{place:05d}-of-00003.parquet"
        pq.write_table(rows.slice(start, count), copied / "zh" / name, row_group_size=60)
    without_hashes(copied)
    assert verify(str(copied)).ok
    rewritten(copied / "zh/train-00002-of-00003.parquet", lambda rows: rows[20].update(level=3, prompt=[]))
    problems = found(verify(str(copied)), "zh/train", 158)
    assert {problem.kind for problem in problems} == {"configs differ", "prompt differs"}


def test_a_row_that_is_gone_and_a_split_that_is_gone_are_told(copied: Path) -> None:
    rewritten(copied / f"zh/test-{SHARD}", lambda rows: rows.pop())
    (copied / f"en-chatml/validation-{SHARD}").unlink()
    report = verify(str(copied))
    rows = read(copied / f"en/test-{SHARD}").num_rows
    assert [problem.what for problem in found(report, "zh/test")] == [f"has {rows - 1} rows, en/test has {rows}"]
    assert [problem.what for problem in found(report, "en-chatml/validation")] == ["is missing, other configs have it"]
    assert report.findings.kinds["file missing"] == 1


def test_a_row_moved_between_splits_is_a_leak_in_every_sense(copied: Path) -> None:
    train = read(copied / f"en/train-{SHARD}").slice(6, 1).to_pylist()[0]
    rewritten(copied / f"en/test-{SHARD}", lambda rows: rows[0].update(train))
    whats = [problem.what for problem in found(verify(str(copied)), "en/test", 1)]
    assert "its numbers belong to split 'train'" in whats
    assert "is the puzzle of en/train row 7" in whats
    report = verify(str(copied))
    assert report.proof.shared_sets == 1
    assert report.proof.puzzles == ROWS - 1
    assert "in two splits: 1" in report.to_text()


def test_the_same_numbers_with_another_target_leak_too(copied: Path) -> None:
    train = read(copied / f"en/train-{SHARD}").slice(0, 1).to_pylist()[0]
    change = {"nums": train["nums"][::-1], "target": sum(train["nums"])}
    rewritten(copied / f"en/validation-{SHARD}", lambda rows: rows[0].update(change))
    whats = [problem.what for problem in found(verify(str(copied)), "en/validation", 1)]
    assert "has the numbers of en/train row 1" in whats


def test_a_permuted_duplicate_is_found(copied: Path) -> None:
    other = read(copied / f"en/train-{SHARD}").slice(0, 1).to_pylist()[0]
    other["nums"] = other["nums"][::-1]
    rewritten(copied / f"en/train-{SHARD}", lambda rows: rows[8].update(other))
    report = verify(str(copied))
    assert "is the puzzle of row 1" in [problem.what for problem in found(report, "en/train", 9)]
    assert report.findings.kinds["duplicate"] == 1


def test_wrong_missing_and_extra_columns_are_named_once_each(copied: Path) -> None:
    path = copied / f"zh/test-{SHARD}"
    table = read(path)
    place = table.schema.get_field_index("target")
    table = table.set_column(place, "target", table["target"].cast(pa.int32())).drop_columns(["level"])
    pq.write_table(table.append_column("solution", table["id"]).append_column("id", table["id"]), path)
    whats = {problem.what for problem in verify(str(copied)).problems if problem.where == "zh/test"}
    assert whats == {
        "column 'target' is int32, not int64",
        "column 'level' is missing",
        "column 'solution' is not part of the schema",
        "column 'id' is there 2 times",
    }


def test_a_broken_first_config_leaves_the_proof_to_the_next(copied: Path) -> None:
    path = copied / f"en/test-{SHARD}"
    table = read(path)
    pq.write_table(table.set_column(1, "nums", table["nums"].cast(pa.list_(pa.float64()))), path)
    rewritten(copied / f"zh/test-{SHARD}", lambda rows: rows[0].update(level=3))
    report = verify(str(copied))
    assert [problem.what for problem in found(report, "en/test")] == [
        "column 'nums' is list<element: double>, not list<item: int64>"
    ]
    assert any("level is 3; the solver finds" in problem.what for problem in found(report, "zh/test", 1))
    assert report.proof.rows == ROWS


def test_every_bad_row_is_counted_and_only_the_first_are_listed(copied: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["prompt"] = row["prompt"] + " "
            row["n_solutions"] += 1

    rewritten(copied / f"en-chatml/train-{SHARD}", change)
    without_hashes(copied)
    report = verify(str(copied))
    rows = report.tables["en-chatml/train"]
    assert rows > LISTED
    assert report.findings.kinds == {"prompt differs": rows, "configs differ": rows}
    assert len(report.problems) == 2 * LISTED
    text = report.to_text()
    assert f"  prompt differs: {rows}\n    en-chatml/train row 1: prompt differs" in text
    assert len(re.findall(r"^    en-chatml/train row", text, re.MULTILINE)) == 20
    assert text.splitlines()[-1].endswith(f"{ROWS} puzzles, {2 * rows:,} problems")
    assert report.proof.prompts_equal == report.proof.prompts - rows


def test_the_counts_of_many_tables_add_up_and_their_lists_stay_short() -> None:
    whole = Findings()
    for _ in range(30):
        part = Findings()
        for row in range(50):
            part.add("en/train", "leak", "has the numbers of en/test row 1", row)
        whole.merge(part)
    assert whole.kinds == {"leak": 1500}
    assert len(whole.problems) == LISTED


def test_files_that_the_manifest_does_not_know_or_that_differ_are_named(copied: Path) -> None:
    (copied / "README.md").write_text("changed")
    shutil.copy(copied / f"en/test-{SHARD}", copied / "en/test-00001-of-00002.parquet")
    report = verify(str(copied))
    assert [str(problem) for problem in report.problems if problem.where.endswith((".md", "00002.parquet"))] == [
        "README.md: differs from its hash in manifest.json",
        "en/test-00001-of-00002.parquet: is not listed in manifest.json",
    ]
    assert report.findings.kinds["duplicate"] == read(copied / f"en/test-{SHARD}").num_rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[" * 10**5, "is not valid JSON"),
        ('{"stage": "dataset", "schema_version": 99}', "schema version 99"),
        ('{"stage": "dataset", "schema_version": 1, "command": "", "more": 1}', "unexpected keyword"),
        ('{"stage": "dataset", "schema_version": 1, "command": "", "files": [1]}', "are objects"),
    ],
)
def test_a_damaged_manifest_is_a_problem_and_the_rest_is_still_proven(copied: Path, text: str, message: str) -> None:
    (copied / manifest.FILE_NAME).write_text(text)
    report = verify(str(copied))
    [problem] = report.problems
    assert problem.kind == "manifest" and message in problem.what
    assert report.proof.prompts_equal == 4 * ROWS


def test_a_manifest_cannot_point_outside_or_hold_half_a_template(copied: Path) -> None:
    values = json.loads((copied / manifest.FILE_NAME).read_text(encoding="utf-8"))
    values["files"] |= {"../../secret": "0", "/etc/hostname": "0"}
    values["settings"]["templates"] = {"en": {"user": "{nums}"}, "zh": 3}
    (copied / manifest.FILE_NAME).write_text(json.dumps(values))
    kinds = verify(str(copied)).findings.kinds
    assert kinds == {"manifest": 2}


def test_somebody_else_s_manifest_is_none_of_ours(tmp_path: Path) -> None:
    bare(tmp_path / "train.parquet", SOLVABLE)
    (tmp_path / "manifest.json").write_text('{"name": "a web app"}')
    assert verify(str(tmp_path)).ok


def test_a_folder_without_its_manifest_is_known_by_its_columns(copied: Path) -> None:
    (copied / manifest.FILE_NAME).unlink()
    rewritten(copied / f"zh/test-{SHARD}", lambda rows: rows[0].update(assistant_prefix="<think>"))
    report = verify(str(copied))
    assert report.findings.kinds == {"assistant_prefix differs": 1}
    assert report.notes == ["no manifest.json, so files were not compared with their hashes"]


def test_one_file_is_verified_with_what_its_dataset_says(built: Path, tmp_path: Path) -> None:
    report = verify(str(built / f"zh-chatml/test-{SHARD}"))
    assert report.ok
    assert (report.proof.files_equal, report.proof.prompts_equal) == (1, report.proof.rows)
    assert list(report.tables) == [f"test-{SHARD}"]
    assert verify(str(built / "zh")).proof.files_equal == 3
    lone = shutil.copy(built / f"zh-chatml/test-{SHARD}", tmp_path / "mine.parquet")
    report = verify(str(lone))
    assert report.ok
    assert report.proof.prompts_equal == report.proof.rows == report.proof.ids_equal
    assert "mine.parquet: its name tells no split, so the split rule was not checked" in report.notes


def test_a_template_of_your_own_is_taken_from_the_manifest(tmp_path: Path) -> None:
    own = tmp_path / "fr.yaml"
    words = asdict(load_template("en")) | {"language": "fr", "user": "Avec {nums}, faites {target}."}
    own.write_text(yaml.safe_dump(words))
    folder = tmp_path / "dataset"
    build(folder, rows=40, languages=("en",), templates=(str(own),))
    assert verify(str(folder)).ok
    (folder / manifest.FILE_NAME).unlink()
    report = verify(str(folder))
    assert set(report.findings.kinds) == {"no template"}
    assert {problem.where.split("/")[0] for problem in report.problems} == {"fr", "fr-chatml"}


def test_puzzles_without_prompts_are_certified_too(tmp_path: Path) -> None:
    build(tmp_path / "dataset", rows=60, languages=())
    report = verify(str(tmp_path / "dataset"))
    assert report.ok
    assert (report.proof.labels_equal, report.proof.prompts) == (60, 0)


def test_an_id_must_not_stand_in_two_splits(tmp_path: Path) -> None:
    rows = generate(60, Wish((3,)), seed=1).select(["nums", "target"]).to_pylist()
    rows = [row | {"id": f"row {place}"} for place, row in enumerate(rows)]
    (tmp_path / "given.json").write_text(json.dumps(rows))
    build(tmp_path / "dataset", source=str(tmp_path / "given.json"), languages=())
    other = read(tmp_path / f"dataset/puzzles/train-{SHARD}")["id"][1].as_py()
    rewritten(tmp_path / f"dataset/puzzles/test-{SHARD}", lambda rows: rows[0].update(id=other))
    whats = [problem.what for problem in found(verify(str(tmp_path / "dataset")), "puzzles/test", 1)]
    assert whats == ["has the id of puzzles/train row 2"]


def imported(tmp_path: Path, ids: list[str]) -> Path:
    rows = [{"id": one, "nums": nums, "target": target} for one, (nums, target) in zip(ids, SOLVABLE, strict=True)]
    (tmp_path / "given.json").write_text(json.dumps(rows))
    build(tmp_path / "dataset", source=str(tmp_path / "given.json"), languages=("en",))
    return tmp_path / "dataset"


def test_an_imported_set_keeps_its_ids_which_must_be_there_and_differ(tmp_path: Path) -> None:
    folder = imported(tmp_path, ["a", "b", "c", "d"])
    report = verify(str(folder))
    assert report.ok, report.problems
    assert any("ids are its own" in note for note in report.notes)
    [path, *_] = sorted((folder / "en").iterdir(), key=lambda path: -read(path).num_rows)
    rewritten(path, lambda rows: [rows[0].update(id="x"), rows[1].update(id="x")])
    split = path.name.split("-")[0]
    assert "has the id of row 1" in [problem.what for problem in found(verify(str(folder)), f"en/{split}", 2)]
    rewritten(path, lambda rows: [row.update(id=None) for row in rows])
    report = verify(str(folder))
    assert report.findings.kinds["no id"] == read(path).num_rows
    assert "duplicate id" not in report.findings.kinds


@pytest.mark.parametrize(
    ("names", "tables"),
    [
        (("train.parquet", "test.parquet"), ["default/train", "default/test"]),
        (("data/train-00000-of-00001-0123456789abcdef.parquet", "data/test-00000-of-00001-fedcba9876543210.parquet"),)
        * 1
        + (["default/train", "default/test"],),
        (("default/train/0000.parquet", "default/test/0000.parquet"), ["default/train", "default/test"]),
        (("main/train-00000-of-00001.parquet", "main/dev-00000-of-00001.parquet"), ["main/train", "main/validation"]),
        (("data/train/part-0.parquet", "eval_3to4.parquet"), ["default/train", "default/test"]),
    ],
)
def test_other_people_s_layouts_are_understood_and_their_leaks_found(
    tmp_path: Path, names: tuple[str, str], tables: list[str]
) -> None:
    bare(tmp_path / names[0], SOLVABLE)
    bare(tmp_path / names[1], [([7, 8], 56), ([2, 1], 2)])
    report = verify(str(tmp_path))
    assert list(report.tables) == tables
    assert [str(problem) for problem in report.problems] == [f"{tables[1]} row 2: has the numbers of {tables[0]} row 1"]
    assert (report.proof.shared_sets, report.proof.solvable) == (1, 6)
    assert any("not built by this project" in note for note in report.notes)
    assert any("no n_solutions, level, easiest_solution to compare" in note for note in report.notes)


def test_a_hub_dataset_s_cards_and_other_formats_are_left_alone(tmp_path: Path) -> None:
    bare(tmp_path / "data/train-00000-of-00001.parquet", SOLVABLE)
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "dataset_infos.json").write_text("{}")
    (tmp_path / "train.csv").write_text("question\n1\n")
    report = verify(str(tmp_path))
    assert report.ok
    assert any("train.csv" in note for note in report.notes)


def test_csv_and_json_files_are_proven_with_their_labels(tmp_path: Path) -> None:
    given = tmp_path / "mine.json"
    rows = [{"nums": [1, 2], "target": 3, "level": 0}, {"nums": [1, 2], "target": 9}, {"nums": [2, 3], "target": 6}]
    given.write_text(json.dumps(rows))
    report = verify(str(given))
    assert [str(problem) for problem in report.problems] == [
        "mine.json row 2: no solution: 9 from 1, 2 cannot be made",
        "mine.json row 3: level is null; the solver finds 1",
    ]
    (tmp_path / "train.csv").write_text('nums,target,n_solutions\n"[1, 2]",3,1\n"[2, 3]",6,5\n')
    report = verify(str(tmp_path / "train.csv"))
    assert [str(problem) for problem in report.problems] == ["train.csv row 2: n_solutions is 5; the solver finds 1"]


def test_numbers_written_as_text_are_read_and_reported(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"nums": ["1", 2.0], "target": 3}\n\n{"nums": [1, 5], "target": "6"}\n')
    report = verify(str(tmp_path / "a.jsonl"))
    assert [str(problem) for problem in report.problems] == [
        "a.jsonl row 1: holds numbers as text or with a decimal point",
        "a.jsonl row 3: holds numbers as text or with a decimal point",
    ]
    assert report.proof.solvable == 2


@pytest.mark.parametrize(
    ("rows", "message", "solvable"),
    [
        ([(["1", "2"], 3)], "column 'nums' is list<element: string>, not a list of whole numbers", 1),
        ([("[1, 2]", 3)], "column 'nums' is string, not a list of whole numbers", 1),
        ([([1.0, 2.0], 3)], "column 'nums' is list<element: double>, not a list of whole numbers", 1),
        ([([1, 2], 3.0)], "column 'target' is double, not whole numbers", 1),
        ([([1, 2], "3")], "column 'target' is string, not whole numbers", 1),
    ],
)
def test_a_wrong_type_is_told_once_for_a_column_and_its_rows_are_read_where_they_can_be(
    tmp_path: Path, rows: list[tuple[Any, Any]], message: str, solvable: int
) -> None:
    report = verify(str(bare(tmp_path / "train.parquet", rows * 5)))
    assert [str(problem) for problem in found(report, "train.parquet")] == [f"train.parquet: {message}"]
    assert report.findings.kinds == {"schema": 1, "duplicate": 4}
    assert report.proof.solvable == 5 * solvable


@pytest.mark.parametrize(
    "rows",
    [
        [([[1, 2]], 3)],
        [({"a": 1}, 3)],
        [([1, 2], [3])],
        [([True, False], 3)],
        [([1, 2], None)],
        [(None, 3)],
        [(5, 3)],
    ],
)
def test_columns_that_hold_no_numbers_at_all_are_one_line(tmp_path: Path, rows: list[tuple[Any, Any]]) -> None:
    with pytest.raises(InputError) as caught:
        verify(str(bare(tmp_path / "train.parquet", rows)))
    assert re.search(r"train\.parquet column '(nums|target)' is .*, not", str(caught.value))
    assert len(str(caught.value).splitlines()) == 1


def test_bad_rows_among_good_ones_are_counted_with_their_row(tmp_path: Path) -> None:
    rows = [*SOLVABLE, (None, 3), ([1, None], 3), ([1, 2], None), ([], 3), ([1] * 7, 7), ([0, 3], 3), ([1, 10**5], 3)]
    rows += [([1, 2], 10**10), ([1, 2], -(2**63)), ([2**63 - 1, 1], 3), *[([7, 9], 63)]]
    table = pa.table({"nums": pa.array([row[0] for row in rows], pa.list_(pa.int64())), "target": [r[1] for r in rows]})
    pq.write_table(table, tmp_path / "train.parquet")
    report = verify(str(tmp_path / "train.parquet"))
    assert sorted(problem.row or 0 for problem in report.problems) == list(range(5, 15))
    assert report.findings.kinds == {"malformed": 3, "out of range": 7}
    assert (report.proof.rows, report.proof.solvable, report.proof.puzzles) == (15, 5, 5)


def test_labels_that_cannot_be_compared_are_a_note(tmp_path: Path) -> None:
    columns = {"level": ["easy"] * 4, "n_solutions": pa.array([1, 14, 1, 1], pa.uint8()), "id": [[1]] * 4}
    report = verify(str(bare(tmp_path / "train.parquet", SOLVABLE, **columns)))
    assert "train.parquet: column 'level' is string and was not compared" in report.notes
    assert any("column 'id' is list<element: int64> and was not checked" in note for note in report.notes)
    assert {problem.kind for problem in report.problems} <= {"n_solutions differs"}


def test_text_that_is_not_utf_8_and_control_characters_stay_on_one_line(tmp_path: Path) -> None:
    texts = pa.array([b"\xff\xfe", b"\x1b[2J\n\x00", b"", b"1 + 2"], pa.binary())
    broken = pa.StringArray.from_buffers(4, *texts.buffers()[1:])
    path = bare(tmp_path / "train.parquet", SOLVABLE, easiest_solution=broken, id=broken)
    report = verify(str(path))
    assert report.findings.kinds == {"easiest_solution differs": 4}
    assert all(line.isprintable() for line in report.to_text().split("\n"))
    json.loads(report.to_json())


def test_ids_of_other_people_s_sets_must_differ_where_there_are_any(tmp_path: Path) -> None:
    report = verify(str(bare(tmp_path / "train.parquet", SOLVABLE, id=[1, 2, 1, 3])))
    assert [str(problem) for problem in report.problems] == ["train.parquet row 3: has the id of row 1"]


def test_a_truncated_file_is_one_line_alone_and_one_problem_among_others(copied: Path) -> None:
    path = copied / f"en/test-{SHARD}"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError) as caught:
        verify(str(path))
    assert "cannot be read" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    report = verify(str(copied))
    assert report.findings.kinds["unreadable"] == 1
    assert [problem.kind for problem in found(report, f"en/test-{SHARD}")] == ["unreadable", "file changed"]
    assert report.proof.rows == ROWS


def test_damage_inside_a_file_is_found_where_reading_ends(tmp_path: Path) -> None:
    table = pa.table({"nums": [[1, number] for number in range(1, 5001)], "target": list(range(2, 5002))})
    pq.write_table(table, tmp_path / "train.parquet", row_group_size=1000, compression="zstd")
    content = bytearray((tmp_path / "train.parquet").read_bytes())
    start = pq.ParquetFile(tmp_path / "train.parquet").metadata.row_group(3).column(0).dictionary_page_offset
    content[start : start + 200] = b"\xff" * 200
    (tmp_path / "train.parquet").write_bytes(content)
    report = verify(str(tmp_path / "train.parquet"))
    assert report.findings.kinds["unreadable"] == 1
    assert any("train.parquet cannot be read after" in problem.what for problem in report.problems)


def test_zero_rows_are_a_problem(tmp_path: Path, copied: Path) -> None:
    empty = pa.table({"nums": pa.array([], pa.list_(pa.int64())), "target": pa.array([], pa.int64())})
    pq.write_table(empty, tmp_path / "train.parquet")
    assert [str(problem) for problem in verify(str(tmp_path / "train.parquet")).problems] == [
        "train.parquet: has no rows"
    ]
    (tmp_path / "none.json").write_text("[]")
    assert [str(problem) for problem in verify(str(tmp_path / "none.json")).problems] == ["none.json: has no rows"]
    rewritten(copied / f"zh/test-{SHARD}", lambda rows: rows.clear())
    assert "has no rows" in [problem.what for problem in found(verify(str(copied)), "zh/test")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"", "cannot be read"),
        ("a.parquet", b"PAR1" * 50, "cannot be read"),
        ("a.csv", b"question\n1\n", "no column 'nums'"),
        ("a.csv", b"", "is empty"),
        ("a.json", b"[{]", "not valid JSON"),
        ("a.json", b"\xff\xfe", "not JSON in UTF-8"),
        ("a.txt", b"1 2 3", "is not a file this can read"),
    ],
)
def test_a_file_without_any_puzzle_is_an_input_error(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        verify(str(tmp_path / name))
    assert message in str(caught.value)
    assert name in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("target", ["nothing/here.csv", "not an id", "a/b/c", ""])
def test_nothing_to_verify_is_an_input_error(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        verify(target)
    with pytest.raises(InputError, match="holds no puzzles"):
        verify(str(tmp_path))
    bare(tmp_path / "train.parquet", SOLVABLE)
    pq.write_table(pa.table({"question": ["?"]}), tmp_path / "train.parquet")
    with pytest.raises(
        InputError, match=r"default/train: has no column 'nums' and no column 'target'; it has question"
    ):
        verify(str(tmp_path))


MEMORY = """
import sys, tracemalloc
import pyarrow as pa
from countdown_r1.build_dataset import comparison, tables
tables._PROOF_ROWS = comparison._ROWS = 5_000  # so that a small set has many pieces
from countdown_r1.build_dataset.verify import verify
tracemalloc.start()  # sees what Python and numpy take, Arrow's pool the rest
report = verify(sys.argv[1])
peak = tracemalloc.get_traced_memory()[1] + pa.default_memory_pool().max_memory()
print(report.proof.rows, report.proof.prompts_equal, peak)
"""


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    puzzles = generate(20_000, Wish((3,), splits=("train",)), seed=1)
    part = table(puzzles, load_template("en"), "en")
    pq.write_table(part, tmp_path / "part.parquet", row_group_size=10_000)
    peaks: list[int] = []
    for copies in (1, 5):
        folder = tmp_path / str(copies) / "en"
        folder.mkdir(parents=True)
        for place in range(copies):
            os.link(tmp_path / "part.parquet", folder / f"train-{place:05d}-of-{copies:05d}.parquet")
        command = [sys.executable, "-c", MEMORY, str(folder.parent)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        rows, prompts, peak = map(int, done.stdout.split())
        assert rows == prompts == copies * 20_000
        peaks.append(peak)
    more = 4 * part.nbytes
    assert peaks[1] - peaks[0] < more / 5, (peaks, more)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("countdown-r1")), "verify-dataset", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_ends_with_status_1_when_something_fails(built: Path, tmp_path: Path) -> None:
    good = run(str(built))
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.splitlines()[-1].endswith("puzzles, no problems")
    bad = run(str(bare(tmp_path / "train.parquet", [([1, 1], 9)])), "--json")
    assert (bad.returncode, json.loads(bad.stdout)["kinds"]) == (1, {"no solution": 1})
    nothing = run(str(tmp_path / "nothing.csv"))
    assert (nothing.returncode, len(nothing.stderr.splitlines())) == (1, 1)


PUSHED = """
from pathlib import Path
from countdown_r1.hub import connect, user_name
hub = connect("rehearsal", data=Path("hub"))
from countdown_r1.build_dataset.dataset import build, push
from countdown_r1.build_dataset.verify import verify
name = user_name(hub) + "/Countdown-r1-zero"
build(Path("dataset"), rows=120, seed=1)
push(Path("dataset"), name, hub)
for target in (name, f"{name}@main", f"{name}@v1"):
    report = verify(target)
    print(report.ok, report.rows, report.proof.files_equal, len(report.tables), report.notes)
other = user_name(hub) + "/Countdown-Tasks"
hub.api.create_repo(other, repo_type="dataset")
hub.api.upload_folder(repo_id=other, repo_type="dataset", folder_path="other")
report = verify(other)
print(report.ok, report.rows, dict(report.findings.kinds), list(report.tables))
from countdown_r1.errors import HubError
for missing in ("nobody/nothing", f"{name}@v99"):
    try:
        verify(missing)
    except HubError as error:
        print("HubError", len(str(error).splitlines()))
"""


def test_datasets_on_a_hub_are_verified_ours_and_others(tmp_path: Path) -> None:
    hashed = "00000-of-00001-0123456789abcdef.parquet"
    bare(tmp_path / f"other/data/train-{hashed}", SOLVABLE)
    bare(tmp_path / f"other/data/test-{hashed}", [([2, 1], 3), ([1, 1], 9)])
    settings = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    settings["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    command = [sys.executable, "-c", textwrap.dedent(PUSHED)]
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        *["True 120 12 12 []"] * 3,
        "False 5 {'no solution': 1, 'leak': 1} ['default/train', 'default/test']",
        *["HubError 1"] * 2,
    ]
