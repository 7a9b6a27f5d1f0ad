"""The card that a model's owner wrote: kept as it is, but for keys that are missing and one block between marks.

What is added is added to the text, so that every other byte stays, comments and order too; a byte order mark and blank
lines before the metadata go, since the Hub would not find it behind them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError
from ..rehearsal.card import read_yaml
from ..weights import broken

BEGIN, END = "<!-- countdown-r1:begin -->", "<!-- countdown-r1:end -->"
_MAX_FRONT_CHARS = 200_000
_FRONT = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_OPENED = re.compile(r"\A\s*---[ \t]*\r?\n[ \t]*[\w\"']+[ \t]*:")


@dataclass(frozen=True)
class OwnersCard:
    """``front`` is the YAML between its two lines, ``values`` what it says, ``newline`` how its lines end; ``where``
    names the file."""

    where: str
    front: str
    body: str
    values: dict[str, Any]
    newline: str

    def renamed(self, folders: Sequence[str], base: str) -> OwnersCard:
        """The card that calls the base by its id wherever it is called by the path of a folder."""
        front, body = self.front, self.body
        for path in (folder for folder in folders if re.search(r"[/\\]", folder)):
            whole = rf"(?:(?<=huggingface\.co/)|(?<![\w./\\-])){re.escape(path)}(?![\w/\\-]|\.\w)"
            front, body = (re.sub(whole, base, text) for text in (front, body))
        return replace(self, front=front, body=body, values=_values(front, self.where))


def read_owners_card(path: Path) -> OwnersCard | None:
    """The card in a file, None without one. Raises ``InputError`` when it is not text in UTF-8, when its metadata is
    not valid YAML, or when the marks of an earlier publication are not one pair."""
    if why := broken(path):
        raise InputError(f"{path.parent}: {why}")
    if not path.is_file():
        return None
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    newline = "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"
    found = _FRONT.match(text)
    front, body = (found[1], text[found.end() :]) if found else ("", text)
    if found is None and _OPENED.match(text):
        raise InputError(f"{path}: the metadata has no second '---' line, so nobody would find where it ends")
    _block_of(body, str(path))
    return OwnersCard(str(path), front, body, _values(front, str(path)), newline)


def _values(front: str, where: str) -> dict[str, Any]:
    if len(front) > _MAX_FRONT_CHARS:
        raise InputError(f"{where}: the metadata has more than {_MAX_FRONT_CHARS:,} characters; shorten it")
    try:
        values = read_yaml(front)
    except ValueError as error:
        raise InputError(f"{where}: the metadata is not valid YAML: {error}") from error
    if not isinstance(values, dict | None):
        raise InputError(f"{where}: the metadata is not a list of 'key: value' lines")
    return values or {}


def _block_of(body: str, where: str) -> tuple[int, int] | None:
    """Where the block of an earlier publication lies. Text that may be the owner's is never taken for it."""
    begins, ends = ([found.start() for found in re.finditer(re.escape(mark), body)] for mark in (BEGIN, END))
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise InputError(f"{where}: {BEGIN} and {END} must stand there once each, in this order; delete what is left")
    return begins[0], ends[0] + len(END)


def with_additions(card: OwnersCard, changed: Mapping[str, Any], block: str) -> str:
    """The owner's card with the keys of ``changed`` set (None: taken out) and ``block`` between the marks, in the place
    of the one that was there or at the end; without a block none."""
    front = _with_keys(card, changed)
    text = f"{BEGIN}\n\n{block.strip()}\n\n{END}".replace("\n", card.newline) if block else ""
    found = _block_of(card.body, card.where)
    if found:
        body = card.body[: found[0]] + text + card.body[found[1] :]
    else:
        gap = card.newline * (2 if card.body and not card.body.endswith("\n") else 1)
        body = card.body + (gap + text + card.newline if text else "")
    line = f"---{card.newline}"
    return line + front + line + ("" if card.front or not body else card.newline) + body


def _with_keys(card: OwnersCard, changed: Mapping[str, Any]) -> str:
    """The YAML with those keys changed in its text, where that says what it should; else written anew."""
    wanted = {
        key: value for key, value in {**card.values, **changed}.items() if value is not None or key not in changed
    }
    front = card.front
    for key, value in changed.items():
        front = _with_key(front, key, value, card.newline)
    try:
        if read_yaml(front) == wanted:
            return front
    except ValueError:
        pass  # such as a mapping in braces, to which no line can be added
    return _dumped(wanted, card.newline)


def _with_key(front: str, key: str, value: Any, newline: str) -> str:
    line = "" if value is None else _dumped({key: value}, newline)
    own = re.compile(rf"^(?:{re.escape(key)}|\"{re.escape(key)}\")[ \t]*:.*\n(?:[ \t-].*\n|\r?\n(?=[ \t-]))*", re.M)
    changed, n = own.subn(lambda _: line, front, count=1)
    return changed if n else front + line


def _dumped(values: dict[str, Any], newline: str) -> str:
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=10**6)
    return text.replace("\n", newline)


def card_change(before: str, after: str) -> list[str]:
    """The lines by which a published card differs from the owner's, as a unified diff; [] when nothing changes."""
    own, published = (text.lstrip("\ufeff").splitlines() for text in (before, after))
    return list(difflib.unified_diff(own, published, "README.md (yours)", "README.md (published)", lineterm="", n=1))
