"""Compare the scores of a grid: mean and deviation over seeds, as a table and as a plot."""

from __future__ import annotations

import json
import logging
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.files import written
from jobs.job import JobError, Resources, file
from jobs.score.table import columns, read_score

NAME = "score.compare"
VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was scored. values: axis -> label, of the axes that it depends on."""

    system: str
    set: str
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """scores: score.json of each row."""

    scores: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """table: plain text. numbers: JSON of the same. plot: SVG, a panel for each system and set."""

    table: Path = file("comparison.txt")
    numbers: Path = file("comparison.json")
    plot: Path = file("comparison.svg")


@dataclass(frozen=True, kw_only=True)
class Params:
    """rows: one for each of the scores, in the same order. over: axes that means are taken over."""

    rows: tuple[Row, ...]
    over: tuple[str, ...] = ("seed",)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that differ in the axes over which means are taken. rates: WER of each, in percent."""

    system: str
    set: str
    values: Mapping[str, str]
    rates: Sequence[float]

    @property
    def mean(self) -> float:
        """The mean of the rates."""
        return statistics.mean(self.rates)

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the sample (n - 1); of a single run there is none."""
        return statistics.stdev(self.rates) if len(self.rates) > 1 else None


def resources(params: Params) -> Resources:
    return Resources(mem_mb=500, minutes=5)


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Write table, numbers and plot. Raises JobError for rows and scores of different number."""
    from jobs.score.comparison_plot import plot

    if len(inputs.scores) != len(params.rows):
        raise JobError(f"{NAME}: found {len(inputs.scores)} scores, needed {len(params.rows)}")
    found = groups(params.rows, [read_score(path)["wer"] for path in inputs.scores], params.over)
    with written(outputs.table) as tmp:
        tmp.write_text(table(found, params.over), encoding="utf-8")
    with written(outputs.numbers) as tmp:
        rows = [{**vars(g), "mean": g.mean, "deviation": g.deviation} for g in found]
        tmp.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with written(outputs.plot) as tmp:
        tmp.write_bytes(plot(found))
    log.info("%d runs at %d points", len(params.rows), len(found))


def groups(rows: Iterable[Row], rates: Iterable[float], over: Sequence[str]) -> list[Group]:
    """Return the groups in the order of systems and sets, and within these of the rows."""
    found: dict[tuple[Any, ...], list[float]] = {}
    for row, rate in zip(rows, rates, strict=True):
        values = tuple((axis, label) for axis, label in row.values.items() if axis not in over)
        found.setdefault((row.system, row.set, values), []).append(rate)
    kinds = list(dict.fromkeys(key[:2] for key in found))
    return [
        Group(system=key[0], set=key[1], values=dict(key[2]), rates=found[key])
        for key in sorted(found, key=lambda key: kinds.index(key[:2]))
    ]


def table(found: Sequence[Group], over: Sequence[str]) -> str:
    """Return the table as text; the lowest mean of each system and set has a star."""
    axes = list(dict.fromkeys(axis for group in found for axis in group.values))
    least = {(g.system, g.set): min(o.mean for o in found if _alike(o, g)) for g in found}
    head = ["system", "set", *axes, "WER%", "", "deviation", "runs", "best", "worst"]
    cells = [head]
    for g in found:
        star = "*" if g.mean == least[g.system, g.set] else ""
        deviation = "-" if g.deviation is None else f"{g.deviation:.2f}"
        numbers = [f"{g.mean:.2f}", star, deviation, str(len(g.rates))]
        ends = [f"{rate:.2f}" for rate in (min(g.rates), max(g.rates))]
        cells.append([g.system, g.set, *(g.values.get(a, "-") for a in axes), *numbers, *ends])
    lines = columns(cells, left=2 + len(axes))
    names = f" over {', '.join(over)}" if over else ""
    means = f"mean{names}. deviation: standard deviation of the single runs (n - 1)."
    legend = (
        f"WER%: {means if over else 'of one run each.'}\n* the lowest of its system and set."
        " -: the axis does not change it, or one run only."
    )
    title = f"Comparison{names}"
    rule = "-" * max(map(len, lines))
    return "\n".join([title, "", lines[0], rule, *lines[1:], "", legend, ""])


def _alike(one: Group, other: Group) -> bool:
    return (one.system, one.set) == (other.system, other.set)
