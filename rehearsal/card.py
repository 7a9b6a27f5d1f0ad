"""Cards: the YAML in front, and the Markdown rendered so that it cannot run anything.

Raw HTML in a card is shown as text, links may not be scripts (markdown-it's own check), relative images and
links point at the repository's files, and an image from elsewhere becomes a link, so that looking at a card
asks no other server for anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import yaml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from markupsafe import Markup, escape

MAX_CARD_CHARS = 500_000
_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_BROKEN = (yaml.YAMLError, ValueError, RecursionError)  # ValueError: an integer of thousands of digits
_COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def split(card: str) -> tuple[str | None, str]:
    """The YAML between the first two ``---`` lines (None without them) and the Markdown after it."""
    found = _FRONT.match(card[:MAX_CARD_CHARS])
    return (found[1], card[found.end() : MAX_CARD_CHARS]) if found else (None, card[:MAX_CARD_CHARS])


def card_data(card: str) -> dict[str, Any]:
    """The YAML as a mapping; empty when there is none or it is broken."""
    try:
        values = _plain(read_yaml(split(card)[0] or ""))
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _plain(value: object) -> Any:
    """The same value in JSON's own types; what JSON cannot hold becomes text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    finite = isinstance(value, float) and math.isfinite(value)
    return value if value is None or finite or isinstance(value, str | int) else str(value)


class _Loader(yaml.SafeLoader):
    """Without aliases (a few lines of them can stand for gigabytes), with dates left as text, fit for JSON, and with
    each key once, of which YAML would silently take the last."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed in a card")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := [name for name in names if names.count(name) > 1]:
            raise yaml.YAMLError(f"the key {twice[0]!r} stands there twice")
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)


def read_yaml(text: str) -> Any:
    """The value of a card's YAML. Raises ``ValueError`` of one line."""
    try:
        return yaml.load(text, _Loader)
    except _BROKEN as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def validate_card(card: str, repo_type: str) -> tuple[list[str], list[str]]:
    """Errors and warnings, as the Hub's ``validate-yaml`` gives them before an upload.

    Spaces: the keys of https://huggingface.co/docs/hub/spaces-config-reference that stop a Space when wrong.
    """
    front, _ = split(card)
    if front is None or not front.strip():
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        values = read_yaml(front)
    except ValueError as error:
        return [f"YAML metadata is not valid: {error}"], []
    if not isinstance(values, dict):
        return ["YAML metadata is not a mapping of keys to values"], []
    return (_space_errors(values) if repo_type == "space" else _repo_errors(values)), []


def _repo_errors(values: dict[str, Any]) -> list[str]:
    errors = [f'"{key}" must be a text or a list of texts' for key in ("license", "language", "datasets", "base_model")
              if key in values and not _is_texts(values[key])]  # fmt: skip
    if "tags" in values and not (isinstance(values["tags"], list) and _is_texts(values["tags"])):
        errors.append('"tags" must be a list of texts')
    return errors


def _is_texts(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _space_errors(values: dict[str, Any]) -> list[str]:
    errors = [f'"{key}" must be one of {", ".join(sorted(_COLOURS))}' for key in ("colorFrom", "colorTo")
              if key in values and values[key] not in _COLOURS]  # fmt: skip
    if values.get("sdk") not in ("gradio", "docker", "static"):
        errors.append('"sdk" must be one of gradio, docker, static')
    if "sdk_version" in values and not re.fullmatch(r"\d+\.\d+\.\d+\w*", str(values["sdk_version"])):
        errors.append('"sdk_version" must be a full version such as 6.31.0')
    if len(str(values.get("short_description", ""))) > 60:
        errors.append('"short_description" must be at most 60 characters')
    return errors


def rows(values: dict[str, Any]) -> list[tuple[str, str]]:
    """The front matter for a table: lists of plain values with commas, anything deeper as YAML."""
    return [(key, _cell(value)) for key, value in values.items()]


def _cell(value: object) -> str:
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return ", ".join(map(str, value))
    return yaml.safe_dump(value, allow_unicode=True, sort_keys=False) if isinstance(value, list | dict) else str(value)


def rendered(card: str, files_url: str) -> Markup:
    """The Markdown of a card as HTML. ``files_url`` is put before relative links, and ends in ``/``."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    markdown.add_render_rule("image", _image)
    markdown.add_render_rule("link_open", _link_open)
    return Markup(markdown.render(split(card)[1], {"files_url": files_url}))


def _link_open(self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
    target = _target(str(tokens[at].attrs.get("href", "")), env["files_url"])
    return f'<a href="{escape(target)}" rel="noopener noreferrer nofollow">'


def _image(self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
    token = tokens[at]
    source = _target(str(token.attrs.get("src", "")), env["files_url"])
    alt = escape(self.renderInlineAsText(token.children, options, env))
    if source.startswith(env["files_url"]):
        return f'<img src="{escape(source)}" alt="{alt}" loading="lazy">'
    return f'<a href="{escape(source)}" rel="noopener noreferrer nofollow">[image: {alt}]</a>'


def _target(address: str, files_url: str) -> str:
    """An address, a path on this server or an anchor as it is; a relative path below the repository's files."""
    try:
        parts = urlsplit(address)
    except ValueError:  # such as http://[
        return "#"
    if parts.scheme or parts.netloc or address.startswith(("/", "#")):
        return address
    names = [name for name in parts.path.split("/") if name not in ("", ".", "..")]
    return files_url + quote("/".join(names), safe="/%")
