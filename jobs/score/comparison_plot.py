"""The plot of a comparison: means with deviations, and the single runs, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from jobs.report.chart import ticks

if TYPE_CHECKING:
    from jobs.score.compare import Group

WIDTH, HEIGHT = 460, 260  # of a panel, in pixels
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 30, 44
LEGEND = 240
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
NONE = "-"  # where an axis changes nothing
SHIFT = 7  # pixels from one series to the next, so that their bars do not cover each other


def plot(groups: Sequence[Group]) -> bytes:
    """Return an SVG with a panel for each system and set.

    To the right goes the axis with the most values, of equals the first; the others are lines of
    their own colour. Bars reach one deviation up and down; circles are the single runs.
    """
    panels: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        panels.setdefault((group.system, group.set), []).append(group)
    size = {"width": str(WIDTH + LEGEND), "height": str(HEIGHT * len(panels))}
    root = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size})
    root.attrib |= {"font-family": "sans-serif", "font-size": "12"}
    ElementTree.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "white"})
    for number, ((system, name), found) in enumerate(panels.items()):
        shift = {"transform": f"translate(0,{number * HEIGHT})"}
        _panel(ElementTree.SubElement(root, "g", shift), f"WER % of {system}, {name}", found)
    ElementTree.indent(root)
    drawn: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return drawn + b"\n"


def _panel(parent: ElementTree.Element, title: str, groups: Sequence[Group]) -> None:
    """Draw what one system had on one set."""
    labels: dict[str, dict[str, None]] = {}
    for group in groups:
        for axis, label in group.values.items():
            labels.setdefault(axis, {})[label] = None
    x_axis = max(labels, key=lambda axis: len(labels[axis]), default="")
    places = list(dict.fromkeys(group.values.get(x_axis, NONE) for group in groups))
    width = (WIDTH - LEFT - RIGHT) / len(places)
    x_of = {label: LEFT + width * (i + 0.5) for i, label in enumerate(places)}
    ends = [e for g in groups for d in [g.deviation or 0.0] for e in (g.mean - d, g.mean + d)]
    ends += [rate for group in groups for rate in group.rates]
    levels = ticks(max(0.0, min(ends)), max(ends), 5)
    bottom = HEIGHT - BOTTOM

    def y_of(rate: float) -> float:
        return bottom - (rate - levels[0]) / (levels[-1] - levels[0]) * (bottom - TOP)

    _text(parent, LEFT, TOP - 12, title, weight="bold")
    for level in levels:
        _line(parent, LEFT, y_of(level), WIDTH - RIGHT, y_of(level), "#dddddd")
        _text(parent, LEFT - 6, y_of(level) + 4, f"{level:g}", anchor="end")
    for label, x in x_of.items():
        _text(parent, x, bottom + 16, label, anchor="middle")
    _text(parent, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_axis, anchor="middle")
    series: dict[str, list[Group]] = {}
    for group in groups:
        others = [f"{a}={label}" for a, label in group.values.items() if a != x_axis]
        series.setdefault(" ".join(others), []).append(group)
    for number, (name, found) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        aside = SHIFT * (number - (len(series) - 1) / 2)
        points = [(x_of[g.values.get(x_axis, NONE)] + aside, g) for g in found]
        _series(parent, [(x, y_of(g.mean), _marks(g, y_of)) for x, g in points], colour)
        _text(parent, WIDTH + 14, TOP + 16 * number + 4, name, colour=colour)


def _marks(group: Group, y_of: Callable[[float], float]) -> Mapping[str, list[float]]:
    """Return where the ends of the bar of a group are, and its single runs."""
    deviation = group.deviation or 0.0
    bar = [y_of(group.mean - deviation), y_of(group.mean + deviation)]
    return {"bar": bar, "runs": [y_of(rate) for rate in group.rates]}


def _series(
    parent: ElementTree.Element,
    points: Sequence[tuple[float, float, Mapping[str, list[float]]]],
    colour: str,
) -> None:
    """Draw a line through means, their bars, and circles of single runs."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    style = {"points": path, "fill": "none", "stroke": colour, "stroke-width": "1.5"}
    ElementTree.SubElement(parent, "polyline", style)
    for x, y, marks in points:
        low, high = marks["bar"]
        _line(parent, x, low, x, high, colour)
        for end in (low, high):
            _line(parent, x - 3, end, x + 3, end, colour)
        for run in marks["runs"]:
            _circle(parent, x, run, 2.0, {"fill": "none", "stroke": colour, "opacity": "0.6"})
        _circle(parent, x, y, 3.5, {"fill": colour})


def _circle(
    parent: ElementTree.Element, x: float, y: float, radius: float, style: Mapping[str, str]
) -> None:
    place = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{radius:g}"}
    ElementTree.SubElement(parent, "circle", {**place, **style})


def _line(
    parent: ElementTree.Element, x: float, y: float, x2: float, y2: float, colour: str
) -> None:
    ends = {"x1": f"{x:.1f}", "y1": f"{y:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    ElementTree.SubElement(parent, "line", {**ends, "stroke": colour})


def _text(
    parent: ElementTree.Element,
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    colour: str = "black",
    weight: str = "normal",
) -> None:
    style = {"text-anchor": anchor, "fill": colour, "font-weight": weight}
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}"}
    ElementTree.SubElement(parent, "text", {**place, **style}).text = text
