"""A run folder at toy size, as build-dataset, train and evaluate leave it: real formats, a one-layer model.

Loaded by tests with ``runpy.run_path``; ``write_run`` is the entrance.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from countdown_r1 import manifest
from countdown_r1.build_dataset import dataset
from countdown_r1.build_dataset.generate import Wish
from countdown_r1.build_dataset.prompt import chatml, load_template
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.manifest import Manifest

STEPS = (2, 4)
GENERATIONS = [
    ("4 + 5 = 9, 9 + 6 = 15.</think>\n<answer>4 + 5 + 6</answer>", "solved"),
    ("7 + 8 = 15. ```\n# not a heading\n``` 15 + 9 = 24.</think>\n<answer>7 + 8 + 9</answer>", "solved"),
    ("2 + 2 = 4 | nothing <b>fits</b>.</think>\n<answer>2 + 2 + 5</answer>", "wrong value"),
]


def write_run(folder: Path, *, weights: bool = True) -> Path:
    """Write ``dataset/``, ``model/`` and ``evaluation/`` with their manifests. Without ``weights`` the model is
    a placeholder that no library can load, which is enough to render cards."""
    write_dataset(folder / "dataset")
    write_model(folder / "model", folder, weights)
    write_evaluation(folder / "evaluation", folder)
    return folder


def reopen(folder: Path, stage: str) -> None:
    """Write a stage's manifest again, and those of the stages after it, as if the change had been made by it."""
    stages = ["dataset", "model", "evaluation"]
    for name, before in list(zip(stages, [None, *stages], strict=False))[stages.index(stage) :]:
        record = manifest.read(folder / name)
        record.read = manifest.sha256(folder / before / "manifest.json") if before else None
        manifest.write(folder / name, record)


def write_dataset(out: Path) -> None:
    command = f"countdown-r1 build-dataset --out {out.resolve()} --rows 200 --numbers 3"
    dataset.build(out, rows=200, wish=Wish((3,)), languages=("en", "zh"), seed=0, command=command)


def write_model(out: Path, run: Path, weights: bool) -> None:
    """Base, two checkpoints and the final weights, with what else training leaves, private things included."""
    (_real_weights if weights else _placeholder_weights)(out)
    lines = [{"step": step, "reward": 0.25 * step, "rewards/equation_reward/mean": 0.125 * step} for step in STEPS]
    (out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (out / "completion_samples").mkdir()
    (out / "completion_samples" / "completion_samples.txt").write_text("step 2\n<think>4 + 5</think>\n")
    _write_completions(out / "completions" / "completions_00002.parquet")
    (out / "training.png").write_bytes(_png())
    (out / "cost.json").write_text(json.dumps({"hours": 0.0375, "hardware": "2 cores", "host": "box-17"}) + "\n")
    (out / "recipe.yaml").write_text(f"name: toy\ngrpo:\n  learning_rate: 1.0e-05\n  output_dir: {out.resolve()}\n")
    if weights:
        write_events(out / "runs" / "Nov25_box-17")
    for name in ("training_args.bin", "optimizer.pt", ".env"):
        for place in (out, out / "checkpoint-4"):
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_bytes(b"private")
    results: dict[str, Any] = {"base": "tiny", "steps": STEPS[-1], "train_puzzles": 3, "device": "cpu"}
    results["base_manifest"] = {"settings": {"reflect_chance": 0.125}, "results": {"loss": 0.4321}, "versions": {}}
    command = f"/opt/somewhere/bin/countdown-r1 train toy --out {out.resolve()}"
    record = Manifest("train", command, seed=7, settings={"publish": {"public": False}}, results=results, seconds=135.0)
    record.read = manifest.sha256(run / "dataset" / "manifest.json")
    manifest.write(out, record)


def _write_completions(path: Path) -> None:
    """As TRL logs them: one row a completion, a column a reward."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir()
    texts = [text for text, _ in GENERATIONS]
    columns = {"step": [2] * len(texts), "prompt": ["<think>"] * len(texts), "completion": texts}
    pq.write_table(pa.table(columns | {"equation_reward": [1.0, 1.0, 0.0]}), path)


def write_events(folder: Path) -> None:
    """TensorBoard events as a trainer writes them: named after the host, its arguments beside the scalars."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), filename_suffix=".box-17")
    for step in STEPS:
        writer.add_scalar("train/reward", 0.25 * step, step)
    writer.add_text("args", f'{{"output_dir": "{folder.resolve()}"}}')
    writer.close()


def _folders(out: Path) -> list[Path]:
    return [out / "base", *(out / f"checkpoint-{step}" for step in STEPS), out]


def _placeholder_weights(out: Path) -> None:
    for index, folder in enumerate(_folders(out)):
        folder.mkdir(parents=True, exist_ok=True)
        header = b'{"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'
        weights = len(header).to_bytes(8, "little") + header + bytes([min(index, len(STEPS)), 0, 0, 0])
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "config.json").write_text(json.dumps({"model_type": "llama", "_name_or_path": str(out.resolve())}))
        (folder / "tokenizer_config.json").write_text("{}")


