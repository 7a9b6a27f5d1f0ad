"""Puzzles from files as people have them, and from files nobody should have."""

import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from countdown_r1.build_dataset.puzzles import puzzle_id
from countdown_r1.build_dataset.raw import parse_puzzle
from countdown_r1.build_dataset.source import Rejected, read_source
from countdown_r1.errors import InputError
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.game.split import SPLITS, split_of

GOOD = [
    {"nums": [44, 19, 35], "target": 98},
    {"nums": [63, 95, 96], "target": 64},
    {"nums": [55, 36, 7, 19], "target": 65},
]


@pytest.fixture
def given(tmp_path: Path) -> Callable[[str, str | bytes], str]:
    """Writes a file of that name and content and returns its path."""

    def write(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


def parquet(path: Path, columns: dict[str, Any]) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def reasons(rejected: list[Rejected]) -> list[tuple[int, str]]:
    return [(one.row, one.reason) for one in rejected]


def as_csv(rows: list[dict[str, Any]]) -> str:
    return "nums,target\n" + "".join(f'"{row["nums"]}",{row["target"]}\n' for row in rows)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps(GOOD)),
        ("a.json", json.dumps(GOOD, indent=2)),
        ("a.json", "\ufeff" + json.dumps(GOOD)),
        ("a.json", "\n".join(map(json.dumps, GOOD))),
        ("a.jsonl", "\n".join(map(json.dumps, GOOD)) + "\n\n"),
        ("a.ndjson", "\r\n".join(map(json.dumps, GOOD))),
        ("a.csv", as_csv(GOOD)),
        ("a.CSV", "\ufeff" + as_csv(GOOD)),
        ("a.csv", as_csv(GOOD).replace("\n", "\r\n")),
        ("a.csv", "id,target,nums\n1,98,44 19 35\n2,64.0,63 95 96\n3,65,[55 36  7 19]\n"),
        ("a.csv", 'nums,target\n"44,19,35",98\n"(63, 95, 96)",64\n55;36;7;19,65\n'),
    ],
)
def test_the_same_puzzles_come_out_of_every_kind_of_file(
    given: Callable[[str, str], str], name: str, content: str
) -> None:
    source = read_source(given(name, content))
    assert source.puzzles["nums"].to_pylist() == [row["nums"] for row in GOOD]
    assert source.puzzles["target"].to_pylist() == [row["target"] for row in GOOD]
    assert [SPLITS[place] for place in source.puzzles["split"].to_pylist()] == [split_of(row["nums"]) for row in GOOD]
    assert source.puzzles["easiest_solution"].to_pylist() == ["44 + 35 + 19", "96 + 63 - 95", "55 + 36 - 19 - 7"]
    assert source.rejected == []
    assert source.read == 3


def test_parquet_with_other_columns_is_read(tmp_path: Path) -> None:
    columns = {"extra": ["a", "b", "c"], **{key: [row[key] for row in GOOD] for key in ("nums", "target")}}
    puzzles = read_source(parquet(tmp_path / "a.parquet", columns)).puzzles
    assert puzzles["nums"].to_pylist() == [row["nums"] for row in GOOD]


@pytest.mark.parametrize(
    ("nums", "target"),
    [
        ([1, 2, 3], 6),
        ((1, 2, 3), "6"),
        (["1", " 2", "3.0"], 6.0),
        ([1.0, np.int32(2), np.float32(3)], np.int64(6)),
        (np.array([1, 2, 3]), np.float64(6)),
        ("[1, 2, 3]", " 6 "),
        ("1 2 3", "6.00"),
    ],
)
def test_whole_numbers_are_taken_in_any_clothes(nums: object, target: object) -> None:
    assert parse_puzzle(nums, target) == Puzzle((1, 2, 3), 6)


