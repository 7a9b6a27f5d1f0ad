"""Loading a model and streaming its completion, token after token."""

from __future__ import annotations

import itertools
import json
import runpy
import shutil
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from countdown_r1 import models
from countdown_r1.build_dataset.prompt import load_template, prompt_text
from countdown_r1.errors import InputError, StageError
from countdown_r1.game.puzzle import Puzzle, Status
from countdown_r1.space import plain
from countdown_r1.space.decoding import Decoder, stop_ids
from countdown_r1.space.page import meter
from countdown_r1.space.stream import Writer, load_writer, stream
from countdown_r1.space.terminal import solve
from countdown_r1.space.words import WORDS
from countdown_r1.train.generation import Decoding, complete

TOY = runpy.run_path(str(Path(__file__).with_name("toy_model.py")))
PUZZLE, ANSWER = TOY["PUZZLE"], TOY["ANSWER"]
UNKNOWN = Puzzle((12, 5, 90), 73)  # nothing the model has learned: it babbles


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TOY["write_model"](tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Writer:
    return load_writer(str(folder))


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "model")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_text_grows_piece_by_piece_and_ends_in_a_right_verdict(loaded: Writer, language: str) -> None:
    pieces = list(stream(loaded, PUZZLE, language, temperature=0))
    assert len(pieces) > 10
    for earlier, later in itertools.pairwise(pieces):
        assert later.completion.startswith(earlier.completion)
        assert later.n_tokens >= earlier.n_tokens
        assert earlier.verdict is None
    last = pieces[-1]
    assert last.completion == TOY["COMPLETIONS"][language]
    assert last.verdict is not None and last.verdict.status is Status.SOLVED
    assert last.answer is not None and last.answer.strip() == ANSWER
    assert "</think>" not in last.thought and not last.thinking


def test_the_thought_is_still_open_while_it_is_written(loaded: Writer) -> None:
    pieces = iter(stream(loaded, PUZZLE, "en"))
    first = next(pieces)
    assert first.thinking and first.answer is None and first.thought


def test_the_stream_and_the_evaluation_write_the_same_text(folder: Path, loaded: Writer) -> None:
    model, tokenizer = models.load(str(folder))
    prompt = prompt_text(tokenizer, load_template("en"), UNKNOWN)
    evaluated = next(iter(complete(model, tokenizer, [prompt], Decoding(temperature=0.0, max_new_tokens=60))))
    *_, last = stream(loaded, UNKNOWN, "en", temperature=0, max_new_tokens=60)
    assert last.completion == evaluated.text
    assert last.n_tokens == evaluated.n_tokens


def test_a_thought_in_another_language_than_the_prompts_is_said_to_mix(folder: Path, tmp_path: Path) -> None:
    parrot = runpy.run_path(str(Path(__file__).with_name("parrot_model.py")))["write_parrot"]
    writer = load_writer(str(parrot(folder, " Try", tmp_path / "parrot")))
    asked = {"max_new_tokens": 8, "temperature": 0.0}
    last = {language: list(stream(writer, PUZZLE, language, **asked))[-1] for language in ("en", "zh")}
    assert (last["en"].mixed, last["zh"].mixed) == (False, True)
    for language, said in (("en", "mixes languages"), ("zh", "混用了语言")):
        assert said in meter(last["zh"], WORDS[language]) and said not in meter(last["en"], WORDS[language])


def test_special_tokens_are_not_shown(loaded: Writer) -> None:
    *_, last = stream(loaded, PUZZLE, "en", temperature=0)
    assert "<|" not in last.completion


def test_a_seed_gives_the_same_thought_again_and_another_seed_another(loaded: Writer) -> None:
    def text(seed: int) -> str:
        *_, last = stream(loaded, UNKNOWN, "en", seed=seed, max_new_tokens=40)
        return last.completion

    assert text(1) == text(1) != text(2)


def test_at_most_max_new_tokens_are_written(loaded: Writer) -> None:
    *_, last = stream(loaded, PUZZLE, "en", max_new_tokens=5)
    assert last.n_tokens == 5
    assert last.verdict is not None and last.verdict.status is Status.UNFINISHED


def test_stop_ends_the_thought_and_still_gives_a_verdict(loaded: Writer) -> None:
    stop = threading.Event()
    pieces = stream(loaded, PUZZLE, "en", stop=stop)
    first = next(pieces)
    stop.set()
    *_, last = pieces
    assert first.n_tokens <= last.n_tokens < 60
    assert last.verdict is not None and last.verdict.status is Status.UNFINISHED


