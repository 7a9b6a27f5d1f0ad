"""Write ``space/story.json``, the story that the page tells of the shipped model.

    python benchmarks/space_story.py outputs/tiny/answers --demo outputs/demo
    python benchmarks/space_story.py --demo outputs/demo        a new replay step by step, the rest as it was

Curves, table and counts are the published measurements, ``benchmarks/results/tiny/``. Quotes and the replay before and
after are taken from the answers that those were counted from (``make tiny-model`` leaves them); answers that do not
give the published figures again are refused. The replay step by step is what the trainer logged in a run of
``make demo``, which starts from ``novice``: it is the run that everybody can repeat.
"""

from __future__ import annotations

import argparse
import json
import runpy
from pathlib import Path
from typing import Any

from countdown_r1.space.story import aha_count, began_at_random, opening, paid, quotes, replays, rewards, written
from countdown_r1.space.trained_on import as_record, of_folder

ROOT = Path(__file__).resolve().parent.parent
STORY = ROOT / "space" / "story.json"
RESULTS = ROOT / "benchmarks" / "results" / "tiny"
REPORT = runpy.run_path(str(ROOT / "benchmarks" / "tiny_report.py"))
SHIPPED = ROOT / "train" / "tiny"
STEPS = json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8"))["results"]["steps"]
LABELS = {"cold": "base", "grpo": f"checkpoint-{STEPS}"}  # published names, and what the page calls training steps
AHAS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("answers", type=Path, nargs="?", help="the folder that tiny_answers.py wrote")
    parser.add_argument("--demo", type=Path, required=True, help="the folder of a finished demo run")
    options = parser.parse_args()
    if options.answers is None:
        write(json.loads(STORY.read_text(encoding="utf-8")) | {"written": written(options.demo / "model")})
        return
    answers = {name: list(REPORT["read"](options.answers / f"{name}.jsonl.gz")) for name in LABELS}
    summary = json.loads((RESULTS / "summary.json").read_text(encoding="utf-8"))
    for name, rows in answers.items():
        found = REPORT["described"](rows, AHAS)
        if any(found[part] != summary[name][part] for part in found):
            parser.error(f"{options.answers} does not give the published figures of {name} again")
    write(told(answers, summary, options.demo))


def write(story: dict[str, Any]) -> None:
    STORY.write_text(json.dumps(story, ensure_ascii=False, indent=1) + "\n", "utf-8")
    print(STORY)


def told(answers: dict[str, list[dict[str, Any]]], summary: dict[str, Any], demo: Path) -> dict[str, Any]:
    """The story in the form of ``countdown_r1.space.story.collect``."""
    best = list(LABELS.values())[-1]
    rates = [
        (label, count, summary[name]["greedy"][f"{count} numbers"])
        for count in (3, 4)
        for name, label in LABELS.items()
    ]
    return {
        "run": "tiny",
        "n": rates[0][2]["n"],
        "best": best,
        "models": [model(label, count, rate) for label, count, rate in rates],
        "trained_on": as_record(of_folder(SHIPPED)),
        "cold_start": began_at_random(SHIPPED / "manifest.json"),
        "opening": opening({label: greedy(answers[name]) for name, label in LABELS.items()}, of_folder(SHIPPED)),
        "paid": paid(SHIPPED / "manifest.json"),
        "rewards": rewards(RESULTS / "grpo.jsonl"),
        "cost": cost(),
        "aha_counts": [aha_count(label, summary[name]["ahas"]) for name, label in LABELS.items()],
        "ahas": quotes(read_for_ahas(answers["grpo"]), best),
        "replay": sorted(replays({label: greedy(answers[name]) for name, label in LABELS.items()}), key=is_chinese),
        "written": written(demo / "model"),
    }


def is_chinese(replayed: dict[str, Any]) -> bool:
    """The page opens in English: what is written in Chinese comes behind the rest."""
    return "目标" in replayed["thoughts"][0]["completion"]


def model(label: str, count: int, rate: dict[str, Any]) -> dict[str, Any]:
    shared = {"solve_rate": rate["solved"], "solve_interval": rate["interval"], "mean_tokens": rate["mean_tokens"]}
    return {"label": label, "step": 0 if label == "base" else STEPS, "numbers": count, "n": rate["n"]} | shared


def cost() -> dict[str, Any]:
    """Hours of cold start and GRPO together, and hardware; the price of an hour is not known."""
    cold, grpo = (
        json.loads((SHIPPED / name).read_text(encoding="utf-8")) for name in ("cold_start.json", "manifest.json")
    )
    return {"hours": round((cold["seconds"] + grpo["seconds"]) / 3600, 4), "hardware": cold["results"]["device"]}


def read_for_ahas(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The thoughts whose Ahas were counted."""
    first = [row for row in rows if row["set"] == "sampled" and row["sample"] == 0]
    return [record(place, row) for place, row in enumerate(first[:: max(1, len(first) // AHAS)])]


def greedy(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One greedy answer to each puzzle of four numbers, English and Chinese in turn: the same for every model."""
    four = [row for row in rows if row["set"].startswith("greedy") and len(row["nums"]) == 4]
    pairs = sorted(four, key=lambda row: (row["id"], row["set"]))
    return [record(place, pairs[2 * place + place % 2]) for place in range(len(pairs) // 2)]


def record(place: int, row: dict[str, Any]) -> dict[str, Any]:
    about = {"test_id": place, "generation": row["text"], "score": int(row["solved"])}
    return about | {key: row[key] for key in ("nums", "target", "n_tokens")}


if __name__ == "__main__":
    main()
