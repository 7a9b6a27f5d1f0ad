"""Sampling speed on this machine: transformers' ``generate`` against ``train.generation.sample``, side by side.

python benchmarks/generation.py --batch 64 --max-new-tokens 320 --rounds 5
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import torch

from countdown_r1 import models
from countdown_r1.build_dataset.generate import Wish, generate
from countdown_r1.build_dataset.prompt import load_template, prompt_text
from countdown_r1.build_dataset.puzzles import as_puzzles
from countdown_r1.train.generation import sample, token_id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--max-new-tokens", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    model, tokenizer = models.load(options.model)
    end = token_id(tokenizer, "eos_token")
    puzzles = as_puzzles(generate(options.batch, Wish((3,), splits=("validation",))))
    prompts = [prompt_text(tokenizer, load_template("en"), puzzle) for puzzle in puzzles]
    prompt_ids = [tokenizer(prompt)["input_ids"] for prompt in prompts]

    def ours() -> int:
        return sum(map(len, sample(model, prompt_ids, end, options.max_new_tokens, 1.0)))

    def theirs() -> int:
        batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left").to(model.device)
        generate: Any = model.generate
        ids = generate(**batch, do_sample=True, top_k=0, max_new_tokens=options.max_new_tokens)
        new = ids[:, batch["input_ids"].shape[1] :]
        return int((new != tokenizer.pad_token_id).sum())

    speeds: dict[str, list[float]] = {"sample": [], "generate": []}
    for seed in range(options.rounds + 1):
        for name, run in (("sample", ours), ("generate", theirs)):
            torch.manual_seed(seed)
            began = time.monotonic()
            tokens = run()
            if seed:  # the first round warms up
                speeds[name].append(tokens / (time.monotonic() - began))
    medians = {name: round(statistics.median(values)) for name, values in speeds.items()}
    ratio = round(medians["sample"] / medians["generate"], 2)
    settings = vars(options) | {"threads": torch.get_num_threads(), "device": str(model.device)}
    print(json.dumps({"tokens_per_second": medians, "ratio": ratio, "settings": settings}))


if __name__ == "__main__":
    main()
