"""The trainer without padding against TRL's own: the same numbers, narrower passes; compiled layers; lighter vLLM."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel
from trl.trainer.grpo_trainer import GRPOTrainer

from countdown_r1 import models
from countdown_r1.errors import InputError
from countdown_r1.train.grpo import prompt_rows
from countdown_r1.train.recipe import Recipe
from countdown_r1.train.trainer import Trainer, compile_layers
from countdown_r1.train.trl_config import grpo_config

PROMPT, COMPLETION = 12, 20
SHAPES = {
    "every length": ((12, 5, 9, 7, 3, 12), (3, 11, 1, 7, 20, 9)),
    "no completion is left of some, as when cut ones are masked": ((12, 5, 9, 7, 3, 12), (3, 0, 1, 0, 20, 9)),
    "nothing is padded": ((12,) * 6, (20,) * 6),
    "columns on both sides are padding for all": ((3, 4, 5, 3, 4, 5), (2, 1, 2, 3, 1, 2)),
    "one token each": ((1,) * 6, (1,) * 6),
}


@pytest.fixture(scope="module")
def trainer(toy_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    model, tokenizer = models.load("novice")
    row = {"prompt": [{"role": "user", "content": "?"}], "assistant_prefix": "<think>", "nums": [1, 2], "target": 3}
    return Trainer(
        model=model.float(),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=grpo_config(toy_recipe, tmp_path_factory.mktemp("trainer")),
        train_dataset=prompt_rows([row] * 8, tokenizer),
        processing_class=tokenizer,
    )


def batch(prompts: tuple[int, ...], completions: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask as TRL lays them out: prompts end, completions begin at the same column."""
    mask = torch.zeros(len(prompts), PROMPT + COMPLETION, dtype=torch.long)
    for row, (before, after) in enumerate(zip(prompts, completions, strict=True)):
        mask[row, PROMPT - before : PROMPT + after] = 1
    ids = torch.randint(10, 900, mask.shape, generator=torch.Generator().manual_seed(0))
    return ids, mask


def gradients(model: PreTrainedModel) -> list[torch.Tensor]:
    found = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [None, 1, 4])
def test_numbers_and_gradients_are_those_of_trl(trainer: Trainer, shape: str, size: int | None) -> None:
    ids, mask = batch(*SHAPES[shape])
    model: Any = trainer.model
    weights = torch.rand(len(ids), COMPLETION, generator=torch.Generator().manual_seed(1)) * mask[:, -COMPLETION:]
    found = []
    for owner in (GRPOTrainer, Trainer):
        logps, entropies, aux = owner._get_per_token_logps_and_entropies(
            trainer, model, ids, mask, COMPLETION, batch_size=size, compute_entropy=True
        )
        assert entropies is not None and aux is None
        (logps * weights).sum().backward()
        found.append((logps.detach(), entropies.detach(), gradients(model)))
    (theirs, their_entropies, their_gradients), (ours, our_entropies, our_gradients) = found
    assert theirs.shape == ours.shape == (len(ids), COMPLETION)
    assert theirs.abs().max() > 1  # something was computed
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(our_entropies, their_entropies, rtol=1e-4, atol=1e-4)
    assert len(our_gradients) == len(their_gradients) > 0
    for left, right in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-6 + 1e-3 * float(right.abs().max()))


def test_every_pass_is_as_wide_as_its_longest_row_and_needs_no_mask(trainer: Trainer) -> None:
    ids, mask = batch((3, 4, 9, 3), (2, 1, 4, 9))
    model: Any = trainer.model
    seen: list[dict[str, Any]] = []
    watched = model.register_forward_pre_hook(lambda _, __, named: seen.append(named), with_kwargs=True)
    try:
        trainer._get_per_token_logps_and_entropies(model, ids, mask, COMPLETION, batch_size=2)
    finally:
        watched.remove()
    assert [tuple(named["input_ids"].shape) for named in seen] == [(2, 5), (2, 13)]
    assert all("attention_mask" not in named for named in seen)


def test_a_model_without_entropies_is_scored_too(trainer: Trainer) -> None:
    ids, mask = batch(*SHAPES["every length"])

    def reference(**named: Any) -> Any:
        model: Any = trainer.model
        out = model(**named)
        return SimpleNamespace(log_probs=out.log_probs, entropy=None)

    logps, entropies, _ = trainer._get_per_token_logps_and_entropies(reference, ids, mask, COMPLETION)
    whole, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, COMPLETION)
    assert entropies is None
    torch.testing.assert_close(logps, whole)


@pytest.mark.parametrize("given", [{"pixel_values": torch.zeros(1)}, {"compute_aux_loss": True}])
def test_what_needs_more_than_tokens_goes_trls_way(
    trainer: Trainer, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(
        GRPOTrainer, "_get_per_token_logps_and_entropies", lambda *_, **named: asked.append(named) or (None, None, None)
    )
    ids, mask = batch((1,), (1,))
    trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, COMPLETION, **given)
    assert len(asked) == 1 and asked[0].items() >= given.items()


