"""Cards are made of measurements: every number in a results table was measured, and nothing private gets in."""

import json
import re
import runpy
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from countdown_r1.errors import InputError, StageError
from countdown_r1.hub import Hub
from countdown_r1.places import without_paths
from countdown_r1.publish import tables
from countdown_r1.publish.adopt import adopted_card, read_adopted
from countdown_r1.publish.cards import checkpoint_card, model_card
from countdown_r1.publish.checkpoints import Run, find_checkpoints, read_run
from countdown_r1.publish.dataset_cards import dataset_card, evaluation_card
from countdown_r1.publish.licences import Licence
from countdown_r1.publish.links import Links
from countdown_r1.publish.metadata import check_metadata
from countdown_r1.publish.staging import fill, parts, repo_links
from countdown_r1.publish.transcripts import fence, pick_transcripts
from countdown_r1.scan import scan

TOY = runpy.run_path(str(Path(__file__).with_name("toy_run.py")))
LINKS = Links("me/Countdown-r1-zero", "me/countdown-r1-toy", "me/countdown-r1-toy-demo", "", "d" * 40, "w" * 40)
MARKDOWN = MarkdownIt("commonmark").enable("table")


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TOY["write_run"](tmp_path_factory.mktemp("cards") / "toy", weights=False)


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    """A copy of the toy run to change; its own paths still name the pristine folder, as after a move."""
    return shutil.copytree(pristine, tmp_path / "toy")


def change_summary(folder: Path, **changes: Any) -> Run:
    path = folder / "evaluation" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    TOY["reopen"](folder, "evaluation")
    return read_run(folder)


def table_cells(card: str) -> Iterator[str]:
    """Text of every table cell, as a reader sees it."""
    tokens = MARKDOWN.parse(card)
    for before, token in pairwise(tokens):
        if before.type in ("td_open", "th_open"):
            yield token.content


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers_in(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def section(card: str, start: str, end: str) -> str:
    return card.partition(f"\n{start}\n")[2].partition(f"\n{end}")[0]


def test_every_number_in_the_results_tables_was_measured(pristine: Path) -> None:
    run = read_run(pristine)
    measured = list(numbers_in(run.summary))
    allowed = {f"{value:.6g}" for value in measured} | {f"{100 * value:.1f}" for value in measured}
    allowed |= {"95", "0", "1"}  # the interval's name; the names of levels
    english, _, chinese = model_card(run, LINKS).partition("## 中文说明")
    parts = section(english, "## Results", "## Checkpoints"), section(chinese, "### 评测结果", "### 检查点")
    cells = [cell for part in parts for cell in table_cells(part)]
    found = [number for text in cells for number in re.findall(r"\d+(?:\.\d+)?", text)]
    assert len(found) > 60
    assert set(found) <= allowed


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("solve_rate", "71.4%", "88.8%"),
        ("format_rate", "91.2%", "88.8%"),
        ("solve_interval", "(67.3% – 75.3%)", "(88.8% – 88.8%)"),
        ("mean_tokens", "123.4", "0.888"),
    ],
)
def test_a_changed_measurement_changes_the_card(folder: Path, key: str, before: str, after: str) -> None:
    run = read_run(folder)
    assert before in model_card(run, LINKS)
    models = run.summary["models"]
    models[1][key] = [0.888, 0.888] if key == "solve_interval" else 0.888
    card = model_card(change_summary(folder, models=models), LINKS)
    assert after in card and before not in section(card, "## Results", "### By level")


def test_the_metadata_is_valid_and_says_what_was_measured(pristine: Path) -> None:
    card = ModelCard(model_card(read_run(pristine), LINKS))
    data = card.data.to_dict()
    kind = {"license": "apache-2.0", "library_name": "transformers", "pipeline_tag": "text-generation"}
    assert kind.items() <= data.items()
    assert data["language"] == ["en", "zh"] and data["datasets"] == ["me/Countdown-r1-zero"]
    assert "base_model" not in data, "a shipped base is not on the Hub"
    (result,) = data["model-index"][0]["results"]
    assert {metric["name"]: metric["value"] for metric in result["metrics"]} == {
        "Solve rate": 0.714,
        "Right format": 0.912,
    }
    assert result["dataset"]["revision"] == "d" * 40 and result["dataset"]["args"]["seed"] == 11
    check_metadata(str(card), "model", "README.md")