@pytest.mark.parametrize(
    ("nums", "target"),
    [
        ([True, 2, 3], 6),
        ([1, 2, 3], True),
        ([1, 2, 3], np.bool_(True)),
        ([1, 2, float("nan")], 6),
        ([1, 2, float("inf")], 6),
        ([1, 2, 3.5], 6),
        ([1, 2, 3], "6.5"),
        ([1, 2, 3], "1e3"),
        ([1, 2, 3], "1_0"),
        ([1, 2, 3], "٣"),
        ([[1, 2], 3], 6),
        ([1, 2, None], 6),
        ([1, 2, 3], None),
        ([1, 2, 3], [6]),
        ([1, 2, 3], Fraction(13, 2)),
        ([1, 2, 3], Decimal("6.5")),
        ([1, 2, 3], 6 + 0j),
        ({"a": 1}, 6),
        (123, 6),
        (None, 6),
        ("", 6),
        ([], 6),
        ("=1+2", 6),
        ("@SUM(A1:A9)", 6),
        ("=cmd|' /C calc'!A0", 6),
        ("__import__('os')", 6),
        ("1 " * 5000, 6),
        ([1] * 7, 6),
        ([0, 2, 3], 6),
        ([-1, 2, 3], 6),
        ([1, 2, 10_001], 6),
        ([1, 2, 10**30], 6),
        ([1, 2, 3], 10**30),
        ([1, 2, 3], 1e30),
        ([1, 2, 3], "9" * 5000),
        (np.ones((2, 2)), 6),
    ],
)
def test_anything_else_is_refused_in_one_short_line(nums: object, target: object) -> None:
    with pytest.raises(InputError) as caught:
        parse_puzzle(nums, target)
    assert 0 < len(str(caught.value)) <= 200
    assert str(caught.value).isprintable()


def test_bad_rows_are_skipped_and_reported_with_their_numbers(given: Callable[[str, str], str]) -> None:
    rows: list[Any] = [
        GOOD[0],
        {"nums": [1, 2, 3], "target": 1000},
        {"nums": [35, 44, 19], "target": 98},
        {"nums": [1, True], "target": 3},
        {"nums": [1, 2, 30_000], "target": 6},
        {"target": 6},
        [1, 2, 3],
        None,
        {"nums": [10**30, 2], "target": 6},
        GOOD[2],
        {"nums": "x" * 300, "target": 6},
    ]
    source = read_source(given("a.json", json.dumps(rows)))
    assert source.puzzles["nums"].to_pylist() == [GOOD[0]["nums"], GOOD[2]["nums"]]
    expected = ["no solution", "duplicate", "malformed", "out of range", "malformed", "malformed", "malformed"]
    expected += ["out of range", "malformed"]
    assert reasons(source.rejected) == list(zip([2, 3, 4, 5, 6, 7, 8, 9, 11], expected, strict=True))
    assert source.rejected[1].detail == "the same puzzle as row 1"
    assert source.reasons == {"malformed": 5, "out of range": 2, "no solution": 1, "duplicate": 1}
    assert source.read == len(rows)


def test_the_forms_that_an_incomplete_solver_lost_are_kept(given: Callable[[str, str], str]) -> None:
    rows = [
        {"nums": [60, 9, 4, 2], "target": 10},
        {"nums": [50, 10, 2, 3], "target": 10},
    ]  # a / (b - c) - d, (a - b / c) / d
    source = read_source(given("a.json", json.dumps(rows)))
    assert source.puzzles.num_rows == 2


def test_json_lines_are_numbered_by_line_and_a_broken_one_costs_only_itself(given: Callable[[str, str], str]) -> None:
    huge = '{"nums": [' + "1, " * 400_000 + '1], "target": 5}'
    deep = "[" * 100_000
    lines = [
        json.dumps(GOOD[0]),
        "",
        "{broken",
        huge,
        deep,
        '{"nums": [1, 2], "target": ' + "9" * 5000 + "}",
        json.dumps(GOOD[1]),
    ]
    source = read_source(given("a.jsonl", "\n".join(lines)))
    assert reasons(source.rejected) == [(3, "malformed"), (4, "malformed"), (5, "malformed"), (6, "malformed")]
    assert source.puzzles.num_rows == 2


