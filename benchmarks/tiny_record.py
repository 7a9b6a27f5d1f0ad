"""Small files of the `tiny` experiment to where they are kept, and the trained model to where it is shipped from.

    python benchmarks/tiny_record.py outputs/tiny --results benchmarks/results/tiny --ship train/tiny

Everything is copied as the commands wrote it. The shipped manifest is GRPO's own, with its rates on `test` added and
its list of files cut down to what is shipped; the cold start's manifest goes along as ``cold_start.json``. What a
folder of the experiment does not hold (yet) is left as it was.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from countdown_r1 import manifest

CURVES = {"cold": "cold_start.jsonl", "plain": "cold_start.jsonl", "longer": "cold_start.jsonl"}
CURVES |= {"grpo": "metrics.jsonl", "plain-grpo": "metrics.jsonl"}
MODEL = ("chat_template.jinja", "config.json", "generation_config.json", "model.safetensors")
MODEL += ("tokenizer.json", "tokenizer_config.json", "cost.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, help="what benchmarks/tiny.mk calls OUT")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--ship", type=Path, required=True)
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    for source, name in small_files(options.experiment):
        shutil.copyfile(source, options.results / name)
        print(options.results / name)
    if (options.experiment / "grpo" / manifest.FILE_NAME).is_file():
        ship(options.experiment, options.ship)
        print(options.ship)


def small_files(experiment: Path) -> Iterator[tuple[Path, str]]:
    """What is there of curves, manifests, costs, curricula and reports, with the name to keep it under."""
    for run, curve in CURVES.items():
        wanted = {curve: f"{run}.jsonl", manifest.FILE_NAME: f"{run}.manifest.json", "cost.json": f"{run}.cost.json"}
        for name, kept in wanted.items():
            if (experiment / run / name).is_file():
                yield experiment / run / name, kept
    chosen = experiment / "chosen"  # the run of the sweep that is kept as GRPO's already
    kept_already = chosen.read_text(encoding="utf-8").strip() if chosen.is_file() else ""
    for several in ("sweep", "small"):
        for folder in sorted((experiment / several).glob("*/")):
            if several == "sweep" and folder.name == kept_already:
                continue
            wanted = {"metrics.jsonl": "jsonl", manifest.FILE_NAME: "manifest.json", "cost.json": "cost.json"}
            for name, kind in wanted.items():
                if (folder / "metrics.jsonl").is_file() and (folder / name).is_file():
                    yield folder / name, f"{several}.{folder.name}.{kind}"
    for report in ("summary.json", "sweep.json", "small.json", "rollouts.json"):
        if (experiment / report).is_file():
            yield experiment / report, report


def ship(experiment: Path, folder: Path) -> None:
    """Replace ``folder`` by GRPO's model with its records."""
    record = manifest.read(experiment / "grpo")
    written = folder.with_name(folder.name + manifest.PARTIAL)
    shutil.rmtree(written, ignore_errors=True)
    written.mkdir(parents=True)
    for name in MODEL:
        shutil.copyfile(experiment / "grpo" / name, written / name)
    shutil.copyfile(experiment / "cold" / manifest.FILE_NAME, written / "cold_start.json")
    summary = experiment / "summary.json"
    if summary.is_file():
        tested = json.loads(summary.read_text(encoding="utf-8"))["grpo"]
        asked = ("greedy", "greedy-zh", "sampled")
        record.results["test"] = {name: tested[name]["all"] for name in asked if name in tested}
    record.files = manifest.hashes(written)
    text = json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n"
    (written / manifest.FILE_NAME).write_text(text, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    written.rename(folder)


if __name__ == "__main__":
    main()