def test_a_base_from_the_hub_is_named_and_its_licence_applies(folder: Path) -> None:
    record = folder / "model" / "manifest.json"
    values = json.loads(record.read_text())
    values["results"]["base"] = "someone/base-1b@main"
    record.write_text(json.dumps(values))
    TOY["reopen"](folder, "evaluation")
    card = ModelCard(model_card(read_run(folder), LINKS))
    data = card.data.to_dict()
    assert data["base_model"] == "someone/base-1b" and "license" not in data
    assert "made from someone/base-1b, whose licence applies" in card.text


def test_the_card_shows_one_success_and_one_failure_of_median_length(pristine: Path) -> None:
    solved, failed = pick_transcripts(pristine / "evaluation" / "checkpoint-2" / "records.jsonl")
    first, _, third = TOY["test_puzzles"](pristine / "dataset")
    assert (solved.solved, solved.nums, failed.solved, failed.nums) == (True, first.nums, False, third.nums)
    card = model_card(read_run(pristine), LINKS)
    numbers = ", ".join(map(str, first.nums))
    assert f"Numbers {numbers}; target {first.target}; 20 tokens; verdict: solved" in card
    assert f"target {third.target}; 22 tokens; verdict: wrong value" in card


def test_without_an_evaluation_the_card_says_so(folder: Path) -> None:
    run = change_summary(folder, models=[], paired=None)
    shutil.rmtree(folder / "evaluation" / "checkpoint-2")
    card = model_card(run, LINKS)
    assert "**This model has not been evaluated.**" in card and "本模型没有经过评测" in card
    assert "model-index" not in card and "| Model |" not in card
    assert "has not been evaluated" in checkpoint_card(run, run.best, LINKS)


def test_a_run_that_was_never_evaluated_can_be_published_and_its_cards_say_so(folder: Path) -> None:
    shutil.rmtree(folder / "evaluation")
    run = read_run(folder)
    card = ModelCard(model_card(run, LINKS))
    assert "**This model has not been evaluated.**" in card.text and "No evaluation was published" in card.text
    assert "model-index" not in card.data.to_dict() and run.best.label == "checkpoint-4"


def test_the_space_of_a_run_that_was_never_evaluated_claims_and_tells_nothing(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder / "evaluation")
    run, hub = read_run(folder), Hub("http://127.0.0.1:9", None, rehearsal=True)
    links = repo_links(run, "me", hub)
    assert links.evaluation is None and links.space == "me/countdown-r1-toy-demo"
    of_demo = repo_links(replace(run, folder=folder.with_name("demo")), "me", hub)
    assert (of_demo.model, of_demo.space) == ("me/countdown-r1-demo", "me/countdown-r1-demo")
    assert of_demo.repos["space"] == ("space", "me/countdown-r1-demo")
    part = next(part for part in parts(run, hub, links) if part.role == "space")
    fill(part, tmp_path / "space", links)
    card = (tmp_path / "space" / "README.md").read_text()
    assert "This model has not been evaluated." in card and "本模型没有经过评测。" in card and "%" not in card
    assert json.loads((tmp_path / "space" / "story.json").read_text()) is None, "no other model's figures either"


def test_every_checkpoint_stands_in_the_table_with_its_commit_and_its_score(pristine: Path) -> None:
    commits = {branch: letter * 40 for branch, letter in (("step-0", "a"), ("step-2", "b"), ("step-4", "c"))}
    card = model_card(read_run(pristine), replace(LINKS, checkpoints=commits))
    for part in (section(card, "## Checkpoints", "## Training"), section(card, "### 检查点", "### 训练")):
        assert f"| checkpoint-2 | 2 | `step-2` | `{'b' * 40}` | 71.4% (67.3% – 75.3%) |" in part
        assert part.count("`step-") == 3 and "c" * 40 in part


