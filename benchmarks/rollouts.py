"""Sampling speed of rollouts on a GPU: our recorded steps beside transformers' generate and, where it is, vLLM.

    python benchmarks/rollouts.py --model FOLDER --completions 2048 --out benchmarks/results/tiny/rollouts.json

The same four-number puzzles at temperature 1, at most ``--new`` tokens, each peer on all completions (the slow ones on
the first ``--generate``). Sampled tokens a second count tokens up to and with the end; the solve rates of those first
ones with their intervals say whether all sample from the same model. ``--profile`` shows where a step's time goes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from countdown_r1 import models
from countdown_r1.build_dataset.generate import Wish, generate
from countdown_r1.build_dataset.prompt import chatml, load_template
from countdown_r1.build_dataset.puzzles import as_puzzles
from countdown_r1.game.answer import judge
from countdown_r1.train.decoder import Decoder
from countdown_r1.train.generation import encode, sample, stop_ids
from countdown_r1.train.statistics import wilson_interval

Rows = list[list[int]]


def main() -> None:
    options = arguments()
    model, tokenizer = models.load(options.model)
    model = model.bfloat16() if model.device.type == "cuda" else model
    puzzles = as_puzzles(generate(options.completions // 8, Wish((4,), splits=("validation",)), seed=7))
    puzzles = [puzzle for puzzle in puzzles for _ in range(8)]
    prompts = encode(tokenizer, [chatml(load_template("en"), puzzle) for puzzle in puzzles])
    ends = stop_ids(model.generation_config, tokenizer)
    decoder = Decoder(model)
    peers: dict[str, tuple[int, Callable[[Rows], Rows]]] = {
        "ours": (len(prompts), lambda asked: decoder.sample(asked, ends, options.new, 1.0)),
        "ours, finished rows dropped, no recording": (
            options.generate,
            lambda asked: sample(model, asked, ends, options.new, 1.0),
        ),
        "transformers generate": (options.generate, lambda asked: generated(model, tokenizer, asked, options.new)),
    }
    if find_spec("vllm") and model.device.type == "cuda":
        engine = vllm_engine(options)
        peers["vLLM, defaults"] = (len(prompts), lambda asked: with_vllm(engine, asked, ends, options.new))
    report: dict[str, Any] = {
        "model": options.model,
        "parameters": model.num_parameters(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "max_new_tokens": options.new,
        "versions": {name: metadata.version(name) for name in ("torch", "transformers", "vllm") if find_spec(name)},
    }
    for name, (n, write) in peers.items():
        report[name] = measured(write, prompts[:n], puzzles[: options.generate], tokenizer, ends, options.rounds)
        print(name, json.dumps(report[name]), flush=True)
    if options.profile:
        report["profile"] = profiled(lambda: decoder.sample(prompts, ends, 64, 1.0))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(options.out)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--completions", type=int, default=2048)
    parser.add_argument("--generate", type=int, default=512, help="completions that the slow peers write")
    parser.add_argument("--new", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=float, default=0.3, help="vLLM's share of the GPU's memory")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def measured(
    write: Callable[[Rows], Rows], prompts: Rows, puzzles: list[Any], tokenizer: Any, ends: tuple[int, ...], rounds: int
) -> dict[str, Any]:
    """Every round's tokens a second after one unmeasured round; the share solved of the first prompts, whose puzzles
    are given, with its interval."""
    speeds, solved, tokens = [], 0, 0
    for number in range(rounds + 1):
        synchronise()
        began = time.perf_counter()
        rows = write(prompts)
        synchronise()
        seconds = time.perf_counter() - began
        tokens = sum(map(len, rows))
        if number:
            speeds.append(round(tokens / seconds))
        first = rows[: len(puzzles)]
        texts = tokenizer.batch_decode([row[:-1] if row and row[-1] in ends else row for row in first])
        solved = sum(judge(puzzle, text).solved for puzzle, text in zip(puzzles, texts, strict=True))
    low, high = wilson_interval(solved, len(puzzles))
    rate = {"judged": len(puzzles), "solved": round(solved / len(puzzles), 4)}
    rate |= {"interval": [round(low, 4), round(high, 4)]}
    return {
        "completions": len(prompts),
        "mean_tokens": round(tokens / len(prompts), 1),
        "tokens_a_second": speeds,
    } | rate


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def generated(model: Any, tokenizer: Any, prompts: Rows, new: int) -> Rows:
    """transformers' own generate, its padding cut off."""
    inputs = tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(model.device)
    written = model.generate(**inputs, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=new)
    width, end = inputs["input_ids"].shape[1], tokenizer.eos_token_id
    rows = [row[width:].tolist() for row in written]
    return [row[: row.index(end) + 1] if end in row else row for row in rows]


def vllm_engine(options: argparse.Namespace) -> Any:
    import os

    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    from vllm import LLM  # pyright: ignore[reportMissingImports]

    return LLM(model=options.model, max_model_len=options.new + 128, gpu_memory_utilization=options.memory)


def with_vllm(engine: Any, prompts: Rows, ends: tuple[int, ...], new: int) -> Rows:
    from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

    settings = SamplingParams(temperature=1.0, max_tokens=new, stop_token_ids=list(ends), detokenize=False)
    asked = [{"prompt_token_ids": row} for row in prompts]
    return [list(one.outputs[0].token_ids) for one in engine.generate(asked, settings, use_tqdm=False)]


def profiled(work: Callable[[], object]) -> list[str]:
    """The kernels that take most of the GPU's time."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        work()
        synchronise()
    table = sorted(profiler.key_averages(), key=lambda event: -event.device_time_total)
    return [f"{event.key[:90]}  {event.device_time_total / 1e3:.1f} ms  {event.count} calls" for event in table[:15]]


if __name__ == "__main__":
    main()
