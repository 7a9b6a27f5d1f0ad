"""Measurements as markdown: tables and sentences in English and Chinese, in which every number was measured.

What was not measured is left out: a row without its rate, a column that no row fills.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Row = dict[str, Any]
_HEADERS = {
    "en": {"label": "Model", "step": "Step", "branch": "Branch", "n": "Puzzles", "tokens": "Mean tokens"}
    | {"solve": "Solved (95% interval)", "format": "Right format (95% interval)"}
    | {"validation": "Solved on validation (n)", "level": "Level", "language": "Language", "solved": "Solved"}
    | {"commit": "Revision", "checkpoint": "Checkpoint"}
    | {"turns": "Completions with a turn", "ahas": "True Ahas", "verdict": "Verdict"}
    | {"what": "What", "value": "Value"},
    "zh": {"label": "模型", "step": "步数", "branch": "分支", "n": "题数", "tokens": "平均 token 数"}
    | {"solve": "解题率(95% 区间)", "format": "格式正确率(95% 区间)"}
    | {"validation": "验证集解题率(题数)", "level": "难度", "language": "语言", "solved": "解题率"}
    | {"commit": "版本", "checkpoint": "检查点"}
    | {"turns": "有转折的回答", "ahas": "真正的顿悟", "verdict": "判定"}
    | {"what": "项目", "value": "数值"},
}
_COST = {
    "hardware": ("Hardware", "硬件"),
    "processes": ("Processes", "进程数"),
    "sessions": ("Sessions", "运行次数"),
    "hours": ("Hours", "小时"),
    "allocated": ("Device-hours (GPUs, or processes on a CPU)", "设备小时(GPU,或 CPU 上的进程)"),
    "busy": ("of these sampling or updating", "其中采样或更新"),
    "generation": ("sampling", "采样"),
    "rewards": ("rewards", "奖励计算"),
    "update": ("updates", "更新"),
    "other": ("anything else", "其他"),
    "tokens": ("Tokens", "token 数"),
    "energy_kwh": ("Energy in kWh", "能耗(千瓦时)"),
    "training_energy_kwh": ("Energy of the GPUs that train, in kWh", "训练 GPU 的能耗(千瓦时)"),
    "price_per_hour": ("Price of an hour", "每小时价格"),
    "total": ("Total", "总计"),
}


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table without the columns that are empty in every row; '' when there are no rows."""
    body = [list(row) for row in rows]
    if not body:
        return ""
    kept = [index for index in range(len(headers)) if any(row[index] for row in body)]
    lines = [[headers[index] for index in kept], ["---"] * len(kept)]
    lines += [[row[index] or "–" for index in kept] for row in body]
    return "\n".join("| " + " | ".join(cell(text) for text in line) + " |" for line in lines)


def cell(text: str) -> str:
    """A text that stays inside its table cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def percent(rate: float | None) -> str:
    """A rate as a card shows it; '' when it was not measured.

    >>> percent(0.4125)
    '41.2%'
    """
    return "" if rate is None else f"{100 * rate:.1f}%"


def with_interval(rate: float | None, interval: Sequence[float] | None) -> str:
    """``41.0% (37.0% – 45.0%)``, the interval only when there is one."""
    if rate is None or not interval:
        return percent(rate)
    return f"{percent(rate)} ({percent(interval[0])} – {percent(interval[1])})"


def results(models: Sequence[Row], best: str | None, branches: Sequence[str], language: str = "en") -> str:
    """A row for each model that has a solve rate; the best one's label is bold, published ``branches`` are named."""
    columns: dict[str, Callable[[Row], str]] = {
        "label": lambda row: f"**{row['label']}**" if row["label"] == best else row["label"],
        "step": lambda row: plain(row.get("step")),
        "branch": lambda row: f"`step-{row['step']}`" if f"step-{row.get('step')}" in branches else "",
        "n": lambda row: plain(row.get("n")),
        "solve": lambda row: with_interval(row["solve_rate"], row.get("solve_interval")),
        "format": lambda row: with_interval(row.get("format_rate"), row.get("format_interval")),
        "tokens": lambda row: plain(row.get("mean_tokens")),
        "validation": _validation,
    }
    return _columns(columns, [row for row in models if row.get("solve_rate") is not None], language)


def checkpoints(models: Sequence[Row], branches: Sequence[tuple[str, str, int, str]], language: str = "en") -> str:
    """A row for each published checkpoint: step, branch, the commit that holds it, and its score where measured."""
    rates = {row["label"]: row for row in models}
    headers = [_HEADERS[language][name] for name in ("checkpoint", "step", "branch", "commit", "solve", "validation")]
    return table(headers, (_checkpoint(*branch, rates.get(branch[0], {})) for branch in branches))


def _checkpoint(label: str, branch: str, step: int, commit: str, row: Row) -> list[str]:
    solved = with_interval(row.get("solve_rate"), row.get("solve_interval"))
    return [label, str(step), f"`{branch}`", f"`{commit}`" if commit else "", solved, _validation(row)]


