"""The dataset stage on real parquet files: what is generated, written, loaded, pushed, and found wrong."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from countdown_r1 import manifest, models
from countdown_r1.build_dataset import schema as files
from countdown_r1.build_dataset.dataset import build, load
from countdown_r1.build_dataset.draw import draw_puzzle
from countdown_r1.build_dataset.generate import Wish, generate
from countdown_r1.build_dataset.prompt import chatml, load_template
from countdown_r1.build_dataset.puzzles import as_puzzles, puzzle_id, rows_sha256
from countdown_r1.build_dataset.schema import schema
from countdown_r1.build_dataset.verify import verify
from countdown_r1.errors import InputError, StageError
from countdown_r1.game.puzzle import Puzzle, check
from countdown_r1.game.solver import count_solutions, easiest_solution, level
from countdown_r1.game.split import SPLITS, split_of

CONFIGS = ("en", "zh", "en-chatml", "zh-chatml")
ROWS = 600
RECORDED_NUMS, RECORDED_TARGET = (68, 77, 93, 43), 95
RECORDED_PROMPT = (
    "<|im_start|>system\n你是一位专业的数谜解答助手。你首先会思考数谜的逻辑推理过程,然后给出正确答案。<|im_end|>\n"
    "<|im_start|>user\n使用[68, 77, 93, 43]这几个数字,构建一个等于95的等式。 你只可以使用基础的运算法则(+, -, *, /),"
    "并且每个数字只可以被使用一次。把你的逻辑推理过程写在 <think> 和 </think> 标签之间,然后将最终正确的等式写在 "
    "<answer> 和 </answer> 之间。例如,当用[1,2,3]构建结果为1的等式时,在think之后,写:<answer> (1 + 2) / 3 </answer>。"
    "<|im_end|>\n<|im_start|>assistant\n让我们一步一步地解决这个谜题。\n<think>"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "dataset"
    build(out, rows=ROWS, seed=3, command="countdown-r1 build-dataset")
    return out


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "dataset"))


def test_generated_rows_are_solvable_distinct_labelled_and_in_their_split() -> None:
    puzzles = generate(300, seed=5)
    rows = puzzles.to_pylist()
    assert len({(tuple(sorted(row["nums"])), row["target"]) for row in rows}) == len(rows) == 300
    for row, puzzle in zip(rows, as_puzzles(puzzles), strict=True):
        found = count_solutions(puzzle), level(puzzle), easiest_solution(puzzle)
        assert (row["n_solutions"], row["level"], row["easiest_solution"]) == found
        assert check(puzzle, row["easiest_solution"]).solved
        assert row["id"] == puzzle_id(puzzle.nums, puzzle.target)
        assert SPLITS[row["split"]] == split_of(puzzle.nums)
        assert 10 <= puzzle.target <= 100
        assert all(1 <= number <= 99 for number in puzzle.nums)


def test_counts_are_even_targets_uniform_and_numbers_in_random_order() -> None:
    puzzles = generate(4000, seed=1)
    nums = puzzles["nums"].to_pylist()
    assert Counter(map(len, nums)) == {3: 2000, 4: 2000}
    targets = Counter(puzzles["target"].to_pylist())
    assert set(targets) == set(range(10, 101))
    assert max(targets.values()) - min(targets.values()) <= 3
    descents = sum(its != sorted(its) for its in nums) / len(nums)
    assert 0.8 < descents < 0.95  # 5/6 of three and 23/24 of four numbers
    lengths = list(map(len, nums))
    assert 0.4 < sum(a != b for a, b in pairwise(lengths)) / len(lengths) < 0.6  # well mixed


def test_natural_targets_come_as_often_as_drawn_sets_make_them() -> None:
    natural = Counter(generate(4000, Wish((3,), uniform_targets=False), seed=1)["target"].to_pylist())
    assert max(natural.values()) > 1.5 * min(natural.values())


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    assert generate(50, seed=1).equals(generate(50, seed=1))
    assert not generate(50, seed=1).equals(generate(50, seed=2))


def test_a_seed_means_these_very_rows_on_every_machine() -> None:
    assert rows_sha256(generate(1000, seed=7)) == "bbd286d2e113a7f3577c9739aa347f159f1e94973aa69a7d1c696539d76213ed"
    other = Wish((2, 3, 4, 5), (2, 60), (5, 70), {0: 0.5, 1: 0.2, 2: 0.3}, uniform_targets=False, splits=("train",))
    mixed = rows_sha256(generate(400, other, seed=8))
    assert mixed == "50bff27eddf9c2de732d989f08c0f19770c013d083192214c65ad603a5cf0b08"


def test_ranges_counts_and_splits_are_obeyed() -> None:
    rows = generate(90, Wish((2, 3, 5), (3, 90), (21, 30), splits=("test", "validation"))).to_pylist()
    assert Counter(len(row["nums"]) for row in rows) == {2: 30, 3: 30, 5: 30}
    assert {number for row in rows for number in row["nums"]} <= set(range(3, 91))
    assert {row["target"] for row in rows} <= set(range(21, 31))
    assert {SPLITS[row["split"]] for row in rows} == {"test", "validation"}


def test_every_puzzle_that_exists_can_be_asked_for_and_not_one_more() -> None:
    pairs = [(low, high) for low in range(1, 11) for high in range(low, 11)]
    exist = {(pair, target) for pair in pairs for target in range(10, 20) if easiest_solution(Puzzle(pair, target))}
    wish = Wish((2,), (1, 10), (10, 19))
    rows = generate(len(exist), wish).to_pylist()
    assert {(tuple(sorted(row["nums"])), row["target"]) for row in rows} == exist
    with pytest.raises(InputError, match=f"only {len(exist)} puzzles of 2 numbers exist"):
        generate(len(exist) + 1, wish)


def test_what_one_count_cannot_give_another_does() -> None:
    rows = generate(400, Wish((3, 2), (1, 10), (10, 19))).to_pylist()
    counts = Counter(len(row["nums"]) for row in rows)
    assert counts[2] < 200 < counts[3]
    assert counts.total() == 400


def test_a_level_mix_is_met_to_the_row() -> None:
    wish = Wish((3, 4), levels={0: 0.25, 1: 0.25, 2: 0.4, 3: 0.1})
    rows = generate(1001, wish, seed=2).to_pylist()
    assert Counter(row["level"] for row in rows) == {0: 250, 1: 250, 2: 401, 3: 100}
    assert Counter(len(row["nums"]) for row in rows if row["level"] == 3) == {4: 100}
    assert Counter(len(row["nums"]) for row in rows if row["level"] == 0) == {3: 125, 4: 125}


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({0: 0.5, 1: 0.4}, "add up to 1, not 0.9"),
        ({0: 1.5, 1: -0.5}, "share from 0 to 1"),
        ({4: 1.0}, "levels 0 to 3"),
        ({3: 1.0}, "level 3 has 0 cells with 2, 3 numbers"),
        ({0: 0.5, 2: 0.5}, r"level 0 has \d+ cells with 2, 3 numbers .* 250 are needed"),
        ({}, "add up to 1, not 0"),
        ({0: float("nan")}, "share from 0 to 1"),
    ],
)
def test_a_level_mix_that_cannot_be_met_says_which_level_has_how_many_cells(
    levels: dict[int, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        generate(500, Wish((2, 3), (1, 9), (10, 30), levels))


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (0, {}, "at least 1"),
        (9, {"numbers": ()}, "numbers per puzzle"),
        (9, {"numbers": (3, 3)}, "numbers per puzzle"),
        (9, {"numbers": (7,)}, "numbers per puzzle"),
        (9, {"number_range": (0, 9)}, "number range"),
        (9, {"number_range": (9, 1)}, "number range"),
        (9, {"number_range": (1, 10_001)}, "number range"),
        (9, {"target_range": (0, 9)}, "target range"),
        (9, {"target_range": (9, 1)}, "target range"),
        (9, {"splits": ("dev",)}, "splits are"),
        (9, {"numbers": (5,), "number_range": (1, 10_000)}, "64-bit"),
    ],
)
def test_arguments_that_no_puzzle_can_follow_are_refused(rows: int, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        generate(rows, Wish(**changes))


@pytest.mark.parametrize("config", ["en", "zh-chatml", "puzzles"])
def test_the_hand_made_schema_is_that_of_the_datasets_library(config: str) -> None:
    from datasets import Features, List, Value

    text, whole = Value("string"), Value("int64")
    prompt = {
        "en": {"prompt": List({"role": text, "content": text}), "assistant_prefix": text},
        "zh-chatml": {"prompt": text},
        "puzzles": {},
    }[config]
    labels = {"n_solutions": whole, "level": whole, "easiest_solution": text}
    features = Features({"id": text, "nums": List(whole), "target": whole} | prompt | labels)
    assert schema(config).equals(features.arrow_schema, check_metadata=True)
    assert Features.from_arrow_schema(schema(config)) == features


def test_large_splits_become_several_files_in_small_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SHARD_ROWS", 200)
    monkeypatch.setattr(files, "GROUP_ROWS", 60)
    build(tmp_path / "dataset", rows=600, seed=1)
    names = sorted(path.name for path in (tmp_path / "dataset/zh").glob("train-*"))
    assert names == [f"train-{place:05d}-of-00003.parquet" for place in range(3)]
    groups = pq.ParquetFile(tmp_path / "dataset/zh" / names[0]).metadata
    assert [groups.row_group(place).num_rows for place in range(groups.num_row_groups)] == [60, 60, 60, 20]
    assert verify(str(tmp_path / "dataset")).ok


def test_a_dataset_of_bare_puzzles_has_no_prompts(tmp_path: Path) -> None:
    written = build(tmp_path / "dataset", rows=50, languages=())
    table = pq.read_table(tmp_path / "dataset/puzzles/train-00000-of-00001.parquet")
    assert table.column_names == ["id", "nums", "target", "n_solutions", "level", "easiest_solution"]
    assert "```text" not in (tmp_path / "dataset/README.md").read_text(encoding="utf-8")
    assert written.results["rows"] == 50
    assert verify(str(tmp_path / "dataset")).ok


@pytest.mark.parametrize(("count", "wanted"), [(2, None), (3, 2), (4, 3), (5, None), (6, 1)])
def test_a_drawn_puzzle_has_the_split_and_level_asked_for(count: int, wanted: int | None) -> None:
    puzzle = draw_puzzle(np.random.default_rng(1), count, "test", wanted)
    assert len(puzzle.nums) == count
    assert split_of(puzzle.nums) == "test"
    assert level(puzzle) == wanted if wanted is not None else easiest_solution(puzzle)


def test_a_level_that_does_not_exist_ends_the_draw() -> None:
    with pytest.raises(InputError, match="level 3"):
        draw_puzzle(np.random.default_rng(1), 2, "train", 3)


def test_the_folder_holds_every_config_and_split_with_declared_columns(built: Path) -> None:
    for config in CONFIGS:
        for split in SPLITS:
            stored = pq.read_schema(built / config / f"{split}-00000-of-00001.parquet")
            assert stored.equals(schema(config))
            assert stored.metadata == schema(config).metadata
    assert manifest.damaged_files(built) == []
    assert not list(built.glob("*.partial"))


def test_rows_are_paired_by_id_and_carry_the_prompts_of_their_language(built: Path) -> None:
    for split in SPLITS:
        english, chinese, one_string = (load(built, config, split) for config in ("en", "zh", "zh-chatml"))
        assert english["id"] == chinese["id"] == one_string["id"]
        for row, other, whole in zip(english, chinese, one_string, strict=True):
            assert isinstance(row, dict) and isinstance(other, dict) and isinstance(whole, dict)
            puzzle = Puzzle(tuple(row["nums"]), row["target"])
            assert row["id"] == puzzle_id(puzzle.nums, puzzle.target)
            assert [turn["role"] for turn in row["prompt"]] == ["system", "user"]
            assert str(row["nums"]) in row["prompt"][1]["content"]
            assert row["assistant_prefix"].endswith("<think>")
            turns = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in other["prompt"])
            assert whole["prompt"] == f"{turns}<|im_start|>assistant\n{other['assistant_prefix']}"


def test_the_chinese_one_string_prompt_is_the_article_s_byte_for_byte(tmp_path: Path) -> None:
    given = tmp_path / "record.json"
    given.write_text(json.dumps([{"nums": RECORDED_NUMS, "target": RECORDED_TARGET}]))
    build(tmp_path / "dataset", source=str(given), languages=("zh",))
    row = load(tmp_path / "dataset", "zh-chatml", split_of(RECORDED_NUMS))[0]
    assert row["prompt"].encode() == RECORDED_PROMPT.encode()
    assert chatml(load_template("zh"), Puzzle(RECORDED_NUMS, RECORDED_TARGET)) == RECORDED_PROMPT


def test_load_dataset_reads_the_folder_with_the_declared_types(built: Path, tmp_path: Path) -> None:
    import datasets

    for config in CONFIGS:
        loaded = datasets.load_dataset(str(built), config, cache_dir=str(tmp_path))
        assert isinstance(loaded, datasets.DatasetDict)
        assert loaded["test"].features.arrow_schema == schema(config)
        assert sum(loaded.num_rows.values()) == ROWS
        assert list(loaded) == list(SPLITS)
    default = datasets.load_dataset(str(built), split="train", cache_dir=str(tmp_path))
    assert "assistant_prefix" in (default.column_names or ())


def test_no_two_splits_share_a_set_of_numbers(built: Path) -> None:
    sets = {split: {tuple(sorted(nums)) for nums in load(built, "en", split)["nums"]} for split in SPLITS}
    assert not sets["train"] & sets["test"]
    assert not sets["train"] & sets["validation"]
    assert not sets["validation"] & sets["test"]


def test_two_builds_with_one_seed_are_the_same_files(built: Path, tmp_path: Path) -> None:
    again = build(tmp_path / "again", rows=ROWS, seed=3)
    parquet = {name: digest for name, digest in again.files.items() if name.endswith(".parquet")}
    assert parquet.items() <= manifest.read(built).files.items()


def test_the_card_names_the_files_that_exist_and_figures_that_are_true(built: Path) -> None:
    text = (built / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["license"] == "apache-2.0"
    assert values["language"] == ["en", "zh"]
    assert values["size_categories"] == ["n<1K"]
    assert [config["config_name"] for config in values["configs"]] == list(CONFIGS)
    assert [config["config_name"] for config in values["configs"] if config.get("default")] == ["en"]
    for config in values["configs"]:
        assert all(list(built.glob(entry["path"])) for entry in config["data_files"])
    for split in SPLITS:
        rows = load(built, "en", split)
        levels = Counter(rows["level"])
        found = re.findall(rf"^\| {split} \| (.*) \|$", body, re.MULTILINE)
        names = sorted(Counter(number for part in SPLITS for number in load(built, "en", part)["level"]))
        counts = [len(rows), *(levels[number] for number in names)]
        counts += [sum(len(nums) == count for nums in rows["nums"]) for count in (3, 4)]
        assert found == [" | ".join(f"{count:,}" for count in counts)] * 2
    assert "{{" not in text
    assert str(built.parent) not in text


def test_a_source_is_proven_converted_and_its_losses_reported(tmp_path: Path) -> None:
    rows = [{"nums": [44, 19, 35], "target": 98}, {"nums": [1, 1], "target": 99}, {"nums": [1, 2.5], "target": 3}]
    rows += [{"nums": [19, 35, 44], "target": 98}, {"nums": [2, 3, 5, 7, 11, 13], "target": 100}]
    given = tmp_path / "puzzles.jsonl"
    given.write_text("\n".join(map(json.dumps, rows)))
    written = build(tmp_path / "dataset", source=str(given))
    assert written.results["rows"] == 2
    assert written.results["rejected"] == {"no solution": 1, "malformed": 1, "duplicate": 1}
    assert written.settings["source"] == "puzzles.jsonl"
    lines = [json.loads(line) for line in (tmp_path / "dataset" / "rejected.jsonl").read_text().splitlines()]
    assert [(line["row"], line["reason"]) for line in lines] == [(2, "no solution"), (3, "malformed"), (4, "duplicate")]
    card = (tmp_path / "dataset" / "README.md").read_text(encoding="utf-8")
    assert "`puzzles.jsonl`. Of 5 rows read, 2 were kept" in card
    assert str(tmp_path) not in card
    assert verify(str(tmp_path / "dataset")).ok


def test_an_empty_split_is_neither_written_nor_listed(tmp_path: Path) -> None:
    given = tmp_path / "one.json"
    given.write_text(json.dumps([{"nums": [44, 19, 35], "target": 98}]))
    build(tmp_path / "dataset", source=str(given), languages=("en",))
    assert split_of([44, 19, 35]) == "train"
    assert sorted(path.name for path in (tmp_path / "dataset" / "en").iterdir()) == ["train-00000-of-00001.parquet"]
    front = yaml.safe_load((tmp_path / "dataset" / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert [entry["split"] for entry in front["configs"][0]["data_files"]] == ["train"]
    with pytest.raises(InputError, match=r"no en/test; it has en-chatml/train, en/train"):
        load(tmp_path / "dataset", "en", "test")


def test_a_template_of_your_own_becomes_a_config_and_is_verified(tmp_path: Path) -> None:
    own = tmp_path / "fr.yaml"
    words = asdict(load_template("en")) | {"language": "fr", "user": "Avec {nums}, faites {target}."}
    own.write_text(yaml.safe_dump(words))
    build(tmp_path / "dataset", rows=40, languages=("en",), templates=(str(own),))
    row = load(tmp_path / "dataset", "fr", "train")[0]
    assert row["prompt"][1]["content"] == f"Avec {row['nums']}, faites {row['target']}."
    assert verify(str(tmp_path / "dataset")).ok


@pytest.mark.parametrize(
    ("options", "message"),
    [({"languages": ("de",)}, "no template 'de'"), ({"rows": 0}, "at least 1")],
)
def test_a_build_that_cannot_work_leaves_nothing(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(tmp_path / "dataset", **options)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_kept_unless_overwritten(copied: Path) -> None:
    with pytest.raises(StageError, match="--overwrite"):
        build(copied, rows=10)
    assert manifest.read(copied).results["rows"] == ROWS
    assert build(copied, rows=20, overwrite=True).results["rows"] == 20


def test_a_bare_file_gets_prompts_and_labels_and_loses_its_bad_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = tmp_path / "mine.csv"
    given.write_text('nums,target\n"[55, 36, 7, 19]",65\n"[1, 1]",99\n"[44, 19, 35]",98\n')
    rows = load(given, "zh", "test")
    assert rows["nums"] == [[55, 36, 7, 19], [44, 19, 35]]
    assert rows["level"] == [0, 0]
    assert rows.features.arrow_schema == schema("zh")
    assert "1 of 3 rows left out (1 no solution); the first is row 2: 99 from 1, 1 cannot be made" in caplog.text


def test_training_on_a_bare_file_never_sees_held_out_numbers(tmp_path: Path) -> None:
    drawn = generate(400, seed=9)
    given = tmp_path / "mine.parquet"
    pq.write_table(drawn.select(["nums", "target"]), given)
    assert set(map(split_of, load(given, "en", "train")["nums"])) == {"train"}
    assert set(map(split_of, load(given, "en", "validation")["nums"])) == {"validation"}
    assert len(load(given, "en", "test")) == 400


def test_a_damaged_parquet_file_is_a_stage_error(copied: Path) -> None:
    path = copied / "en" / "test-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(StageError, match="cannot be read"):
        load(copied, "en", "test")


PUSHED = """
import socket
real = socket.getaddrinfo
def guarded(host, *rest, **options):
    assert host in (None, "127.0.0.1", "localhost"), host
    return real(host, *rest, **options)