def test_layers_are_compiled_once_for_all_lengths_and_never_for_sampling() -> None:
    model, _ = models.load("novice")
    model.float().train()
    texts = [
        torch.randint(10, 900, (2, width), generator=torch.Generator().manual_seed(width)) for width in (9, 14, 23)
    ]
    plain = [model(input_ids=ids, use_cache=False).logits.detach() for ids in texts]
    names = list(model.state_dict())
    compile_layers(model)
    torch._dynamo.utils.counters.clear()
    for ids, expected in zip(texts, plain, strict=True):
        torch.testing.assert_close(model(input_ids=ids, use_cache=False).logits, expected, rtol=1e-3, atol=1e-3)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs == 2  # the first length, and every other; not one for each of the layers
    sampling: Any = model
    sampling.generate(input_ids=texts[0], max_new_tokens=3)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs
    assert list(model.state_dict()) == names


def test_a_cache_under_any_name_is_sampling() -> None:
    config = GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=32)
    model: Any = GPT2LMHeadModel(config).train()  # hands its cache on by position
    compile_layers(model)
    torch._dynamo.utils.counters.clear()
    model(input_ids=torch.tensor([[1, 2, 3]]), use_cache=True)
    assert not torch._dynamo.utils.counters["stats"]["unique_graphs"]


def test_a_copy_of_a_compiled_model_computes_with_weights_of_its_own() -> None:
    model: Any = models.load("novice")[0].float().train()
    compile_layers(model)
    twin = copy.deepcopy(model)
    ids = torch.tensor([[5, 6, 7]])
    before = model(input_ids=ids, use_cache=False).logits
    for parameter in twin.parameters():
        parameter.data.zero_()
    assert not twin(input_ids=ids, use_cache=False).logits.any()
    torch.testing.assert_close(model(input_ids=ids, use_cache=False).logits, before)


def test_a_model_without_repeated_blocks_is_not_silently_left_as_it_is() -> None:
    model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=32))
    model._no_split_modules = set()
    with pytest.raises(InputError, match="does not tell its repeated blocks; set compile=false"):
        compile_layers(model)


class Generation:
    """The part of TRL's ``VLLMGeneration`` that the trainer touches; vLLM itself needs a GPU."""

    def __init__(self, **kwargs: Any) -> None:
        self.generation_kwargs, self.logprobs, self.synced = kwargs, 0, 0

    def sync_weights(self) -> None:
        self.synced += 1

    def generate(self, prompts: list[list[int]], images: Any, num_generations: int) -> tuple[Any, ...]:
        assert images is None and num_generations == 1
        logprobs = None if self.logprobs is None else [[[-1.0]] for _ in prompts]
        return prompts, [[7] for _ in prompts], logprobs, None


@pytest.mark.parametrize(
    ("correction", "threshold", "alone"), [(False, None, True), (True, None, False), (False, 0.5, False)]
)
def test_log_probabilities_of_vllm_come_back_where_anything_compares_them(
    correction: bool, threshold: float | None, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built(self: Any) -> None:
        self.use_vllm, self.vllm_mode, self.vllm_generation = True, "colocate", Generation()
        self.vllm_importance_sampling_correction, self.off_policy_mask_threshold = correction, threshold

    monkeypatch.setattr(GRPOTrainer, "__init__", built)
    trainer = Trainer()
    assert trainer.ids_alone is alone
    assert (trainer.vllm_generation.logprobs is None) is alone  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("alone", [True, False])
def test_vllm_is_asked_for_no_text_and_for_log_probabilities_only_where_they_are_used(alone: bool) -> None:
    owner: Any = SimpleNamespace(ids_alone=alone)
    generation = Generation(ignore_eos=True)
    Trainer.lighten(owner, generation)
    assert generation.generation_kwargs == {"detokenize": False, "ignore_eos": True}
    assert generation.logprobs == (None if alone else 0)
    stopping = Generation(stop=["</answer>"])
    Trainer.lighten(owner, stopping)
    assert stopping.generation_kwargs == {"stop": ["</answer>"]}  # only text shows where to stop


def test_weights_go_to_vllm_once_a_step_and_ids_come_back(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    generation = Generation()
    monkeypatch.setattr(trainer, "vllm_generation", generation, raising=False)
    monkeypatch.setattr(trainer, "_last_loaded_step", -1, raising=False)
    monkeypatch.setattr(trainer, "ids_alone", True)
    trainer.lighten(generation)
    for _ in range(2):
        assert trainer._generate_single_turn([[1], [2, 3]], None, {}, 2) == ([[7], [7]], None)
    assert generation.synced == 1


def test_without_vllm_trl_writes_the_completions(trainer: Trainer) -> None:
    assert not trainer.ids_alone
    ids, logprobs = trainer._generate_single_turn([[5, 6], [7]], None, {}, 2)
    assert len(ids) == 2 and logprobs is None
