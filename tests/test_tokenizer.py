"""The small model's tokenizer: what goes in comes out, also through ``AutoTokenizer``."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, LlamaConfig, PreTrainedTokenizerBase

from countdown_r1.build_dataset.prompt import LANGUAGES, chatml, load_template, prompt_text, render
from countdown_r1.game.answer import ANSWER, END_ANSWER, END_THINK, THINK, parse
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.models import SHIPPED
from countdown_r1.train.packing import draw_puzzles, write_samples
from countdown_r1.train.recipe import SMALLEST_VOCABULARY, ColdStart
from countdown_r1.train.tokenizer import END, PAD, START, train_tokenizer

TAGS = (THINK, END_THINK, ANSWER, END_ANSWER)
PUZZLE = Puzzle((68, 77, 93, 43), 95)
SETTINGS = ColdStart(numbers=(3,), number_weights=(1.0,), puzzles=100, vocab_size=600)
SPECIAL = (PAD, START, END)
PIECES = st.sampled_from(
    [
        *TAGS,
        *SPECIAL,
        "84 - 19 = 65. Yes!",
        "突然想到,可以用 ",
        "\n",
        " ",
        "1234567890",
        "\u3000",
        "𝟙",
        "\u00e9",
        "e\u0301",
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=12), max_size=12).map("".join)


def without_special(text: str) -> str:
    """What ``skip_special_tokens`` leaves: a special token spelled out in a text is that token, as in Qwen's."""
    return re.sub("|".join(map(re.escape, SPECIAL)), "", text)


def samples(n: int) -> list[tuple[str, str]]:
    return list(islice(write_samples(SETTINGS, draw_puzzles(SETTINGS), Random(0)), n))


@pytest.fixture(scope="module")
def fresh() -> PreTrainedTokenizerBase:
    return train_tokenizer((prompt + completion for prompt, completion in samples(300)), SETTINGS.vocab_size)


@pytest.fixture(scope="module")
def saved(fresh: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    """The same tokenizer, written beside a Llama configuration and read as every library reads it."""
    folder = tmp_path_factory.mktemp("tokenizer")
    fresh.save_pretrained(folder)
    LlamaConfig(vocab_size=len(fresh)).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def shipped() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(SHIPPED["novice"])


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_a_saved_tokenizer_gives_identical_ids_and_the_text_comes_back(
    fresh: PreTrainedTokenizerBase, saved: PreTrainedTokenizerBase, text: str
) -> None:
    ids = fresh(text)["input_ids"]
    assert saved(text)["input_ids"] == ids
    assert saved.decode(ids) == fresh.decode(ids) == text
    assert saved.decode(ids, skip_special_tokens=True) == without_special(text)


@settings(max_examples=50, deadline=None)
@given(text=TEXTS)
def test_the_shipped_tokenizer_gives_any_text_back(shipped: PreTrainedTokenizerBase, text: str) -> None:
    ids = shipped(text)["input_ids"]
    assert shipped.decode(ids) == text
    assert shipped.decode(ids, skip_special_tokens=True) == without_special(text)


def test_prompts_and_traces_survive_the_round_trip(
    fresh: PreTrainedTokenizerBase, saved: PreTrainedTokenizerBase
) -> None:
    for prompt, completion in samples(100):
        ids = fresh(prompt + completion + END)["input_ids"]
        assert saved(prompt + completion + END)["input_ids"] == ids
        assert saved.decode(ids) == prompt + completion + END


@pytest.mark.parametrize("name", ["saved", "shipped"])
def test_every_digit_is_a_token_of_its_own(name: str, request: pytest.FixtureRequest) -> None:
    tokenizer: PreTrainedTokenizerBase = request.getfixturevalue(name)
    for text in ("1234567890", "55 + 36 = 91", "= 100.</think>", "[68, 77]", "数字是68"):
        tokens = [tokenizer.decode([token]) for token in tokenizer(text)["input_ids"]]
        digits = [character for character in text if character.isdigit()]
        assert [token for token in tokens if any(map(str.isdigit, token))] == digits
    learned = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    assert all(len(token) == 1 for token in learned if any(digit in token for digit in "0123456789"))


@pytest.mark.parametrize("name", ["saved", "shipped"])
def test_tags_are_single_ordinary_tokens_that_a_trainer_still_sees(name: str, request: pytest.FixtureRequest) -> None:
    tokenizer: PreTrainedTokenizerBase = request.getfixturevalue(name)
    for tag in TAGS:
        assert len(tokenizer(tag)["input_ids"]) == 1
        assert tag not in tokenizer.all_special_tokens
    text = "84 - 19 = 65.</think>\n<answer> 84 - 19 </answer>"
    kept = tokenizer.decode(tokenizer(text + END)["input_ids"], skip_special_tokens=True)
    assert kept == text
    assert parse(str(kept)).well_formed


@pytest.mark.parametrize("name", ["saved", "shipped"])
def test_turn_markers_are_special_and_padding_goes_left(name: str, request: pytest.FixtureRequest) -> None:
    tokenizer: PreTrainedTokenizerBase = request.getfixturevalue(name)
    assert {PAD, START, END} <= set(tokenizer.all_special_tokens)
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.padding_side) == (END, PAD, "left")
    assert tokenizer.bos_token is None
    assert tokenizer.decode(tokenizer(f"{START}a{END}{PAD}")["input_ids"], skip_special_tokens=True) == "a"