socket.getaddrinfo = guarded
from itertools import pairwise
from pathlib import Path
from countdown_r1.hub import connect, user_name
hub = connect("rehearsal", data=Path("hub"))
name = user_name(hub) + "/Countdown-r1-zero"
from countdown_r1.build_dataset.dataset import build, load, push
from countdown_r1.build_dataset.source import read_source
from countdown_r1.build_dataset.verify import verify
from countdown_r1.errors import StageError
build(Path("dataset"), rows=120, seed=1)
print(push(Path("dataset"), name, hub))
commit = hub.api.dataset_info(name).sha
push(Path("dataset"), name, hub)
print("again", hub.api.dataset_info(name).sha == commit, "private", hub.api.dataset_info(name).private)
build(Path("rebuilt"), rows=120, seed=1)
push(Path("rebuilt"), name, hub)
tags = lambda: {tag.name: tag.target_commit == commit for tag in hub.api.list_repo_refs(name, repo_type="dataset").tags}
print("rebuilt", hub.api.dataset_info(name).sha == commit, tags())
build(Path("other"), rows=130, seed=1)
push(Path("other"), name, hub)
print("other", tags(), len(load(f"{name}@v1", "en", "train")) < len(load(f"{name}@v2", "en", "train")))
here, there = load("dataset", "zh", "train"), load(f"{name}@{commit}", "zh", "train")
print("same", here.to_list() == there.to_list())
print("verified", verify(name).ok, verify(f"{name}@v1").rows)
import datasets
datasets.config.USE_PARQUET_EXPORT = False
back = datasets.load_dataset(name, "en-chatml", revision="v1")
print("load_dataset", back.num_rows == {split: len(load("dataset", "en", split)) for split in back})
streamed = datasets.load_dataset(name, "zh", revision="v1", split="test", streaming=True)
print("streamed", list(streamed) == load("dataset", "zh", "test").to_list())
print("source", len(read_source(f"{name}@v1").puzzles), len(load(name, "en", "test")) > 0)
Path("dataset/en/test-00000-of-00001.parquet").write_bytes(b"x")
try:
    push(Path("dataset"), name, hub)
