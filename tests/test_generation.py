"""Sampling that drops finished rows, against transformers' own ``generate``."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from countdown_r1 import models
from countdown_r1.build_dataset.prompt import load_template, prompt_text
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.train.generation import Decoding, complete, sample, token_id

PUZZLES = [
    Puzzle((55, 36, 7), 26),
    Puzzle((3, 5), 15),
    Puzzle((99, 98, 97, 96), 100),
    Puzzle((1, 2, 3), 6),
    Puzzle((10, 4, 25), 35),
    Puzzle((68, 77, 93, 43), 95),
]
Loaded = tuple[Any, Any]


@pytest.fixture(scope="module")
def tiny() -> Loaded:
    return models.load("tiny")


@pytest.fixture(scope="module")
def prompts(tiny: Loaded) -> list[str]:
    """Prompts of different lengths in both languages, so that a batch needs padding."""
    return [
        prompt_text(tiny[1], load_template(("en", "zh")[place % 2]), puzzle) for place, puzzle in enumerate(PUZZLES)
    ]


def ids_of(tokenizer: Any, prompts: list[str]) -> list[list[int]]:
    return [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]


def generated(model: Any, tokenizer: Any, prompts: list[str], max_new_tokens: int) -> list[list[int]]:
    """Greedy completions by transformers, each up to and with its closing token."""
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    rows = model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False, temperature=None)
    completions = [row[batch["input_ids"].shape[1] :].tolist() for row in rows]
    end = tokenizer.eos_token_id
    return [row[: row.index(end) + 1] if end in row else row for row in completions]


@pytest.fixture(scope="module")
def expected(tiny: Loaded, prompts: list[str]) -> list[list[int]]:
    """What ``generate`` writes, greedily, for all prompts at once."""
    return generated(*tiny, prompts, 150)


def test_greedy_sampling_is_transformers_generate_token_for_token(
    tiny: Loaded, prompts: list[str], expected: list[list[int]]
) -> None:
    model, tokenizer = tiny
    assert len({len(row) for row in ids_of(tokenizer, prompts)}) > 1
    lengths = sorted(map(len, expected))
    assert lengths[0] < lengths[-1]  # rows end at different times, so some are dropped on the way
    assert sample(model, ids_of(tokenizer, prompts), tokenizer.eos_token_id, 150, 0) == expected


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_row_does_not_depend_on_what_it_is_batched_with(
    tiny: Loaded, prompts: list[str], expected: list[list[int]], batch_size: int
) -> None:
    decoding = Decoding(temperature=0, max_new_tokens=40, batch_size=batch_size)
    first = [tiny[1].decode(row[:40], skip_special_tokens=True) for row in expected]
    assert [completion.text for completion in complete(*tiny, prompts, decoding)] == first


def test_no_completion_is_longer_than_asked_and_only_its_last_token_closes_it(tiny: Loaded, prompts: list[str]) -> None:
    model, tokenizer = tiny
    end = tokenizer.eos_token_id
    rows = sample(model, ids_of(tokenizer, prompts) * 4, end, 70, 1.0, torch.Generator().manual_seed(0))
    assert len(rows) == 4 * len(prompts)
    for row in rows:
        assert 1 <= len(row) <= 70
        assert end not in row[:-1]
        assert len(row) == 70 or row[-1] == end


def texts(loaded: Loaded, prompts: list[str], **changes: Any) -> list[str]:
    decoding = Decoding(**{"temperature": 1.0, "max_new_tokens": 30, "batch_size": 4, "seed": 0} | changes)
    return [completion.text for completion in complete(*loaded, prompts, decoding)]


def test_a_seed_decides_the_samples_whatever_was_drawn_before(tiny: Loaded, prompts: list[str]) -> None:
    first = texts(tiny, prompts, seed=7)
    torch.manual_seed(123)
    torch.rand(10)
    assert texts(tiny, prompts, seed=7) == first
    assert texts(tiny, prompts, seed=8) != first


def test_batches_are_given_different_random_numbers(tiny: Loaded, prompts: list[str]) -> None:
    same = texts(tiny, [prompts[0]] * 4, batch_size=1, max_new_tokens=30)
    assert len(set(same)) > 1


def test_drawing_leaves_the_global_random_state_alone(tiny: Loaded, prompts: list[str]) -> None:
    before = torch.get_rng_state()
    texts(tiny, prompts, max_new_tokens=3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("temperature", [0.7, 1.6])
def test_tokens_are_drawn_from_the_models_own_distribution(tiny: Loaded, temperature: float) -> None:
    """First tokens after ``Try``, where the model chooses a number, against its exact probabilities."""
    model, tokenizer = tiny
    row = ids_of(tokenizer, ["<think>\nWe need 26 from 55, 36, 7.\nTry "])[0]
    with torch.inference_mode():
        exact = (model(torch.tensor([row])).logits[0, -1].float() / temperature).softmax(-1)
    n = 600
    drawn = sample(model, [row] * n, tokenizer.eos_token_id, 1, temperature, torch.Generator().manual_seed(1))
    counts = torch.bincount(torch.tensor([tokens[0] for tokens in drawn]), minlength=len(exact)) / n
    assert float((exact > 0.05).sum()) >= 2  # a choice, or this test says nothing
    assert float((counts - exact).abs().sum()) / 2 < 0.09  # total variation distance


def test_a_completion_counts_its_tokens_with_the_closing_one(
    tiny: Loaded, prompts: list[str], expected: list[list[int]]
) -> None:
    _, tokenizer = tiny
    decoding = Decoding(temperature=0, max_new_tokens=150)
    completions = list(complete(*tiny, prompts, decoding))
    assert [one.n_tokens for one in completions] == [len(row) for row in expected]
    assert all("<|im_end|>" not in one.text for one in completions)
    assert any("</answer>" in one.text for one in completions)
    assert all(one.seconds > 0 for one in completions)
    assert token_id(tokenizer, "eos_token") == tokenizer.eos_token_id


def test_nothing_is_written_for_no_prompts_or_no_tokens(tiny: Loaded, prompts: list[str]) -> None:
    assert list(complete(*tiny, [], Decoding())) == []
    assert [one.text for one in complete(*tiny, prompts[:2], Decoding(max_new_tokens=0))] == ["", ""]


def test_a_model_whose_cache_a_trainer_turned_off_is_sampled_the_same(tiny: Loaded, prompts: list[str]) -> None:
    model, tokenizer = tiny
    ids = ids_of(tokenizer, prompts[:2])
    before = sample(model, ids, tokenizer.eos_token_id, 20, 0)
    model.config.use_cache = False  # as a trainer sets it
    try:
        assert sample(model, ids, tokenizer.eos_token_id, 20, 0) == before
    finally:
        model.config.use_cache = True
