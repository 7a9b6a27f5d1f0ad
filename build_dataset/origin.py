"""Whose dataset it is: what its manifest or its columns promise beyond bare puzzles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path, PurePosixPath

import pyarrow as pa

from .. import manifest
from ..errors import StageError
from .comparison import differing, whole
from .files import kind_of
from .prompt import LANGUAGES, Template, chatml_column, load_template, messages_column
from .report import Findings
from .schema import BARE, CHATML, schema
from .tables import Table, batches

_SCHEMAS = ("en", f"en{CHATML}", BARE)


@dataclass(frozen=True)
class Origin:
    """What a dataset says about itself.

    ``base`` is the folder that its files are named from; ``templates`` are the shipped ones and the manifest's own;
    ``is_imported``: ids are those of another dataset; ``files``: hashes by name, None without a manifest.
    """

    base: Path
    templates: Mapping[str, Template]
    is_imported: bool = False
    files: Mapping[str, str] | None = None


def origin_of(root: Path, findings: Findings) -> Origin:
    """The origin of a folder or file: its own manifest, or the one of the dataset that it is a part of."""
    shipped = {language: load_template(language) for language in LANGUAGES}
    folder = root if root.is_dir() else root.parent
    for base in (folder, folder.parent):
        written = _manifest(base, findings if base == root else Findings())
        if written is None or not (base == root or _is_part(root, base, written.files)):
            continue
        own = _own_templates(written.settings.get("templates"), findings)
        return Origin(base, shipped | own, bool(written.settings.get("source")), written.files)
    return Origin(folder, shipped)


def _manifest(folder: Path, findings: Findings) -> manifest.Manifest | None:
    """The manifest of a dataset in ``folder``; one that is damaged is a problem, anyone else's is none of ours."""
    path = folder / manifest.FILE_NAME
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.get("stage") != "dataset":
            return None
        written = manifest.read(folder)
    except (ValueError, RecursionError) as error:
        findings.add(path.name, "manifest", f"is not valid JSON ({error})")
    except (StageError, TypeError, OSError) as error:
        findings.add(path.name, "manifest", f"cannot be used: {str(error).removeprefix(f'{path} ')}")
    else:
        if isinstance(written.files, dict) and isinstance(written.settings, dict):
            return written
        findings.add(path.name, "manifest", "cannot be used: 'files' and 'settings' are objects")
    return None


def _is_part(root: Path, base: Path, files: Mapping[str, str]) -> bool:
    name = root.relative_to(base).as_posix()
    return any(listed == name or listed.startswith(f"{name}/") for listed in files)


def _own_templates(values: object, findings: Findings) -> dict[str, Template]:
    names = sorted(one.name for one in fields(Template))
    found: dict[str, Template] = {}
    for language, words in values.items() if isinstance(values, dict) else ():
        if isinstance(words, dict) and sorted(words) == names and all(isinstance(its, str) for its in words.values()):
            found[language] = Template(**words)
        else:
            findings.add(manifest.FILE_NAME, "manifest", f"template '{language}' is not one")
    return found


def is_ours(tables: Sequence[Table]) -> bool:
    """Whether any table has exactly the columns of one of our configs."""
    return any(table.schema is not None and table.schema.equals(schema(name)) for table in tables for name in _SCHEMAS)


def check_files(origin: Origin, root: Path, is_local: bool, tables: Sequence[Table]) -> tuple[Findings, int]:
    """Compare files below ``root`` with the manifest's hashes: what is wrong, and how many are equal.

    Of a dataset that was downloaded only the data is here; otherwise everything that is listed should be.
    """
    findings, equal = Findings(), 0
    for name, digest in (origin.files or {}).items():
        path = origin.base / name
        if not (is_local or kind_of(path)):
            continue
        if ".." in PurePosixPath(name).parts or not (path == root or path.is_relative_to(root)):
            continue
        if path.is_file():
            same = manifest.sha256(path) == digest
            equal += same
            if not same:
                findings.add(name, "file changed", "differs from its hash in manifest.json")
        else:
            findings.add(name, "file missing", "is listed in manifest.json and is missing")
    for path in (path for table in tables for path in table.files):
        name = path.relative_to(origin.base).as_posix()
        if origin.files is not None and name not in origin.files:
            findings.add(name, "file unlisted", "is not listed in manifest.json")
    return findings, equal


def named(tables: Sequence[Table], templates: Mapping[str, Template]) -> list[Table]:
    """The tables with the configs that their columns and first prompts tell, where no folder names one."""
    known = {BARE, *templates, *(language + CHATML for language in templates)}
    found: dict[str, str] = {}
    for table in tables:
        if table.config not in known and found.get(table.config, table.config) not in known:
            found[table.config] = _told_config(table, templates)
    return [replace(table, config=found.get(table.config, table.config)) for table in tables]


def _told_config(table: Table, templates: Mapping[str, Template]) -> str:
    if "prompt" not in table.columns:
        return BARE
    is_chatml = table.has("prompt", pa.string())
    suffix = CHATML if is_chatml else ""
    columns = ["nums", "target", "prompt"]
    if all(table.has(name, schema(f"en{suffix}").field(name).type) for name in columns):
        render = chatml_column if is_chatml else messages_column
        for row in islice(batches(table, columns, 1, Findings()), 1):
            nums, target, prompt = (whole(row[name]) for name in columns)
            for language, template in templates.items():
                if not differing(prompt, render(template, nums, target)).any():
                    return language + suffix
    return table.config.removesuffix(CHATML) + suffix
