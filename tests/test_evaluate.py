"""Evaluation: the same held-out puzzles for every model, honest figures, and a best model chosen on validation."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import time
from dataclasses import asdict, replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from countdown_r1 import manifest, models
from countdown_r1.build_dataset.dataset import build, load
from countdown_r1.build_dataset.generate import Wish
from countdown_r1.build_dataset.prompt import chatml, load_template
from countdown_r1.cli import main
from countdown_r1.errors import InputError, StageError
from countdown_r1.game.answer import judge, parse
from countdown_r1.game.language import mixed
from countdown_r1.game.puzzle import Puzzle, Status
from countdown_r1.game.split import split_of
from countdown_r1.train.aha import find_ahas, read_records
from countdown_r1.train.backends import choose_backend
from countdown_r1.train.evaluate import Candidate, Questions, candidates_of, evaluate, run_candidates, table
from countdown_r1.train.generation import Completion, Decoding
from countdown_r1.train.pictures import draw_evaluation
from countdown_r1.train.questions import select_rows
from countdown_r1.train.records import record
from countdown_r1.train.results import markdown
from countdown_r1.train.statistics import mean_interval, pass_at_k, wilson_interval
from countdown_r1.train.summary import by_puzzle, choose_best, differences, paired, summarise_records, vote

if TYPE_CHECKING:
    from conftest import ToyRun

ARTICLE = {"test_id", "score", "prompt", "nums", "generation", "gen_calculation", "target"}
OURS = {"sample", "verdict", "language", "level", "checkpoint", "n_tokens", "seconds", "format", "mixed"}
DECODING = Decoding(temperature=1.0, max_new_tokens=90, batch_size=8, seed=5, greedy=True)
SUMMARY = {"n": 8, "seed": 0, "best": "base", "dataset": {"split": "test"}, "decoding": asdict(DECODING)}
SAMPLED_ALONE = replace(DECODING, greedy=False)
N, N_VALIDATION = 10, 4
ROW = {"nums": [68, 77, 93, 43], "target": 95, "language": "zh", "level": 0, "prompt": "", "assistant_prefix": ""}


@pytest.fixture(scope="module")
def measured(toy_run: ToyRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Base and two checkpoints of the toy run, evaluated: the folder and the summary."""
    out = tmp_path_factory.mktemp("measured") / "evaluation"
    questions = Questions(str(toy_run.dataset), n=N, n_validation=N_VALIDATION)
    summary = evaluate(run_candidates(toy_run.folder), questions, DECODING, out, command="countdown-r1 evaluate toy")
    return out, summary


