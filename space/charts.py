"""Line charts as SVG: text that scales, follows the page's colours in light and dark, and needs no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 260, 180, 40, 14, 12, 40


class Point(NamedTuple):
    """A value at a step, and the interval it is sure to; both bounds are the value where there is none."""

    step: float
    value: float
    low: float
    high: float


class _Scale(NamedTuple):
    steps: tuple[float, float]
    top: float

    def x(self, step: float) -> float:
        first, last = self.steps
        return _LEFT + (step - first) / max(last - first, 1e-9) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self.top * (_HEIGHT - _TOP - _BOTTOM)


def line_chart(title: str, points: Sequence[Point], step_word: str, *, percent: bool = False) -> str:
    """A chart with its title as caption; the values are in the text for those who cannot see it."""
    if not points:
        return ""
    top = 1.0 if percent else _round_up(max(point.high for point in points))
    scale = _Scale((points[0].step, points[-1].step), top)
    told = ", ".join(
        f"{point.step:g}: {_shown(point.value, percent)}" for point in points[:: max(len(points) // 12, 1)]
    )
    band = " ".join(f"{scale.x(p.step):.1f},{scale.y(p.high):.1f}" for p in points)
    band += " " + " ".join(f"{scale.x(p.step):.1f},{scale.y(p.low):.1f}" for p in reversed(points))
    line = " ".join(f"{scale.x(p.step):.1f},{scale.y(p.value):.1f}" for p in points)
    dots = "".join(
        f'<circle class="dot" cx="{scale.x(p.step):.1f}" cy="{scale.y(p.value):.1f}" r="3.5"/>'
        for p in (points if len(points) <= 20 else [])
    )
    return (
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(f"{title}. {told}")}">'
        f'{_grid(scale, percent)}<polygon class="band" points="{band}"/><polyline class="line" points="{line}"/>{dots}'
        f'<text class="axis" x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 6}">{escape(step_word)}</text>'
        "</svg></figure>"
    )


def _grid(scale: _Scale, percent: bool) -> str:
    parts: list[str] = []
    for quarter in range(5):
        value = scale.top * quarter / 4
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}">{_shown(value, percent)}</text>')
    for step in scale.steps:
        parts.append(f'<text class="step" x="{scale.x(step):.1f}" y="{_HEIGHT - _BOTTOM + 16}">{step:g}</text>')
    return "".join(parts)


def _shown(value: float, percent: bool) -> str:
    return f"{value:.0%}" if percent else f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.2g}"


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 8 times a power of ten, so that quarters of it are round."""
    power = 1.0
    while power * 8 < value:
        power *= 10
    while power / 10 * 8 >= value > 0:
        power /= 10
    return next((factor * power for factor in (1, 2, 4, 8) if factor * power >= value), 8 * power)
