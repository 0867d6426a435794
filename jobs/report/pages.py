"""The pages: one of each recipe, and an index of them; each a file that needs no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import jinja2

from jobs.files import written
from jobs.job import JobError
from jobs.report import layers
from jobs.report.attention import maps
from jobs.report.curves import curves, tuned
from jobs.report.evidence import Evidence, Grid, System
from jobs.report.media import uri
from jobs.report.systems import Reader, Set
from jobs.report.times import plots
from jobs.report.utterances import shown
from jobs.score.significance import Comparison

INDEX = "index.html"
FREQUENT = 25  # rows of a table of errors
COMPARED = 12  # systems of a set, the best ones
LEVEL = 0.05
MARK = '<meta name="generator" content="returnn-lite report">'
MINUS = "\N{MINUS SIGN}"


def write_pages(found: Sequence[Evidence], folder: Path) -> list[Path]:
    """Write the index and the pages of recipes; return their paths, the index first.

    Pages of other recipes, which an earlier report left there, are removed.
    Raises JobError for files that are not what stages write, and where pages cannot be written.
    """
    reader = Reader()
    pages = {INDEX: _render("index.html", index_content(found, reader))}
    for evidence in found:
        content = recipe_content(evidence, reader)
        pages[evidence.page] = _render(
            "recipe.html", content, back="../" * evidence.page.count("/")
        )
    try:
        for name, text in pages.items():
            with written(folder / name) as tmp:
                tmp.write_text(text, "utf-8")
        _remove_others([folder / name for name in pages if name != INDEX])
    except OSError as error:
        where = error.filename or folder
        raise JobError(
            f"{where}: cannot write: {error.strerror}; try another folder, or make room"
        ) from None
    return [folder / name for name in pages]


def _remove_others(ours: Sequence[Path]) -> None:
    """Remove what other reports left beside our pages: the index leads there no more."""
    for folder in {path.parent for path in ours}:
        for path in folder.glob("*.html"):
            with path.open(encoding="utf-8", errors="replace") as text:
                left = MARK in text.read(1000)
            if left and path not in ours:
                path.unlink()


def recipe_content(evidence: Evidence, reader: Reader) -> dict[str, Any]:
    """Return what the page of a recipe shows."""
    sets = reader.sets(evidence.systems)
    trainings = [c for t in evidence.trainings if (c := curves(t))]
    return {
        "evidence": evidence,
        "scores": reader.scores(evidence.systems),
        "comparison": evidence.comparison and _comparison(evidence.comparison),
        "sets": [_set_content(s) for s in sets],
        "trainings": trainings,
        "tunings": [chart for t in evidence.tunings if (chart := tuned(t))],
        "plots": plots(evidence.times),
        "attention": [m for a in evidence.attention for m in maps(a)],
        "drawing": layers.draw({s.name: s.reads for s in evidence.stages}),
        "by_name": {s.name: s for s in evidence.stages},
    }


def _comparison(of: Grid) -> dict[str, str] | None:
    """Return the comparison of a grid, as text and as a picture; None before it is there."""
    if not of.table.is_file():
        return None
    plot = of.plot if of.plot and of.plot.is_file() else None
    picture = uri("image/svg+xml", plot.read_bytes()) if plot else ""
    return {"text": of.table.read_text("utf-8"), "picture": picture}


def _set_content(whole: Set) -> dict[str, Any]:
    """Return what is shown of a set: of many systems, the best ones."""
    of = whole if len(whole.systems) <= COMPARED else whole.best(COMPARED)
    kinds = ("substitutions", "deletions", "insertions")
    return {
        "set": of,
        "left_out": len(whole.systems) - len(of.systems),
        "comparisons": of.comparisons(),
        "frequent": {kind: rows for kind in kinds if (rows := of.frequent(kind, FREQUENT))},
        "shown": shown(of),
    }


def index_content(found: Sequence[Evidence], reader: Reader) -> dict[str, Any]:
    """Return what the index shows."""
    systems = [s for evidence in found for s in evidence.systems]
    return {
        "recipes": [(evidence, _best(evidence, reader)) for evidence in found],
        "pages": {evidence.name: evidence.page for evidence in found},
        "scores": reader.scores(systems),
        "matrices": [_matrix(of) for of in reader.sets(systems) if len(of.systems) > 1],
    }


def _best(evidence: Evidence, reader: Reader) -> dict[str, float]:
    """Return the lowest word error rate of each set."""
    rates: dict[str, float] = {}
    for system, score in reader.scores(evidence.systems):
        if score is not None:
            rates[system.set] = min(score["wer"], rates.get(system.set, score["wer"]))
    return rates


def _matrix(of: Set) -> dict[str, Any]:
    """Return the comparisons of the best systems of a set: how a row differs from a column."""
    best = of.best(COMPARED)
    cells: dict[tuple[int, int], Comparison] = {}
    for (column, row), (_, _, comparison) in zip(
        combinations(range(len(best.systems)), 2), best.comparisons(), strict=True
    ):
        cells[row, column] = comparison
        cells[column, row] = comparison.turned
    return {"set": best, "cells": cells, "left_out": len(of.systems) - len(best.systems)}


def _render(template: str, content: Mapping[str, Any], back: str = "") -> str:
    """Return a page; back: the way from it to the index."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jobs.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals = {
        "mark": MARK,
        "most": _most,
        "significant": lambda c: c.p is not None and c.p < LEVEL,
        "p_text": _p_text,
        "signed": _signed,
        "now": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return environment.get_template(template).render(content, back=back)


def _most(scores: Sequence[tuple[System, Mapping[str, Any] | None]]) -> float:
    """Return the right end of the scale of error rates: a round percentage above all intervals."""
    end = max((score["wer_interval"][1] for _, score in scores if score is not None), default=0)
    return next((x for x in (1, 2, 5, 10, 20, 50, 100) if x >= end), end)


def _p_text(p: float | None) -> str:
    if p is None:
        return "too few"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _signed(value: float) -> str:
    """Return a difference with its sign; none for what rounds to zero."""
    text = f"{value:+.2f}".replace("-", MINUS)
    return text if text.strip(f"+{MINUS}0.") else "0.00"
