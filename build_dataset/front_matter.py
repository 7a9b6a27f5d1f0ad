"""The YAML in front of a card, as anybody may have written it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import yaml

CARD = "README.md"
_MAX_CHARS = 1_000_000
_log = logging.getLogger(__name__)


def read_front_matter(folder: Path) -> dict[str, Any]:
    """The metadata of the card in ``folder``, {} where there is none or, with a warning, where it is not valid."""
    path = folder / CARD
    try:
        with path.open(encoding="utf-8-sig") as file:
            return front_matter_of(file.read(_MAX_CHARS))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        _log.warning("%s cannot be read, so nothing is taken from it (%s)", path, (str(error).splitlines() or [""])[0])
        return {}


def front_matter_of(card: str) -> dict[str, Any]:
    """The metadata of a card's text. Raises ``ValueError`` when it is not valid YAML."""
    start, *rest = card.lstrip().split("\n", 1)
    if start.rstrip() != "---" or not rest:
        return {}
    front, end, _ = f"\n{rest[0]}".partition("\n---")
    try:
        values = yaml.safe_load(front) if end else None
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"its metadata is not valid YAML: {error}") from error
    return values if isinstance(values, dict) else {}
