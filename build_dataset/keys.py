"""Where a row keeps its numbers and its target, by the names that published Countdown sets give them.

Beside ``nums`` and ``target`` of TinyZero's set: ``reward_model.ground_truth`` of verl and TinyZero, ``metadata`` of
reasoning-gym, either as an object or as its text; ``input`` and ``output`` of d1 where both hold numbers. Values that
stand in two places must be the same: nothing is guessed.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import pyarrow as pa

from ..errors import InputError
from .raw import Refused, parse_nums, parse_target

Key = tuple[str, ...]
WANTED = ("nums", "target")
_NAMES = {
    "nums": ("nums", "numbers", "input_numbers", "source_numbers", "given_numbers", "available_numbers", "num_list"),
    "target": ("target", "goal", "target_number", "target_value", "goal_number"),
}
_ROLES = {name: role for role, names in _NAMES.items() for name in names}
_PAIRS = (("input", "output"), ("question", "answer"))
_HOLDERS = frozenset(
    ("metadata", "reward_model", "ground_truth", "extra_info", "verification_info", "reward_spec", "info", "row")
)
_MAX_DEPTH = 3
_MAX_HELD_CHARS = 100_000


@lru_cache(1000)
def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def role_of(name: str) -> str | None:
    """``nums`` or ``target``, whichever a key of this name holds; None for any other."""
    return _ROLES.get(_plain(name))


def find_pair(record: Mapping[str, Any]) -> tuple[object, object]:
    """The raw numbers and target of a row, None for what it lacks. Raises ``Refused`` where two places differ."""
    found: dict[str, list[tuple[Key, object]]] = {"nums": [], "target": []}
    for key, value in _leaves(record):
        role = role_of(key[-1])
        if role is not None and value is not None:
            found[role].append((key, value))
    if not found["nums"] and not found["target"]:
        return _plain_pair(record)
    return _agreed("nums", found["nums"]), _agreed("target", found["target"])


def _leaves(record: Mapping[str, Any], above: Key = ()) -> Iterator[tuple[Key, object]]:
    """Every key with its value, those inside of holders after those beside them."""
    held: list[tuple[Key, Mapping[str, Any]]] = []
    for name, value in record.items():
        key = (*above, name)
        yield key, value
        if len(key) < _MAX_DEPTH and isinstance(value, (dict, str)) and _plain(name) in _HOLDERS:
            inside = _object_in(value)
            if inside is not None:
                held.append((key, inside))
    for key, inside in held:
        yield from _leaves(inside, key)


def _object_in(value: dict[str, Any] | str) -> Mapping[str, Any] | None:
    """An object, or the one that a text spells as JSON or as Python does."""
    if isinstance(value, dict):
        return value
    if not value.lstrip().startswith("{") or len(value) > _MAX_HELD_CHARS:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return {str(name): its for name, its in found.items()} if isinstance(found, dict) else None
    return None


def _agreed(role: str, found: Sequence[tuple[Key, object]]) -> object:
    """The value in the first place, once every other one that holds numbers says the same."""
    if len(found) < 2:
        return found[0][1] if found else None
    first = _parsed(role, found[0][1])
    for key, value in found[1:]:
        other = _parsed(role, value)
        if first is not None and other not in (None, first):
            raise Refused("ambiguous", f"{_dotted(found[0][0])} and {_dotted(key)} differ, so its {role} is not known")
    return found[0][1]


def _parsed(role: str, value: object) -> object:
    try:
        return sorted(parse_nums(value)) if role == "nums" else parse_target(value)
    except Refused:
        return None


def _plain_pair(record: Mapping[str, Any]) -> tuple[object, object]:
    names = {_plain(name): name for name in record}
    for nums, target in _PAIRS:
        if nums in names and target in names:
            pair = record[names[nums]], record[names[target]]
            listed, goal = _parsed("nums", pair[0]), _parsed("target", pair[1])
            if isinstance(listed, list) and len(listed) > 1 and goal is not None:
                return pair
    return None, None


def has_puzzle(record: Mapping[str, Any]) -> bool:
    """Whether a row names both, wherever they stand."""
    try:
        return None not in find_pair(record)
    except Refused:
        return True


def typed_keys(schema: pa.Schema, where: str) -> tuple[Key, Key] | None:
    """The one place of each in a typed table, or None where rows must be looked into one by one.

    Raises ``InputError`` when a wanted column is missing or there twice.
    """
    check_names(schema.names, where)
    found = [key for key, _ in _fields(schema)]
    nums, target = ([key for key in found if role_of(key[-1]) == role] for role in WANTED)
    opaque = any(_plain(key[-1]) in _HOLDERS and not pa.types.is_struct(kind) for key, kind in _fields(schema))
    if len(nums) == len(target) == 1 and not opaque:
        return nums[0], target[0]
    if not opaque and not _is_pair(schema.names):
        refuse_missing(found, where, "column ")
    return None


def _fields(fields: Iterable[pa.Field], above: Key = ()) -> Iterator[tuple[Key, pa.DataType]]:
    for field in fields:
        key = (*above, field.name)
        yield key, field.type
        if len(key) < _MAX_DEPTH and pa.types.is_struct(field.type) and _plain(field.name) in _HOLDERS:
            yield from _fields(field.type, key)


def _is_pair(names: Iterable[str]) -> bool:
    plain = {_plain(name) for name in names}
    return any(plain.issuperset(pair) for pair in _PAIRS)


def may_hold(name: str) -> bool:
    """Whether a column of this name has to be read to find a puzzle."""
    plain = _plain(name)
    return plain in _ROLES or plain in _HOLDERS or any(plain in pair for pair in _PAIRS)


def check_names(names: Sequence[str], where: str) -> None:
    """Raise ``InputError`` when a column that would be read is there twice."""
    for name in dict.fromkeys(names):
        if names.count(name) > 1 and (may_hold(name) or name == "id"):
            raise InputError(f"{where} has {names.count(name)} columns '{name}'; remove all but one")


def require_names(names: Sequence[str], where: str) -> None:
    """Raise ``InputError`` when columns of text, whose names are all that is known, cannot hold puzzles."""
    check_names(names, where)
    if not _is_pair(names) and not any(_plain(name) in _HOLDERS for name in names):
        refuse_missing([(name,) for name in names], where, "column ")


def require_rows(records: Iterable[Mapping[str, Any]], where: str, what: str = "") -> None:
    """Raise ``InputError`` when none of the rows has numbers, or none has a target; ``what`` they are keys of."""
    refuse_missing(list(dict.fromkeys(key for record in records for key, _ in _leaves(record))), where, what)


def refuse_missing(found: Sequence[Key], where: str, what: str) -> None:
    """Raise ``InputError`` unless both are among the keys that were ``found``: names those, and the nearest."""
    missing = [role for role in WANTED if not any(role_of(key[-1]) == role for key in found)]
    if not missing:
        return
    names = ", ".join(shown if (shown := _dotted(key)).isprintable() else repr(shown) for key in found)
    hints = [f"'{_dotted(key)}' to '{role}'" for role in missing for key in _nearest(role, found)]
    hint = f": rename {' and '.join(hints)}" if hints else ""
    lacks = f" and no {what}".join(f"'{role}'" for role in missing)
    raise InputError(f"{where} has no {what}{lacks}; it has {names[:200] or 'none'}{hint}")


def _nearest(role: str, found: Sequence[Key]) -> list[Key]:
    by_name = {_plain(key[-1]): key for key in found if role_of(key[-1]) is None}
    close = [name for wanted in _NAMES[role] for name in get_close_matches(wanted, by_name, 1, 0.7)]
    return [by_name[name] for name in close[:1] if _dotted(by_name[name]).isprintable()]


def _dotted(key: Key) -> str:
    return ".".join(key)[:60]
