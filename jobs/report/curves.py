"""Learning curves: the scores of trainings by epoch, also of those that still run."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.job import JobError
from jobs.report.chart import Chart, Series, chart
from jobs.report.evidence import Training, Tuning

Scores = list[dict[str, float]]


@dataclass(frozen=True)
class Curves:
    """Charts of a training; running: whether epochs are still to come."""

    stage: str
    epochs: int
    running: bool
    charts: Sequence[Chart]


def curves(training: Training) -> Curves | None:
    """Return the charts of a training; None before its first epoch is done."""
    scores, running = _scores(training)
    if not scores:
        return None

    def series(name: str, key: str, factor: float = 1.0) -> Series:
        rows = enumerate(scores, 1)
        return Series(name, [(e, factor * row[key]) for e, row in rows if _number(row.get(key))])

    losses = [series("train", "train_loss"), series("dev", "dev_loss")]
    found = [
        chart("loss per label", "epoch", losses),
        chart("errors on dev, % of labels", "epoch", [series("dev", "dev_error", 100.0)]),
    ]
    return Curves(training.stage, len(scores), running, [c for c in found if c])


def tuned(tuning: Tuning) -> Chart | None:
    """Return the word error rates of the values that search.tune tried; None before it is done."""
    if not tuning.table.is_file():
        return None
    head, *lines = tuning.table.read_text("utf-8").splitlines()
    points = []
    for number, line in enumerate(lines, 2):
        if not (found := re.fullmatch(r"\s*(\S+)\s+(\S+)\s*", line)):
            raise JobError(f"{tuning.table}:{number}: found {line!r}, needed a value and its WER")
        points.append((float(found[1]), float(found[2])))
    name = head.split()[0]
    return chart(f"{tuning.stage}: WER, %", name, [Series("WER %", sorted(points))])


def _number(value: Any) -> bool:
    return isinstance(value, int | float)


def _scores(training: Training) -> tuple[Scores, bool]:
    """Return the scores by epoch, and whether there will be more."""
    if training.scores.is_file():
        return _read(training.scores, None), False
    if training.progress.is_file():
        return _read(training.progress, "scores"), True
    return [], False


def _read(path: Path, key: str | None) -> Scores:
    try:
        found: Any = json.loads(path.read_text("utf-8"))
        rows: Scores = found if key is None else found[key]
        return [dict(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JobError(
            f"{path}: found no scores ({error!r}), needed those of train.network"
        ) from None
