"""The card's two pictures: puzzles by target and level, and by number of solutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

TARGETS_NAME, SOLUTIONS_NAME = "targets.png", "solutions.png"
_COLOURS = ("#2d8659", "#2f6db3", "#c96f1e", "#8e3b8a")
_MOST_BARS = 91
_MOST_SOLUTIONS = 20


def draw_plots(puzzles: pa.Table, folder: Path) -> None:
    """Write both pictures into ``folder``."""
    level = puzzles["level"].to_numpy()
    _draw_targets(puzzles["target"].to_numpy(), level, folder / TARGETS_NAME)
    _draw_solutions(puzzles["n_solutions"].to_numpy(), level, folder / SOLUTIONS_NAME)


def _draw_targets(target: np.ndarray, level: np.ndarray, path: Path) -> None:
    low, high = int(target.min()), int(target.max())
    width = -(-(high - low + 1) // _MOST_BARS)
    edges = np.arange(low, high + width + 1, width) - 0.5
    _draw_stacks(target, level, edges, ("Target", "Puzzles by target and level"), path)


def _draw_solutions(n_solutions: np.ndarray, level: np.ndarray, path: Path) -> None:
    edges = np.arange(1, _MOST_SOLUTIONS + 2) - 0.5
    title = f"Puzzles by number of really different solutions ({_MOST_SOLUTIONS}: so many or more)"
    _draw_stacks(np.minimum(n_solutions, _MOST_SOLUTIONS), level, edges, ("Solutions", title), path)


def _draw_stacks(values: np.ndarray, level: np.ndarray, edges: np.ndarray, words: tuple[str, str], path: Path) -> None:
    """Bars of ``values`` between ``edges``, stacked by level."""
    figure = Figure(figsize=(9, 3.4))
    figure.subplots_adjust(left=0.08, right=0.98, top=0.9, bottom=0.24)  # laying it out by itself takes twice as long
    axis: Axes = figure.subplots()
    below = np.zeros(len(edges) - 1)
    for its in np.unique(level).tolist():
        counts, _ = np.histogram(values[level == its], edges)
        axis.stairs(below + counts, edges, baseline=below, fill=True, color=_COLOURS[its], label=f"level {its}")
        below += counts
    axis.set(xlabel=words[0], ylabel="Puzzles", xlim=(edges[0], edges[-1]), ylim=(0, None))
    axis.set_title(words[1], fontsize=11)
    axis.legend(ncols=4, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.16))
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100, metadata={"Software": None})
