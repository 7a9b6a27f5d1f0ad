"""One reader of rows: other people's shapes, folders and mistakes, the same for every command."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from countdown_r1.build_dataset.dataset import build, load
from countdown_r1.build_dataset.raw import parse_puzzle
from countdown_r1.build_dataset.source import read_source
from countdown_r1.build_dataset.verify import verify
from countdown_r1.errors import InputError
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.lfs import refuse_pointer
from countdown_r1.train.questions import Questions, select_rows
from countdown_r1.train.stage import train_rows

GOOD = [
    {"nums": [44, 19, 35], "target": 98},
    {"nums": [63, 95, 96], "target": 64},
    {"nums": [55, 36, 7, 19], "target": 65},
]
NUMS = [row["nums"] for row in GOOD]
VERL = [{"style": "rule", "ground_truth": {"numbers": row["nums"], "target": row["target"]}} for row in GOOD]
INSIDE = [{"numbers": row["nums"], "target": row["target"]} for row in GOOD]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 23456\n"


def lines(rows: list[Any]) -> str:
    return "\n".join(map(json.dumps, rows))


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_parquet(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def columns() -> dict[str, list[Any]]:
    return {name: [row[name] for row in GOOD] for name in ("nums", "target")}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", lines([{"numbers": row["nums"], "Goal": row["target"]} for row in GOOD])),
        ("a.jsonl", lines([{"input_numbers": row["nums"], "target": str(row["target"])} for row in GOOD])),
        ("a.jsonl", lines([{"metadata": inside} for inside in INSIDE])),
        ("a.jsonl", lines([{"reward_model": its, "extra_info": {"split": "train", "index": 0}} for its in VERL])),
        ("a.jsonl", lines([{"reward_model": {"ground_truth": json.dumps(inside)}} for inside in INSIDE])),
        ("a.jsonl", lines([row | {"reward_model": its} for row, its in zip(GOOD, VERL, strict=True)])),
        ("a.jsonl", lines([{"input": str(row["nums"])[1:-1], "output": str(row["target"])} for row in GOOD])),
        ("a.csv", "metadata\n" + "".join(f'"{inside}"\n' for inside in INSIDE)),
        ("a.csv", "\ufeff Nums ; target\n" + "".join(f"{row['nums']};{row['target']}\n" for row in GOOD)),
        ("a.json", json.dumps({"data": GOOD}, indent=2)),
        ("a.json", json.dumps({"train": GOOD[:2], "test": GOOD[2:]})),
        ("a.json", json.dumps({"version": 1, "features": [{"name": "nums"}], "rows": [{"row": row} for row in GOOD]})),
        ("a.json", json.dumps({"columns": ["nums", "target"], "data": [list(row.values()) for row in GOOD]})),
        ("a.json", json.dumps(columns())),
        ("a.json", json.dumps({name: dict(enumerate(its)) for name, its in columns().items()})),
        ("a.json", json.dumps(dict(enumerate(GOOD)))),
        ("a.json", "\n".join(json.dumps(row, indent=1) for row in GOOD)),
        ("a.jsonl", json.dumps(GOOD, indent=1)),
        ("a.jsonl", "\ufeff\n\n" + lines(GOOD) + "\n\n"),
        ("My Rows.JSONL.gz", gzip.compress(lines(GOOD).encode(), mtime=0)),
        ("a.json.gz", gzip.compress(json.dumps({"data": GOOD}).encode(), mtime=0)),
        ("a.jsonl", gzip.compress(lines(GOOD).encode(), mtime=0)),
    ],
)
def test_every_shape_gives_the_same_rows_to_every_command(tmp_path: Path, name: str, content: str | bytes) -> None:
    path = str(write(tmp_path / name, content))
    assert read_source(path).puzzles["nums"].to_pylist() == NUMS
    assert verify(path).proof.solvable == 3
    assert load(path, "en", "test")["nums"] == NUMS


@pytest.mark.parametrize(
    "rows",
    [
        [{"Numbers": row["nums"], "goal": row["target"]} for row in GOOD],
        [{"metadata": inside} for inside in INSIDE],
        [{"metadata": json.dumps(inside)} for inside in INSIDE],
        [{"reward_model": its} for its in VERL],
        [row | {"reward_model": its} for row, its in zip(GOOD, VERL, strict=True)],
        [{"nums": str(row["nums"]), "target": str(row["target"])} for row in GOOD],
    ],
)
def test_typed_columns_are_found_where_others_put_them(tmp_path: Path, rows: list[Any]) -> None:
    path = str(write_parquet(tmp_path / "a.parquet", rows))
    assert read_source(path).puzzles["nums"].to_pylist() == NUMS
    assert verify(path).proof.solvable == 3


@pytest.mark.parametrize(
    "text",
    [
        "['44', '19', '35']",
        '["44", "19", "35"]',
        "[np.int64(44), np.int64(19), np.int64(35)]",
        "[numpy.float32(44.0), 19.0, 35]",
        "array([44, 19, 35])",
        "np.array(['44', '19', '35'], dtype='<U2')",
        "array([44,\n       19, 35], dtype=int64)",
        "tensor([44, 19, 35])",
        "[44. 19. 35.]",
        "[44 19 35]",
        "(44,19,35,)",
        "44; 19; 35",
    ],
)
def test_lists_are_read_as_python_json_numpy_and_people_spell_them(text: str) -> None:
    assert parse_puzzle(text, "98") == Puzzle((44, 19, 35), 98)


@pytest.mark.parametrize(
    "text", ["[44,,19]", "{44, 19}", "[44, 19", "44-19", "array(44, 19)]", "[[44, 19]]", "['4 4']", "44 + 19", "'44"]
)
def test_what_spells_no_list_is_not_guessed(text: str) -> None:
    with pytest.raises(InputError):
        parse_puzzle(text, 98)


def test_rows_that_contradict_themselves_are_refused_with_both_places(tmp_path: Path) -> None:
    both = [{"nums": [1, 2], "metadata": {"numbers": [1, 3], "target": 3}}, {"nums": [1, 2], "target": 3, "goal": 4}]
    same = {"nums": ["35", "19", "44"], "target": 98, "metadata": INSIDE[0]}
    source = read_source(str(write(tmp_path / "a.jsonl", lines([*both, same]))))
    assert [one.detail for one in source.rejected] == [
        "nums and metadata.numbers differ, so its nums is not known",
        "target and goal differ, so its target is not known",
    ]
    assert source.puzzles["nums"].to_pylist() == [[35, 19, 44]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", lines([{"digits": [1], "goal": 3}] * 3), "no 'nums'; it has digits, goal"),
        (
            "a.json",
            json.dumps([{"metadata": {"size": 3}}]),
            "'target'; it has metadata, metadata.size",
        ),
        ("a.csv", "numbrs,target\n1 2,3\n", "no column 'nums'; it has numbrs, target: rename 'numbrs' to 'nums'"),
        ("a.csv", 'nums,nums,target\n"1 2","1 2",3\n', "has 2 columns 'nums'; remove all but one"),
        ("a.jsonl", lines([{"input": "44,19,35,98", "output": "44+19=63"}]), "no 'nums' and no 'target'; it has input"),
        ("a.json", json.dumps({"version": 1, "items": 2}), "a JSON object with keys version, items; a list of rows is"),
        ("a.json", json.dumps({"a": GOOD, "b": GOOD}), "a JSON object with keys a, b; a list of rows is wanted"),
        ("a.json", json.dumps({"nums": [[1, 2]], "target": [3, 4]}), "columns of different rows"),
        ("a.json", '"hi"', "is 'hi', not a list of rows"),
        ("a.parquet", POINTER, "is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder"),
        ("a.csv", POINTER, "is a Git LFS pointer"),
        ("a.jsonl", POINTER, "is a Git LFS pointer"),
        ("a.parquet", "<!doctype html><html>", "is a web page, not the file itself"),
        ("a.jsonl", "\n <html><body>", "is a web page"),
        ("a.json", b"PK\x03\x04rest", "is a zip archive"),
        ("a.json", b"PAR1rest", "holds parquet: rename it to a.parquet"),
        ("a.jsonl.gz", gzip.compress(lines(GOOD).encode(), mtime=0)[:30], "cannot be read"),
        ("a.arrow", b"\x00" * 40, "cannot be read"),
        ("a.json", '{"a":' * 10_000, "not valid JSON"),
    ],
)
@pytest.mark.parametrize("command", [read_source, verify, lambda path: load(path, "en", "train")])
def test_what_holds_no_rows_is_one_line_that_helps(
    tmp_path: Path, name: str, content: str | bytes, message: str, command: Callable[[str], object]
) -> None:
    with pytest.raises(InputError) as caught:
        command(str(write(tmp_path / name, content)))
    assert message in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_hostile_rows_cost_only_themselves(tmp_path: Path) -> None:
    bad = ['{"nums":' + "[" * 10_000 + "]" * 10_000 + "}", '{"metadata": "' + "{'a':" * 3000 + '"}']
    bad += ['{"nums": {"a": 1}, "target": 3}', '{"nums": [1, 2], "target": NaN}', '{"nums": [1e400, 2], "target": 3}']
    bad += [
        '{"nums": [true, 2], "target": 3}',
        '{"nums": "١ ٢", "target": 3}',
        '{"nums": [1], "nums": [3], "target": 3}',
    ]
    bad += [json.dumps({"nums": "1 " * 400_000, "target": 3}), '{"nums": [1, 2], "target": ' + "9" * 5000 + "}"]
    odd = '{"id": "\\ud800", "easiest_solution": "\\udfff", "nums": [7, 8], "target": 56}'
    path = str(write(tmp_path / "a.jsonl", "\n".join([*bad, odd, lines(GOOD)])))
    source = read_source(path)
    assert (source.puzzles.num_rows, len(source.rejected)) == (4, len(bad))
    assert verify(path).proof.solvable == 4


def test_refuse_pointer_lets_files_pass(tmp_path: Path) -> None:
    refuse_pointer(write(tmp_path / "a.bin", b"version"))
    with pytest.raises(InputError, match="git lfs pull"):
        refuse_pointer(write(tmp_path / "b.bin", POINTER))


def saved(folder: Path) -> Path:
    import datasets

    rows = datasets.Dataset.from_list(GOOD)
    rows.save_to_disk(folder, num_shards=2)
    return folder


def saved_splits(folder: Path) -> Path:
    import datasets

    rows = datasets.Dataset.from_list(GOOD)
    datasets.DatasetDict({"train": rows.select([0, 1]), "test": rows.select([2])}).save_to_disk(folder)
    shutil.copy(folder / "test/data-00000-of-00001.arrow", folder / "train/cache-0123456789abcdef.arrow")
    return folder


def hub_layout(folder: Path) -> Path:
    write_parquet(folder / "data/train-00000-of-00002.parquet", GOOD[:2])
    write_parquet(folder / "data/train-00001-of-00002.parquet", GOOD[2:])
    write(folder / "README.md", "---\nlicense: mit\n---\n")
    return folder


def mixed(folder: Path) -> Path:
    write_parquet(folder / "train.parquet", GOOD[:2])
    write(folder / "train.jsonl", lines(GOOD[2:]))  # of another kind, so it is left out
    write(folder / "test.jsonl", lines(GOOD[2:]))
    return folder


def linked(folder: Path) -> Path:
    hub_layout(folder / "elsewhere")
    (folder / "here").mkdir()
    (folder / "here/data").symlink_to(folder / "elsewhere/data")
    (folder / "here/again").symlink_to(".")
    return folder / "here"


def declared(folder: Path) -> Path:
    write(folder / "x/first.jsonl", lines(GOOD))
    write(folder / "x/second.jsonl", lines([{"nums": [1, 2], "target": 3}]))
    first = "- config_name: a\n  default: true\n  data_files: x/f*\n"
    write(folder / "README.md", f"---\nconfigs:\n{first}- config_name: b\n  data_files: 'x/s*'\n---\n")
    return folder


@pytest.mark.parametrize("make", [saved, saved_splits, hub_layout, mixed, linked, declared])
def test_folders_as_the_hub_and_datasets_lay_them_out_are_read(
    tmp_path: Path, make: Callable[[Path], Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make(tmp_path / "given")
    assert read_source(str(folder)).puzzles["nums"].to_pylist() == NUMS
    assert verify(str(folder)).proof.solvable in (3, 4)
    written = build(tmp_path / "built", source=str(folder), languages=("en",))
    assert (written.results["rows"], written.settings["source"]) == (3, folder.name)
    assert ("train.jsonl" in caplog.text) == (make is mixed)


def test_training_and_evaluating_take_a_folder_s_own_splits(tmp_path: Path) -> None:
    folder = str(mixed(tmp_path / "given"))
    assert [row["nums"] for row in train_rows(folder, ("en", "zh"))] == [NUMS[0], NUMS[0], NUMS[1], NUMS[1]]
    assert [row["nums"] for row in select_rows(Questions(folder), "test", 1)] == [NUMS[2]]
    with pytest.raises(InputError, match=r"has no split 'validation'; it has train, test"):
        load(folder, "en", "validation")


def test_a_folder_of_one_split_is_divided_by_the_rule_as_on_the_hub(tmp_path: Path) -> None:
    from countdown_r1.build_dataset.generate import generate
    from countdown_r1.game.split import SPLITS, split_of

    pq.write_table(generate(400, seed=9).select(["nums", "target"]), tmp_path / "train-00000-of-00001.parquet")
    for split in SPLITS:
        assert set(map(split_of, load(tmp_path, "en", split)["nums"])) == {split}
    assert {row["language"] for row in select_rows(Questions(str(tmp_path)), "test", 4)} == {"en", "zh"}


def test_bare_puzzles_that_were_built_are_trained_on_with_the_shipped_prompts(tmp_path: Path) -> None:
    build(tmp_path / "bare", rows=60, languages=())
    assert load(tmp_path / "bare", "zh", "train")[0]["prompt"][0]["role"] == "system"
    assert len(train_rows(str(tmp_path / "bare"), ("en",))) == len(load(tmp_path / "bare", "puzzles", "train"))


def test_a_folder_whose_card_names_no_default_config_has_to_be_told_one(tmp_path: Path) -> None:
    folder = declared(tmp_path / "given")
    card = (folder / "README.md").read_text()
    write(folder / "README.md", card.replace("  default: true\n", ""))
    with pytest.raises(InputError, match="has the configs a, b: name a file or folder of one of them"):
        read_source(str(folder))
    write(folder / "README.md", "---\nconfigs: [1, {data_files: [{path: 5}]}]\nlicense: {a: b}\n---\n")
    (folder / "x/second.jsonl").unlink()
    assert read_source(str(folder)).puzzles.num_rows == 3
