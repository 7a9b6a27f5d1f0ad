"""The measurements of ``countdown-r1 aha`` in words and tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

MAX_PRINTED = 24  # models in the printed tables; the JSON has all of them
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
Model = Mapping[str, Any]
Cell = Callable[[Model], str]


def plain(text: str) -> str:
    """A model's text with control characters and those that reorder a line replaced, so that it shows as it stands."""
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))


def text_report(measured: Mapping[str, Any]) -> str:
    """The measurements as a person reads them in a terminal."""
    if not measured["models"]:
        return "no completions to look at" + "".join(f"\n  {name}: {n:,}" for name, n in measured["notes"].items())
    shown = _spread(measured["models"])
    parts = [
        f"{measured['completions']:,} completions in {measured['source']}",
        *(f"  {count:,} {name}" for name, count in measured["notes"].items()),
        "",
        _table(AHA_COLUMNS, shown),
        *(
            [f"({len(measured['models']) - len(shown)} models between these are in the JSON)"]
            * (shown != measured["models"])
        ),
        "",
        *controls(measured),
        "",
        _table(BEHAVIOUR_COLUMNS, shown),
        "",
        *_examples(measured["moments"]),
    ]
    return "\n".join(parts).rstrip()


def _spread(models: Sequence[Model]) -> Sequence[Model]:
    """All models, or the first, the last and others evenly between them."""
    last = len(models) - 1
    if last < MAX_PRINTED:
        return models
    return [models[round(place * last / (MAX_PRINTED - 1))] for place in range(MAX_PRINTED)]


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _turn_rate(kind: str) -> Cell:
    return lambda model: f"{percent(model['turns'][kind]['rate'])} of {model['turns'][kind]['n']}"


def _mixed(model: Model) -> str:
    """The share of completions that mix languages, by the prompt's."""
    return ", ".join(f"{name} {percent(part['rate'])}" for name, part in model["mixing"].items()) or "-"


def _share(name: str) -> Cell:
    return lambda model: percent(model["behaviours"][name]["share"])


AHA_COLUMNS: dict[str, Cell] = {
    "model": lambda model: model["label"],
    "completions": lambda model: f"{model['completions']:,}",
    "Ahas": lambda model: str(model["solved"]),
    "rate": lambda model: percent(model["aha_rate"]),
    "95% interval": lambda model: f"{percent(model['aha_interval'][0])} to {percent(model['aha_interval'][1])}",
    "claimed only": lambda model: str(model["claimed"]),
    "turns with a cue": _turn_rate("with_cue"),
    "without a cue": _turn_rate("without_cue"),
}
BEHAVIOUR_COLUMNS: dict[str, Cell] = {
    "model": lambda model: model["label"],
    "verify": _share("verification"),
    "backtrack": _share("backtracking"),
    "sub-goals": _share("subgoals"),
    "backward": _share("backward_chaining"),
    "mixed languages": _mixed,
    "true sums": lambda model: percent(model["behaviours"]["true_share"]),
    "attempts": lambda model: f"{model['behaviours']['attempts']:.1f}",
    "characters": lambda model: f"{model['behaviours']['characters']:,.0f}",
    "tokens": lambda model: "-" if model["mean_tokens"] is None else f"{model['mean_tokens']:,.0f}",
}


def _table(columns: Mapping[str, Cell], models: Sequence[Model]) -> str:
    rows = [list(columns), *([cell(model)[:24] for cell in columns.values()] for model in models)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) if not place else cell.rjust(width) for place, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )


def controls(measured: Mapping[str, Any]) -> list[str]:
    """The two controls in words: turns without a cue, and the base model."""
    cued, others = (measured["all_turns"][kind] for kind in ("with_cue", "without_cue"))
    lines = [
        f"Turns that end in the right answer: {_of(cued)} with a cue, {_of(others)} without one."
        + _verdict(cued["interval"], others["interval"])
    ]
    base = next((model for model in measured["models"] if model["label"] == measured["base"]), None)
    if base is None:
        return [*lines, "There is no base model among these: what of it was there before training cannot be said."]
    last = next(model for model in reversed(measured["models"]) if model is not base)
    return [
        *lines,
        f"Ahas per completion: {percent(base['aha_rate'])} in {base['label']}, {percent(last['aha_rate'])} in "
        f"{last['label']}." + _verdict(last["aha_interval"], base["aha_interval"]),
    ]


def _of(counts: Mapping[str, Any]) -> str:
    return f"{counts['solved']:,} of {counts['n']:,} ({percent(counts['rate'])})"


def _verdict(one: Sequence[float], other: Sequence[float]) -> str:
    """Cautious: only intervals that do not overlap are called a difference."""
    if one[0] > other[1] or one[1] < other[0]:
        return " That is a difference: the 95% intervals do not overlap."
    return " The 95% intervals overlap, so this shows no difference."


def _examples(moments: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    latest = moments[::-1]  # of the last models first
    true, false = ([one for one in latest if one["solved"] is kind][:2] for kind in (True, False))
    for title, chosen in (("True ones:", true), ("Claimed only:", false)):
        if chosen:
            yield title
        for one in chosen:
            excerpt = " / ".join(plain(one["excerpt"]).split("\n"))
            yield f"  {one['checkpoint']}, puzzle {one['test_id']}: {excerpt}"
            facts = [one["why"], *one["notes"], *(f"not given: {n}" for n in one["not_given"])]
            if any(facts):
                yield f"    {plain('; '.join(fact for fact in facts if fact))[:200]}"
