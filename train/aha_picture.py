"""Curves of the Ahas and behaviours over training, as a picture for light and for dark pages."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib import rc_context

from .pictures import BLUE, GREEN, GREY, ORANGE, pyplot

DARK: dict[Any, Any] = {
    "figure.facecolor": "#16191f",
    "axes.facecolor": "#16191f",
    "savefig.facecolor": "#16191f",
    "text.color": "#d7dbe0",
    "axes.labelcolor": "#d7dbe0",
    "axes.edgecolor": "#737b86",
    "xtick.color": "#d7dbe0",
    "ytick.color": "#d7dbe0",
    "legend.facecolor": "#16191f",
    "grid.color": "#737b86",
}
PURPLE = "#8f63b8"
Line = tuple[str, str, Callable[[Mapping[str, Any]], float | None]]
MAX_TICKS = 8


def _behaviour(name: str) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda model: model["behaviours"][name]["share"]


def _turns(kind: str) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda model: model["turns"][kind]["rate"]


PANELS: tuple[tuple[str, tuple[Line, ...], bool], ...] = (  # title, lines, whether it is a share
    (
        "Completions with a reflective turn",
        (
            ("true Aha", BLUE, lambda model: model["aha_rate"]),
            ("claimed only", ORANGE, lambda model: model["claimed"] / max(model["completions"], 1)),
        ),
        True,
    ),
    (
        "Turns that end in the right answer",
        (("with a cue", BLUE, _turns("with_cue")), ("without a cue", GREY, _turns("without_cue"))),
        True,
    ),
    (
        "Thoughts that show a behaviour",
        (
            ("verification", BLUE, _behaviour("verification")),
            ("backtracking", ORANGE, _behaviour("backtracking")),
            ("sub-goals", GREEN, _behaviour("subgoals")),
            ("backward chaining", PURPLE, _behaviour("backward_chaining")),
        ),
        True,
    ),
    ("Arithmetic that is true", (("claims", GREEN, lambda model: model["behaviours"]["true_share"]),), True),
    ("Attempts per thought", (("different candidates", BLUE, lambda model: model["behaviours"]["attempts"]),), False),
    ("Length of a thought (characters)", (("mean", ORANGE, lambda model: model["behaviours"]["characters"]),), False),
)


def draw_ahas(models: Sequence[Mapping[str, Any]], dark: bool = False) -> bytes:
    """A PNG of six panels over training steps; over the models in turn where their labels name no steps."""
    steps = [model["step"] for model in models]
    by_step = None not in steps and len(set(steps)) == len(steps) > 1
    places = steps if by_step else list(range(len(models)))
    with rc_context(DARK if dark else {}):
        figure, axes = pyplot.subplots(2, 3, figsize=(13, 6.6), layout="constrained")
        for axis, (title, lines, is_share) in zip(axes.flat, PANELS, strict=True):
            _draw(axis, models, places, lines)
            axis.set_title(title, fontsize=11)
            axis.set_ylim(0, 1.02 if is_share and axis.get_ylim()[1] > 0.4 else None)
            axis.set_xlabel("training step" if by_step else "")
            if not by_step:
                _name(axis, [model["label"] for model in models])
        data = io.BytesIO()
        figure.savefig(data, dpi=110, format="png", metadata={"Software": None})
        pyplot.close(figure)
    return data.getvalue()


def _draw(axis: Any, models: Sequence[Mapping[str, Any]], places: Sequence[int], lines: Sequence[Line]) -> None:
    marker = "o" if len(models) <= 20 else "."
    for name, colour, value in lines:
        points = [
            (place, share) for place, model in zip(places, models, strict=True) if (share := value(model)) is not None
        ]
        if points:
            axis.plot(*zip(*points, strict=True), color=colour, marker=marker, linewidth=1.8, label=name)
    if len(lines) > 1 and axis.lines:
        axis.legend(fontsize=8, loc="best")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _name(axis: Any, labels: Sequence[str]) -> None:
    """Some of the labels below the axis. A dollar sign would begin a formula, other scripts have no glyphs here."""
    stride = -(-len(labels) // MAX_TICKS) or 1
    shown = [label.encode("ascii", "replace").decode().replace("$", r"\$")[:20] for label in labels[::stride]]
    axis.set_xticks(range(0, len(labels), stride), shown, rotation=20, ha="right", fontsize=8)