def test_the_chinese_half_has_every_section_of_the_english_one(pristine: Path) -> None:
    english, _, chinese = model_card(read_run(pristine), LINKS).partition("## 中文说明")
    heads = ["运行", "评测结果", "检查点", "训练", "冷启动", "数据", "顿悟时刻", "局限", "许可", "复现", "引用"]
    assert re.findall(r"^### (.+)$", chinese, re.MULTILINE) == heads
    names = (
        "Run it|Two transcripts|Results|Checkpoints|Training|Data|Aha moments|Limitations|Licence|Reproduce|Citation"
    )
    assert re.findall(r"^## (.+)$", english, re.MULTILINE) == names.split("|")


def test_the_chinese_half_is_chinese_and_has_the_same_measurements(pristine: Path) -> None:
    english, _, chinese = model_card(read_run(pristine), LINKS).partition("## 中文说明")
    heads = {cell for line in re.findall(r"^\| (.+) \|\n\| ---", chinese, re.MULTILINE) for cell in line.split(" | ")}
    names = {"base", "checkpoint-2", "train", "validation", "test"}
    assert not [head for head in heads - names if re.fullmatch(r"[\x00-\x7f]+", head)], heads
    for number in ("71.4%", "31.2%", "0.4321", "0.0375", "seed 11", "67.3%"):
        assert number in english and number.replace("seed", "随机种子") in chinese
    assert "**checkpoint-2 解出了 500 道未训练过的题目中的 71.4%(95% 区间 67.3% 到 75.3%);基础模型" in chinese


def test_the_card_names_the_command_that_measures_the_published_weights_again(pristine: Path) -> None:
    import shlex

    from countdown_r1.cli import main

    card = model_card(read_run(pristine), LINKS)
    (command,) = set(re.findall(r"^countdown-r1 (evaluate me/.+\\\n.+)$", card, re.MULTILINE))
    _, *words = shlex.split(command.replace("\\\n", ""))
    options = main.commands["evaluate"].make_context("evaluate", words).params
    assert options["models"] == (f"me/countdown-r1-toy@{'w' * 40}",)
    wanted = {"dataset": f"me/Countdown-r1-zero@{'d' * 40}", "split": "test", "limit": 500, "seed": 11}
    wanted |= {"samples": 1, "temperature": 1.0, "max_new_tokens": 48, "hub_name": "rehearsal", "language": None}
    assert wanted.items() <= options.items()
    real = replace(LINKS, site="https://huggingface.co")
    assert "--hub" not in section(model_card(read_run(pristine), real), "## Reproduce", "## Citation")


def test_money_is_only_spoken_of_where_a_price_was_stated() -> None:
    stages = {"generation": {"gpu_hours": 1.5, "total": 3.0}, "update": {"gpu_hours": 0.5, "total": 1.0}}
    values = {"hardware": "H100", "gpu_hours": {"allocated": 2.25, "busy": 2.0}, "stages": stages, "energy_kwh": None}
    free = tables.cost(values | {"price_per_hour": 0.0, "currency": "USD", "total": 0.0})
    assert "| sampling | 1.5 |" in free and "| of these sampling or updating | 2 |" in free
    assert "USD" not in free and "Energy" not in free and "Total" not in free
    paid = tables.cost(values | {"price_per_hour": 2.0, "currency": "USD", "total": 4.5}, "zh")
    assert "| 每小时价格 | 2 USD |" in paid and "| 总计 | 4.5 USD |" in paid
    assert tables.cost({}) == ""


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        (Licence("apache-2.0"), "whose licence, `apache-2.0`, applies."),
        (Licence("llama3.2"), "Built with Llama."),
        (
            Licence("other", "qwen-research", "LICENSE"),
            "`other` (qwen-research), applies. Commercial",
        ),
    ],
)
def test_the_licence_of_the_base_is_that_of_the_card(pristine: Path, licence: Licence, words: str) -> None:
    run = read_run(pristine)
    run.model.results["base"] = "someone/base-1b"
    card = ModelCard(model_card(replace(run, licence=licence), LINKS))
    data = card.data.to_dict()
    assert words in card.text and data["license"] == licence.id and data.get("license_name") == licence.name
    check_metadata(str(card), "model", "README.md")


