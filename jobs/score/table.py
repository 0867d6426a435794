"""The table of scores: one row per recipe, system and set, and how to reproduce each."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.files import written
from jobs.job import JobError, Resources, file

NAME = "score.table"
VERSION = 2

NAMES = ["recipe", "system", "set"]
NUMBERS = ["WER%", "95%-interval", "sub", "del", "ins", "CER%", "SER%", "words", "RTF"]
LEGEND = """\
WER, CER, SER: word, character and sentence error rate. 95%-interval: of the WER, by bootstrap over
sentences (Bisani and Ney 2004). sub, del, ins: words substituted, deleted, inserted. words: in the
references. RTF: seconds of search for a second of audio; score.json has more digits.
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a score belongs to, and the command that makes it."""

    recipe: str
    system: str
    set: str
    reproduce: str


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """scores: score.json of each row. comparisons: tables of score.compare, to stand below."""

    scores: tuple[Path, ...]
    comparisons: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """table: plain text."""

    table: Path = file("wer.txt")


@dataclass(frozen=True, kw_only=True)
class Params:
    """rows: one for each of the scores, in the same order."""

    rows: tuple[Row, ...]


def resources(params: Params) -> Resources:
    return Resources(mem_mb=500, minutes=5)


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Write the table. Raises JobError for rows and scores of different number, or no score."""
    if len(inputs.scores) != len(params.rows):
        raise JobError(f"{NAME}: found {len(inputs.scores)} scores, needed {len(params.rows)}")
    text = table(params.rows, [read_score(path) for path in inputs.scores])
    text = "\n".join([text, *(path.read_text(encoding="utf-8") for path in inputs.comparisons)])
    with written(outputs.table) as tmp:
        tmp.write_text(text, encoding="utf-8")
    log.info("%d rows", len(params.rows))


def read_score(path: Path) -> dict[str, Any]:
    """Read a score.json of `score.wer`. Raises JobError for anything else."""
    try:
        score: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _cells(Row(recipe="", system="", set="", reproduce=""), score)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JobError(f"{path}: found no score ({error!r}), needed a score.json") from None
    return score


def table(rows: Sequence[Row], scores: Sequence[dict[str, Any]]) -> str:
    """Return the table as text: names to the left, numbers to the right of their columns."""
    cells = [
        NAMES + NUMBERS,
        *(_cells(row, score) for row, score in zip(rows, scores, strict=True)),
    ]
    lines = columns(cells, left=len(NAMES))
    rule = "-" * max(map(len, lines))
    names = [[row.recipe, row.system, f"{row.set}:", row.reproduce] for row in rows]
    if not rows:
        return "none of the recipes reports a score; results/<recipe>/<stage> has what was made\n"
    parts = [lines[0], rule, *lines[1:], "", LEGEND, "How to reproduce", *columns(names, left=4)]
    return "\n".join(parts) + "\n"


def _cells(row: Row, score: dict[str, Any]) -> list[str]:
    low, high = score["wer_interval"]
    counts = [str(score[key]) for key in ("substitutions", "deletions", "insertions")]
    rtf = score["real_time_factor"]
    return [
        row.recipe,
        row.system,
        row.set,
        f"{score['wer']:.2f}",
        f"{low:.2f}-{high:.2f}",
        *counts,
        f"{score['cer']:.2f}",
        f"{score['ser']:.2f}",
        str(score["words"]),
        "-" if rtf is None else _seconds(rtf),
    ]


def _seconds(value: float) -> str:
    """Return a time with the digits that another run has, too: all else in the table repeats."""
    return "<0.01" if value < 0.01 else f"{value:.2f}"


def columns(cells: Sequence[Sequence[str]], left: int) -> list[str]:
    """Return aligned lines; the first columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for line in cells:
        padded = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines
