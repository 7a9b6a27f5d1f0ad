"""The two record datasets of a run: every evaluated puzzle, and every completion that training rewarded.

Both load with ``datasets.load_dataset``: a config for each evaluated model, and one for the completions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .cards import Links, protocol, size_category, with_front_matter
from .checkpoints import Run, stage_files, without_places, write_json, write_text

COMPLETIONS = "completions/*.parquet"


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
    values = {"title": _title(links, "evaluation"), "protocol": protocol(run), "labels": labels, "best": run.best.label}
    return _card("evaluation_card.md", links, configs, n, values)


def completions_card(run: Run, links: Links, out: Path) -> str:
    """What was sampled and rewarded while training; the columns are those of the files."""
    import pyarrow.parquet as pq

    files = [pq.ParquetFile(path) for path in sorted(out.glob(COMPLETIONS))]
    configs = [{"config_name": "default", "data_files": [{"split": "train", "path": COMPLETIONS}]}]
    n = sum(file.metadata.num_rows for file in files)
    values = {"title": _title(links, "completions"), "n": n, "columns": files[0].schema_arrow.names}
    return _card("completions_card.md", links, configs, n, values)


def _title(links: Links, what: str) -> str:
    return f"{links.model.partition('/')[2]}-{what}"


def _card(template: str, links: Links, configs: list[dict[str, Any]], n: int, values: dict[str, Any]) -> str:
    front = {
        "license": "apache-2.0",
        "language": ["en", "zh"],
        "pretty_name": values["title"],
        "task_categories": ["text-generation"],
        "size_categories": [size_category(n)],
        "tags": ["countdown", "reasoning", "grpo"],
        "configs": configs,
    }
    text = yaml.safe_dump({key: value for key, value in front.items() if value}, sort_keys=False, allow_unicode=True)
    return with_front_matter(template, text, values | links.urls | {"model_id": links.model})
