"""Sentences of a card that carry measurements, in English and Chinese; what was not measured is not mentioned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..build_dataset.provenance import licence_of_dataset, licence_text
from ..places import command_without_places
from ..space.trained_on import spelled
from . import tables
from .checkpoints import Run
from .licences import Licence
from .links import Links

# What a shipped reward pays for, in English and Chinese.
REWARDED = {
    "equation_reward": ("a right equation", "正确的算式"),
    "consistent_equation_reward": ("a right equation in the prompt's language", "用提示词的语言得出的正确算式"),
    "format_reward": ("the format (one thought, then one answer)", "规范的格式(先思考,再给一个答案)"),
    "language_reward": ("keeping to the prompt's language", "不混用语言"),
    "truth_reward": ("calculations that are true", "正确无误的计算"),
}

MUCH = 0.05  # of a language's completions that mix: worth a sentence
_ENGLISH, _CHINESE = {"en": "English", "zh": "Chinese"}, {"en": "英文", "zh": "中文"}


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


def mixed(models: Sequence[dict[str, Any]], best: str, language: str = "en") -> str:
    """In which languages the best model mixes others, beside the base; '' where it does so in less than ``MUCH``."""
    by_language = {row["label"]: row.get("by_language") or {} for row in models}
    parts = [
        _mixed(name, part, by_language.get("base", {}).get(name, {}) if best != "base" else {}, language)
        for name, part in by_language.get(best, {}).items()
        if part.get("mixed_rate", 0.0) >= MUCH
    ]
    if language == "zh":
        return f"{best} 会混用语言：{'；'.join(parts)}。解题率看不出这一点。" if parts else ""
    return f"{best} mixes languages: {'; '.join(parts)}. No solve rate shows it." if parts else ""


def _mixed(name: str, part: dict[str, Any], base: dict[str, Any], language: str) -> str:
    rate, before = tables.with_interval(part["mixed_rate"], part.get("mixed_interval")), base.get("mixed_rate")
    if language == "zh":
        text = f"对{_CHINESE.get(name, name)}提示词的回答中，{rate} 夹杂其他语言"
        return text + (f"（起点为 {tables.percent(before)}）" if before is not None else "")
    text = f"{rate} of its completions to {_ENGLISH.get(name, name)} prompts"
    return text + (f", the base {tables.percent(before)}" if before is not None else "")


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
    command = command_without_places(summary.get("command") or "", run.folder)
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


def provenance(run: Run, links: Links, language: str = "en") -> str:
    """Commit of the code, versions of the libraries, and where the code can be had."""
    versions = ", ".join(f"{name} {version}" for name, version in run.model.versions.items())
    commit, chinese = run.model.git_commit, language == "zh"
    parts = [(f"代码提交 `{commit}`。" if chinese else f"The code's commit: `{commit}`.") if commit else ""]
    parts += [(f"版本:{versions}。" if chinese else f"Versions: {versions}.") if versions else ""]
    if links.space:
        files = f"[{links.space}]({links.urls['space_url']}/tree/main)"
        english = "countdown-r1 is on no package index: its code, without the small models that it ships, is the wheel "
        english += f"among the files of {files}, for `pip install`."
        wheel = f"它的代码（不含随包的小模型）是 {files} 里的 wheel 文件，用 `pip install` 安装。"
        parts += [f"countdown-r1 不在任何软件包索引上；{wheel}" if chinese else english]
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


def dataset_licence(run: Run) -> dict[str, Any]:
    """The licence keys of a card in which the run's puzzles stand."""
    return licence_of_dataset(run.dataset.settings if run.dataset else {})


def dataset_licence_sentence(run: Run, language: str = "en") -> str:
    """Under which licence the run's puzzles are."""
    named, chinese = licence_text(dataset_licence(run)), language == "zh"
    if not named:
        return "数据集的来源未注明许可。" if chinese else "The dataset's source states no licence for its puzzles."
    return f"数据集的许可为 {named}。" if chinese else f"The dataset's licence is {named}."