def test_csv_rows_with_unquoted_lists_or_giant_fields_cost_only_themselves(given: Callable[[str, str], str]) -> None:
    text = as_csv(GOOD[:1]) + "[63, 95, 96],64\n" + f'"{"1 " * 200_000}",3\n' + '55 36 7 19,65\nlonely\n"=1+2",3\n'
    source = read_source(given("a.csv", text))
    assert source.puzzles.num_rows == 2
    assert reasons(source.rejected) == [(2, "malformed"), (3, "malformed"), (5, "malformed"), (6, "malformed")]
    assert "quotes" in source.rejected[0].detail


def test_a_limit_stops_reading_and_forgets_later_rows(given: Callable[[str, str], str]) -> None:
    rows = [GOOD[0], {"nums": [1, 1], "target": 9}, GOOD[1], {"nums": [], "target": 9}, GOOD[2]]
    source = read_source(given("a.json", json.dumps(rows)), limit=2)
    assert (source.puzzles.num_rows, source.read, reasons(source.rejected)) == (2, 3, [(2, "no solution")])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "", "empty"),
        ("a.csv", "", "empty"),
        ("a.parquet", "", "empty"),
        ("a.json", "   \n", "none of its 0 rows"),
        ("a.json", "[]", "none of its 0 rows"),
        ("a.json", '[{"nums": [1, 2], "target": 3}', "not valid JSON"),
        ("a.json", "[" * 100_000, "not valid JSON"),
        ("a.json", b"\xff\xfe[\x00]\x00", "UTF-8"),
        ("a.csv", b"nums,target\n\xff\xfe,3\n", "UTF-8"),
        ("a.csv", "nums,target\n", "none of its 0 rows"),
        ("a.csv", "question,answer\n1,2\n", "no column 'nums' and no column 'target'; it has question, answer"),
        ("a.csv", "nums,answer\n1,2\n", "no column 'target'"),
        ("a.csv", "\x00\x01\x02\n", "no column"),
        ("a.parquet", "not parquet at all", "not a readable parquet file"),
        ("a.jsonl", '{"question": 1}\n', "no 'nums' and no 'target'; it has question"),
        ("a.txt", "1 2 3 6", "reads .parquet"),
        ("a", "1 2 3 6", "reads .parquet"),
        ("a.json", json.dumps([{"nums": [1, 1], "target": 99}]), "none of its 1 rows"),
    ],
)
def test_a_file_without_a_usable_row_is_one_clear_error(
    given: Callable[[str, str | bytes], str], name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_source(given(name, content))
    assert len(str(caught.value).splitlines()) == 1


def test_parquet_with_wrong_columns_or_types_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column 'nums'"):
        read_source(parquet(tmp_path / "a.parquet", {"digits": [[1, 2]], "target": [3]}))
    nested = parquet(tmp_path / "b.parquet", {"nums": [[[1, 2], [3]], None], "target": [3, 3]})
    with pytest.raises(InputError, match=r"none of its 2 rows.*row 1"):
        read_source(nested)
    half = parquet(tmp_path / "c.parquet", {"nums": [[1.0, 2.0], [1.5, 2.0]], "target": [3.0, 3.0]})
    assert read_source(half).puzzles["nums"].to_pylist() == [[1, 2]]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.int8()),
        pa.list_(pa.uint64()),
        pa.large_list(pa.int32()),
        pa.list_(pa.float64()),
        pa.list_(pa.string()),
        pa.list_view(pa.int64()),
    ],
)
def test_numbers_of_every_column_type_are_read(tmp_path: Path, kind: pa.DataType) -> None:
    nums = pa.array([row["nums"] for row in GOOD]).cast(kind) if not pa.types.is_list_view(kind) else None
    nums = pa.array([row["nums"] for row in GOOD], kind) if nums is None else nums
    table = pa.table({"nums": nums, "target": pa.array([row["target"] for row in GOOD], pa.int16())})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read_source(str(tmp_path / "a.parquet")).puzzles["nums"].to_pylist() == [row["nums"] for row in GOOD]


