"""The folder of a model."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from jobs.job import JobError
from jobs.train.model import Model


def test_it_has_all_that_a_search_needs(ctc: Path) -> None:
    files = sorted(p.name for p in (ctc / "model").iterdir())
    assert files == [
        "checkpoint.data-00000-of-00001",
        "checkpoint.index",
        "model.json",
        "statistics.json",
    ]


def test_without_statistics_nothing_is_normalised(ctc: Path, tmp_path: Path) -> None:
    shutil.copytree(ctc / "model", tmp_path / "model")
    (tmp_path / "model" / "statistics.json").unlink()
    assert Model.load(tmp_path / "model").statistics is None


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, "FileNotFoundError"),
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ('{"network": {}}', "KeyError('extern_data')"),
    ],
)
def test_a_folder_that_has_none(tmp_path: Path, content: str | None, error: str) -> None:
    if content is not None:
        (tmp_path / "model.json").write_text(content)
    message = re.escape(f"{tmp_path}: found no model ({error}") + r".*needed a folder that train\."
    with pytest.raises(JobError, match=message):
        Model.load(tmp_path)
