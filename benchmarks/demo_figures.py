"""Write what ``demo_lesson.py`` measured into the READMEs: their table and the transcript.

    out=benchmarks/results/demo/demo_lesson.json
    python benchmarks/demo_lesson.py --seeds 0,1,2,3,4 --jobs 5 --threads 3 --out $out
    python benchmarks/demo_figures.py outputs/demo_lesson/evaluation-0-1

The argument is the evaluation of seed 0. The transcript is the first English puzzle that the base gets wrong and the
last checkpoint solves by a true Aha; both answers go to ``benchmarks/results/demo/transcript.json``.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from countdown_r1.game.answer import judge
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.train.aha import find_ahas

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "demo"
WORDS = {"README.md": ("to", "points"), "README.zh.md": ("至", "个百分点")}
Run = dict[str, Any]


def main() -> None:
    lesson = json.loads((RESULTS / "demo_lesson.json").read_text(encoding="utf-8"))
    records = transcript(Path(sys.argv[1]))
    source = f"records.jsonl of base and checkpoint-30, seed 0, {lesson['command']}"
    text = json.dumps({"source": source, "records": records}, indent=2, ensure_ascii=False)
    (RESULTS / "transcript.json").write_text(text + "\n", encoding="utf-8")
    for name in WORDS:
        page = tabled((ROOT / name).read_text(encoding="utf-8"), lesson["runs"], name)
        page = re.sub(r"(?s)```text\nbefore .*?```", lambda _: told(*records), page)
        (ROOT / name).write_text(page, encoding="utf-8")
        print(ROOT / name)


def tabled(page: str, runs: list[Run], name: str) -> str:
    """The page with the table's figures as ``runs`` have them."""
    for row, cells in enumerate(rows(runs, *WORDS[name])):
        page = _row(page, row, cells)
    return page


def rows(runs: list[Run], to: str, points: str) -> list[list[str]]:
    """The two cells behind the name of each row: base, and the range of the seeds."""
    base, last = "base", "checkpoint-30"

    def span(values: list[float], show: str) -> str:
        low, high = (show.format(value) for value in (min(values), max(values)))
        return low if low == high else f"{low} {to} {high}"

    def both(key: str, show: str) -> list[str]:
        return [span([run[key][label] for run in runs], show) for label in (base, last)]

    difference = span([100 * run["difference"] for run in runs], "{:+.1f}")
    ahas = [span([run["ahas"][label]["solved"] for run in runs], "{}") for label in (base, last)]
    return [
        both("solve_rate", "{:.1%}"),
        ["", f"{difference} {points}"],
        both("format_rate", "{:.1%}"),
        both("mean_tokens", "{:.0f}"),
        both("greedy_solve_rate", "{:.1%}"),
        ahas,
    ]


def _row(page: str, number: int, cells: list[str]) -> str:
    """The page with the cells of a row behind its first one; the table is the first that names 500 puzzles."""
    begin = page.index("\n| 500 ") + 1
    lines = page[begin:].split("\n", number + 4)
    name = lines[number + 2].split("|")[1]
    lines[number + 2] = "|".join(["", name, *(f" {cell} " for cell in cells), ""])
    return page[:begin] + "\n".join(lines)


def transcript(evaluation: Path) -> list[dict[str, Any]]:
    """Base's and last checkpoint's record of the puzzle to show."""
    before, after = (_records(evaluation / label) for label in ("base", "checkpoint-30"))
    moments = {aha.test_id for aha in find_ahas(after) if aha.solved}
    pairs = (
        [old, new]
        for old, new in zip(before, after, strict=True)
        if new["test_id"] in moments and new["language"] == "en" and not old["score"] and "wrong" in old["verdict"]
    )
    return next(pairs)


def _records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text(encoding="utf-8").split("\n") if line]


def told(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Two completions side by side in time, each with its verdict behind the last line."""
    blocks = []
    for name, one in (("before", before), ("after", after)):
        verdict = judge(Puzzle(tuple(one["nums"]), one["target"]), one["generation"])
        lines = one["generation"].strip("\n").split("\n")
        lines[-1] = f"{lines[-1]:<54} {verdict.status.value}: {verdict.reason}"
        blocks.append("\n".join(f"{name if not place else '':<9}{line}" for place, line in enumerate(lines)))
    return "```text\n{}\n```".format("\n\n".join(blocks))


if __name__ == "__main__":
    main()
