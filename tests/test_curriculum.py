"""Puzzles for GRPO: those that the base solves sometimes, asked once."""

from __future__ import annotations

import errno
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from countdown_r1 import models
from countdown_r1.build_dataset.dataset import load
from countdown_r1.build_dataset.prompt import render
from countdown_r1.errors import TrainingError
from countdown_r1.game.answer import judge
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.train.curriculum import FILE_NAME, choose_rows
from countdown_r1.train.generation import Ask, Decoding, encode, write_batches
from countdown_r1.train.recipe import Curriculum

SETTINGS = Curriculum(candidates=12, samples=3)
DECODING = Decoding(max_new_tokens=160, batch_size=12, samples=3)


@pytest.fixture(scope="module")
def novice() -> tuple[Any, Any]:
    return models.load("novice", "cpu")


@pytest.fixture(scope="module")
def rows(toy_dataset: Path) -> list[dict[str, Any]]:
    return load(toy_dataset, "en", "train").to_list()[:15]


def right_answers(novice: tuple[Any, Any], rows: list[dict[str, Any]]) -> list[int]:
    """Right answers to each row, asked one sample after the other instead of one row after the other."""
    prompts = encode(novice[1], [render(novice[1], row["prompt"], row["assistant_prefix"]) for row in rows])
    right = [0] * len(rows)
    for sample in range(3):
        asks = [Ask(ids, place, sample) for place, ids in enumerate(prompts)]
        (answers,) = write_batches(*novice, asks, DECODING)
        for place, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            right[place] += judge(Puzzle(tuple(row["nums"]), row["target"]), answer.text).solved
    return right


def test_only_candidates_that_the_base_solves_sometimes_are_kept(
    novice: tuple[Any, Any], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    chosen = choose_rows(SETTINGS, *novice, rows, tmp_path, DECODING)
    right = right_answers(novice, rows[:12])
    assert list(chosen) == [row for row, n in zip(rows, right, strict=False) if n in (1, 2)]
    assert 0 < len(chosen) < 12
    found = json.loads((tmp_path / FILE_NAME).read_text())
    assert found["puzzles_by_right_answers"] == {str(n): count for n, count in Counter(right).items()}


def test_the_base_is_asked_once_and_a_rerun_takes_the_same_rows(
    novice: tuple[Any, Any], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    found = {"samples": 3, "puzzles_by_right_answers": {"1": 2, "3": 10}, "kept": [4, 9]}
    (tmp_path / FILE_NAME).write_text(json.dumps(found))
    assert list(choose_rows(SETTINGS, *novice, rows, tmp_path, DECODING)) == [rows[4], rows[9]]


def test_a_disk_that_fills_up_while_the_answers_are_written_leaves_nothing_to_trust(
    novice: tuple[Any, Any], rows: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str, encoding: str) -> int:
        path.open("w", encoding=encoding).close()
        raise OSError(errno.ENOSPC, f"No space left on device, {len(text)} characters were to be written")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(Path, "write_text", full)
        choose_rows(SETTINGS, *novice, rows, tmp_path, DECODING)
    assert not (tmp_path / FILE_NAME).exists()
    assert choose_rows(SETTINGS, *novice, rows, tmp_path, DECODING)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_base_that_never_solves_anything_leaves_no_puzzle_and_is_told_so(
    novice: tuple[Any, Any], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    too_short = Decoding(max_new_tokens=4, batch_size=12, samples=3)
    with pytest.raises(TrainingError, match=r"no puzzle is left .* of 12 candidates.*\{'0': 12\}") as raised:
        choose_rows(SETTINGS, *novice, rows, tmp_path, too_short)
    assert "\n" not in str(raised.value)