def records(folder: Path, label: str, name: str = "records.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / label / name).read_text(encoding="utf-8").splitlines()]


def test_a_record_has_the_articles_fields_and_what_slices_need(measured: tuple[Path, dict[str, Any]]) -> None:
    for label in ("base", "checkpoint-1", "checkpoint-2"):
        lines = records(measured[0], label)
        assert len(lines) == N
        for number, line in enumerate(lines):
            assert set(line) == ARTICLE | OURS
            assert (line["test_id"], line["sample"], line["checkpoint"]) == (number, 0, label)
            assert 1 <= line["n_tokens"] <= DECODING.max_new_tokens
            puzzle = Puzzle(tuple(line["nums"]), line["target"])
            assert line["prompt"] == chatml(load_template(line["language"]), puzzle)
            verdict = judge(puzzle, line["generation"])
            assert (line["verdict"], line["score"]) == (verdict.status.value, int(verdict.solved))
            assert line["format"] == int(parse(line["generation"]).well_formed)
            assert line["mixed"] == int(mixed(line["generation"], line["language"]))


def test_every_model_is_asked_the_same_puzzles_of_the_test_split(
    measured: tuple[Path, dict[str, Any]], toy_run: ToyRun
) -> None:
    asked = [
        [(line["nums"], line["target"], line["language"], line["prompt"]) for line in records(measured[0], label)]
        for label in ("base", "checkpoint-1", "checkpoint-2")
    ]
    assert asked[0] == asked[1] == asked[2]
    assert {split_of(nums) for nums, *_ in asked[0]} == {"test"}
    assert [language for _, _, language, _ in asked[0]] == ["en", "zh"] * (N // 2)
    trained = {tuple(sorted(row["nums"])) for row in load(toy_run.dataset, "en", "train").to_list()}
    assert trained.isdisjoint(tuple(sorted(nums)) for nums, *_ in asked[0])
    assert len({(tuple(nums), target) for nums, target, *_ in asked[0]}) == N


def test_the_folder_holds_what_publishing_reads(measured: tuple[Path, dict[str, Any]], toy_run: ToyRun) -> None:
    out, summary = measured
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    of_models = {
        f"{label}/{name}.jsonl"
        for label in ("base", "checkpoint-1", "checkpoint-2")
        for name in ("records", "greedy", "validation")
    }
    of_all = {"aha.json", "evaluation.md", "evaluation.png", "logs/eval_countdown.log", "manifest.json", "summary.json"}
    assert names == of_models | of_all
    assert not out.with_name("evaluation.partial").exists()
    assert json.loads((out / "summary.json").read_text()) == summary
    assert table(summary) in (out / "logs" / "eval_countdown.log").read_text()
    assert (out / "evaluation.md").read_text() == markdown(summary)
    assert (out / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    record = manifest.read(out)
    assert (record.stage, record.seed, record.command) == ("evaluate", 5, "countdown-r1 evaluate toy")
    assert record.read == manifest.sha256(toy_run.folder / "manifest.json")
    assert manifest.damaged_files(out) == []


def test_the_summary_is_what_its_records_come_to(measured: tuple[Path, dict[str, Any]], toy_run: ToyRun) -> None:
    out, summary = measured
    assert [model["label"] for model in summary["models"]] == ["base", "checkpoint-1", "checkpoint-2"]
    assert [model["step"] for model in summary["models"]] == [0, 1, 2]
    assert summary["n"] == N
    assert summary["dataset"]["split"] == "test"
    assert summary["dataset"]["manifest_sha256"] == manifest.sha256(toy_run.dataset / "manifest.json")
    assert summary["decoding"] == {**DECODING.__dict__, "backend": "transformers"}
    for model in summary["models"]:
        lines = records(out, model["label"])
        solved = sum(line["score"] for line in lines)
        assert model["n"] == N
        assert model["solve_rate"] == pytest.approx(solved / N)
        assert model["solve_interval"] == pytest.approx(wilson_interval(solved, N), abs=1e-4)
        assert model["format_rate"] == pytest.approx(sum(line["format"] for line in lines) / N)
        assert model["mean_tokens"] == pytest.approx(sum(line["n_tokens"] for line in lines) / N, abs=0.06)
        assert sum(model["verdicts"].values()) == N
        assert model["verdicts"].get("solved", 0) == solved
        keys = {"by_level": "level", "by_language": "language"}
        for slices, key in ((model[name], key) for name, key in keys.items()):
            assert sum(part["n"] for part in slices.values()) == N
            for name, part in slices.items():
                scores = [line["score"] for line in lines if str(line[key]) == name]
                assert part["solve_rate"] == pytest.approx(sum(scores) / len(scores), abs=1e-4)
                assert part["interval"] == pytest.approx(wilson_interval(sum(scores), len(scores)), abs=1e-4)
        assert model["by_numbers"] == {"3": model["by_numbers"]["3"]}
        assert model["ahas"]["n"] == len(find_ahas(lines))
        assert model["validation"]["n"] == N_VALIDATION
        assert len(records(out, model["label"], "validation.jsonl")) == N_VALIDATION
        greedy = sum(line["score"] for line in records(out, model["label"], "greedy.jsonl"))
        assert model["greedy"]["solve_rate"] == pytest.approx(greedy / N)
        assert model["per_puzzle"]["tokens"] == model["mean_tokens"]
        assert model["per_puzzle"]["seconds"] > 0
        assert model["tokens_per_second"] > 0
        assert len(model["sha256"]) == 64
    assert len({model["sha256"] for model in summary["models"]}) == 3


def test_the_shipped_model_solves_some_and_its_records_can_be_searched(measured: tuple[Path, dict[str, Any]]) -> None:
    base = measured[1]["models"][0]
    assert base["verdicts"] != {"unfinished thought": N}
    assert base["format_rate"] > 0
    assert len(read_records(measured[0])) == 3 * N


def test_the_paired_difference_compares_the_best_with_the_base(measured: tuple[Path, dict[str, Any]]) -> None:
    out, summary = measured
    assert summary["paired"]["base"] == "base"
    assert summary["paired"]["model"] == summary["best"]
    assert summary["paired"]["n"] == N
    before, after = (records(out, label) for label in ("base", summary["best"]))
    gained = sum(b["score"] - a["score"] for a, b in zip(before, after, strict=True))
    assert summary["paired"]["difference"] == pytest.approx(gained / N, abs=1e-4)
    low, high = summary["paired"]["interval"]
    assert low <= summary["paired"]["difference"] <= high
    pairs = [(one["base"], one["model"]) for one in summary["differences"]]
    assert pairs == [("base", "checkpoint-1"), ("base", "checkpoint-2"), ("checkpoint-1", "checkpoint-2")]


def test_a_rerun_gives_the_same_answers(measured: tuple[Path, dict[str, Any]], toy_run: ToyRun, tmp_path: Path) -> None:
    questions = Questions(str(toy_run.dataset), n=N)
    evaluate([Candidate("base", str(toy_run.folder / "base"), 0)], questions, SAMPLED_ALONE, tmp_path / "again")
    before, after = records(measured[0], "base"), records(tmp_path / "again", "base")
    for line in (*before, *after):
        line.pop("seconds")
    assert before == after


def summary_of(label: str, *, validation: float | None, test: float) -> dict[str, Any]:
    measured = {"label": label, "solve_rate": test}
    return measured if validation is None else measured | {"validation": {"n": 100, "solve_rate": validation}}


def test_the_best_is_chosen_on_validation_whatever_test_says() -> None:
    summaries = [
        summary_of("base", validation=0.2, test=0.9),
        summary_of("checkpoint-2", validation=0.6, test=0.3),
        summary_of("checkpoint-4", validation=0.5, test=0.8),
    ]
    assert choose_best(summaries) == "checkpoint-2"


def test_of_equals_the_later_one_is_best() -> None:
    summaries = [summary_of(label, validation=0.5, test=0.1) for label in ("base", "checkpoint-2", "checkpoint-4")]
    assert choose_best(summaries) == "checkpoint-4"


def test_without_validation_the_last_one_is_taken_and_test_plays_no_part() -> None:
    summaries = [summary_of("base", validation=None, test=0.9), summary_of("checkpoint-2", validation=None, test=0.1)]
    assert choose_best(summaries) == "checkpoint-2"


def rates_of(slices: dict[str, Any]) -> dict[str, tuple[int, float]]:
    return {name: (part["n"], part["solve_rate"]) for name, part in slices.items()}


def test_rates_slices_and_verdicts_are_counted() -> None:
    lines = [
        {
            "test_id": number,
            "score": int(number < 3),
            "format": int(number < 6),
            "n_tokens": 10 * number,
            "level": number % 2,
            "seconds": 0.5,
            "nums": [1, 2, 3] if number < 2 else [1, 2, 3, 4],
            "language": "en" if number < 4 else "zh",
            "verdict": "solved" if number < 3 else "wrong value",
            "generation": "",
            "target": 5,
        }
        for number in range(8)
    ]
    summary = summarise_records("x", lines, lines[:4])
    assert (summary["n"], summary["solve_rate"], summary["format_rate"]) == (8, 0.375, 0.75)
    assert summary["mean_tokens"] == 35.0
    assert rates_of(summary["by_level"]) == {"0": (4, 0.5), "1": (4, 0.25)}
    assert rates_of(summary["by_language"]) == {"en": (4, 0.75), "zh": (4, 0.0)}
    assert rates_of(summary["by_numbers"]) == {"3": (2, 1.0), "4": (6, 0.1667)}
    assert summary["verdicts"] == {"wrong value": 5, "solved": 3}
    assert summary["per_puzzle"] == {"tokens": 35.0, "seconds": 0.5}
    assert summary["tokens_per_second"] == 70.0
    assert (summary["validation"]["n"], summary["validation"]["solve_rate"]) == (4, 0.75)
    assert (summary["mixed_rate"], summary["mixed_interval"][0]) == (0.0, 0.0)
    better = [dict(line, score=1) for line in lines]
    assert paired({"a": lines, "b": better}, "a", "b")["difference"] == 0.625


def test_mixing_is_counted_by_language_in_records_that_are_older_than_their_field(tmp_path: Path) -> None:
    said = {"zh": ["试试。", "Try 3。不对。", "Yes!", "试试"], "en": ["Try.", "Try.", "No.", "1 + 1 = 2"]}
    lines = [
        record(number, ROW | {"language": language}, "", Completion(text, 9, 0.1), "base")
        for number, (language, text) in enumerate((name, text) for name, texts in said.items() for text in texts)
    ]
    assert [line.pop("mixed") for line in lines] == [0, 1, 1, 0, 0, 0, 0, 0]
    measured = summarise_records("base", lines, ())
    assert measured["mixed_rate"] == 0.25
    assert {name: part["mixed_rate"] for name, part in measured["by_language"].items()} == {"en": 0.0, "zh": 0.5}
    assert measured["by_language"]["zh"]["mixed_interval"] == pytest.approx(wilson_interval(2, 4), abs=1e-4)
    whole = SUMMARY | {"models": [measured | {"step": 0}]}
    draw_evaluation(whole, tmp_path / "evaluation.png")
    assert "\nMIXED base: 50.0% (15.0% to 85.0%) of the completions to 'zh' prompts\n" in table(whole)
    assert "| zh | 4 | 50.0% (15.0% to 85.0%) |" in markdown(whole).partition("## Completions that mix languages")[2]
    for part in (measured, *measured["by_language"].values()):
        del part["mixed_rate"], part["mixed_interval"]
    draw_evaluation(whole, tmp_path / "older.png")
    assert "MIXED" not in table(whole) + markdown(whole)


@pytest.mark.parametrize(
    ("generation", "calculation", "status"),
    [
        ("x</think>\n<answer> 77 + 68 + 43 - 93 </answer>", 95, Status.SOLVED),
        ("x</think>\n<answer> 77 + 68 + 43 + 93 </answer>", 281, Status.WRONG_VALUE),
        ("x</think>\n<answer> 68 / 77 </answer>", pytest.approx(68 / 77), Status.WRONG_NUMBERS),
        ("x</think>\n<answer> 68 / (77 - 77) </answer>", None, Status.WRONG_NUMBERS),
        ("x</think>\n<answer> 9**9 </answer>", None, Status.MALFORMED),
        ("x</think>\n<answer> 999999999999 * 999999999999 </answer>", None, Status.WRONG_NUMBERS),
        ("x", None, Status.UNFINISHED),
        ("", None, Status.UNFINISHED),
    ],
)
def test_gen_calculation_is_the_answers_value_when_it_has_one(
    generation: str, calculation: float | None, status: Status
) -> None:
    made = record(91, ROW, "prompt", Completion(generation, 12, 0.5), "base")
    assert made["gen_calculation"] == calculation
    assert made["verdict"] == status.value
    assert json.loads(json.dumps(made, allow_nan=False)) == made


@pytest.mark.parametrize(("limit", "said"), [(10_000, "lower --limit"), (0, "at least 1"), (-3, "at least 1")])
def test_a_limit_that_the_split_cannot_meet_is_refused_before_any_model_is_loaded(
    toy_dataset: Path, tmp_path: Path, limit: int, said: str
) -> None:
    with pytest.raises(InputError, match=said) as raised:
        evaluate([Candidate("x", "no-such-model")], Questions(str(toy_dataset), n=limit), DECODING, tmp_path / "out")
    assert "'test'" in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_one_language_can_be_asked_alone(toy_dataset: Path) -> None:
    rows = select_rows(Questions(str(toy_dataset), language="zh"), "test", 6)
    assert {row["language"] for row in rows} == {"zh"}
    assert all("数谜" in row["prompt"][0]["content"] for row in rows)


def test_a_dataset_of_one_language_is_asked_in_that_language(tmp_path: Path) -> None:
    build(tmp_path / "zh", rows=120, wish=Wish((3,)), languages=("zh",))
    rows = select_rows(Questions(str(tmp_path / "zh")), "test", 3)
    assert [row["language"] for row in rows] == ["zh"] * 3


def test_a_file_with_numbers_and_targets_alone_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["nums", "target"], ["[55, 36, 7, 19]", 65], ["[1, 2, 3]", 6], ["[2, 2, 2]", 6]])
    rows = select_rows(Questions(str(path)), "test", 3)
    assert [tuple(row["nums"]) for row in rows] == [(55, 36, 7, 19), (1, 2, 3), (2, 2, 2)]
    assert [row["language"] for row in rows] == ["en", "zh", "en"]
    assert rows[0]["level"] == 0


def test_a_training_folder_stands_for_its_base_and_checkpoints_in_order(toy_run: ToyRun, tmp_path: Path) -> None:
    folder = shutil.copytree(toy_run.folder, tmp_path / "model")
    (folder / "checkpoint-2").rename(folder / "checkpoint-10")
    found = candidates_of([str(folder)])
    assert [(one.label, one.step) for one in found] == [
        ("base", 0),
        ("checkpoint-1", 1),
        ("final", 2),
        ("checkpoint-10", 10),
    ]
    assert [Path(one.name).name for one in found] == ["base", "checkpoint-1", "model", "checkpoint-10"]


def test_final_weights_without_a_checkpoint_are_evaluated_too(toy_run: ToyRun, tmp_path: Path) -> None:
    folder = shutil.copytree(toy_run.folder, tmp_path / "model")
    for path in folder.glob("checkpoint-*"):
        shutil.rmtree(path)
    assert [one.label for one in run_candidates(folder)] == ["base", "final"]


def test_a_folder_that_grpo_did_not_finish_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"manifest\.json is missing"):
        run_candidates(tmp_path)
    manifest.write(tmp_path, manifest.Manifest("cold_start", ""))
    with pytest.raises(StageError, match="no base to compare with"):
        run_candidates(tmp_path)