def _real_weights(out: Path) -> None:
    """Random weights of a tiny Llama; the final ones are those of the last checkpoint."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from countdown_r1.train.cold_start import save_model
    from countdown_r1.train.tokenizer import END, PAD, train_tokenizer

    tokenizer = train_tokenizer([text for text, _ in GENERATIONS], vocab_size=300)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=2048,
        eos_token_id=tokenizer.get_vocab()[END],
        pad_token_id=tokenizer.get_vocab()[PAD],
    )
    for index, folder in enumerate(_folders(out)):
        torch.manual_seed(min(index, len(STEPS)))
        save_model(LlamaForCausalLM(config), tokenizer, folder)


def write_evaluation(out: Path, run: Path) -> None:
    """Records and a summary with figures that are easy to tell apart; checkpoint-2 is the best on validation."""
    labels = ["base", *(f"checkpoint-{step}" for step in STEPS)]
    puzzles = test_puzzles(run / "dataset")
    for label in labels:
        (out / label).mkdir(parents=True)
        records = [_record(index, puzzle, label) for index, puzzle in enumerate(puzzles)]
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        (out / label / "records.jsonl").write_text(text, encoding="utf-8")
    rates = [0.312, 0.714, 0.692]
    models = [_measured(index, label, rate, run) for index, (label, rate) in enumerate(zip(labels, rates, strict=True))]
    summary = {
        "dataset": {"id": str((run / "dataset").resolve()), "split": "test"},
        "n": 500,
        "seed": 11,
        "decoding": {"temperature": 1.0, "max_new_tokens": 48, "samples": 1},
        "models": models,
        "paired": {
            "base": "base",
            "model": "checkpoint-2",
            "difference": 0.401,
            "interval": [0.3521, 0.4479],
            "n": 500,
        },
        "best": "checkpoint-2",
        "command": f"countdown-r1 evaluate {(run / 'model').resolve()} --limit 500",
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    (out / "evaluation.png").write_bytes(_png())
    record = Manifest("evaluate", summary["command"], seed=11, read=manifest.sha256(run / "model" / "manifest.json"))
    manifest.write(out, record)


def _measured(index: int, label: str, rate: float, run: Path) -> dict[str, Any]:
    step = 0 if label == "base" else int(label.rpartition("-")[2])
    slices = {name: {"n": 240 + place + index, "solve_rate": rate - 0.05 * place} for place, name in enumerate("01")}
    languages = {name: {"n": 250, "solve_rate": rate + 0.015 * place} for place, name in enumerate(("en", "zh"))}
    return {
        "label": label,
        "step": step,
        "path": str((run / "model" / label).resolve()),
        "n": 500,
        "solve_rate": rate,
        "solve_interval": [round(rate - 0.041, 4), round(rate + 0.039, 4)],
        "format_rate": 0.902 + 0.01 * index,
        "format_interval": [0.884, 0.946],
        "mean_tokens": 133.4 - 10 * index,
        "by_level": slices,
        "by_language": languages,
        "verdicts": {"solved": 156 + 100 * index, "wrong value": 333 - 100 * index},
        "ahas": {"n": 41 + index, "solved": 17 + index},
        "validation": {"n": 200, "solve_rate": [0.305, 0.725, 0.695][index]},
    }


def test_puzzles(folder: Path) -> list[Puzzle]:
    """The first held-out puzzles, one for each of ``GENERATIONS``."""
    import pyarrow.parquet as pq

    rows = pq.read_table(folder / "en" / "test-00000-of-00001.parquet").to_pylist()
    return [Puzzle(tuple(row["nums"]), row["target"]) for row in rows[: len(GENERATIONS)]]


def _record(index: int, puzzle: Puzzle, label: str) -> dict[str, Any]:
    generation, verdict = GENERATIONS[index]
    template = load_template("en")
    return {
        "test_id": index,
        "score": int(verdict == "solved"),
        "prompt": chatml(template, puzzle),
        "nums": list(puzzle.nums),
        "generation": generation,
        "gen_calculation": None,
        "target": puzzle.target,
        "verdict": verdict,
        "format": 1,
        "language": "en",
        "level": 0,
        "checkpoint": label,
        "n_tokens": 20 + index,
        "seconds": 0.5,
    }


def _png() -> bytes:
    """One white pixel (PNG specification: signature, IHDR, IDAT, IEND)."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0\xff")) + chunk(b"IEND", b"")
