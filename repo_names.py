"""Which names of repositories the Hub takes (huggingface.co: ``Names.ts``; huggingface_hub: ``validate_repo_id``)."""

from __future__ import annotations

import re
from pathlib import Path

from .errors import InputError

MAX_NAME_CHARS = 96
ALLOWED = f"letters, digits, '-', '_' and '.', at most {MAX_NAME_CHARS}, none of '-.' at an end, no '--' and no '..'"
_PART = re.compile(rf"\w(?:[\w.-]{{0,{MAX_NAME_CHARS - 2}}}\w)?", re.ASCII)
_NEVER = re.compile(r"--|\.\.|\.(?:git|ipynb)$", re.IGNORECASE)


def is_name(name: str) -> bool:
    """Whether the Hub takes it for a repository, or for a user or an organisation.

    >>> is_name("Countdown-r1-zero"), is_name("my run"), is_name("a--b"), is_name("run.git")
    (True, False, False, False)
    """
    return bool(_PART.fullmatch(name)) and not _NEVER.search(name)


def is_repo_id(repo_id: str) -> bool:
    """Whether it is NAMESPACE/NAME as the Hub takes it."""
    namespace, slash, name = repo_id.partition("/")
    return bool(slash) and is_name(namespace) and is_name(name)


def check_namespace(namespace: str) -> None:
    """Raise ``InputError`` for what is no user and no organisation, such as a whole repository id."""
    if not is_name(namespace):
        fix = "name a user or an organisation alone, such as --push-to me"
        raise InputError(f"'{namespace}' is no namespace of the Hub ({ALLOWED}): {fix}")


def check_repo_id(repo_id: str, fix: str) -> None:
    """Raise ``InputError`` for a name that the Hub would refuse; ``fix`` is what the user can do about it."""
    if not is_repo_id(repo_id):
        what = "" if "/" in repo_id else "a repository is NAMESPACE/NAME; "
        raise InputError(f"the Hub takes no repository '{repo_id}' ({what}{ALLOWED}): {fix}")


def run_name(model: Path, recipe_name: str) -> str:
    """What publishing will call the run whose ``model/`` this is: its folder's name; the recipe's for another folder.

    >>> run_name(Path("outputs/mine/model"), "demo"), run_name(Path("weights"), "demo")
    ('mine', 'demo')
    """
    place = model.resolve()
    return place.parent.name if place.name == "model" else recipe_name
