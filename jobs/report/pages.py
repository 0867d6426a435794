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
from jobs.report.evidence import Evidence, System
from jobs.report.systems import Set, read_scores, read_sets
from jobs.report.times import plots
from jobs.report.utterances import shown
from jobs.score.significance import Comparison

INDEX = "index.html"
FREQUENT = 25  # rows of a table of errors
COMPARED = 12  # systems of a set, the best ones
LEVEL = 0.05
MINUS = "\N{MINUS SIGN}"


def write_pages(found: Sequence[Evidence], folder: Path) -> list[Path]:
    """Write the index and the pages of recipes; return their paths, the index first.

    Raises JobError for files that are not what stages write, and where pages cannot be written.
    """
    pages = {INDEX: _render("index.html", index_content(found))}
    for evidence in found:
        content = recipe_content(evidence)
        pages[evidence.page] = _render(
            "recipe.html", content, back="../" * evidence.page.count("/")
        )
    try:
        for name, text in pages.items():
            with written(folder / name) as tmp:
                tmp.write_text(text, "utf-8")
    except OSError as error:
        where = error.filename or folder
        raise JobError(
            f"{where}: cannot write: {error.strerror}; try another folder, or make room"
        ) from None
    return [folder / name for name in pages]


def recipe_content(evidence: Evidence) -> dict[str, Any]:
    """Return what the page of a recipe shows."""
    sets = read_sets(evidence.systems)
    trainings = [c for t in evidence.trainings if (c := curves(t))]
    return {
        "evidence": evidence,
        "scores": read_scores(evidence.systems),
        "sets": [_set_content(s) for s in sets],
        "trainings": trainings,
        "tunings": [chart for t in evidence.tunings if (chart := tuned(t))],
        "plots": plots(evidence.times),
        "attention": [m for a in evidence.attention for m in maps(a)],
        "drawing": layers.draw({s.name: s.reads for s in evidence.stages}),
        "by_name": {s.name: s for s in evidence.stages},
    }


def _set_content(of: Set) -> dict[str, Any]:
    kinds = ("substitutions", "deletions", "insertions")
    return {
        "set": of,
        "comparisons": (of if len(of.systems) <= COMPARED else of.best(COMPARED)).comparisons(),
        "frequent": {kind: rows for kind in kinds if (rows := of.frequent(kind, FREQUENT))},
        "shown": shown(of),
    }


def index_content(found: Sequence[Evidence]) -> dict[str, Any]:
    """Return what the index shows."""
    systems = [s for evidence in found for s in evidence.systems]
    return {
        "recipes": [(evidence, _best(evidence)) for evidence in found],
        "pages": {evidence.name: evidence.page for evidence in found},
        "scores": read_scores(systems),
        "matrices": [_matrix(of) for of in read_sets(systems) if len(of.systems) > 1],
    }


def _best(evidence: Evidence) -> dict[str, float]:
    """Return the lowest word error rate of each set."""
    rates: dict[str, float] = {}
    for system, score in read_scores(evidence.systems):
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
