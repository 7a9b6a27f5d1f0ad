"""What a run cost: measured hours times a price that the recipe states."""

from __future__ import annotations

import json
from pathlib import Path

from .recipe import Cost


def write_cost(cost: Cost, seconds: float, processes: int, path: Path) -> None:
    """Write ``cost.json``: wall-clock hours, processes, the stated price of an hour of the machine, the product."""
    hours = seconds / 3600
    values = {
        "hardware": cost.hardware,
        "processes": processes,
        "hours": round(hours, 4),
        "price_per_hour": cost.price_per_hour,
        "currency": cost.currency,
        "total": round(hours * cost.price_per_hour, 4),
    }
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