except StageError as error:
    print("refused", error)
from countdown_r1.errors import HubError
missing = "nobody/nothing"
for call in (lambda: load(missing, "en", "train"), lambda: read_source(missing), lambda: verify(missing)):
    try:
        call()
    except HubError as error:
        print("HubError", len(str(error).splitlines()))
"""


def test_a_pushed_dataset_comes_back_from_the_hub_as_it_was(tmp_path: Path) -> None:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    settings["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    command = [sys.executable, "-c", textwrap.dedent(PUSHED)]
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/datasets/\S+/Countdown-r1-zero", lines[0])
    assert lines[1:9] == [
        "again True private True",
        "rebuilt True {'v1': True}",
        "other {'v1': True, 'v2': False} True",
        "same True",
        "verified True 120",
        "load_dataset True",
        "streamed True",
        "source 120 True",
    ]
    assert lines[9].startswith("refused dataset/en/test-00000-of-00001.parquet was changed")
    assert lines[10:] == ["HubError 1"] * 3


def test_the_cards_snippet_trains_plain_trl_without_our_code(built: Path, tmp_path: Path) -> None:
    card = (built / "README.md").read_text(encoding="utf-8")
    [snippet] = [code for code in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "GRPOTrainer(" in code]
    small = 'GRPOConfig("out", max_steps=1, per_device_train_batch_size=2, num_generations=2, '
    small += "max_completion_length=4, use_cpu=True, report_to=[], disable_tqdm=True"
    code = snippet.replace("NAMESPACE/Countdown-r1-zero", str(built)).replace('GRPOConfig("out"', small)
    code = code.replace("Qwen/Qwen2.5-0.5B-Instruct", str(models.SHIPPED["novice"]))
    code = f"import sys\nsys.modules['countdown_r1'] = None  # not to be had\n{code}\nprint(trainer.state.global_step)"
    settings = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "1"
