"""Cold start samples: puzzles become rows of whole samples, and no sample sees another."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, pairwise
from random import Random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from countdown_r1.errors import InputError
from countdown_r1.models import SHIPPED, load_tokenizer
from countdown_r1.train.cold_start import training_loss
from countdown_r1.train.llama import forward_hidden, forward_layer, is_plain_llama, rotations
from countdown_r1.train.packing import IGNORED, Batch, Encoder, TraceRows, draw_puzzles, write_samples
from countdown_r1.train.recipe import ColdStart
from countdown_r1.train.tokenizer import END

SETTINGS = ColdStart(puzzles=50, row_tokens=768, batch_rows=3, workers=0)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer(SHIPPED["novice"])


@pytest.fixture(scope="module")
def batches(tokenizer: Any) -> list[Batch]:
    return list(islice(TraceRows(SETTINGS, tokenizer, draw_puzzles(SETTINGS)), 8))


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    """A Llama with random weights whose four query heads share two key heads."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1024,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


def test_the_quick_encoder_gives_the_tokenizers_ids(tokenizer: Any) -> None:
    encode = Encoder(tokenizer)
    for prompt, completion in islice(write_samples(SETTINGS, draw_puzzles(SETTINGS), Random(1)), 200):
        for text in (prompt, completion + END):
            assert encode(text) == tokenizer(text)["input_ids"]


def samples_of(batch: Batch) -> list[tuple[Tensor, Tensor]]:
    """Ids and labels of each sample in a batch, told apart by positions alone; padding is left out."""
    samples = []
    for ids, labels, positions in zip(batch["input_ids"], batch["labels"], batch["positions"], strict=True):
        starts = [*(positions == 0).nonzero().flatten().tolist(), len(ids)]
        for first, end in pairwise(starts):
            assert positions[first:end].tolist() == list(range(end - first))
            if end - first > 1:
                samples.append((ids[first:end].long(), labels[first:end].long()))
    return samples


def test_rows_hold_whole_samples_whose_positions_begin_again(batches: list[Batch], tokenizer: Any) -> None:
    count = 0
    for batch in batches:
        assert {(value.shape, value.dtype) for value in batch.values()} == {((3, 768), torch.int16)}
        for ids, _ in samples_of(batch):
            text = str(tokenizer.decode(ids))
            assert text.startswith("<|im_start|>system")
            assert text.endswith("</answer><|im_end|>")
            assert text.count("<|im_start|>assistant") == 1
            count += 1
    assert count > 3 * len(batches)


def test_prompts_and_padding_carry_no_loss(batches: list[Batch], tokenizer: Any) -> None:
    for batch in batches:
        for ids, labels in samples_of(batch):
            learnt = labels != IGNORED
            assert torch.equal(labels[learnt], ids[learnt])
            prompt, completion = (str(tokenizer.decode(ids[part])) for part in (~learnt, learnt))
            assert prompt.endswith("<think>")
            assert "<|im_start|>" not in completion
            assert completion.endswith("</answer><|im_end|>")
        padding = batch["input_ids"] == tokenizer.pad_token_id
        assert (batch["labels"][padding] == IGNORED).all()
        assert (batch["positions"][padding] == 0).all()


def test_another_sitting_sees_other_samples_and_the_same_one_the_same(tokenizer: Any, batches: list[Batch]) -> None:
    tables = draw_puzzles(SETTINGS)
    again, other = (next(iter(TraceRows(SETTINGS, tokenizer, tables, sitting))) for sitting in ("", "2"))
    assert torch.equal(again["input_ids"], batches[0]["input_ids"])
    assert not torch.equal(other["input_ids"], batches[0]["input_ids"])


def test_rows_too_short_for_any_sample_are_refused_instead_of_waited_for(tokenizer: Any) -> None:
    settings = replace(SETTINGS, row_tokens=16)
    with pytest.raises(InputError, match="row_tokens"):
        TraceRows(settings, tokenizer, draw_puzzles(settings))


@torch.no_grad()
def test_our_forward_pass_gives_the_logits_of_transformers(model: LlamaForCausalLM) -> None:
    assert is_plain_llama(model)
    ids = torch.randint(1024, (3, 40), generator=torch.Generator().manual_seed(1))
    cos, sin = rotations(model, 40)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    hidden = forward_hidden(model, ids, torch.float32, lambda _, layer, x: forward_layer(layer, x, cos, sin, attend))
    torch.testing.assert_close(model.lm_head(hidden), model(ids).logits, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_packed_samples_are_learnt_as_if_each_stood_alone(model: LlamaForCausalLM, batches: list[Batch]) -> None:
    """The loss of a packed batch is the mean over the tokens of transformers' own losses, sample by sample."""
    loss = training_loss(model, 768)(*(batches[0][name].long() for name in ("input_ids", "labels", "positions")))
    total, tokens = 0.0, 0
    for ids, labels in samples_of(batches[0]):
        learnt = int((labels[1:] != IGNORED).sum())
        total += learnt * float(model(input_ids=ids[None], labels=labels[None]).loss)
        tokens += learnt
    assert float(loss) == pytest.approx(total / tokens, rel=1e-4)
