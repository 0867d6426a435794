"""The table of scores."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from jobs.job import JobError
from jobs.score import table
from jobs.score.table import Inputs, Outputs, Params, Row

SCORES: list[dict[str, Any]] = [
    {
        "wer": 12.3456,
        "wer_interval": [9.1, 14.0],
        "substitutions": 100,
        "deletions": 20,
        "insertions": 3,
        "cer": 4.0,
        "ser": 50.0,
        "words": 996,
        "real_time_factor": 0.0514,
    },
    {
        "wer": 0.1,
        "wer_interval": [0.0, 0.3],
        "substitutions": 1,
        "deletions": 0,
        "insertions": 0,
        "cer": 0.01,
        "ser": 1.0,
        "words": 996,
        "real_time_factor": None,
    },
]
ROWS = (
    Row(recipe="commands", system="CTC greedy", set="test", reproduce="snakemake a"),
    Row(recipe="fsdd", system="transducer + LM", set="dev", reproduce="snakemake --cores 8 b"),
)
EXPECTED = """\
recipe    system           set    WER%  95%-interval  sub  del  ins  CER%   SER%  words   RTF
---------------------------------------------------------------------------------------------
commands  CTC greedy       test  12.35    9.10-14.00  100   20    3  4.00  50.00    996  0.05
fsdd      transducer + LM  dev    0.10     0.00-0.30    1    0    0  0.01   1.00    996     -
"""
REPRODUCE = """\
How to reproduce
commands  CTC greedy       test:  snakemake a
fsdd      transducer + LM  dev:   snakemake --cores 8 b
"""


def _table(folder: Path, scores: list[Any], log: logging.Logger) -> str:
    paths = tuple(folder / f"{i}.json" for i in range(len(scores)))
    for path, score in zip(paths, scores, strict=True):
        path.write_text(json.dumps(score), encoding="utf-8")
    outputs = Outputs(table=folder / "wer.txt")
    table.run(Inputs(scores=paths), outputs, Params(rows=ROWS), log)
    return outputs.table.read_text(encoding="utf-8")


def test_the_whole_text(tmp_path: Path, log: logging.Logger) -> None:
    text = _table(tmp_path, SCORES, log)
    assert text.startswith(EXPECTED + "\nWER, CER, SER: ")
    assert text.endswith("\n\n" + REPRODUCE)
    assert max(map(len, text.splitlines())) <= 100


def test_comparisons_stand_below(tmp_path: Path, log: logging.Logger) -> None:
    alone = _table(tmp_path, SCORES, log)
    (tmp_path / "comparison.txt").write_text("Comparison over seed\n", encoding="utf-8")
    inputs = Inputs(
        scores=(tmp_path / "0.json", tmp_path / "1.json"),
        comparisons=(tmp_path / "comparison.txt",),
    )
    table.run(inputs, Outputs(table=tmp_path / "wer.txt"), Params(rows=ROWS), log)
    assert (tmp_path / "wer.txt").read_text() == f"{alone}\nComparison over seed\n"


def test_no_score_is_said() -> None:
    assert table.table([], []).startswith("none of the recipes reports a score; results/<recipe>/")


@pytest.mark.parametrize(("factor", "text"), [(0.0021, "<0.01"), (0.0079, "<0.01"), (1.5, "1.50")])
def test_a_small_time_does_not_vary(
    factor: float, text: str, tmp_path: Path, log: logging.Logger
) -> None:
    row = _table(tmp_path, [{**SCORES[0], "real_time_factor": factor}, SCORES[1]], log)
    assert row.splitlines()[2].split()[-1] == text


def test_bad_input_is_named(tmp_path: Path, log: logging.Logger) -> None:
    with pytest.raises(JobError, match="found 1 scores, needed 2"):
        _table(tmp_path, SCORES[:1], log)
    for wrong in ({"wer": 1.0}, [], {**SCORES[0], "wer": "high"}):
        with pytest.raises(JobError, match=r"1\.json: found no score .*needed a score\.json"):
            _table(tmp_path, [SCORES[0], wrong], log)
