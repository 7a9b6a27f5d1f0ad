"""The dataset's card: front matter for the Hub, then English and Chinese text, every figure from the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml

from ..manifest import Manifest
from .plots import SOLUTIONS_NAME, TARGETS_NAME
from .provenance import SYNTHETIC, licence_of_dataset, licence_text
from .schema import CHATML, configs_of

PRETTY_NAME = "Countdown-r1-zero"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_TAGS = ("countdown", "reasoning", "math", "reinforcement-learning", "grpo", SYNTHETIC, "trl")
LEVELS = {
    "0": ("`+` and `-` suffice", "只需 `+` 和 `-`"),
    "1": ("needs `*`", "需要 `*`"),
    "2": ("needs `/`, every intermediate value whole", "需要 `/`,中间结果都是整数"),
    "3": ("needs a fraction on the way", "中间结果须出现分数"),
}


def card_text(written: Manifest, example: Mapping[str, Any], prompt: str | None) -> str:
    """The whole ``README.md`` of a dataset's folder.

    ``written`` has the dataset stage's settings and results; ``example`` is one row, ``prompt`` its whole prompt,
    None in a dataset of bare puzzles.
    """
    from jinja2 import Environment, StrictUndefined

    text = resources.files("countdown_r1.build_dataset").joinpath("templates/card.md").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters["count"] = lambda number: f"{number:,}"
    return environment.from_string(text).render(
        front_matter=_yaml(front_matter(written)),
        name=PRETTY_NAME,
        settings=written.settings,
        results=written.results,
        solutions=solution_groups(written.results["solutions"]),
        levels=LEVELS,
        example=example,
        prompt=prompt,
        seed=written.seed,
        default=configs_of(list(written.settings["templates"]))[0],
        plots=(TARGETS_NAME, SOLUTIONS_NAME),
        chatml=CHATML,
        licence=licence_text(licence_of_dataset(written.settings)),
        **_whose(written.settings),
    )


def _whose(settings: Mapping[str, Any]) -> dict[str, str]:
    """Whose puzzles an imported dataset holds: in Markdown, in Chinese, and without markup."""
    came_from = settings.get("provenance") or {}
    names = list(came_from.get("sources") or ())
    links = [f"[{name}](https://huggingface.co/datasets/{name})" for name in names]
    if links and came_from.get("revision") and settings["source"].partition("@")[0] == names[0]:
        links[0] += f" at revision `{came_from['revision'][:12]}`"
    if not links:
        source = settings["source"]
        return {
            "whose": f"the authors of `{source}`",
            "whose_zh": f" `{source}` 的作者",
            "whose_plain": f"the authors of {source}",
        }
    return {
        "whose": f"the authors of {', and before that of '.join(links)}",
        "whose_zh": f" {'、'.join(links).replace(' at revision ', '，版本 ')} 的作者",
        "whose_plain": f"the authors of {' and '.join(names)}",
    }


def front_matter(written: Manifest) -> dict[str, Any]:
    """The card's metadata; ``configs`` lists the files that exist, so that the Hub and ``load_dataset`` find them."""
    languages = list(written.settings["templates"])
    total = written.results["rows"]
    came_from, made_here = written.settings.get("provenance") or {}, not written.settings["source"]
    size = next((name for limit, name in _SIZES if total < limit), "1M<n<10M")
    values: dict[str, Any] = {
        **licence_of_dataset(written.settings),
        **({"language": sorted({language.split("-")[0] for language in languages})} if languages else {}),
        "pretty_name": PRETTY_NAME,
        "size_categories": [size],
        "task_categories": ["text-generation"],
        "tags": [tag for tag in _TAGS if tag != SYNTHETIC or made_here or came_from.get("is_synthetic")],
        "configs": _configs(languages, list(written.results["splits"])),
    }
    if came_from.get("sources"):
        values["source_datasets"] = list(came_from["sources"])
    return values


def _configs(languages: list[str], splits: list[str]) -> list[dict[str, Any]]:
    names = configs_of(languages)
    configs: list[dict[str, Any]] = []
    for name in names:
        files = [{"split": split, "path": f"{name}/{split}-*.parquet"} for split in splits]
        default = {"default": True} if name == names[0] else {}
        configs.append({"config_name": name, **default, "data_files": files})
    return configs


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True).strip()


def solution_groups(solutions: Mapping[str, int]) -> dict[str, int]:
    """Rows by number of solutions, gathered: 1, 2, 3 to 5, 6 to 20, more; empty groups left out.

    >>> solution_groups({"1": 10, "4": 2, "5": 1})
    {'1': 10, '3–5': 3}
    """
    groups = {"1": (1, 1), "2": (2, 2), "3–5": (3, 5), "6–20": (6, 20), "> 20": (21, 10**9)}
    found = {
        name: sum(count for number, count in solutions.items() if low <= int(number) <= high)
        for name, (low, high) in groups.items()
    }
    return {name: count for name, count in found.items() if count}