def test_a_missing_number_leaves_its_row_or_column_out(folder: Path) -> None:
    models = read_run(folder).summary["models"]
    del models[2]["solve_rate"]
    for model in models:
        del model["mean_tokens"], model["validation"]
    results = section(model_card(change_summary(folder, models=models), LINKS), "## Results", "### By level")
    assert "checkpoint-2" in results and "checkpoint-4 |" not in results
    assert "Mean tokens" not in results and "None" not in results


@pytest.mark.parametrize(("interval", "said"), [([-0.01, 0.05], True), ([0.01, 0.05], False), ([-0.05, -0.01], False)])
def test_a_difference_that_may_be_nothing_is_called_so(interval: list[float], said: bool) -> None:
    measured = {"base": "base", "model": "checkpoint-2", "difference": 0.02, "interval": interval, "n": 500}
    assert ("no difference was shown" in tables.paired(measured)) is said
    assert ("没有证明存在差异" in tables.paired(measured, "zh")) is said


def test_when_the_base_is_the_best_the_card_admits_it(folder: Path) -> None:
    card = model_card(change_summary(folder, best="base"), LINKS)
    assert "no checkpoint did better on the validation split" in card


def test_no_path_and_no_host_gets_into_a_card(pristine: Path) -> None:
    run = read_run(pristine)
    for card in (model_card(run, LINKS), checkpoint_card(run, run.best, LINKS)):
        assert str(pristine.parent) not in card and "/opt/somewhere" not in card and "box-17" not in card
        assert "127.0.0.1" not in card and "localhost" not in card
    assert "countdown-r1 train toy --out outputs/toy/model" in model_card(run, LINKS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data/toy/model and /data/toy", "outputs/toy/model and outputs/toy"),
        ("/opt/env/bin/countdown-r1 run demo", "countdown-r1 run demo"),
        ("--out=/somewhere/else/model", "--out=model"),
        ("https://example.com/a/b 1/2/3 <think>a/b</think> outputs/toy/model", None),
        ("base: C:\\Users\\someone\\model", "base: model"),
    ],
)
def test_local_paths_keep_only_what_means_something_elsewhere(text: str, expected: str | None) -> None:
    assert without_paths(text, Path("/data/toy")) == (expected or text)


def test_training_cold_start_and_recipe_come_from_what_the_stages_recorded(pristine: Path) -> None:
    card = model_card(read_run(pristine), LINKS)
    for row in ("| steps | 4 |", "| Hours | 0.0375 |", "| Hardware | 2 cores |", "| 小时 | 0.0375 |", "| seed | 7 |"):
        assert row in card
    assert "| settings: reflect chance | 0.125 |" in card and "learning_rate: 1.0e-05" in card
    dataset = read_run(pristine).dataset
    assert dataset is not None
    splits = dataset.results["splits"].values()
    counts = " | ".join(str(split["rows"]) for split in splits)
    assert f"| zh-chatml | {counts} |" in card, "rows per split are counted in the parquet files"


@pytest.mark.parametrize(
    ("functions", "english", "chinese"),
    [
        (["equation_reward"], "rewarded for a right equation, and no written-out", "奖励正确的算式,强化学习"),
        (
            ["equation_reward", "format_reward", "mine.py:brevity"],
            "rewarded for a right equation and for the format (one thought, then one answer) and for `brevity`, and no",
            "奖励正确的算式、规范的格式(先思考,再给一个答案)、`brevity`,强化学习",
        ),
        (
            ["equation_reward", "truth_reward"],
            "rewarded for a right equation and for calculations that are true, and no",
            "奖励正确的算式、正确无误的计算,强化学习",
        ),
        (["x.py:`<script>`"], "after the model of DeepSeek-R1.", "训练方法是 GRPO。"),
    ],
)
def test_the_card_says_what_was_rewarded(pristine: Path, functions: list[str], english: str, chinese: str) -> None:
    run = read_run(pristine)
    settings = run.model.settings | {"rewards": {"functions": functions}}
    card = model_card(replace(run, model=replace(run.model, settings=settings)), LINKS)
    assert english in card and chinese in card


def test_ahas_stand_beside_those_of_the_base(pristine: Path) -> None:
    ahas = section(model_card(read_run(pristine), LINKS), "## Aha moments", "## Limitations")
    assert "| base | 500 | 41 | 17 |" in ahas and "| checkpoint-2 | 500 | 42 | 18 |" in ahas


