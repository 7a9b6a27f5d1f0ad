"""Cards of a run's datasets: the puzzles, every evaluated one, and every completion that training rewarded.

All load with ``datasets.load_dataset``: the records have a config for each evaluated model.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from ..places import without_places
from .cards import TEMPLATES, tidy
from .checkpoints import Run, stage_files, write_json, write_text
from .links import Links
from .sentences import dataset_licence, protocol

PLACEHOLDER = "NAMESPACE/Countdown-r1-zero"  # how the dataset's card calls a repository it does not know yet
_MODELS_SECTION = "\n# Models trained on it · 用它训练的模型\n"  # the last section
COMPLETIONS = "completions/*.parquet"


def dataset_card(card: str, links: Links, remote_card: str = "") -> str:
    """The dataset's card with a list of the models trained on it, those already named in ``remote_card`` included."""
    names = sorted({*_listed(remote_card), links.model})
    items = "\n".join(f"- [{name}]({links.site}/{name})" for name in names)
    body = card.partition(_MODELS_SECTION)[0].rstrip().replace(PLACEHOLDER, links.dataset or PLACEHOLDER)
    return f"{body}\n{_MODELS_SECTION}\n{items}\n"


def _listed(card: str) -> list[str]:
    """The models that a dataset's card names."""
    return re.findall(r"^- \[([^\]]+)\]", card.partition(_MODELS_SECTION)[2], re.MULTILINE)


def other_models(card: str, model: str) -> list[str]:
    """The models that a dataset's card names beside one."""
    return [name for name in _listed(card) if name != model]


def without_model(card: str, model: str) -> str:
    """A dataset's card without the line of one model."""
    return re.sub(rf"^- \[{re.escape(model)}\].*\n", "", card, flags=re.MULTILINE)


def _size_category(n: int) -> str:
    """The Hub's name for a dataset's number of rows.

    >>> _size_category(500), _size_category(20_000)
    ('n<1K', '10K<n<100K')
    """
    bounds = [("1K", 10**3), ("10K", 10**4), ("100K", 10**5), ("1M", 10**6), ("10M", 10**7)]
    if n < bounds[0][1]:
        return "n<1K"
    return next((f"{low[0]}<n<{high[0]}" for low, high in pairwise(bounds) if n < high[1]), "10M<n<100M")


def _with_front_matter(template: str, front: str, values: dict[str, Any]) -> str:
    """A card of YAML and a rendered template."""
    from jinja2 import Template as Jinja

    text = Jinja((TEMPLATES / template).read_text(encoding="utf-8"), trim_blocks=False).render(**values)
    return f"---\n{front}---\n\n{tidy(text)}"


def stage_records(run: Run, out: Path) -> list[str]:
    """Put each model's ``records.jsonl`` and the summary into ``out``; returns the labels of the models."""
    labels = [row["label"] for row in run.summary.get("models", [])]
    found = [label for label in labels if (run.folder / "evaluation" / label / "records.jsonl").is_file()]
    for label in found:
        text = (run.folder / "evaluation" / label / "records.jsonl").read_text(encoding="utf-8")
        write_text(out / label / "records.jsonl", text)
    write_json(out / "summary.json", without_places(run.summary, run.folder))
    stage_files(run.folder / "evaluation", ("evaluation.png",), out)
    return found


def evaluation_card(run: Run, links: Links, labels: list[str]) -> str:
    """A config a model, the best one by default; how it was measured; what the columns are."""
    configs = [
        {"config_name": label, "data_files": [{"split": "test", "path": f"{label}/records.jsonl"}]}
        | ({"default": True} if label == run.best.label else {})
        for label in labels
    ]
    n = sum(row.get("n", 0) for row in run.summary.get("models", []))
    values = {"title": _title(links, "evaluation"), "labels": labels, "best": run.best.label}
    values |= {"mixing": any("mixed_rate" in row for row in run.summary.get("models", []))}
    values |= {"protocol": protocol(run), "protocol_zh": protocol(run, "zh")}
    return _card("evaluation_card.md", run, links, configs, n, values)


def completions_card(run: Run, links: Links, out: Path) -> str:
    """What was sampled and rewarded while training; the columns are those of the files."""
    import pyarrow.parquet as pq

    files = [pq.ParquetFile(path) for path in sorted(out.glob(COMPLETIONS))]
    configs = [{"config_name": "default", "data_files": [{"split": "train", "path": COMPLETIONS}]}]
    n = sum(file.metadata.num_rows for file in files)
    values = {"title": _title(links, "completions"), "n": n, "columns": files[0].schema_arrow.names}
    return _card("completions_card.md", run, links, configs, n, values)


def _title(links: Links, what: str) -> str:
    return f"{links.model.partition('/')[2]}-{what}"


def _card(template: str, run: Run, links: Links, configs: list[dict[str, Any]], n: int, values: dict[str, Any]) -> str:
    front = {
        **dataset_licence(run),  # for the puzzles stand in it
        "language": ["en", "zh"],
        "pretty_name": values["title"],
        "task_categories": ["text-generation"],
        "size_categories": [_size_category(n)],
        "tags": ["countdown", "reasoning", "grpo"],
        "configs": configs,
    }
    text = yaml.safe_dump({key: value for key, value in front.items() if value}, sort_keys=False, allow_unicode=True)
    return _with_front_matter(template, text, values | links.urls | {"model_id": links.model})
