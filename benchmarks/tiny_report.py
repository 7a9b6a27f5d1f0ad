"""Figures of the `tiny` experiment from what tiny_answers.py kept: rates with 95% intervals and paired differences.

    python benchmarks/tiny_report.py ANSWERS --out benchmarks/results/tiny/summary.json
    python benchmarks/tiny_report.py SWEEP --ahas 0 --out sweep.json --best chosen

Nothing is typed by hand: docs, cards and READMEs quote this file. Paired differences are to the model named ``cold``,
to ``longer``, which had GRPO's minutes of cold start instead, and of each model that is called NAME-VARIANT to NAME.
``--best`` names the model other than ``cold`` that solves most puzzles of four numbers greedily.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from countdown_r1.game.answer import judge
from countdown_r1.game.claims import claims
from countdown_r1.game.puzzle import Puzzle
from countdown_r1.train.aha import summarise
from countdown_r1.train.statistics import mean_interval, paired_difference, pass_at_k

Answer = dict[str, Any]
BASE = "cold"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("answers", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ahas", type=int, default=500, help="sampled thoughts that are read for Ahas, 0 for none")
    parser.add_argument("--best", type=Path, help="file for the name of the best model after the base")
    options = parser.parse_args()
    models = {path.name.removesuffix(".jsonl.gz"): list(read(path)) for path in sorted(options.answers.glob("*.gz"))}
    report = {label: described(rows, options.ahas) for label, rows in models.items()}
    for label, rows in models.items():
        for base in sorted({BASE, "longer", label.partition("-")[0]} & models.keys() - {label}):
            if label != BASE:
                report[label][f"against_{base}"] = compared(models[base], rows)
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(options.out)
    if options.best:
        solved = {label: found["greedy"]["4 numbers"]["solved"] for label, found in report.items() if label != BASE}
        options.best.write_text(max(solved, key=lambda label: solved[label]) + "\n", encoding="utf-8")
        print(options.best, solved)


def read(path: Path) -> Iterator[Answer]:
    """The whole lines of a file; what an interruption cut off is left out."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        try:
            for line in file:
                if line.endswith("\n"):
                    yield json.loads(line)
        except EOFError:
            return


def described(rows: list[Answer], ahas: int) -> dict[str, Any]:
    """Of each set: all puzzles together, by count of numbers and by level; pass@k where there are samples."""
    by_set = defaultdict(list)
    for row in rows:
        by_set[row["set"]].append(row)
    found: dict[str, Any] = {}
    for name, part in by_set.items():
        levels = {f"{count} numbers, level {level}" for count, level in {(len(r["nums"]), r["level"]) for r in part}}
        found[name] = {"all": rates(part)}
        for count in sorted({len(row["nums"]) for row in part}):
            chosen = [row for row in part if len(row["nums"]) == count]
            found[name][f"{count} numbers"] = rates(chosen) | {"verdicts": verdicts(chosen), "claims": sums(chosen)}
        for label in sorted(levels):
            found[name][label] = rates(
                [row for row in part if f"{len(row['nums'])} numbers, level {row['level']}" == label]
            )
    first = [row for row in by_set["sampled"] if row["sample"] == 0]
    if ahas and first:
        every = max(1, len(first) // ahas)
        records = [row | {"test_id": place, "generation": row["text"]} for place, row in enumerate(first[::every])]
        found["ahas"] = summarise(records)
    return found


def rates(rows: list[Answer]) -> dict[str, Any]:
    """Share solved with its interval, mean tokens, and pass@k for powers of two."""
    groups = [[row["solved"] for row in group] for group in by_puzzle(rows)]
    samples = min(map(len, groups))
    low, high = mean_interval([sum(group) / len(group) for group in groups], samples)
    tokens = sum(row["n_tokens"] for row in rows) / len(rows)
    found = {"n": len(groups), "samples": samples, "solved": round(sum(map(sum, groups)) / sum(map(len, groups)), 4)}
    found |= {"interval": [round(low, 4), round(high, 4)], "mean_tokens": round(tokens, 1)}
    for k in (2, 4, 8):
        if k <= samples:
            chances = [pass_at_k(len(group), sum(group), k) for group in groups]
            found[f"pass@{k}"] = round(sum(chances) / len(chances), 4)
    return found


def verdicts(rows: list[Answer]) -> dict[str, int]:
    """How the answers ended whose text was kept; an unfinished thought was cut off by the limit or never closed."""
    judged = (judge(Puzzle(tuple(row["nums"]), row["target"]), row["text"]) for row in rows if "text" in row)
    return dict(Counter(verdict.status.value for verdict in judged).most_common())


def sums(rows: list[Answer]) -> dict[str, float]:
    """Of the calculations in the texts that were kept: how many are divisions, and the share of false ones."""
    counts = Counter[str]()
    for row in rows:
        text = row.get("text", "")
        found = [claim for claim in claims(text) if claim.relation == "="]
        divisions = [claim for claim in found if "/" in text[claim.left.start : claim.left.end]]
        counts["thoughts"] += "text" in row
        counts["with a false one"] += any(not claim.true for claim in found)
        counts["calculations"] += len(found)
        counts["divisions"] += len(divisions)
        counts["false"] += sum(not claim.true for claim in found)
        counts["false divisions"] += sum(not claim.true for claim in divisions)
    others = counts["calculations"] - counts["divisions"]
    return {
        "calculations": counts["calculations"],
        "divisions": share(counts["divisions"], counts["calculations"]),
        "false": share(counts["false"], counts["calculations"]),
        "false divisions": share(counts["false divisions"], counts["divisions"]),
        "false others": share(counts["false"] - counts["false divisions"], others),
        "thoughts with a false one": share(counts["with a false one"], counts["thoughts"]),
    }


def share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def by_puzzle(rows: Iterable[Answer]) -> Iterator[list[Answer]]:
    for _, group in groupby(sorted(rows, key=lambda row: row["id"]), key=lambda row: row["id"]):
        yield list(group)


def compared(before: list[Answer], after: list[Answer]) -> dict[str, Any]:
    """Paired difference on the puzzles that both answered, of each set and count of numbers."""
    found = {}
    for name in sorted({row["set"] for row in after}):
        for count in sorted({len(row["nums"]) for row in after if row["set"] == name}):
            first, second = (means(rows, name, count) for rows in (before, after))
            shared = sorted(first.keys() & second.keys())
            values = paired_difference([first[key] for key in shared], [second[key] for key in shared])
            found[f"{name}, {count} numbers"] = {"n": len(shared), "difference": [round(value, 4) for value in values]}
    return found


def means(rows: list[Answer], name: str, count: int) -> dict[str, float]:
    chosen = [row for row in rows if row["set"] == name and len(row["nums"]) == count]
    return {group[0]["id"]: sum(row["solved"] for row in group) / len(group) for group in by_puzzle(chosen)}


if __name__ == "__main__":
    main()