def test_every_candidate_has_a_label_that_can_name_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/model", "b/model", "model-2", "logs", "模型"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "model")
    names = [
        "tiny",
        "tiny",
        "someone/model@step-4",
        ".",
        "..",
        "../../b/model",
        "../../model-2",
        "../../logs",
        "../../模型",
    ]
    labels = [one.label for one in candidates_of(names)]
    assert labels == ["tiny", "tiny-2", "someone-model@step-4", "model", "a", "model-2", "model-2-2", "logs-2", "模型"]
    assert len(set(labels)) == len(names)


def test_one_puzzle_gives_figures_but_no_interval_of_a_difference(toy_run: ToyRun, tmp_path: Path) -> None:
    decoding = Decoding(max_new_tokens=4)
    candidates = run_candidates(toy_run.folder)[:2]
    summary = evaluate(candidates, Questions(str(toy_run.dataset), n=1), decoding, tmp_path / "out")
    assert "paired" not in summary
    assert [model["n"] for model in summary["models"]] == [1, 1]


def test_a_folder_is_not_overwritten_unless_asked(measured: tuple[Path, dict[str, Any]], toy_run: ToyRun) -> None:
    with pytest.raises(StageError, match="exists already"):
        evaluate(run_candidates(toy_run.folder), Questions(str(toy_run.dataset), n=2), DECODING, measured[0])
    assert manifest.damaged_files(measured[0]) == []


