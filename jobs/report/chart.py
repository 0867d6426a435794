"""Charts of lines: where axes, ticks, lines and points are; a template draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 440, 240
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 34


@dataclass(frozen=True)
class Series:
    """A line: its name, and its points (x, y)."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Mark:
    """A tick or a point at a place of the chart in pixels, and its text."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Line:
    """A line as a path of SVG, and its points."""

    name: str
    path: str
    marks: Sequence[Mark]


@dataclass(frozen=True)
class Chart:
    """A chart in pixels."""

    title: str
    x_label: str
    x_ticks: Sequence[Mark]
    y_ticks: Sequence[Mark]
    lines: Sequence[Line]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def chart(title: str, x_label: str, series: Sequence[Series]) -> Chart | None:
    """Return a chart of lines; None where there is no point. What is not finite is left out."""
    finite = [Series(s.name, [p for p in s.points if all(map(math.isfinite, p))]) for s in series]
    drawn = [s for s in finite if s.points]
    if not drawn:
        return None
    xs = [x for s in drawn for x, _ in s.points]
    ys = [y for s in drawn for _, y in s.points]
    x_ticks, y_ticks = ticks(min(xs), max(xs), 6, whole=True), ticks(min(0, *ys), max(ys), 5)

    def x_at(x: float) -> float:
        low, high = min(xs), max(xs)
        part = (x - low) / (high - low) if high > low else 0.5
        return round(LEFT + 8 + part * (WIDTH - RIGHT - LEFT - 16), 1)

    def y_at(y: float) -> float:
        low, high = y_ticks[0], max(y_ticks[-1], max(ys))
        return round(HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - BOTTOM - TOP), 1)

    lines = []
    for s in drawn:
        marks = [
            Mark(x_at(x), y_at(y), f"{s.name}: {y:.4g} at {x_label} {x:g}") for x, y in s.points
        ]
        path = "M" + "L".join(f"{m.x},{m.y}" for m in marks)
        lines.append(Line(s.name, path, marks))
    return Chart(
        title,
        x_label,
        [Mark(x_at(x), HEIGHT - BOTTOM, f"{x:g}") for x in x_ticks],
        [Mark(LEFT, y_at(y), f"{y:g}") for y in y_ticks],
        lines,
    )


def ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[float]:
    """Return round values from low to high, at most so many, and, unless whole, one beyond high.

    whole: only those within, and no fractions where low and high are whole numbers.
    """
    if high <= low:
        high = low + (1.0 if low == 0 else abs(low))
        if whole:
            return [low]
    step = _step((high - low) / most)
    if whole and low == int(low) and high == int(high):
        step = max(step, 1.0)
    first = math.ceil(low / step - 1e-9) if whole else math.floor(low / step + 1e-9)
    last = math.floor(high / step + 1e-9) if whole else math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _step(least: float) -> float:
    """Return the next of 1, 2, 5, 10, ... that is not below a value."""
    power: float = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))
