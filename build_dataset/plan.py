"""What to verify of the tables that were found, and what is wrong with their columns and with the set of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa

from ..errors import InputError
from ..game.split import SPLITS
from .comparison import Comparison
from .files import kind_of
from .keys import WANTED, Key, typed_keys
from .layout import split_rank
from .origin import Origin, named
from .prompt import Template
from .proof import can_be_id, can_be_label
from .puzzles import LABELS
from .report import Report
from .schema import BARE, CHATML, schema
from .source import is_text
from .tables import Table


@dataclass(frozen=True)
class Plan:
    """``solve``: tables in the order of the splits; ``compare``: all that the rest takes."""

    solve: Sequence[Table]
    compare: Sequence[Comparison]


def plan_for_ours(tables: Sequence[Table], origin: Origin, report: Report) -> Plan:
    """One table of each split is solved, every other one compared with it."""
    tables = sorted(named(tables, origin.templates), key=lambda table: _rank(table, origin.templates))
    _take_stock(tables, report)
    problems = {table: list(_schema_problems(table)) for table in tables}
    for table, whats in problems.items():
        for what in whats:
            report.findings.add(table.name, "schema", what)
    solve, compare = [], []
    for split in sorted({table.split for table in tables}, key=split_rank):
        its = [table for table in tables if table.split == split and _can_be_solved(table)]
        lead = next((table for table in its if not problems[table]), its[0] if its else None)
        if lead is not None:
            solve.append(lead)
            compare += [_comparison(table, lead, origin, report) for table in its]
    _add_gaps(tables, report)
    return Plan(solve, [its for its in compare if its.lead is not None or its.template is not None])


def _rank(table: Table, templates: Mapping[str, Template]) -> tuple[bool, int, str, int]:
    """Chat configs before ChatML ones, languages in the templates' order, then the splits'."""
    language, names = table.config.removesuffix(CHATML), list(templates)
    place = names.index(language) if language in names else len(names)
    return table.config.endswith(CHATML), place, table.config, split_rank(table.split)[0]


def _take_stock(tables: Sequence[Table], report: Report) -> None:
    for table in tables:
        report.tables[table.name] = table.rows or 0
        if table.rows == 0:
            report.findings.add(table.name, "no rows", "has no rows")


def _schema_problems(table: Table) -> Iterator[str]:
    expected, found = schema(table.config), table.schema
    if found is None:
        yield f"is {kind_of(table.files[0])[1:]}, not parquet"
        return
    for name in expected.names:
        if name not in found.names:
            yield f"column '{name}' is missing"
        elif found.names.count(name) > 1:
            yield f"column '{name}' is there {found.names.count(name)} times"
        elif not table.has(name, expected.field(name).type):
            yield f"column '{name}' is {str(found.field(name).type)[:80]}, not {expected.field(name).type}"
    for name in dict.fromkeys(found.names):
        if name not in expected.names:
            yield f"column {name[:60]!r} is not part of the schema"


def _can_be_solved(table: Table) -> bool:
    expected = schema(BARE)
    return bool(table.rows) and all(table.has(name, expected.field(name).type) for name in ("nums", "target"))


def _comparison(table: Table, lead: Table, origin: Origin, report: Report) -> Comparison:
    if table is not lead and table.rows != lead.rows:
        what = f"has {table.rows:,} rows, {lead.name} has {lead.rows:,}"
        report.findings.add(table.name, "configs differ", what)
    template = origin.templates.get(table.config.removesuffix(CHATML))
    if template is None and "prompt" in table.columns:
        report.findings.add(table.name, "no template", "no template of this language is known to compare prompts with")
    return Comparison(table, None if table is lead else lead, template if "prompt" in table.columns else None)


def _add_gaps(tables: Sequence[Table], report: Report) -> None:
    """Splits that only some configs have, and names that are no split."""
    there = {(table.config, table.split) for table in tables}
    for config, split in dict.fromkeys((config, split) for config, _ in there for _, split in there):
        if (config, split) not in there:
            report.findings.add(f"{config}/{split}", "configs differ", "is missing, other configs have it")
    for table in tables:
        if table.split not in SPLITS:
            report.findings.add(table.name, "wrong split", f"'{table.split}' is none of {', '.join(SPLITS)}")
        elif not table.has_split:
            report.notes.append(f"{table.name}: its name tells no split, so the split rule was not checked")


def plan_for_others(tables: Sequence[Table], report: Report) -> Plan:
    """Every table with puzzles is solved."""
    tables = sorted(tables, key=lambda table: (table.config, split_rank(table.split)))
    _take_stock(tables, report)
    solve = []
    for table in tables:
        if table.schema is None or _has_puzzles(table, report):
            solve.append(table)
        _add_label_notes(table, report)
    return Plan([table for table in solve if table.rows != 0], [])


def _has_puzzles(table: Table, report: Report) -> bool:
    """Whether numbers and target are there and might be whole numbers; what else they are is a problem."""
    if table.schema is None:
        return False
    try:
        keys = typed_keys(table.schema, table.name)
    except InputError as error:
        report.findings.add(table.name, "schema", str(error).removeprefix(f"{table.name} "))
        return False
    found = [_has_numbers(table, table.schema, *its, report) for its in zip(keys or (), WANTED, strict=False)]
    return all(found)  # rows are looked into one by one where no column is known


def _has_numbers(table: Table, schema: pa.Schema, key: Key, name: str, report: Report) -> bool:
    kind = reduce(lambda inside, part: inside.field(part).type, key[1:], schema.field(key[0]).type)
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    inner = kind.value_type if is_list else kind
    fits = is_list == (name == "nums")
    if not (fits and pa.types.is_integer(inner)):
        wanted = "a list of whole numbers" if name == "nums" else "whole numbers"
        what = f"column '{'.'.join(key)}' is {str(kind)[:80]}, not {wanted}"
        report.findings.add(table.name, "schema", what)
    is_number = pa.types.is_integer(inner) or pa.types.is_floating(inner) or is_text(inner)
    return (fits and is_number) or is_text(kind)


def _add_label_notes(table: Table, report: Report) -> None:
    if table.schema is None:
        return
    absent = [name for name in LABELS if name not in table.columns]
    if absent:
        report.notes.append(f"{table.name}: no {', '.join(absent)} to compare with the solver's")
    for name in (name for name in LABELS if name not in absent):
        kind = table.schema.field(name).type
        if not can_be_label(name, kind):
            report.notes.append(f"{table.name}: column '{name}' is {str(kind)[:80]} and was not compared")
    if "id" in table.columns and not can_be_id(table.schema.field("id").type):
        report.notes.append(
            f"{table.name}: column 'id' is {str(table.schema.field('id').type)[:80]} and was not checked"
        )