def test_a_model_that_mixes_languages_is_said_to_in_both_halves(folder: Path) -> None:
    assert "mixes languages" not in model_card(read_run(folder), LINKS)
    models = read_run(folder).summary["models"]
    for row, rate in zip(models, (0.012, 0.912, 0.9), strict=True):
        row["by_language"]["zh"] |= {"mixed_rate": rate, "mixed_interval": [rate - 0.01, rate + 0.01]}
        row["by_language"]["en"] |= {"mixed_rate": 0.0, "mixed_interval": [0.0, 0.015]}
    english, _, chinese = model_card(change_summary(folder, models=models), LINKS).partition("## 中文说明")
    said = "checkpoint-2 mixes languages: 91.2% (90.2% – 92.2%) of its completions to Chinese prompts, the base 1.2%."
    assert said in section(english, "### Mixed languages", "### How")
    assert said in section(english, "## Limitations", "##")
    assert "| zh | 250 | 1.2% (0.2% – 2.2%) | 91.2% (90.2% – 92.2%) |" in english
    said = "checkpoint-2 会混用语言：对中文提示词的回答中，91.2% (90.2% – 92.2%) 夹杂其他语言（起点为 1.2%）"
    assert chinese.count(said) == 2
    models[1]["by_language"]["zh"]["mixed_rate"] = 0.049
    card = model_card(change_summary(folder, models=models), LINKS)
    assert "mixes languages" not in card and "会混用语言" not in card and "4.9%" in card


