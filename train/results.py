"""An evaluation's results for people: a table on the terminal, the same in Markdown, and the article's log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .pictures import draw_evaluation

Show = Callable[[Mapping[str, Any]], str]
LOGS = "logs"
SUMMARY_FILES = ("summary.json", "evaluation.md", "evaluation.png")
SLICES = {"by_level": "Level", "by_numbers": "Numbers", "by_language": "Language"}


def write_results(folder: Path, summary: Mapping[str, Any]) -> None:
    """``summary.json``, ``evaluation.md``, ``evaluation.png`` and ``logs/eval_countdown.log``."""
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    data, page, picture = (folder / name for name in SUMMARY_FILES)
    data.write_text(text + "\n", encoding="utf-8")
    page.write_text(markdown(summary), encoding="utf-8")
    draw_evaluation(summary, picture)
    (folder / LOGS).mkdir(exist_ok=True)
    (folder / LOGS / "eval_countdown.log").write_text(log_text(summary), encoding="utf-8")


def table(summary: Mapping[str, Any]) -> str:
    """The results as a small text table, one line per model, and what leaked, if anything did."""
    wide = max(16, *(len(model["label"]) + 1 for model in summary["models"]))
    rows = [["model", "n", "solved", "95% interval", "greedy", "format", "mixed", "tokens", "Ahas", "true"]]
    rows += [_cells(model) for model in summary["models"]]
    widths = (6, 9, 18, 9, 9, 9, 9, 7, 6)
    lines = (row[0].ljust(wide) + "".join(map(str.rjust, row[1:], widths)) for row in rows)
    return "".join(f"{line}\n" for line in [*lines, *_notes(summary)])


def _cells(model: Mapping[str, Any]) -> list[str]:
    greedy = model.get("greedy")
    return [
        model["label"],
        str(model["n"]),
        f"{model['solve_rate']:.1%}",
        _range(model["solve_interval"]),
        f"{greedy['solve_rate']:.1%}" if greedy else "-",
        f"{model['format_rate']:.1%}",
        f"{model['mixed_rate']:.1%}" if "mixed_rate" in model else "-",
        f"{model['mean_tokens']:.1f}",
        str(model["ahas"]["n"]),
        str(model["ahas"]["solved"]),
    ]


def _range(interval: Sequence[float]) -> str:
    return "{:.1%} to {:.1%}".format(*interval)


def _notes(summary: Mapping[str, Any]) -> list[str]:
    """Lines for unclosed thoughts, several samples, a language that is mixed, and puzzles that were trained on."""
    lines = []
    for model in summary["models"]:
        if unclosed := model["ahas"].get("never_closed"):
            lines.append(f"{model['label']}: {unclosed:,} completions never write </think>, so none of them can count")
        if "pass_at" in model:
            rates = ", ".join(f"pass@{k} {at['rate']:.1%}" for k, at in model["pass_at"].items())
            lines.append(f"{model['label']}: {rates}, majority {model['majority']['rate']:.1%}")
        for language, part in model["by_language"].items():
            if part.get("mixed_rate"):
                lines.append(f"MIXED {model['label']}: {_mixed(part)} of the completions to '{language}' prompts")
    leak = summary.get("leak") or {"models": {}, "broken_rule": 0, "asked": 0}
    for label, known in leak["models"].items():
        if known["leaked"]:
            lines.append(f"LEAK {label}: {known['leaked']} of {leak['asked']} puzzles may have been trained on")
    if leak["broken_rule"]:
        lines.append(f"LEAK {leak['broken_rule']} of {leak['asked']} puzzles break the split rule")
    return lines


def markdown(summary: Mapping[str, Any]) -> str:
    """The results as Markdown: models, differences, slices."""
    models, decoding = summary["models"], summary["decoding"]
    asked = f"{summary['n']} puzzles of `{summary['dataset']['split']}`, {decoding['samples']} completion(s) each"
    how = f"temperature {decoding['temperature']:g}, at most {decoding['max_new_tokens']} new tokens"
    parts = [f"# Evaluation\n\n{asked}; {how}, seed {summary['seed']}, backend {decoding['backend']}.\n"]
    parts.append(_markdown_table(*_main_columns(models)))
    parts += [f"- {line}\n" for line in _notes(summary) if line.startswith(("MIXED", "LEAK"))]
    if summary.get("differences"):
        head = ["Model", "Minus", "Points", "95% interval"]
        parts.append("## Paired differences on the same puzzles\n")
        parts.append(_markdown_table(head, [_difference(one) for one in summary["differences"]]))
    for key, title in SLICES.items():
        parts.append(f"## {title}\n")
        parts.append(_markdown_table(*_slice_columns(models, key, title)))
    if any(_mixed(part) for model in models for part in model["by_language"].values()):
        parts.append("## Completions that mix languages\n")
        parts.append(_markdown_table(*_slice_columns(models, "by_language", "Language", _mixed)))
    return "\n".join(parts)


def _main_columns(models: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """A column for each figure that any of the models has."""
    tries = list(dict.fromkeys(k for model in models for k in model.get("pass_at", {}) if k != "1"))
    head = ["Model", "Step", "Solved (pass@1)", *(f"pass@{k}" for k in tries), "Majority", "Greedy", "Format"]
    head += ["Tokens", "Tokens per puzzle", "Seconds per puzzle"]
    rows = [
        [
            model["label"],
            "" if model.get("step") is None else str(model["step"]),
            _with_interval(model, "solve"),
            *(_rate(model.get("pass_at", {}).get(k)) for k in tries),
            _rate(model.get("majority")),
            _with_interval(model["greedy"], "solve") if "greedy" in model else "",
            _with_interval(model, "format"),
            f"{model['mean_tokens']:.1f}",
            f"{model['per_puzzle']['tokens']:.1f}",
            f"{model['per_puzzle']['seconds']:.3f}",
        ]
        for model in models
    ]
    kept = [place for place in range(len(head)) if any(row[place] for row in rows)]
    return [head[place] for place in kept], [[row[place] for place in kept] for row in rows]


def _solved(part: Mapping[str, Any]) -> str:
    return f"{part['solve_rate']:.1%} ({_range(part['interval'])})"


def _mixed(part: Mapping[str, Any]) -> str:
    """'' where an older summary did not measure it."""
    return _with_interval(part, "mixed") if "mixed_rate" in part else ""


def _slice_columns(
    models: Sequence[Mapping[str, Any]], key: str, title: str, show: Show = _solved
) -> tuple[list[str], list[list[str]]]:
    names = sorted({name for model in models for name in model[key]})
    rows = []
    for name in names:
        parts = [model[key].get(name) for model in models]
        shown = [show(part) if part else "" for part in parts]
        rows.append([name, str(next(part["n"] for part in parts if part)), *shown])
    return [title, "Puzzles", *(model["label"] for model in models)], rows


def _difference(one: Mapping[str, Any]) -> list[str]:
    low, high = (f"{100 * value:+.1f}" for value in one["interval"])
    return [one["model"], one["base"], f"{100 * one['difference']:+.1f}", f"{low} to {high}"]


def _with_interval(values: Mapping[str, Any], kind: str) -> str:
    return f"{values[f'{kind}_rate']:.1%} ({_range(values[f'{kind}_interval'])})"


def _rate(values: Mapping[str, Any] | None) -> str:
    return f"{values['rate']:.1%} ({_range(values['interval'])})" if values else ""


def _markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def log_text(summary: Mapping[str, Any]) -> str:
    """What was asked and how, then the results: ``logs/eval_countdown.log``, as the DataCanvas article has it."""
    dataset, leak = summary["dataset"], summary["leak"]
    lines = [
        f"command   {summary['command'] or '-'}",
        f"dataset   {dataset['id']}, split '{dataset['split']}', {summary['n']} puzzles",
        f"decoding  {', '.join(f'{key} {value}' for key, value in summary['decoding'].items())}",
    ]
    for model in summary["models"]:
        known = leak["models"][model["label"]]["training_data"]
        lines.append(f"model     {model['label']}: {model['path']}, weights {model['sha256'][:12]}, trained on {known}")
    return "\n".join(lines) + f"\n\n{table(summary)}\n{markdown(summary)}"
