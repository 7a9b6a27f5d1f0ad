"""Whose puzzles an import brings, and under which licence: what the source's own card says, and nothing else."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..names import HUB_ID
from .front_matter import read_front_matter
from .location import Location

SYNTHETIC = "synthetic"
_KEYS = ("license", "license_name", "license_link")
_ID = re.compile(r"[\w.+-]{1,60}", re.ASCII)
_NAME = re.compile(r"[^`<>\[\]{}|\x00-\x1f\x7f-\x9f]{1,100}")
_LINK = re.compile(r"https?://[^\s<>()`\"]{1,300}|[\w.-]{1,100}", re.ASCII)
_MAX_LICENCE_BYTES = 1_000_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Provenance:
    """``licence``: the card's keys about it, {} where none is stated; ``sources``: Hub ids, the nearest first.

    ``is_synthetic``: the source says that a program made its puzzles; ``revision``: its commit on the Hub.
    """

    licence: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    is_synthetic: bool = False
    revision: str | None = None


def provenance_of(place: Location) -> Provenance:
    """What the card beside the data says. A lone file has none, so nothing is claimed for it."""
    front = read_front_matter(place.root) if place.root.is_dir() else {}
    before, tags = front.get("source_datasets"), front.get("tags")
    named = before if isinstance(before, list) else [before]
    known = [one for one in [place.repo_id, *named] if isinstance(one, str) and HUB_ID.fullmatch(one)]
    licence = _licence(front, place)
    if not licence:
        _log.warning("%s states no licence, so the card of what is built from it claims none", place.name)
    synthetic = isinstance(tags, list) and SYNTHETIC in tags
    return Provenance(licence, tuple(dict.fromkeys(known)), synthetic, place.revision)


def _licence(front: Mapping[str, Any], place: Location) -> dict[str, Any]:
    """The keys that a Hub takes; a text that is no key of the Hub's becomes the name of another licence."""
    given: Any = front.get("license")
    listed: list[Any] = given if isinstance(given, list) else [given]
    if not listed or not all(isinstance(one, str) and _NAME.fullmatch(one) for one in listed):
        if given is not None:
            _log.warning("%s: its card's `license` is neither a text nor a list of texts", place.name)
        return {}
    found: dict[str, Any] = {"license": given}
    if not all(_ID.fullmatch(one) for one in listed):
        found = {"license": "other", "license_name": ", ".join(listed)[:100]}
    for key, pattern in zip(_KEYS[1:], (_NAME, _LINK), strict=True):
        value = front.get(key)
        if isinstance(value, str) and pattern.fullmatch(value) and key not in found:
            found[key] = value
    if "license_link" in found and "://" not in found["license_link"] and not _text_of(place.root, found):
        del found["license_link"]
    return found


def _text_of(root: Path, licence: Mapping[str, Any]) -> Path | None:
    """The file of the source that its licence's link names."""
    link = str(licence.get("license_link", ""))
    path = root / link
    is_file = bool(link) and "://" not in link and link not in ("manifest.json", "README.md") and path.is_file()
    return path if is_file and path.stat().st_size <= _MAX_LICENCE_BYTES else None


def copy_licence(place: Location, licence: Mapping[str, Any], folder: Path) -> None:
    """Put the licence's text beside the data when the card links to it as a file, so that the link holds."""
    path = _text_of(place.root, licence)
    if path is not None:
        shutil.copyfile(path, folder / path.name)


def licence_of_dataset(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The licence keys of a dataset with these settings in its manifest: what is generated here is Apache-2.0."""
    if not settings.get("source"):
        return {"license": "apache-2.0"}
    licence = (settings.get("provenance") or {}).get("licence")
    return {key: licence[key] for key in _KEYS if licence.get(key)} if isinstance(licence, dict) else {}


def licence_text(licence: Mapping[str, Any]) -> str:
    """A licence in Markdown: its key, and its name and address where there are any; '' for none."""
    given = licence.get("license") or []
    text = ", ".join(f"`{one}`" for one in (given if isinstance(given, list) else [given]))
    more = [str(licence[key]) for key in _KEYS[1:] if licence.get(key)]
    return f"{text} ({', '.join(more)})" if more else text
