"""The plot of a comparison: means with deviations, and the single runs, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from jobs.report.chart import ticks

if TYPE_CHECKING:
    from jobs.score.compare import Group

WIDTH, HEIGHT = 460, 260  # of a panel without its legend, in pixels, at least
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 30, 44
CHARACTER, ROW = 7, 16  # of a text: width, at most in the mean, and from one line to the next
SAMPLE = 24  # of a line, in the legend
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("", "6 3", "2 2", "8 3 2 3")  # where there are more series than colours
NONE = "-"  # where an axis changes nothing
SHIFT = 7  # pixels from one series to the next, at most, so that their bars do not cover each other


@dataclass(frozen=True)
class Panel:
    """What one system had on one set. x_axis: goes to the right, by its labels; series: by name."""

    title: str
    x_axis: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[Group]]

    @property
    def width(self) -> int:
        """Without the legend, in pixels."""
        longest = max(map(len, self.labels))
        title = LEFT + CHARACTER * len(self.title)
        return max(WIDTH, title, LEFT + RIGHT + len(self.labels) * CHARACTER * (longest + 1))

    @property
    def legend(self) -> int:
        """The width of the legend in pixels."""
        return SAMPLE + 3 * RIGHT + CHARACTER * max(map(len, self.series))

    @property
    def height(self) -> int:
        """In pixels: that of the legend, if that is longer."""
        return max(HEIGHT, TOP + ROW * (len(self.series) + 1))


def plot(groups: Sequence[Group]) -> bytes:
    """Return an SVG with a panel for each system and set.

    To the right goes the axis with the most values, of equals the first; the others are lines of
    their own. Bars reach one deviation up and down; circles are the single runs.
    """
    found: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        found.setdefault((group.system, group.set), []).append(group)
    panels = [_panel(f"WER % of {s}, {name}", of) for (s, name), of in found.items()]
    width = max((p.width + p.legend for p in panels), default=WIDTH)
    size = {"width": str(width), "height": str(sum(p.height for p in panels))}
    root = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size})
    root.attrib |= {"font-family": "sans-serif", "font-size": "12"}
    ElementTree.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "white"})
    top = 0
    for panel in panels:
        _draw(ElementTree.SubElement(root, "g", {"transform": f"translate(0,{top})"}), panel)
        top += panel.height
    ElementTree.indent(root)
    drawn: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return drawn + b"\n"


def _panel(title: str, groups: Sequence[Group]) -> Panel:
    """Return what one system had on one set."""
    labels: dict[str, dict[str, None]] = {}
    for group in groups:
        for axis, label in group.values.items():
            labels.setdefault(axis, {})[label] = None
    x_axis = max(labels, key=lambda axis: len(labels[axis]), default="")
    series: dict[str, list[Group]] = {}
    for group in groups:
        others = [f"{a}={label}" for a, label in group.values.items() if a != x_axis]
        series.setdefault(" ".join(others), []).append(group)
    places = dict.fromkeys(group.values.get(x_axis, NONE) for group in groups)
    return Panel(title, x_axis, list(places), series)


def _draw(parent: ElementTree.Element, panel: Panel) -> None:
    """Draw a panel."""
    groups = [group for found in panel.series.values() for group in found]
    right, bottom = panel.width - RIGHT, panel.height - BOTTOM
    width = (right - LEFT) / len(panel.labels)
    x_of = {label: LEFT + width * (i + 0.5) for i, label in enumerate(panel.labels)}
    ends = [e for g in groups for d in [g.deviation or 0.0] for e in (g.mean - d, g.mean + d)]
    ends += [rate for group in groups for rate in group.rates]
    levels = ticks(max(0.0, min(ends)), max(ends), 5)

    def y_of(rate: float) -> float:
        return bottom - (rate - levels[0]) / (levels[-1] - levels[0]) * (bottom - TOP)

    _text(parent, LEFT, TOP - 12, panel.title, weight="bold")
    for level in levels:
        _line(parent, (LEFT, y_of(level)), (right, y_of(level)), "#dddddd")
        _text(parent, LEFT - 6, y_of(level) + 4, f"{level:g}", anchor="end")
    for label, x in x_of.items():
        _text(parent, x, bottom + 16, label, anchor="middle")
    _text(parent, (LEFT + right) / 2, panel.height - 10, panel.x_axis, anchor="middle")
    shift = min(SHIFT, 0.8 * width / len(panel.series))
    for number, (name, found) in enumerate(panel.series.items()):
        colour = COLOURS[number % len(COLOURS)]
        dashes = DASHES[number // len(COLOURS) % len(DASHES)]
        aside = shift * (number - (len(panel.series) - 1) / 2)
        points = [(x_of[g.values.get(panel.x_axis, NONE)] + aside, g) for g in found]
        _series(parent, [(x, y_of(g.mean), _marks(g, y_of)) for x, g in points], colour, dashes)
        if name:
            x, y = panel.width + RIGHT, TOP + ROW * number
            _line(parent, (x, y), (x + SAMPLE, y), colour, dashes)
            _text(parent, x + SAMPLE + 6, y + 4, name, colour=colour)


def _marks(group: Group, y_of: Callable[[float], float]) -> Mapping[str, list[float]]:
    """Return where the ends of the bar of a group are, and its single runs."""
    deviation = group.deviation or 0.0
    bar = [y_of(group.mean - deviation), y_of(group.mean + deviation)]
    return {"bar": bar, "runs": [y_of(rate) for rate in group.rates]}


def _series(
    parent: ElementTree.Element,
    points: Sequence[tuple[float, float, Mapping[str, list[float]]]],
    colour: str,
    dashes: str,
) -> None:
    """Draw a line through means, their bars, and circles of single runs."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    style = {"points": path, "fill": "none", "stroke": colour, "stroke-width": "1.5"}
    style |= {"stroke-dasharray": dashes} if dashes else {}
    ElementTree.SubElement(parent, "polyline", style)
    for x, y, marks in points:
        low, high = marks["bar"]
        _line(parent, (x, low), (x, high), colour)
        for end in (low, high):
            _line(parent, (x - 3, end), (x + 3, end), colour)
        for run in marks["runs"]:
            _circle(parent, x, run, 2.0, {"fill": "none", "stroke": colour, "opacity": "0.6"})
        _circle(parent, x, y, 3.5, {"fill": colour})


def _circle(
    parent: ElementTree.Element, x: float, y: float, radius: float, style: Mapping[str, str]
) -> None:
    place = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{radius:g}"}
    ElementTree.SubElement(parent, "circle", {**place, **style})


def _line(
    parent: ElementTree.Element,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str,
    dashes: str = "",
) -> None:
    (x, y), (x2, y2) = start, end
    ends = {"x1": f"{x:.1f}", "y1": f"{y:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    style = {"stroke": colour, **({"stroke-dasharray": dashes} if dashes else {})}
    ElementTree.SubElement(parent, "line", {**ends, **style})


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
