"""Pictures of attention weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jobs.job import JobError
from jobs.report.attention import maps
from jobs.report.evidence import Attention, Evidence
from jobs.report.media import picture_uri


def test_a_map_of_each_head(small: Evidence, tmp_path: Path) -> None:
    (found,) = maps(small.attention[0])
    assert (found.stage, found.utt, found.head, found.frames) == ("look", "a", 1, 3)
    assert found.labels == ["x", "<y>"]
    assert found.picture == picture_uri(np.array([[1, 0, 0], [0, 0.5, 0.5]]))
    path = tmp_path / "attention.jsonl"
    path.write_text('{"utt": "b", "labels": ["x"], "weights": [[[1, 0]], [[0, 1]]]}\n')
    assert [m.head for m in maps(Attention(stage="s", weights=path))] == [1, 2]


def test_labels_with_other_ends_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "attention.jsonl"
    path.write_text('{"utt": "b", "labels": ["a\u2028b"], "weights": [[[1, 0]]]}\n', "utf-8")
    assert [m.labels for m in maps(Attention(stage="s", weights=path))] == [["a\u2028b"]]


def test_what_is_not_there_yet(tmp_path: Path) -> None:
    assert maps(Attention(stage="s", weights=tmp_path / "none")) == []


@pytest.mark.parametrize(
    "line", ["{}", "x", '{"utt": "b", "labels": ["x", "y"], "weights": [[[1, 0]]]}']
)
def test_lines_that_are_no_weights(line: str, tmp_path: Path) -> None:
    path = tmp_path / "attention.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(
        JobError, match=r"attention.jsonl:1: found no weights \(.*\), needed a line"
    ):
        maps(Attention(stage="s", weights=path))
