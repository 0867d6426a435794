"""Reading hypotheses."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.job import JobError
from jobs.score.hypotheses import read_hypotheses


def test_best_texts(tmp_path: Path) -> None:
    path = tmp_path / "hyp.jsonl"
    path.write_text('{"utt": "b", "text": "ü", "nbest": []}\n{"utt": "a", "text": ""}\n', "utf-8")
    assert list(read_hypotheses(path).items()) == [("b", "ü"), ("a", "")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"utt": "b"}', r"hyp\.jsonl:2: not a hypothesis \(KeyError: 'text'\)"),
        ('{"utt": ', r"hyp\.jsonl:2: not a hypothesis \(JSONDecodeError"),
        ("[]", r"hyp\.jsonl:2: not a hypothesis \(TypeError"),
        ('{"utt": "a", "text": ""}', r"hyp\.jsonl:2: hypothesis of 'a' is there twice"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "hyp.jsonl"
    path.write_text('{"utt": "a", "text": "x"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(JobError, match=message):
        read_hypotheses(path)
