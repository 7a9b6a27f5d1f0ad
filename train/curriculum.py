"""The puzzles that GRPO can learn from: those the base model solves sometimes, neither always nor never.

A group whose completions all earn the same has zero advantage (DAPO, arXiv 2503.14476, samples such prompts away while
it trains; here the base is asked once, before). What was measured stays in ``curriculum.json``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..build_dataset.prompt import render
from ..errors import TrainingError
from ..game.answer import judge
from ..game.puzzle import Puzzle
from ..manifest import write_whole
from .generation import Ask, Decoding, encode, write_batches
from .recipe import Curriculum

FILE_NAME = "curriculum.json"
Rows = Sequence[Mapping[str, Any]]


def choose_rows(
    settings: Curriculum,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Rows,
    folder: Path,
    decoding: Decoding,
) -> Rows:
    """Of the first ``settings.candidates`` rows those that ``model`` solves sometimes, measured once per ``folder``.

    ``decoding`` gives temperature and length. Raises ``TrainingError`` when none is left, and says what was seen.
    """
    state, path = PartialState(), folder / FILE_NAME
    candidates = rows[: settings.candidates]
    if state.is_main_process and not path.exists():
        right = _right_answers(model, tokenizer, candidates, decoding)
        kept = [place for place, n in enumerate(right) if settings.lowest <= n / decoding.samples <= settings.highest]
        counts = dict(sorted(Counter(right).items()))
        found = {"samples": decoding.samples, "puzzles_by_right_answers": counts, "kept": kept}
        write_whole(path, json.dumps(found) + "\n")
    state.wait_for_everyone()
    found = json.loads(path.read_text(encoding="utf-8"))
    if not found["kept"]:
        raise TrainingError(
            f"no puzzle is left for GRPO: of {len(candidates)} candidates, by right answers of {found['samples']}: "
            f"{found['puzzles_by_right_answers']}; take other puzzles, a better base, or widen section 'curriculum'"
        )
    return [candidates[place] for place in found["kept"]]


def _right_answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Rows, decoding: Decoding
) -> list[int]:
    """For each row how many of its ``decoding.samples`` completions are right."""
    prompts = encode(tokenizer, [render(tokenizer, row["prompt"], row["assistant_prefix"]) for row in rows])
    asks = [Ask(ids, place, sample) for place, ids in enumerate(prompts) for sample in range(decoding.samples)]
    puzzles = [Puzzle(tuple(row["nums"]), row["target"]) for row in rows]
    right = [0] * len(rows)
    answered = iter(asks)
    with tqdm(total=len(asks), desc="curriculum", unit="completion", leave=False) as bar:
        for batch in write_batches(model, tokenizer, asks, decoding):
            for ask, completion in zip((next(answered) for _ in batch), batch, strict=True):
                right[ask.puzzle] += judge(puzzles[ask.puzzle], completion.text).solved
            bar.update(len(batch))
    return right