def _validation(row: Row) -> str:
    measured = row.get("validation") or {}
    rate = percent(measured.get("solve_rate"))
    return f"{rate} ({measured['n']})" if rate and measured.get("n") else rate


def _columns(columns: dict[str, Callable[[Row], str]], rows: Sequence[Row], language: str) -> str:
    headers = [_HEADERS[language][name] for name in columns]
    return table(headers, ([show(row) for show in columns.values()] for row in rows))


def breakdown(
    models: Sequence[Row], key: str, name: str, language: str = "en", rate: str = "solve_rate", interval: str = ""
) -> str:
    """A rate of several models side by side for each value of ``by_level`` or ``by_language``."""
    parts = [row.get(key) or {} for row in models]
    headers = [_HEADERS[language][name], _HEADERS[language]["n"], *(row["label"] for row in models)]
    values = sorted({value for part in parts for value in part})
    shown = {value: [_rate(part.get(value), rate, interval) for part in parts] for value in values}
    return table(headers, ([value, _same_n(parts, value), *cells] for value, cells in shown.items() if any(cells)))


def _same_n(parts: Sequence[Row], value: str) -> str:
    counts = {plain(part[value].get("n")) for part in parts if part.get(value)}
    return " / ".join(sorted(counts))


def _rate(part: Row | None, rate: str, interval: str) -> str:
    return with_interval(part.get(rate), part.get(interval)) if part else ""


def ahas(models: Sequence[Row], language: str = "en") -> str:
    """Turns and true Ahas of every model for which they were counted, beside the number of puzzles."""
    columns: dict[str, Callable[[Row], str]] = {
        "label": lambda row: row["label"],
        "n": lambda row: plain(row.get("n")),
        "turns": lambda row: plain(row["ahas"].get("n")),
        "ahas": lambda row: plain(row["ahas"].get("solved")),
    }
    return _columns(columns, [row for row in models if row.get("ahas")], language)


def verdicts(models: Sequence[Row], language: str = "en") -> str:
    """How often each verdict was given to each of several models."""
    counts = [row.get("verdicts") or {} for row in models]
    names = sorted({name for count in counts for name in count})
    headers = [_HEADERS[language]["verdict"], *(row["label"] for row in models)]
    return table(headers, ([name, *(plain(count.get(name)) for count in counts)] for name in names))


def paired(measured: Row | None, language: str = "en") -> str:
    """The paired difference as a sentence that says so when the interval contains 0; '' when not measured."""
    if not measured or measured.get("difference") is None or not measured.get("interval"):
        return ""
    low, high = measured["interval"]
    points = [f"{100 * value:+.1f}" for value in (measured["difference"], low, high)]
    open_question = low <= 0 <= high
    model, base, n = measured["model"], measured["base"], measured["n"]
    if language == "zh":
        end = "区间包含 0,因此没有证明存在差异。" if open_question else ""
        return (
            f"同样的 {n} 道题上,{model} 与 {base} 的解题率之差为 {points[0]} 个百分点"
            f"(95% 区间 {points[1]} 到 {points[2]})。{end}"
        )
    end = " The interval contains 0: no difference was shown." if open_question else ""
    return (
        f"Paired on the same {n} puzzles, {model} minus {base}: **{points[0]} percentage points** "
        f"(95% interval {points[1]} to {points[2]}).{end}"
    )


def facts(values: Row, language: str = "en") -> str:
    """A two-column table of everything in a nested mapping that is a number, a text or a list of them."""
    headers = [_HEADERS[language][name] for name in ("what", "value")]
    return table(headers, ((name.replace("_", " "), shown) for name, shown in _flat(values)))


def cost(values: Row, language: str = "en") -> str:
    """``cost.json`` as a table; '' for an empty one. A price of 0 means that none was stated: no sum is shown."""
    stages = {name: part.get("gpu_hours") for name, part in (values.get("stages") or {}).items()}
    money = {}
    if values.get("price_per_hour"):
        currency = values.get("currency", "")
        money = {key: f"{plain(values.get(key))} {currency}" for key in ("price_per_hour", "total")}
    known = values | (values.get("gpu_hours") or {}) | stages | {"price_per_hour": None, "total": None} | money
    names = {key: pair[language == "zh"] for key, pair in _COST.items()}
    headers = [_HEADERS[language][name] for name in ("what", "value")]
    return table(headers, ((name, plain(known[key])) for key, name in names.items() if known.get(key) is not None))


def _flat(values: Row, prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}: ")
        elif isinstance(value, list | tuple) and all(isinstance(item, int | float | str) for item in value):
            yield f"{prefix}{key}", ", ".join(plain(item) for item in value)
        elif isinstance(value, int | float | str) and plain(value):
            yield f"{prefix}{key}", plain(value)


def plain(value: object) -> str:
    """A number or a text as it stands, floats with six digits; '' for None.

    >>> plain(133.14285714), plain(500)
    ('133.143', '500')
    """
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
