"""Bad utterances are errors, or are listed."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from jobs.job import JobError
from jobs.skipped import Skipped


def _skipped(skip: bool) -> Skipped:
    return Skipped(where="corpus.jsonl", skip=skip, advice="set on_bad to 'skip'")


def test_an_error_names_each(tmp_path: Path, log: logging.Logger) -> None:
    skipped = _skipped(skip=False)
    skipped.add("a", "found silence")
    skipped.add("b", "found no file")
    expected = (
        "corpus.jsonl: found 2 bad utterances:\n"
        "  a: found silence\n"
        "  b: found no file\n"
        "set on_bad to 'skip'"
    )
    with pytest.raises(JobError) as caught:
        skipped.finish(tmp_path / "skipped.jsonl", 5, log)
    assert str(caught.value) == expected
    assert not (tmp_path / "skipped.jsonl").exists()


def test_an_error_comes_at_the_tenth() -> None:
    skipped = _skipped(skip=False)
    for i in range(9):
        skipped.add(str(i), "found silence")
    with pytest.raises(JobError, match="found at least 10 bad utterances"):
        skipped.add("9", "found silence")


def test_those_skipped_are_listed(tmp_path: Path, log: logging.Logger) -> None:
    skipped = _skipped(skip=True)
    for i in range(20):
        skipped.add(str(i), "found 'ü'")
    skipped.finish(tmp_path / "skipped.jsonl", 21, log)
    rows = (tmp_path / "skipped.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 20
    assert json.loads(rows[3]) == {"utt": "3", "reason": "found 'ü'"}


def test_nothing_left_is_an_error(tmp_path: Path, log: logging.Logger) -> None:
    skipped = _skipped(skip=True)
    skipped.add("a", "found silence")
    with pytest.raises(JobError, match="found all 1 bad utterances"):
        skipped.finish(tmp_path / "skipped.jsonl", 1, log)