@pytest.mark.parametrize("name", ["saved", "shipped"])
def test_prompt_and_completion_tokenise_to_the_concatenation(name: str, request: pytest.FixtureRequest) -> None:
    """What the cold start learns piece by piece is what a model reads as one text."""
    tokenizer: PreTrainedTokenizerBase = request.getfixturevalue(name)
    for prompt, completion in samples(100):
        together = tokenizer(prompt + completion + END)["input_ids"]
        assert together == tokenizer(prompt)["input_ids"] + tokenizer(completion + END)["input_ids"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["saved", "shipped"])
def test_the_chat_template_renders_the_chatml_prompt_of_the_dataset(
    name: str, language: str, request: pytest.FixtureRequest
) -> None:
    tokenizer: PreTrainedTokenizerBase = request.getfixturevalue(name)
    template = load_template(language)
    assert prompt_text(tokenizer, template, PUZZLE) == chatml(template, PUZZLE)


def test_a_tokenizer_without_a_chat_template_gets_plain_paragraphs(saved: PreTrainedTokenizerBase) -> None:
    plain = AutoTokenizer.from_pretrained(SHIPPED["novice"])
    plain.chat_template = None
    text = render(plain, [{"role": "system", "content": "be brief"}, {"role": "user", "content": "add"}], "so <think>")
    assert text == "be brief\n\nadd\n\nso <think>"


def test_the_vocabulary_has_the_size_asked_for_and_fits_the_shipped_weights(
    fresh: PreTrainedTokenizerBase, shipped: PreTrainedTokenizerBase
) -> None:
    assert len(fresh) == SETTINGS.vocab_size
    assert len(shipped) <= LlamaConfig.from_pretrained(Path(SHIPPED["novice"])).vocab_size


def test_the_smallest_vocabulary_spells_everything_in_bytes() -> None:
    tokenizer = train_tokenizer(["55 + 36"], SMALLEST_VOCABULARY)
    assert len(tokenizer) == SMALLEST_VOCABULARY
    assert max(tokenizer("突然想到 <think>")["input_ids"]) < SMALLEST_VOCABULARY


def test_merges_run_across_words_so_that_prompts_are_short(shipped: PreTrainedTokenizerBase) -> None:
    for language in LANGUAGES:
        assert len(shipped(chatml(load_template(language), PUZZLE))["input_ids"]) < 100


def test_no_merge_runs_across_a_tag(fresh: PreTrainedTokenizerBase) -> None:
    learned = [str(fresh.decode([token])) for token in range(len(fresh))]
    assert [token for token in learned if any(tag in token for tag in TAGS)] == list(TAGS)
