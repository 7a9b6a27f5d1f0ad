"""What a name that a user typed means: something on this disk, a repository of the Hub, or a slip of the finger."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .errors import InputError

HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@(\S+))?", re.ASCII)
SUFFIXES = "bin csv gguf gz json jsonl ndjson parquet pt pth py safetensors tsv txt yaml yml"
FILES = {f".{suffix}" for suffix in SUFFIXES.split()}
_SURE = 0.8  # similarity from which a path nearby is taken for the one that was meant
_SHOWN = 8


def closest(name: str, names: Iterable[str], similarity: float = 0.6) -> str | None:
    """The one of ``names`` that a mistyped one most likely is, upper and lower case being the same."""
    plain = {one.lower(): one for one in names}
    found = difflib.get_close_matches(name.lower(), plain, 1, similarity)
    return plain[found[0]] if found else None


def repository(name: str, kind: str, wanted: str, others: Iterable[str] = ()) -> tuple[str, str | None]:
    """Hub id and revision of a name that nothing here has; ``wanted`` and ``others`` say what else it might have been.

    Raises ``InputError``, with the nearest name there is, for one that means a path.
    """
    match = HUB_ID.fullmatch(name)
    if match is not None and not is_path(name):
        return match[1], match[2]
    said = f"no {kind} '{name}': that does not exist{near(name, others)}; give {wanted}"
    if match is not None and match[2] is None and not name.startswith(("outputs/", ".")):
        said += f"; if it is on the Hub, give {name}@main"
    raise InputError(said)


def is_path(name: str) -> bool:
    """Whether a name means a place on this disk, be there something or not, rather than a repository of the Hub.

    >>> is_path("outputs/demo"), is_path("./puzzles"), is_path("someone/rows.parquet"), is_path("someone/puzzles")
    (True, True, True, False)
    """
    path = Path(name)
    if name.startswith((".", "/", "~")) or path.parts[:1] == ("outputs",) or path.suffix.lower() in FILES:
        return True
    here = path.exists() or (len(path.parts) > 1 and path.parent.is_dir())
    return "@" not in name and (here or closest_path(name, _SURE) is not None)


def near(name: str, others: Iterable[str] = ()) -> str:
    """The middle of an error message: what was probably meant, or what is beside it; empty when neither is known."""
    if (meant := closest(name, others) or closest_path(name)) is not None:
        return f" (did you mean {meant}?)"
    folder = Path(name).parent
    beside = sorted(_entries(folder)) if folder != Path() else []
    shown = ", ".join(beside[:_SHOWN]) + ", ..." * (len(beside) > _SHOWN)
    return f" ({folder} holds {shown})" if beside else ""


def closest_path(name: str, similarity: float = 0.6) -> str | None:
    """The path that is there and differs least from ``name``, part by part; None when a part resembles nothing."""
    path = Path(name)
    place = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        step = part if (place / part).exists() else closest(part, _entries(place), similarity)
        if step is None:
            return None
        place /= step
    return str(place) if path.parts else None


def _entries(folder: Path) -> list[str]:
    with suppress(OSError):
        return [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    return []