def test_bad_rows_of_typed_columns_are_told_apart(tmp_path: Path) -> None:
    nums = [GOOD[0]["nums"], None, [], [1] * 7, [0, 1], [1, 10_001], [1, None], GOOD[1]["nums"], [2**63, 1], [2, 2]]
    for place, kind in enumerate([pa.list_(pa.uint64()), pa.list_(pa.float64())]):
        rows = [None if row is None else [None if one is None else float(one) for one in row] for row in nums]
        column = pa.array(rows, kind) if place else pa.array(nums, pa.list_(pa.decimal128(20))).cast(kind)
        table = pa.table({"nums": column, "target": [98, 1, 1, 1, 1, 1, 1, 64, 1, 99]})
        pq.write_table(table, tmp_path / f"{place}.parquet")
        source = read_source(str(tmp_path / f"{place}.parquet"))
        assert [one.row for one in source.rejected] == [2, 3, 4, 5, 6, 7, 9, 10]
        assert source.puzzles["target"].to_pylist() == [98, 64]
    whole = [numbers for numbers in nums if numbers and None not in numbers and max(numbers) < 2**63]
    table = pa.table({"nums": whole, "target": [98, 1, 1, 1, 64, 99]})  # without a null: column by column
    pq.write_table(table, tmp_path / "whole.parquet")
    source = read_source(str(tmp_path / "whole.parquet"))
    expected = [(2, "out of range"), (3, "out of range"), (4, "out of range"), (6, "no solution")]
    assert reasons(source.rejected) == expected
    assert source.puzzles["target"].to_pylist() == [98, 64]


def test_ids_and_order_of_the_source_are_kept_and_missing_ones_made(tmp_path: Path) -> None:
    rows = [GOOD[2] | {"id": "b"}, GOOD[0] | {"id": ""}, GOOD[1]]
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    puzzles = read_source(str(tmp_path / "a.json")).puzzles
    assert puzzles["id"].to_pylist() == ["b", *(puzzle_id(row["nums"], row["target"]) for row in rows[1:])]
    whole = parquet(tmp_path / "b.parquet", {"id": [7, 3, 5]} | {key: [row[key] for row in GOOD] for key in GOOD[0]})
    assert read_source(whole).puzzles["id"].to_pylist() == ["7", "3", "5"]


def test_a_second_row_with_one_id_is_left_out(given: Callable[[str, str], str]) -> None:
    rows = [GOOD[0] | {"id": "a"}, GOOD[1] | {"id": "a"}, GOOD[2] | {"id": "\ud800"}]
    source = read_source(given("a.json", json.dumps(rows)))
    assert reasons(source.rejected) == [(2, "duplicate id")]
    assert source.rejected[0].detail == "its id is that of row 1"
    assert source.puzzles["id"].to_pylist() == ["a", "?"]


def test_an_id_column_that_is_no_text_is_named(tmp_path: Path) -> None:
    columns = {"id": [[1], [2], [3]]} | {key: [row[key] for row in GOOD] for key in GOOD[0]}
    with pytest.raises(InputError, match="column 'id' is list"):
        read_source(parquet(tmp_path / "a.parquet", columns))


def test_more_losses_than_are_listed_are_still_counted(
    given: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("countdown_r1.build_dataset.source._LISTED", 5)
    monkeypatch.setattr("countdown_r1.build_dataset.records.BATCH_ROWS", 4)
    rows = [GOOD[0], *([{"nums": [1, 1], "target": 9}] * 20), *([GOOD[0]] * 20), GOOD[1]]
    source = read_source(given("a.json", json.dumps(rows)))
    assert source.reasons == {"no solution": 20, "duplicate": 20}
    assert [one.row for one in source.rejected] == [2, 3, 4, 5, 6]
    assert source.puzzles["target"].to_pylist() == [98, 64]
    assert source.read == 42


def test_a_truncated_parquet_file_is_refused(tmp_path: Path) -> None:
    path = Path(parquet(tmp_path / "a.parquet", {"nums": [[1, 2]] * 1000, "target": [3] * 1000}))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="not a readable parquet file"):
        read_source(str(path))


@pytest.mark.parametrize("name", ["missing.csv", "no/such/file.json", "a b", "https://example.org/a.csv", ""])
def test_a_source_that_is_no_file_and_no_hub_id_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"does not exist"):
        read_source(name)


def test_a_folder_without_data_is_not_a_source(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no puzzles"):
        read_source(str(tmp_path))
