"""The recorded sampler writes, token by token, what the general one writes."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from countdown_r1 import models
from countdown_r1.build_dataset.generate import Wish, generate
from countdown_r1.build_dataset.prompt import chatml, load_template
from countdown_r1.build_dataset.puzzles import as_puzzles
from countdown_r1.train import decoder as decoder_module
from countdown_r1.train.decoder import Decoder
from countdown_r1.train.generation import encode, sample

ENDS = (3, 5, 8)


def random_llama(seed: int) -> LlamaForCausalLM:
    """Random weights, four query heads to two key heads, and a vocabulary so small that ends come at any step."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config).eval()


def prompts(rows: int, seed: int = 0) -> list[list[int]]:
    """Prompts of 1 to 30 tokens."""
    numbers = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 31, (rows,), generator=numbers).tolist()
    return [torch.randint(10, 60, (length,), generator=numbers).tolist() for length in lengths]


def draws(rows: int, tokens: int) -> torch.Tensor:
    return torch.rand(rows, tokens, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("rows", [1, 5, 37])
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_a_decoder_writes_what_sample_writes(rows: int, temperature: float) -> None:
    model, given = random_llama(1), draws(rows, 150)
    expected = sample(model, prompts(rows), ENDS, 150, temperature, given)
    assert Decoder(model).sample(prompts(rows), ENDS, 150, temperature, given) == expected


def test_finished_completions_leave_the_batch_and_the_others_do_not_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run = Decoder._run

    def noting(self: Decoder, rows: int, columns: int, greedy: bool) -> None:
        sizes.append(rows)
        run(self, rows, columns, greedy)

    monkeypatch.setattr(Decoder, "_run", noting)
    model, given = random_llama(2), draws(37, 150)
    written = Decoder(model).sample(prompts(37), ENDS, 150, 1.0, given)
    assert len(set(sizes)) >= 3
    assert sizes == sorted(sizes, reverse=True)
    assert len({len(row) for row in written}) > 5
    assert written == sample(model, prompts(37), ENDS, 150, 1.0, given)


def test_one_decoder_serves_batches_of_any_size_in_any_order() -> None:
    model = random_llama(3)
    decoder = Decoder(model)
    for rows, tokens in ((9, 40), (2, 300), (20, 10), (1, 1)):
        given = draws(rows, tokens)
        assert decoder.sample(prompts(rows, rows), ENDS, tokens, 1.0, given) == sample(
            model, prompts(rows, rows), ENDS, tokens, 1.0, given
        )


def test_batches_too_large_for_memory_are_written_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, given = random_llama(3), draws(11, 60)
    monkeypatch.setattr(Decoder, "_fitting_rows", lambda *_: 4)
    assert Decoder(model).sample(prompts(11), ENDS, 60, 1.0, given) == sample(model, prompts(11), ENDS, 60, 1.0, given)


def test_a_refreshed_decoder_writes_with_the_new_weights() -> None:
    old, new = random_llama(4), random_llama(5)
    decoder, given = Decoder(old), draws(6, 40)
    before = decoder.sample(prompts(6), ENDS, 40, 1.0, given)
    decoder.refresh(new)
    after = decoder.sample(prompts(6), ENDS, 40, 1.0, given)
    assert before != after == sample(new, prompts(6), ENDS, 40, 1.0, given)


def test_training_the_model_afterwards_does_not_change_its_decoder() -> None:
    model, given = random_llama(4), draws(6, 40)
    decoder = Decoder(model)
    before = decoder.sample(prompts(6), ENDS, 40, 1.0, given)
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(1.5)
    assert decoder.sample(prompts(6), ENDS, 40, 1.0, given) == before


def test_without_given_draws_tokens_come_from_the_models_distribution() -> None:
    """First tokens of 4,000 completions of one prompt, against the softmax of the model's logits."""
    model, prompt = random_llama(6), prompts(1)[0]
    torch.manual_seed(0)
    first = torch.tensor([row[0] for row in Decoder(model).sample([prompt] * 4000, ENDS, 1, 1.0)])
    seen = torch.bincount(first, minlength=60) / 4000
    with torch.no_grad():
        expected = model(torch.tensor([prompt])).logits[0, -1].softmax(dim=-1)
    assert (seen - expected).abs().sum() < 0.15


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_shipped_model_answers_alike_through_both(temperature: float) -> None:
    model, tokenizer = models.load("novice", "cpu")
    puzzles = as_puzzles(generate(6, Wish((3,)), seed=2))
    asked = encode(tokenizer, [chatml(load_template("en"), puzzle) for puzzle in puzzles])
    given, ends = draws(6, 200), (int(tokenizer.eos_token_id),)  # pyright: ignore[reportArgumentType]
    written = Decoder(model).sample(asked, ends, 200, temperature, given)
    assert written == sample(model, asked, ends, 200, temperature, given)
    assert any(row[-1] in ends for row in written)


def test_row_buckets_hold_the_rows_and_waste_less_than_half() -> None:
    for rows in range(1, 600):
        bucket = decoder_module._row_bucket(rows)
        assert rows <= bucket < 1.5 * rows + 1
