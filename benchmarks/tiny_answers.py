"""Every model of the `tiny` experiment answers the same questions, on a GPU; what it wrote is kept for tiny_report.py.

    python benchmarks/tiny_answers.py --out ANSWERS base=FOLDER grpo=FOLDER ...

Questions (drawn from seeds, of the ``test`` split, targets uniform in 10..100, solvable): 1,000 puzzles of three and
1,000 of four numbers, greedy in English and in Chinese and ``--samples`` times at temperature 1 in English; 500 of
five numbers, which no model was trained on; 500 that need a fraction. At most ``--room`` new tokens.
``--split validation`` asks for tuning: greedy English and one sample. One gzipped JSON-lines file per model.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from countdown_r1 import models
from countdown_r1.build_dataset.generate import Wish, generate
from countdown_r1.build_dataset.prompt import chatml, load_template
from countdown_r1.game.answer import judge
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.train.generation import Ask, Decoding, encode, write_batches

Question = dict[str, Any]


def main() -> None:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    for named in options.models:
        label, _, folder = named.partition("=")
        began, tokens, right = time.monotonic(), 0, {}
        model, tokenizer = models.load(folder)
        model = model.bfloat16() if model.device.type == "cuda" else model
        with gzip.open(options.out / f"{label}.jsonl.gz", "wt", encoding="utf-8") as file:
            for answer in answers(options, model, tokenizer):
                file.write(json.dumps(answer, ensure_ascii=False) + "\n")
                tokens += answer["n_tokens"]
                right.setdefault((answer["set"], len(answer["nums"])), []).append(answer["solved"])
        rates = "  ".join(f"{name}/{count} {sum(won) / len(won):.3f}" for (name, count), won in right.items())
        print(f"{label}: {rates}  ({tokens:,} tokens, {time.monotonic() - began:.0f} s)", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="LABEL=FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="test", choices=["test", "validation"])
    parser.add_argument("--n", type=int, default=1000, help="puzzles of each count of numbers")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--sets", default="", help="of these alone, such as greedy,sampled")
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--room", type=int, default=2048, help="new tokens at most")
    return parser.parse_args()


def answers(options: argparse.Namespace, model: Any, tokenizer: Any) -> Iterator[dict[str, Any]]:
    """Every question of every set, answered; the text is kept of greedy answers and of each first sample."""
    for name, language, samples, questions in sets(options):
        if options.sets and name not in options.sets.split(","):
            continue
        template = load_template(language)
        puzzles = [Puzzle(tuple(one["nums"]), one["target"]) for one in questions]
        prompts = encode(tokenizer, [chatml(template, puzzle) for puzzle in puzzles])
        asks = [Ask(ids, place, sample) for place, ids in enumerate(prompts) for sample in range(samples)]
        decoding = Decoding(1.0 if name.startswith("sampled") else 0.0, options.room, options.batch, samples=samples)
        answered = iter(asks)
        for batch in write_batches(model, tokenizer, asks, decoding):
            for ask, one in zip((next(answered) for _ in batch), batch, strict=True):
                solved = judge(puzzles[ask.puzzle], one.text).solved
                kept = {"text": one.text} if ask.sample == 0 else {}
                about = {"set": name, "language": language, "sample": ask.sample}
                yield about | questions[ask.puzzle] | {"solved": solved, "n_tokens": one.n_tokens} | kept


def sets(options: argparse.Namespace) -> Iterator[tuple[str, str, int, list[Question]]]:
    """Name, language, samples and questions of each set."""
    both = drawn(options, 3) + drawn(options, 4)
    yield "greedy", "en", 1, both
    if options.split == "validation":
        yield "sampled", "en", 1, both
        return
    yield "greedy-zh", "zh", 1, both
    yield "sampled", "en", options.samples, both
    yield "five", "en", 1, drawn(options, 5, options.n // 2)
    yield "fraction", "en", 1, drawn(options, 4, options.n // 2, levels={3: 1.0})


def drawn(
    options: argparse.Namespace, count: int, n: int = 0, levels: dict[int, float] | None = None
) -> list[Question]:
    """``n`` (or ``--n``) puzzles of ``count`` numbers, the same at every call."""
    table = generate(n or options.n, Wish((count,), levels=levels, splits=(options.split,)), seed=2026)
    return table.select(["id", "nums", "target", "level"]).to_pylist()


if __name__ == "__main__":
    main()