def test_a_failure_of_the_model_is_one_line(copied: Path) -> None:
    writer = load_writer(str(copied))
    assert isinstance(writer.decoder, plain.Decoder)
    writer.decoder.step.parts[1]["o_proj"] = torch.zeros(3, 3)  # any damage will do
    with pytest.raises(StageError, match="failed while writing"):
        list(stream(writer, PUZZLE, "en"))


def test_a_prompt_that_fills_the_context_is_refused(copied: Path) -> None:
    config = copied / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 20}))
    with pytest.raises(StageError, match="context 20"):
        list(stream(load_writer(str(copied)), PUZZLE, "en"))


@pytest.mark.parametrize("kind", ["llama", "llama, own head", "qwen3", "gpt2"])
def test_what_is_written_is_what_transformers_writes(kind: str, folder: Path, tmp_path: Path) -> None:
    """Greedy and far beyond the length that a step was traced with; only Llamas do without transformers."""
    model = small_model(kind)
    prompt = list(range(5, 45))
    expected = model.generate(
        torch.tensor([prompt]), max_new_tokens=120, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    writer = load_writer(str(beside_tokenizer(model, folder, tmp_path)))
    assert isinstance(writer.decoder, plain.Decoder) == kind.startswith("llama")
    assert list(writer.tokens(prompt, (), 120, 0.0, 0)) == expected[0, len(prompt) :].tolist()


def small_model(kind: str) -> Any:
    """A model with random weights, of grouped-query attention where its kind has that."""
    torch.manual_seed(0)
    name, _, own_head = kind.partition(",")
    sizes = {"vocab_size": 300, "num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32}
    settings = AutoConfig.for_model(name, **sizes, tie_word_embeddings=not own_head)
    if kind != "gpt2":
        settings.update({"num_key_value_heads": 2, "intermediate_size": 80, "head_dim": 8})
    return AutoModelForCausalLM.from_config(settings).eval()


def beside_tokenizer(model: Any, folder: Path, out: Path) -> Path:
    """The model written to ``out``, with the tokenizer of ``folder``."""
    model.save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(folder / name, out / name)
    return out


@pytest.mark.parametrize("name", ["tiny", "novice"])
def test_the_shipped_models_do_without_transformers(name: str) -> None:
    """The same prompt, ids and text as transformers' tokenizer gives, and the same tokens that end a completion."""
    writer = load_writer(name)
    tokenizer: Any = models.load_tokenizer(models.SHIPPED[name])
    assert isinstance(writer.decoder, plain.Decoder)
    for language in ("en", "zh"):
        text = prompt_text(tokenizer, load_template(language), PUZZLE)
        assert prompt_text(writer.tokenizer, load_template(language), PUZZLE) == text
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert writer.tokenizer(text, add_special_tokens=False)["input_ids"] == ids
        for cut in (len(ids), len(ids) // 2, 7):
            assert writer.tokenizer.decode(ids[:cut]) == tokenizer.decode(ids[:cut], skip_special_tokens=True)
    assert writer.ends == {tokenizer.eos_token_id}


@pytest.mark.parametrize(
    "change",
    [
        {"attention_bias": True},
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
        {"model_type": "mistral"},
    ],
)
def test_a_llama_with_extras_is_left_to_transformers(copied: Path, change: dict[str, Any]) -> None:
    assert plain.load(copied) is not None
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | change))
    assert plain.load(copied) is None


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_model_is_named_by_transformers(copied: Path, file: str) -> None:
    (copied / file).write_bytes(b"\x00" * 100)
    with pytest.raises(StageError, match="damaged"):
        load_writer(str(copied))


def test_a_step_that_cannot_be_traced_runs_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no tracing in this version of torch")

    traced = load_writer(str(folder))
    monkeypatch.setattr(torch.jit, "trace", refuse)
    untraced = load_writer(str(folder))
    assert isinstance(untraced.decoder, plain.Decoder) and untraced.decoder.graph is untraced.decoder.step
    assert list(untraced.tokens([5, 6, 7], (), 30, 0.0, 0)) == list(traced.tokens([5, 6, 7], (), 30, 0.0, 0))


def test_two_models_are_given_the_same_random_numbers(loaded: Writer) -> None:
    first, second = (list(Decoder(small_model("llama")).tokens([5, 6], (), 50, 1.0, 3)) for _ in range(2))
    assert first == second
    assert first != list(Decoder(small_model("llama")).tokens([5, 6], (), 50, 1.0, 4))
    assert list(loaded.tokens([5, 6], (), 50, 1.0, 3)) == list(loaded.tokens([5, 6], (), 50, 1.0, 3))


def test_sampled_tokens_follow_the_models_distribution(folder: Path, tmp_path: Path) -> None:
    model = small_model("llama")
    writer = load_writer(str(beside_tokenizer(model, folder, tmp_path)))
    drawn = Counter(next(writer.tokens([5, 6, 7], (), 1, 1.0, seed)) for seed in range(600))
    with torch.inference_mode():
        chances = model(torch.tensor([[5, 6, 7]])).logits[0, -1].softmax(-1)
    likely = chances.argsort(descending=True)[:150]
    share = sum(drawn[int(token)] for token in likely) / 600
    assert abs(share - float(chances[likely].sum())) < 0.07


def test_every_token_that_ends_a_completion_is_known(folder: Path, copied: Path) -> None:
    loaded: Any = models.load(str(folder))
    model, tokenizer = loaded
    settings = json.loads((copied / "generation_config.json").read_text())
    (copied / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": [3, 4]}))
    for place, listed in ((folder, set()), (copied, {3, 4})):
        assert load_writer(str(place)).ends == {tokenizer.eos_token_id} | listed
    model.generation_config.eos_token_id = [3, 4]
    assert stop_ids(model, tokenizer) == {tokenizer.eos_token_id, 3, 4}


def test_solve_prints_the_thought_then_the_verdict_then_an_exact_solution(folder: Path) -> None:
    written: list[str] = []
    verdict = solve(list(PUZZLE.nums), PUZZLE.target, str(folder), "en", written.append, show_solution=True)
    text = "".join(written)
    assert verdict.solved
    assert text.startswith(TOY["COMPLETIONS"]["en"])
    assert "RIGHT (solved)" in text and "tokens in" in text
    assert text.rstrip().endswith("= 65")


def test_solve_says_when_a_puzzle_has_no_solution(folder: Path) -> None:
    written: list[str] = []
    verdict = solve([1, 2], 99, str(folder), "en", written.append, show_solution=True, max_new_tokens=5)
    assert not verdict.solved
    assert "cannot be solved" in written[-1]


def test_a_folder_a_shipped_name_and_a_hub_id_are_told_apart(folder: Path) -> None:
    assert models.resolve(str(folder)).revision is None
    assert models.resolve("someone/model").revision == "main"
    assert models.resolve("someone/model@v1.0").path_or_id == "someone/model"
    for name in ["nothing", "./missing/folder", "a/b/c", "/tmp/none@main", ""]:
        with pytest.raises(InputError, match="no model"):
            models.resolve(name)


def test_a_shipped_model_that_is_missing_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(models.SHIPPED, "tiny", tmp_path)
    with pytest.raises(StageError, match="name a folder or a Hub id"):
        models.load("tiny")


def test_a_loaded_model_evaluates_in_float32_and_pads_on_the_left(folder: Path) -> None:
    model, tokenizer = models.load(str(folder))
    assert not model.training and str(model.dtype) == "torch.float32"
    assert tokenizer.padding_side == "left" and tokenizer.pad_token is not None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", b"\x00" * 100),
        ("model.safetensors", b""),
        ("model.safetensors", None),
        ("tokenizer.json", b'{"version": '),
        ("tokenizer.json", b"{}"),
        ("config.json", b"not json"),
        ("config.json", b'{"model_type": "no-such-model"}'),
    ],
)
def test_a_damaged_checkpoint_is_one_line(copied: Path, file: str, content: bytes | None) -> None:
    (copied / file).unlink()
    if content is not None:
        (copied / file).write_bytes(content)
    with pytest.raises(StageError, match="damaged") as caught:
        models.load(str(copied))
    assert "\n" not in str(caught.value) and str(copied) in str(caught.value)


def test_a_checkpoint_cut_in_the_middle_is_refused(copied: Path) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(StageError, match="damaged"):
        models.load(str(copied))


def test_a_checkpoint_that_lacks_a_weight_is_refused(copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copied / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StageError, match=r"lacks 1 weights \(model\.layers\.1\.mlp\.up_proj\.weight"):
        models.load(str(copied))


def test_a_run_folder_is_named_as_such(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"did you mean .*model\?"):
        models.load(str(tmp_path))
