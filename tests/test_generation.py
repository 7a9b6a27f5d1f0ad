"""Sampling that drops finished rows, against transformers' own ``generate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import GenerationConfig

from countdown_r1 import models
from countdown_r1.build_dataset.prompt import load_template, prompt_text
from countdown_r1.errors import InputError, StageError
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.train.generation import (
    Ask,
    Completion,
    Decoding,
    complete,
    completions,
    encode,
    sample,
    stop_ids,
    token_id,
    write_batches,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    return models.load("novice")


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
    draws = torch.rand(4 * len(prompts), 70, generator=torch.Generator().manual_seed(0))
    rows = sample(model, ids_of(tokenizer, prompts) * 4, end, 70, 1.0, draws)
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


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_samples_do_not_depend_on_what_they_are_batched_with(tiny: Loaded, prompts: list[str], batch_size: int) -> None:
    assert texts(tiny, prompts, batch_size=batch_size) == texts(tiny, prompts)


def test_every_puzzle_and_every_sample_has_random_numbers_of_its_own(tiny: Loaded, prompts: list[str]) -> None:
    model, tokenizer = tiny
    (ids,) = encode(tokenizer, prompts[:1])
    asks = [Ask(ids, puzzle, number) for puzzle in (0, 1) for number in (0, 1)]
    (batch,) = write_batches(model, tokenizer, asks, Decoding(max_new_tokens=30))
    assert len({completion.text for completion in batch}) == 4
    (second,) = write_batches(model, tokenizer, asks[2:3], Decoding(max_new_tokens=30))
    assert second[0].text == batch[2].text


def test_without_numbers_of_their_own_samples_follow_torchs_seed_as_a_trainer_sets_it(
    tiny: Loaded, prompts: list[str]
) -> None:
    model, tokenizer = tiny
    ids = ids_of(tokenizer, prompts[:2])
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(sample(model, ids, tokenizer.eos_token_id, 20, 1.0))
    assert drawn[0] == drawn[1] != drawn[2]


def test_drawing_leaves_the_global_random_state_alone(tiny: Loaded, prompts: list[str]) -> None:
    before = torch.get_rng_state()
    texts(tiny, prompts, max_new_tokens=3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("temperature", [0.7, 1.6])
@pytest.mark.parametrize("own", [True, False])
def test_tokens_are_drawn_from_the_models_own_distribution(tiny: Loaded, temperature: float, own: bool) -> None:
    """First tokens after ``Try``, where the model chooses a number, against its exact probabilities."""
    model, tokenizer = tiny
    row = ids_of(tokenizer, ["<think>\nWe need 26 from 55, 36, 7.\nTry "])[0]
    with torch.inference_mode():
        exact = (model(torch.tensor([row])).logits[0, -1].float() / temperature).softmax(-1)
    n = 600
    torch.manual_seed(1)
    drawn = sample(model, [row] * n, tokenizer.eos_token_id, 1, temperature, torch.rand(n, 1) if own else None)
    counts = torch.bincount(torch.tensor([tokens[0] for tokens in drawn]), minlength=len(exact)) / n
    assert float((exact > 0.05).sum()) >= 2  # a choice, or this test says nothing
    assert float((counts - exact).abs().sum()) / 2 < 0.09  # total variation distance


def test_the_ends_of_the_random_numbers_give_tokens_that_can_come(tiny: Loaded, prompts: list[str]) -> None:
    model, tokenizer = tiny
    ids = ids_of(tokenizer, prompts[:2])
    draws = torch.tensor([[0.0] * 3, [1.0 - 2.0**-53] * 3], dtype=torch.float64)
    for row in sample(model, ids, tokenizer.eos_token_id, 3, 1.0, draws):
        assert all(0 <= token < len(tokenizer) for token in row)


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


@pytest.fixture
def several_ends(tiny: Loaded, expected: list[list[int]]) -> Iterator[tuple[Any, Any, int]]:
    """The shipped model with a second closing token in its generation config, as Qwen has: here one it often writes."""
    model, tokenizer = tiny
    before = model.generation_config
    other = expected[0][8]
    model.generation_config = GenerationConfig(eos_token_id=[tokenizer.eos_token_id, other])
    yield model, tokenizer, other
    model.generation_config = before


def test_a_completion_ends_at_any_closing_token_of_the_generation_config(
    several_ends: tuple[Any, Any, int], prompts: list[str]
) -> None:
    model, tokenizer, other = several_ends
    assert stop_ids(model.generation_config, tokenizer) == tuple(sorted((tokenizer.eos_token_id, other)))
    theirs = generated(model, tokenizer, prompts, 40)
    ends = stop_ids(model.generation_config, tokenizer)
    rows = sample(model, ids_of(tokenizer, prompts), ends, 40, 0)
    assert [row[: row.index(other) + 1] if other in row else row for row in theirs] == rows
    assert any(row[-1] == other for row in rows)
    written = list(complete(model, tokenizer, prompts, Decoding(temperature=0, max_new_tokens=40)))
    assert [one.n_tokens for one in written] == [len(row) for row in rows]
    texts = [tokenizer.decode(row[:-1] if row[-1] in ends else row) for row in rows]
    assert [one.text for one in written] == texts  # the closing token is no part of a text


@pytest.mark.parametrize(
    ("listed", "expected"), [(None, (7,)), (5, (5, 7)), ([9, 5], (5, 7, 9)), ((7,), (7,)), ([7, None], (7,))]
)
def test_closing_tokens_are_those_of_the_tokenizer_and_of_the_config(
    tiny: Loaded, listed: Any, expected: tuple[int, ...]
) -> None:
    class Ends:
        eos_token_id = 7

    config = GenerationConfig()
    config.eos_token_id = listed
    tokenizer: Any = Ends()
    assert stop_ids(config, tokenizer) == expected
    assert stop_ids(None, tokenizer) == (7,)


def test_a_model_without_any_closing_token_writes_to_the_limit(tiny: Loaded, prompts: list[str]) -> None:
    model, tokenizer = tiny
    rows = sample(model, ids_of(tokenizer, prompts[:2]), (), 12, 0)
    assert [len(row) for row in rows] == [12, 12]


def test_a_completion_is_its_tokens_without_the_closing_one() -> None:
    tokenizer: Any = models.load("novice")[1]
    ids = tokenizer("7 + 8", add_special_tokens=False)["input_ids"]
    rows = [[*ids, tokenizer.eos_token_id], ids, [tokenizer.eos_token_id], []]
    made = completions(tokenizer, rows, (tokenizer.eos_token_id,), 2.0)
    assert made == [Completion(text, len(row), 0.5) for text, row in zip(["7 + 8", "7 + 8", "", ""], rows, strict=True)]


def _raises(error: BaseException) -> None:
    raise error


def _takes_too_much() -> None:
    torch.empty(2**55, dtype=torch.uint8)  # the CPU allocator's own words


TOO_MUCH = {
    "torch": lambda: _raises(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")),
    "python": lambda: _raises(MemoryError()),
    "allocator": _takes_too_much,
}


@pytest.fixture
def limited(tiny: Loaded) -> Iterator[Callable[[int, str], list[int]]]:
    """Gives the shipped model room for so many rows; the list that comes back holds the size of every batch tried."""
    hooks = []

    def limit(rows: int, how: str) -> list[int]:
        tried: list[int] = []

        def before(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
            if kwargs["input_ids"].shape[1] > 1:  # a prompt, not a token that follows
                tried.append(len(kwargs["input_ids"]))
            if len(kwargs["input_ids"]) > rows:
                TOO_MUCH[how]()

        hooks.append(tiny[0].register_forward_pre_hook(before, with_kwargs=True))
        return tried

    yield limit
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("how", list(TOO_MUCH))
def test_a_batch_that_does_not_fit_is_halved_and_the_answers_stay_the_same(
    tiny: Loaded,
    prompts: list[str],
    limited: Callable[[int, str], list[int]],
    how: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = texts(tiny, prompts, max_new_tokens=12)
    tried = limited(2, how)
    assert texts(tiny, prompts, max_new_tokens=12, batch_size=8) == expected
    assert tried == [6, 3, 1, 1, 1, 1, 1, 1]
    assert "out of memory with 6 completions at once, going on with 3" in caplog.text


def test_when_not_even_one_fits_it_is_one_line_with_the_fix(
    tiny: Loaded, prompts: list[str], limited: Callable[[int, str], list[int]]
) -> None:
    tried = limited(0, "torch")
    with pytest.raises(StageError, match="not even one completion fits into memory: lower --max-new-tokens"):
        texts(tiny, prompts, batch_size=4)
    assert tried == [4, 2, 1]


def test_any_other_failure_of_a_model_is_not_taken_for_lack_of_memory(tiny: Loaded, prompts: list[str]) -> None:
    def before(_module: Any, _args: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    hook = tiny[0].register_forward_pre_hook(before)
    try:
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            texts(tiny, prompts)
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"samples": 0}, "samples is at least 1, got 0"),
        ({"batch_size": 0}, "batch-size is at least 1, got 0"),
        ({"temperature": -0.5}, "temperature is at least 0, got -0.5"),
        ({"temperature": float("nan")}, "temperature is at least 0, got nan"),
        ({"max_new_tokens": -1}, "max-new-tokens is at least 0, got -1"),
        ({"seed": -1}, "seed is at least 0, got -1"),
        ({"temperature": 0, "samples": 4}, "all 4 samples are the same"),
    ],
)
def test_decoding_that_makes_no_sense_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Decoding(**changes)