def test_a_card_passes_the_scan(pristine: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(model_card(read_run(pristine), LINKS))
    assert scan(tmp_path) == []


@given(st.text(alphabet=st.sampled_from("`~\n#|<>- a\r\0\u202e\u2028"), max_size=60))
def test_no_text_of_a_model_can_leave_its_code_block(text: str) -> None:
    tokens = MARKDOWN.parse(f"before\n\n{fence(text)}\n\nafter")
    paragraph = ["paragraph_open", "inline", "paragraph_close"]
    assert [token.type for token in tokens] == [*paragraph, "fence", *paragraph]


def test_a_transcript_that_looks_like_a_card_stays_a_transcript(folder: Path) -> None:
    records = folder / "evaluation" / "checkpoint-2" / "records.jsonl"
    rows = [json.loads(line) for line in records.read_text().splitlines()]
    hostile = "---\nlicense: other\n---\n````\n# Owned {{ title }} {% raw %}\n<script>alert(1)</script>" + "x" * 5000
    records.write_text("".join(json.dumps(row | {"generation": hostile}) + "\n" for row in rows))
    TOY["reopen"](folder, "evaluation")
    card = ModelCard(model_card(read_run(folder), LINKS))
    assert card.data.to_dict()["license"] == "apache-2.0"
    headings = [after.content for before, after in pairwise(MARKDOWN.parse(card.text)) if before.type == "heading_open"]
    assert "Results" in headings and not any("Owned" in heading for heading in headings)
    assert "more characters]" in card.text and "{{ title }}" in card.text


def test_the_card_of_a_dataset_lists_models_once_and_names_its_repository() -> None:
    original = "---\nlicense: apache-2.0\n---\n\n# Puzzles\n"
    assert 'load_dataset("me/Countdown-r1-zero"' in dataset_card('load_dataset("NAMESPACE/Countdown-r1-zero")', LINKS)
    first = dataset_card(original, LINKS)
    other = dataset_card(original, Links("me/Countdown-r1-zero", "me/countdown-r1-other", "me/x"), first)
    assert first.startswith(original.rstrip()) and first.count("# Models trained on it") == 1
    assert other.count("](/me/countdown-r1-toy)") == other.count("](/me/countdown-r1-other)") == 1
    assert dataset_card(original, LINKS, other) == other, "publishing again in turns changes nothing"
    assert dataset_card(first, LINKS, first) == first


@pytest.mark.parametrize("card", ["# no metadata", "---\n---\n# empty", "---\n- a\n- list\n---\n", "---\na: [\n---\n"])
def test_a_card_without_usable_metadata_is_refused_before_the_hub_sees_it(card: str) -> None:
    with pytest.raises(InputError, match=r"README\.md"):
        check_metadata(card, "model", "README.md")


@pytest.mark.parametrize("stage", ["dataset", "model"])
def test_a_missing_stage_is_named_with_the_command_that_makes_it(folder: Path, stage: str) -> None:
    shutil.rmtree(folder / stage)
    command = {"dataset": "build-dataset", "model": "train"}[stage]
    with pytest.raises(StageError, match=rf"no finished {stage}/; make it with `countdown-r1 {command}`"):
        read_run(folder)


def test_a_flipped_byte_in_a_checkpoint_is_refused_by_name(folder: Path) -> None:
    weights = folder / "model" / "checkpoint-2" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(StageError, match=r"checkpoint-2/model\.safetensors changed or went missing") as refusal:
        read_run(folder)
    assert "\n" not in str(refusal.value)


def test_an_evaluation_of_another_model_is_refused(folder: Path) -> None:
    record = folder / "model" / "manifest.json"
    record.write_text(record.read_text().replace('"seed": 7', '"seed": 8'))
    with pytest.raises(StageError, match="evaluation was made from another model"):
        read_run(folder)


def test_a_best_model_without_weights_is_refused(folder: Path) -> None:
    with pytest.raises(StageError, match="no weights for the best model, 'checkpoint-9'"):
        change_summary(folder, best="checkpoint-9")


def test_the_final_weights_count_only_where_no_checkpoint_has_them(folder: Path) -> None:
    labels = lambda: [one.label for one in find_checkpoints(folder / "model", read_run(folder).model)]  # noqa: E731
    assert labels() == ["base", "checkpoint-2", "checkpoint-4"]
    shutil.rmtree(folder / "model" / "checkpoint-4")
    TOY["reopen"](folder, "model")
    assert labels() == ["base", "checkpoint-2", "final"]


@pytest.mark.parametrize(("named", "given"), [("someone/base-1b", None), ("/somewhere/base", "someone/base-1b")])
def test_an_adopted_full_model_names_its_base_where_its_files_or_its_owner_do(
    pristine: Path, tmp_path: Path, named: str, given: str | None
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(pristine / "model" / "base", folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "_name_or_path": named}))
    run = replace(read_adopted(folder, given), licence=Licence("llama3.2"))
    card = ModelCard(adopted_card(run, Links(None, "me/mine", None), run.best))
    wanted = {"base_model": "someone/base-1b", "base_model_relation": "finetune", "license": "llama3.2"}
    assert wanted.items() <= card.data.to_dict().items() and card.data.to_dict()["library_name"] == "transformers"
    assert "A fine-tuned version of [someone/base-1b]" in card.text and "Built with Llama." in card.text
    assert "not trained by countdown-r1" in card.text and "**This model has not been evaluated.**" in card.text
    assert "不是由 countdown-r1 训练" in card.text and "没有经过评测" in card.text
    check_metadata(str(card), "model", "README.md")


@pytest.mark.parametrize(
    ("licence", "keys", "words"),
    [
        ({"license": "cc-by-nc-4.0"}, {"license": "cc-by-nc-4.0"}, "The dataset's licence is `cc-by-nc-4.0`."),
        ({}, {}, "The dataset's source states no licence for its puzzles."),
    ],
)
def test_what_holds_imported_puzzles_has_the_licence_of_their_source(
    pristine: Path, licence: dict[str, Any], keys: dict[str, Any], words: str
) -> None:
    run = read_run(pristine)
    assert run.dataset is not None
    settings = run.dataset.settings | {"source": "erin/nc-puzzles", "provenance": {"licence": licence}}
    imported = replace(run, dataset=replace(run.dataset, settings=settings))
    assert "The dataset's licence is `apache-2.0`." in model_card(run, LINKS)
    assert words in model_card(imported, LINKS)
    for one, expected in ((run, {"license": "apache-2.0"}), (imported, keys)):
        data = ModelCard(evaluation_card(one, LINKS, [run.best.label])).data.to_dict()
        assert {key: value for key, value in data.items() if key.startswith("license")} == expected
