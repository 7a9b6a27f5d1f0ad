"""Loading a model and streaming its completion, with transformers' own ``generate``."""

from __future__ import annotations

import itertools
import json
import runpy
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from countdown_r1 import models
from countdown_r1.build_dataset.prompt import load_template, prompt_text
from countdown_r1.errors import InputError, StageError
from countdown_r1.game.puzzle import Puzzle, Status
from countdown_r1.space.stream import Piece, frames, stream
from countdown_r1.space.terminal import solve
from countdown_r1.train.generation import Decoding, complete

TOY = runpy.run_path(str(Path(__file__).with_name("toy_model.py")))
PUZZLE, ANSWER = TOY["PUZZLE"], TOY["ANSWER"]
UNKNOWN = Puzzle((12, 5, 90), 73)  # nothing the model has learned: it babbles
Loaded = tuple[Any, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TOY["write_model"](tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Loaded:
    return models.load(str(folder))


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "model")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_text_grows_piece_by_piece_and_ends_in_a_right_verdict(loaded: Loaded, language: str) -> None:
    pieces = list(stream(*loaded, PUZZLE, language, temperature=0))
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


def test_the_thought_is_still_open_while_it_is_written(loaded: Loaded) -> None:
    pieces = iter(stream(*loaded, PUZZLE, "en"))
    first = next(pieces)
    assert first.thinking and first.answer is None and first.thought


def test_the_stream_and_the_evaluation_write_the_same_text(loaded: Loaded) -> None:
    model, tokenizer = loaded
    prompt = prompt_text(tokenizer, load_template("en"), UNKNOWN)
    evaluated = next(iter(complete(model, tokenizer, [prompt], Decoding(temperature=0.0, max_new_tokens=60))))
    *_, last = stream(model, tokenizer, UNKNOWN, "en", temperature=0, max_new_tokens=60)
    assert last.completion == evaluated.text
    assert last.n_tokens == evaluated.n_tokens


def test_special_tokens_are_not_shown(loaded: Loaded) -> None:
    *_, last = stream(*loaded, PUZZLE, "en", temperature=0)
    assert "<|" not in last.completion


def test_a_seed_gives_the_same_thought_again_and_another_seed_another(loaded: Loaded) -> None:
    def text(seed: int) -> str:
        *_, last = stream(*loaded, UNKNOWN, "en", seed=seed, max_new_tokens=40)
        return last.completion

    assert text(1) == text(1) != text(2)


def test_at_most_max_new_tokens_are_written(loaded: Loaded) -> None:
    *_, last = stream(*loaded, PUZZLE, "en", max_new_tokens=5)
    assert last.n_tokens == 5
    assert last.verdict is not None and last.verdict.status is Status.UNFINISHED


def test_stop_ends_the_thought_and_still_gives_a_verdict(loaded: Loaded) -> None:
    stop = threading.Event()
    pieces = stream(*loaded, PUZZLE, "en", stop=stop)
    first = next(pieces)
    stop.set()
    *_, last = pieces
    assert first.n_tokens <= last.n_tokens < 60
    assert last.verdict is not None and last.verdict.status is Status.UNFINISHED


def test_closing_the_stream_ends_the_generating_thread(loaded: Loaded) -> None:
    before = threading.active_count()
    pieces = stream(*loaded, PUZZLE, "en")
    next(pieces)
    assert threading.active_count() == before + 1
    pieces.close()  # pyright: ignore[reportAttributeAccessIssue] - the iterator is a generator
    assert threading.active_count() == before


def test_a_failure_in_the_generating_thread_reaches_the_reader(copied: Path) -> None:
    model, tokenizer = models.load(str(copied))
    del model.model.layers[1].mlp  # pyright: ignore - any damage will do
    began = time.monotonic()
    with pytest.raises(StageError, match="failed while writing"):
        list(stream(model, tokenizer, PUZZLE, "en"))
    assert time.monotonic() - began < 5


def test_a_prompt_that_fills_the_context_is_refused(copied: Path) -> None:
    config = copied / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 20}))
    with pytest.raises(StageError, match="context 20"):
        list(stream(*models.load(str(copied)), PUZZLE, "en"))


def test_frames_drop_what_is_too_fast_to_be_seen_and_keep_the_verdict(loaded: Loaded) -> None:
    verdict = next(piece.verdict for piece in stream(*loaded, PUZZLE, "en") if piece.verdict)
    quick = [Piece("a", 1, 0.1), Piece("ab", 2, 0.2), Piece("abc", 3, 0.3), Piece("abc", 3, 0.3, verdict)]
    assert [piece.n_tokens for piece in frames(iter(quick), every_seconds=60)] == [1, 3]
    assert len(list(frames(iter(quick), every_seconds=0))) == 4


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


def test_a_loaded_model_evaluates_in_float32_and_pads_on_the_left(loaded: Loaded) -> None:
    model, tokenizer = loaded
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
