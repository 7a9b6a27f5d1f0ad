"""What says where on whose computer something ran, taken out of what becomes public.

A path keeps its last part: what follows is the file's own name, and nothing before it means anything elsewhere.
Addresses on the web, fractions, tags and relative paths that stay below the current folder are not touched.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

# Keys that say where on whose machine something ran.
_PRIVATE_KEYS = {"path", "host", "hostname", "cwd"}
_PART = r"[^\s/\\\"'`<>|*?:,;()\[\]{}]+"
_LETTER = r"[A-Za-z]:[\\/]+"  # a Windows drive
_BEGIN = rf"(?:file:(?:/{{2}}(?:localhost)?(?=/|{_LETTER}))?/*)?(?:~[\w.-]*[\\/]|(?:\.\.[\\/])+|{_LETTER}|\\\\+(?=\w))"
# An absolute path has two parts or more: one slash alone is written in too many texts that are no paths.
_PATH = re.compile(
    rf"(?:(?<![\w./\\~<)*}}\]-])|(?<=\\[nrt]))(?:{_BEGIN}(?:{_PART}[\\/]+)*|(?:file:(?://(?:localhost)?)?)?/(?!/)(?:{_PART}/+)+)({_PART})?[\\/]?"
)
# A path with spaces in it is known by its quotes, or by filling a line of YAML.
_ROOT = rf"(?:file:/|~[\w.-]*[\\/]|\.\.[\\/]|/(?![/\s])|{_LETTER}|\\\\)"
_QUOTED = re.compile(rf"(?<=[\"'`])({_ROOT}[^\"'`\n]*[\\/][^\"'`\n]*)(?=[\"'`])")
_YAML_LINE = re.compile(rf"(?m)(?<=: )({_ROOT}[^\"'`\n:<>,;]*[\\/][^\"'`\n:<>,;]*)$")
_WHOLE = re.compile(rf"{_ROOT}.*", re.DOTALL)
_HOMES = {"home", "Users", "homes"}
_SETTING = re.compile(r"(-{0,2}[\w.-]+=)?(.*)", re.DOTALL)


def without_places(value: Any, run: Path | None = None) -> Any:
    """A JSON value without the keys and the parts of texts that say where on whose machine it was made."""
    if isinstance(value, dict):
        kept = {key: inner for key, inner in value.items() if key not in _PRIVATE_KEYS}
        typed = isinstance(kept.get("command"), str)
        command = {"command": command_without_places(kept["command"], run)} if typed else {}
        return {without_paths(key, run): without_places(inner, run) for key, inner in kept.items()} | command
    if isinstance(value, list | tuple):
        return [without_places(inner, run) for inner in value]
    return _text(value, run) if isinstance(value, str) else value


def _text(value: str, run: Path | None) -> str:
    """A whole value may be a path with spaces in it: then a slash follows its first space."""
    spaced = re.search(r"[\\/]", value.partition(" ")[2]) and not re.search(r"[\n\"]", value)
    return without_paths(f'"{value}"', run)[1:-1] if spaced else without_paths(value, run)


def without_paths(text: str, run: Path | None = None) -> str:
    """A text in which the run's folder reads ``outputs/NAME`` and any other path of one computer only its last part.

    >>> without_paths("/somewhere/bin/countdown-r1 evaluate /elsewhere/demo/model", Path("/elsewhere/demo"))
    'countdown-r1 evaluate outputs/demo/model'
    >>> without_paths("read ~/puzzles/two.jsonl, https://example.com/a/b, 1/2/3 and outputs/demo")
    'read two.jsonl, https://example.com/a/b, 1/2/3 and outputs/demo'
    """
    text = _run_named(text, run)
    for spaced in (_QUOTED, _YAML_LINE):
        text = spaced.sub(lambda match: _last_part(match[1]) if " " in match[1] else match[1], text)
    return _PATH.sub(lambda match: _last_part(match[0]), text)


def command_without_places(command: str, run: Path | None = None) -> str:
    """A shell command in which every path of one computer keeps its last part, whatever characters it is made of.

    >>> command_without_places("countdown-r1 build-dataset --source '/tmp/my puzzles/two.jsonl' --out=../ds")
    'countdown-r1 build-dataset --source two.jsonl --out=ds'
    """
    try:
        words = shlex.split(command)
    except ValueError:  # a quote without its end: no shell's words
        return without_paths(command, run)
    return shlex.join(_word(word, run) for word in words)


def _word(word: str, run: Path | None) -> str:
    """One word of a command: a path as a whole, ``--option=PATH`` or ``section.key=PATH``, or a text."""
    match = _SETTING.fullmatch(_run_named(word, run))
    assert match is not None
    name, value = match[1] or "", match[2]
    climbs = ".." in re.split(r"[\\/]", value)
    return name + (_last_part(value) if climbs or _WHOLE.fullmatch(value) else without_paths(value))


def _run_named(text: str, run: Path | None) -> str:
    """``text`` with the run's folder under the name by which a publication calls it."""
    return re.sub(rf"{re.escape(str(run))}(?![\w.-])", lambda _: f"outputs/{run.name}", text) if run else text


def _last_part(path: str) -> str:
    """The name at the end of a path; that of somebody's home folder says who it is and is not told."""
    parts = [part for part in re.split(r"[\\/]+", path) if part not in ("", ".", "..", "~")]
    if len(parts) > 1 and parts[-2] in _HOMES:
        return "~"
    return parts[-1] if parts else ".."
