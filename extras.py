"""What an installation lacks, in one line: an optional package, a package of the base, or a part of a package.

Which extra brings a package is read from this distribution's own metadata, as pyproject.toml states it.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from traceback import walk_tb

from .errors import StageError

DISTRIBUTION = "countdown-r1"
TRAINING = ("torch", "transformers", "trl", "accelerate")
SERVING = ("torch", "transformers", "gradio")
_REQUIREMENT = re.compile(r"""([\w.-]+).*\bextra == ["']([\w-]+)""")
_WORD = re.compile(r"\w+")
_LONGEST_REASON = 160


@cache
def extras() -> dict[str, tuple[str, ...]]:
    """The extras that bring each optional package, in the order of pyproject.toml; none for developers.

    >>> extras()["torch"], extras()["bitsandbytes"]
    (('train', 'space'), ('qlora',))
    """
    found: dict[str, tuple[str, ...]] = {}
    for requirement in metadata.requires(DISTRIBUTION) or ():
        if (match := _REQUIREMENT.match(requirement)) and match[2] != "dev":
            found[match[1]] = (*found.get(match[1], ()), match[2])
    return found


def installed(*packages: str) -> bool:
    """Whether all of these can be imported here, without importing them."""
    return all(importlib.util.find_spec(package) is not None for package in packages)


def need(*packages: str, command: str | None = None) -> None:
    """Raise ``StageError`` for the first of these packages that is not installed."""
    for package in packages:
        if not installed(package):
            raise StageError(lacking(package, command))


def lacking(package: str, command: str | None = None) -> str:
    """What to say of an optional package that is not installed; an extra with the command's name comes first."""
    names = extras()[package]
    extra = command if command in names else names[0]
    return f"{package} is not installed: pip install '{DISTRIBUTION}[{extra}]'"


def explained(error: BaseException, command: str | None = None) -> str | None:
    """One line for an error that an import caused; None for any other error, and for one of a user's own file."""
    causes = [one for one in _chain(error) if isinstance(one, ImportError)]
    if not causes or (importer := _importer(error, *causes)) is None:
        return None
    absent = [package for one in causes for package in _named(one) if package in extras() and not installed(package)]
    if absent:
        return lacking(absent[0], command)
    cause, reason = causes[-1], " ".join(str(causes[-1]).split())[:_LONGEST_REASON]
    package = importer if importer != __package__ else (cause.name or "").partition(".")[0]
    if not package or package == __package__:
        return None  # a fault of this program
    if importer == __package__ and isinstance(cause, ModuleNotFoundError):
        return f"{package} is not installed ({reason}): pip install --force-reinstall {DISTRIBUTION}"
    return f"the installed {package} is broken or does not fit ({reason}): pip install --force-reinstall {package}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _named(error: ImportError) -> list[str]:
    """Packages that an import error is about: the one it was looking for, or, without that, all that its text names."""
    return [error.name.partition(".")[0]] if error.name else _WORD.findall(str(error))


def _importer(*errors: BaseException) -> str | None:
    """The package whose code asked for what is not there; None where a file of the user's led to it.

    ``errors``: from the one that was caught to its cause.
    """
    frames = [frame for error in errors for frame, _ in walk_tb(error.__traceback__)]
    modules = [str(frame.f_globals.get("__name__", "")).partition(".")[0] for frame in frames]
    ours = {__package__, "__main__", *sys.stdlib_module_names}
    packages = [name for name in modules if name not in ours or name == __package__]
    distributed = metadata.packages_distributions()
    if not packages or any(name not in distributed and name != __package__ for name in packages):
        return None
    return packages[-1]