def test_a_model_that_cannot_be_loaded_is_one_line_and_keeps_what_others_answered(
    toy_run: ToyRun, tmp_path: Path
) -> None:
    damaged = shutil.copytree(toy_run.folder / "checkpoint-1", tmp_path / "checkpoint-1")
    (damaged / "model.safetensors").write_bytes(b"\0" * 10)
    with pytest.raises(StageError, match="damaged") as raised:
        evaluate(
            [Candidate("base", "novice"), Candidate("x", str(damaged))],
            Questions(str(toy_run.dataset), n=2),
            Decoding(max_new_tokens=4),
            tmp_path / "out",
        )
    assert "\n" not in str(raised.value)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-1", "out.partial"}
    saved = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("out.partial/**/*") if path.is_file()}
    assert saved == {"out.partial/base/records.jsonl", "out.partial/resume.json"}  # for the run after the repair


@pytest.fixture(scope="module")
def several(toy_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The shipped model with four samples a puzzle, by the command line: the folder and what ``--json`` printed."""
    out = tmp_path_factory.mktemp("several") / "out"
    command = [
        "evaluate",
        "novice",
        "--dataset",
        str(toy_dataset),
        "--limit",
        "8",
        "--samples",
        "4",
        "--validation",
        "2",
    ]
    done = CliRunner().invoke(main, [*command, "--max-new-tokens", "100", "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    return out, json.loads(done.stdout)


def test_several_samples_give_pass_at_k_and_a_majority(several: tuple[Path, dict[str, Any]]) -> None:
    out, summary = several
    (model,) = summary["models"]
    lines = records(out, "novice")
    assert [(line["test_id"], line["sample"]) for line in lines] == [
        (n, sample) for n in range(8) for sample in range(4)
    ]
    groups = by_puzzle(lines)
    counts = [sum(line["score"] for line in group) for group in groups]
    assert (model["n"], model["samples"]) == (8, 4)
    assert 0 < model["solve_rate"] < 1
    assert model["solve_rate"] == pytest.approx(sum(counts) / 32, abs=1e-4)
    assert model["solve_interval"] == pytest.approx(mean_interval([solved / 4 for solved in counts], 4), abs=1e-4)
    assert list(model["pass_at"]) == ["1", "2", "4"]
    assert model["pass_at"]["1"]["rate"] == model["solve_rate"]
    for k in (1, 2, 4):
        rate = sum(pass_at_k(4, solved, k) for solved in counts) / 8
        assert model["pass_at"][str(k)]["rate"] == pytest.approx(rate, abs=1e-4)
        low, high = model["pass_at"][str(k)]["interval"]
        assert low <= rate <= high
    assert model["majority"]["rate"] == sum(map(vote, groups)) / 8
    assert model["per_puzzle"]["tokens"] == pytest.approx(4 * model["mean_tokens"], abs=0.3)
    assert any(len({line["generation"] for line in group}) > 1 for group in groups)
    assert "pass_at" not in model["greedy"]
    assert len(records(out, "novice", "greedy.jsonl")) == 8
    assert len(records(out, "novice", "validation.jsonl")) == 8


def test_results_are_told_in_text_and_markdown(several: tuple[Path, dict[str, Any]]) -> None:
    out, summary = several
    (model,) = summary["models"]
    log = (out / "logs" / "eval_countdown.log").read_text(encoding="utf-8")
    assert f"novice: pass@1 {model['solve_rate']:.1%}, pass@2 " in log
    assert "samples 4, greedy True, backend transformers" in log
    page = (out / "evaluation.md").read_text(encoding="utf-8")
    assert "| Model | Solved (pass@1) | pass@2 | pass@4 | Majority | Greedy | Format |" in page
    assert page.count("\n| novice |") == 1
    for title in ("## Level", "## Numbers", "## Language"):
        assert title in page


def answers(*texts: str) -> list[dict[str, Any]]:
    """Records of one puzzle, 3 from 1 and 2, with these answers."""
    row = ROW | {"nums": [1, 2], "target": 3}
    made = (Completion(f"x</think>\n<answer>{text}</answer>", 5, 0.1) for text in texts)
    return [record(0, row, "prompt", one, "base", sample) for sample, one in enumerate(made)]


@pytest.mark.parametrize(
    ("texts", "right"),
    [
        (("1 + 2", "1 * 2", "2 + 1", "2 / 1"), True),  # two votes each for 3 and for 2, and 3 was there first
        (("1 * 2", "1 + 2", "2 + 1", "2 / 1"), False),
        (("1 + 2", "2 + 1", "2 - 1"), True),
        (("2 - 1", "1 + 2"), False),
        (("1 + 2", "2 - 1"), True),
        (("1 + 2", "1 + 1", "1 + 1", "1 + 1"), True),  # numbers used against the rules have no vote
        (("1 + 2", "9**9", "", "", "1 / 0"), True),
        (("1 / 2", "2 - 1", "(1) / 2"), False),
        (("", ""), False),
    ],
)
def test_the_majority_votes_with_exact_values_of_answers_that_keep_the_rules(
    texts: tuple[str, ...], right: bool
) -> None:
    assert vote(answers(*texts)) is right


def test_differences_compare_each_model_with_the_first_and_the_one_before() -> None:
    solved, failed = answers("1 + 2", "1 + 2"), answers("2 - 1", "1 + 2")
    results = {"a": failed, "b": solved, "c": solved}
    rest = [dict(line, test_id=1) for line in solved]
    found = differences({label: [*lines, *rest] for label, lines in results.items()})
    assert [(one["base"], one["model"], one["difference"]) for one in found] == [
        ("a", "b", 0.25),
        ("a", "c", 0.25),
        ("b", "c", 0.0),
    ]
    assert all(one["n"] == 2 for one in found)


def interrupt_when(path: Path, lines: int) -> Thread:
    """A thread that presses Ctrl-C for us as soon as the file has so many lines."""

    def watch() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if path.exists() and path.read_bytes().count(b"\n") >= lines:
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.002)

    thread = Thread(target=watch)
    thread.start()
    return thread


def test_an_interrupted_evaluation_goes_on_without_asking_again(
    measured: tuple[Path, dict[str, Any]], toy_run: ToyRun, tmp_path: Path
) -> None:
    questions = Questions(str(toy_run.dataset), n=N, n_validation=N_VALIDATION)
    candidates = run_candidates(toy_run.folder)[:2]
    saved = tmp_path / "out.partial" / "checkpoint-1" / "records.jsonl"
    small = replace(DECODING, batch_size=2)
    thread = interrupt_when(saved, 2)
    with pytest.raises(KeyboardInterrupt):
        evaluate(candidates, questions, small, tmp_path / "out")
        thread.join()
    thread.join()
    assert not (tmp_path / "out").exists()
    before = {path: path.read_bytes() for path in saved.parent.parent.rglob("*.jsonl")}
    assert len(before) >= 4
    assert 2 <= before[saved].count(b"\n") < N
    summary = evaluate(candidates, questions, replace(small, batch_size=8), tmp_path / "out")
    for path, kept in before.items():
        done = (tmp_path / "out" / path.relative_to(tmp_path / "out.partial")).read_bytes()
        assert done.startswith(kept)  # times included, so nothing was asked a second time
    assert not (tmp_path / "out" / "resume.json").exists()
    for label in ("base", "checkpoint-1"):
        for name in ("records.jsonl", "greedy.jsonl", "validation.jsonl"):
            texts = [
                [line["generation"] for line in records(folder, label, name)]
                for folder in (measured[0], tmp_path / "out")
            ]
            assert texts[0] == texts[1]
    assert summary["models"][0]["solve_rate"] == measured[1]["models"][0]["solve_rate"]


def test_a_checkpoint_without_weights_is_found_before_any_model_is_asked(toy_run: ToyRun, tmp_path: Path) -> None:
    bare = shutil.copytree(toy_run.folder / "checkpoint-1", tmp_path / "checkpoint-1")
    (bare / "model.safetensors").unlink()
    candidates = [Candidate("base", "novice"), Candidate("x", str(bare))]
    with pytest.raises(StageError, match=r"has no weights \(\*\.safetensors\)") as raised:
        evaluate(candidates, Questions(str(toy_run.dataset), n=2), DECODING, tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-1"}


def test_a_folder_that_holds_the_model_one_level_down_is_named(toy_run: ToyRun, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"did you mean .*model\?"):
        evaluate(
            [Candidate("x", str(toy_run.folder.parent))],
            Questions(str(toy_run.dataset), n=2),
            DECODING,
            tmp_path / "out",
        )


def test_a_completion_that_cannot_fit_into_the_context_is_refused(toy_dataset: Path, tmp_path: Path) -> None:
    decoding = Decoding(max_new_tokens=2048)
    with pytest.raises(InputError, match=r"the model takes 2048; lower --max-new-tokens to 19\d\d"):
        evaluate([Candidate("novice", "novice")], Questions(str(toy_dataset), n=2), decoding, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_bare_puzzles_are_asked_in_the_shipped_words(tmp_path: Path) -> None:
    build(tmp_path / "bare", rows=120, wish=Wish((3,)), languages=())
    rows = select_rows(Questions(str(tmp_path / "bare")), "test", 4)
    assert [row["language"] for row in rows] == ["en", "zh"] * 2
    assert rows[1]["prompt"][0]["content"] == load_template("zh").system
    assert [row["language"] for row in select_rows(Questions(str(tmp_path / "bare"), language="zh"), "test", 2)] == [
        "zh",
        "zh",
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("empty.csv", "", "is empty"),
        ("empty.jsonl", "", "is empty"),
        ("header.csv", "nums,target\n", "none of its 0 rows can be used"),
        ("junk.jsonl", "\0\0\0\n", "none of its 1 rows can be used"),
        ("invalid.csv", "nums,target\n\udcff,3\n", "not a CSV file in UTF-8"),
    ],
)
def test_a_file_without_puzzles_is_one_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    command = ["evaluate", "novice", "--dataset", str(tmp_path / name), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    assert said in done.output
    assert "Traceback" not in done.output and "Error: " in done.output
    assert not (tmp_path / "out").exists()


def test_puzzles_with_one_number_are_asked_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("nums,target\n[7],7\n[9],9\n")
    questions = Questions(str(tmp_path / "one.csv"), n=2, allow_leak=True)
    summary = evaluate([Candidate("novice", "novice")], questions, Decoding(max_new_tokens=6), tmp_path / "out")
    assert rates_of(summary["models"][0]["by_numbers"]).keys() == {"1"}
    assert [line["nums"] for line in records(tmp_path / "out", "novice")] == [[7], [9]]


def test_vllm_is_refused_where_it_cannot_run_and_is_not_chosen_by_itself(tmp_path: Path, toy_dataset: Path) -> None:
    assert choose_backend("transformers") == "transformers"
    assert choose_backend(None) == "transformers"
    with pytest.raises(InputError, match="no backend 'tgi'; it is one of transformers, vllm"):
        choose_backend("tgi")
    command = ["evaluate", "novice", "--dataset", str(toy_dataset), "--limit", "2", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*command, "--backend", "vllm"])
    assert done.exit_code == 1
    assert "use --backend transformers" in done.output


def test_the_command_prints_a_table_or_json(toy_dataset: Path, tmp_path: Path) -> None:
    command = ["evaluate", "novice", "--dataset", str(toy_dataset), "--limit", "2", "--max-new-tokens", "4"]
    done = CliRunner().invoke(main, [*command, "--no-greedy", "--out", str(tmp_path / "one")])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == str(tmp_path / "one")
    assert "95% interval" in done.stdout
    assert not (tmp_path / "one" / "novice" / "greedy.jsonl").exists()
    as_json = CliRunner().invoke(main, [*command, "--temperature", "0", "--out", str(tmp_path / "two"), "--json"])
    assert as_json.exit_code == 0, as_json.output
    printed = json.loads(as_json.stdout)
    assert printed == json.loads((tmp_path / "two" / "summary.json").read_text())
    assert printed["decoding"]["temperature"] == 0
    assert not (tmp_path / "two" / "novice" / "greedy.jsonl").exists()  # they would be the same answers again


def test_the_shipped_model_is_a_candidate_by_its_name() -> None:
    assert candidates_of(["novice"]) == [Candidate("novice", "novice")]
    assert models.resolve("tiny").revision is None
