"""A tokenizer that is not the one of training stops an evaluation; one that only adds spaces does not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

from countdown_r1 import models as shipped
from countdown_r1.build_dataset.prompt import load_template, messages, render
from countdown_r1.errors import StageError
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.train.evaluate import Candidate, Questions, evaluate
from countdown_r1.train.generation import Decoding
from countdown_r1.train.round_trip import TRACES, check_tokenizer
from countdown_r1.train.tokenizer import CHAT_TEMPLATE, train_tokenizer

if TYPE_CHECKING:
    from conftest import ToyRun

LANGUAGES = ("en", "zh")
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
BYTES = [f"<0x{number:02X}>" for number in range(256)]
PUZZLE = Puzzle((55, 36, 7, 19), 65)
TEXTS = [
    *TRACES.values(),
    *(turn["content"] for language in LANGUAGES for turn in messages(load_template(language), PUZZLE)),
    *(load_template(language).assistant_prefix for language in LANGUAGES),
    "system user assistant",
] * 4


def byte_level(prefix: bool = False, normalizer: Any = None) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(prefix)
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=MARKS, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def sentence_piece(scheme: str) -> Tokenizer:
    """Unigram with the space as a letter of its own, put before the text or before every piece of it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    trainer = trainers.UnigramTrainer(
        vocab_size=500, special_tokens=["<unk>", *MARKS], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def llama_2() -> Tokenizer:
    """As Llama 2's: a space before each piece of text, bytes for what is unknown."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=["<unk>", *MARKS, *BYTES], show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=700, special_tokens=["[UNK]", *MARKS], show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def special_tags() -> Tokenizer:
    tokenizer = byte_level()
    tokenizer.add_special_tokens([AddedToken(tag, special=True) for tag in ("<think>", "</think>")])
    return tokenizer


def few_words() -> Tokenizer:
    """Without a token for every byte: what it does not know is gone."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", *MARKS], show_progress=False)
    tokenizer.train_from_iterator([TRACES["en"]], trainer)
    return tokenizer


def saved(tokenizer: Tokenizer, folder: Path, config: Any = None) -> Path:
    whole = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHAT_TEMPLATE,
    )
    whole.save_pretrained(folder)
    (config or LlamaConfig()).save_pretrained(folder)
    return folder


def check(folder: Path) -> None:
    """What an evaluation in both languages does with the tokenizer in a folder."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    templates = [load_template(language) for language in LANGUAGES]
    prompts = [render(tokenizer, messages(one, PUZZLE), one.assistant_prefix) for one in templates]
    check_tokenizer(tokenizer, folder, prompts, LANGUAGES)


@pytest.mark.parametrize(
    "make",
    [
        byte_level,
        lambda: byte_level(prefix=True),
        lambda: sentence_piece("first"),
        lambda: sentence_piece("always"),
        llama_2,
    ],
    ids=["bytes", "bytes with a first space", "a space first", "a space always", "as in Llama 2"],
)
def test_a_tokenizer_that_keeps_the_text_but_for_spaces_at_the_edges_is_good(
    tmp_path: Path, make: Callable[[], Tokenizer]
) -> None:
    check(saved(make(), tmp_path))


def test_the_shipped_tokenizer_is_good() -> None:
    check(shipped.SHIPPED["novice"])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: byte_level(normalizer=normalizers.Lowercase()), "'We need 65 f' became 'we need 65 f'"),
        (lambda: byte_level(normalizer=normalizers.Replace("\n", " ")), r"\\n.* became "),
        (word_piece, "became "),
        (few_words, "became "),
        (special_tags, r"</think>.* became .*<answer>"),
    ],
    ids=["lower case", "without line breaks", "word pieces", "few words", "tags that vanish"],
)
def test_a_tokenizer_that_changes_the_text_is_refused_and_the_place_shown(
    tmp_path: Path, make: Callable[[], Tokenizer], said: str
) -> None:
    with pytest.raises(StageError, match=said) as raised:
        check(saved(make(), tmp_path))
    assert "does not give back the text" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_tokenizer_that_transformers_rebuilds_otherwise_is_refused_though_it_loses_no_text(tmp_path: Path) -> None:
    ours = train_tokenizer(TEXTS, 600)
    ours.save_pretrained(tmp_path)
    Qwen2Config().save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = TRACES["en"]
    ids = loaded(text, add_special_tokens=False)["input_ids"]
    assert loaded.decode(ids) == text  # so decoding alone would not show it
    assert ids != ours(text, add_special_tokens=False)["input_ids"]
    with pytest.raises(StageError, match=r"reads another tokenizer .* tokens instead of \d+; save the model"):
        check(tmp_path)
    LlamaConfig().save_pretrained(tmp_path)
    check(tmp_path)


def test_an_evaluation_stops_before_the_first_answer(toy_run: ToyRun, tmp_path: Path) -> None:
    folder = shutil.copytree(toy_run.folder / "checkpoint-1", tmp_path / "checkpoint-1")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(StageError, match="does not give back the text"):
        evaluate([Candidate("x", str(folder))], Questions(str(toy_run.dataset), n=2), Decoding(), tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-1"}
