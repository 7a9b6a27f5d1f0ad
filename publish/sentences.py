"""Sentences of a card that carry measurements, in English and Chinese; what was not measured is not mentioned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..space.trained_on import spelled
from . import tables
from .checkpoints import Run, without_paths
from .licences import Licence

# What a shipped reward pays for, in English and Chinese.
REWARDED = {
    "equation_reward": ("a right equation", "正确的算式"),
    "format_reward": ("the format (one thought, then one answer)", "规范的格式(先思考,再给一个答案)"),
    "truth_reward": ("calculations that are true", "正确无误的计算"),
}


def headline(models: Sequence[dict[str, Any]], best: str, language: str = "en") -> str:
    """What the best model solves, beside the base; '' when it was not measured."""
    rates = {row["label"]: row for row in models if row.get("solve_rate") is not None}
    if best not in rates:
        return ""
    row, base = rates[best], rates.get("base")
    sizes = [int(size) for size in row.get("by_numbers") or {}]
    solved, interval = tables.percent(row["solve_rate"]), row.get("solve_interval")
    if language == "zh":
        kind = f"{spelled(sizes, language)}的" if sizes else ""
        text = f"{best} 解出了 {row['n']} 道未训练过的{kind}题目中的 {solved}"
        text += f"(95% 区间 {' 到 '.join(map(tables.percent, interval))})" if interval else ""
        if best == "base":
            return f"{text};没有哪个检查点在验证集上更好,所以这里就是基础模型本身。"
        return text + (f";基础模型解出 {tables.percent(base['solve_rate'])}。" if base else "。")
    text = f"{best} solves {solved} of {row['n']} held-out puzzles" + (f" of {spelled(sizes)}" if sizes else "")
    text += f" (95% interval {' to '.join(map(tables.percent, interval))})" if interval else ""
    if best == "base":
        return f"{text}; no checkpoint did better on the validation split, so this is the base itself."
    return text + (f"; the base solves {tables.percent(base['solve_rate'])}." if base else ".")


def rewarded(run: Run, language: str = "en") -> str:
    """What GRPO paid for, by the recipe; '' where it is not recorded. A reward of the user's own goes by its name."""
    chinese = language == "zh"
    functions = (run.model.settings.get("rewards") or {}).get("functions") or []
    names = [name for function in functions if (name := str(function).rpartition(":")[2]).isidentifier()]
    paid = [REWARDED[name][chinese] if name in REWARDED else f"`{name}`" for name in names]
    if not paid:
        return ""
    return f"奖励{'、'.join(paid)}" if chinese else f"rewarded for {' and for '.join(paid)}"


def protocol(run: Run, language: str = "en") -> str:
    """How the results were measured, in one paragraph, as far as the evaluation says."""
    summary, decoding = run.summary, run.summary.get("decoding") or {}
    split, n = (summary.get("dataset") or {}).get("split"), summary.get("n")
    samples, seed = decoding.get("samples"), summary.get("seed")
    heat, limit = tables.plain(decoding.get("temperature")), decoding.get("max_new_tokens")
    command = without_paths(summary.get("command") or "", run.folder)
    if language == "zh":
        puzzles = f"{n} 道题" if n is not None else "题目"
        parts = [f"`{split}` 部分的 {puzzles}" if split else puzzles, f"每题 {samples} 个回答" if samples else ""]
        parts += [f"温度 {heat}" if heat else "", f"最多 {limit} 个新 token" if limit else ""]
        parts += [f"随机种子 {seed}" if seed is not None else ""]
        end = f"命令:`{command}`。" if command else ""
        return f"{','.join(filter(None, parts))};所有模型用同样的题目。{end}"
    puzzles = f"{n} puzzles" if n is not None else "Puzzles"
    parts = [f"{puzzles} of the `{split}` split" if split else puzzles]
    parts += [f"{samples} completion{'s' if samples > 1 else ''} each" if samples else ""]
    parts += [f"temperature {heat}" if heat else "", f"at most {limit} new tokens" if limit else ""]
    parts += [f"seed {seed}" if seed is not None else ""]
    end = f" Command: `{command}`." if command else ""
    return f"{', '.join(filter(None, parts))}; the same puzzles for every model.{end}"


def provenance(run: Run, language: str = "en") -> str:
    """Commit of the code and versions of the libraries."""
    versions = ", ".join(f"{name} {version}" for name, version in run.model.versions.items())
    commit, chinese = run.model.git_commit, language == "zh"
    parts = [(f"代码提交 `{commit}`。" if chinese else f"The code's commit: `{commit}`.") if commit else ""]
    parts += [(f"版本:{versions}。" if chinese else f"Versions: {versions}.") if versions else ""]
    return ("" if chinese else " ").join(filter(None, parts))


def licence_sentence(base: str | None, licence: Licence | None, language: str = "en") -> str:
    """Whose licence the weights are under."""
    if language == "zh":
        return f"基础模型 {base} 的许可同样适用。" if base else "权重采用 Apache License 2.0。"
    if base is None:
        return "The weights are under the Apache License 2.0."
    if licence is None:
        return f"These weights were made from {base}, whose licence applies."
    named = f"`{licence.id}`" + (f" ({licence.name})" if licence.name else "")
    return f"These weights were made from {base}, whose licence, {named}, applies. {licence.notice}".strip()
