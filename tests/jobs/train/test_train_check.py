"""What a training would leave out, or fail for, is told without one."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import CTC, LABELS, Task, write_sequences

from jobs.job import JobError
from jobs.train import check
from jobs.train.check import Inputs, Outputs, Params
from returnn_lite.hdf import HdfReader


def run(task: Task, folder: Path, long: int, **params: Any) -> list[dict[str, str]]:
    """Check the task, of which some targets are too long; return what is left out."""
    with HdfReader(task.targets("train")) as reader:
        targets = {tag: reader.read(i) for i, tag in enumerate(reader.tags)}
    for utt in list(targets)[:long]:
        targets[utt] = np.full(50, 2)
    given = task.train_inputs(train_targets=write_sequences(folder / "t.hdf", targets, LABELS))
    names = ("train", "dev", "train_targets", "dev_targets", "statistics")
    inputs = Inputs(**{name: getattr(given, name) for name in names})
    outputs = Outputs(skipped=folder / "skipped.jsonl")
    check.run(inputs, outputs, Params(network=CTC, **params), logging.getLogger("job"))
    return [json.loads(line) for line in outputs.skipped.read_text("utf-8").splitlines()]


def test_data_that_fit(task: Task, tmp_path: Path) -> None:
    assert run(task, tmp_path, 0) == []


def test_what_does_not_fit_is_an_error(task: Task, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="found 2 of 48 sequences with more labels than frames"):
        run(task, tmp_path, 2)
    assert not (tmp_path / "skipped.jsonl").exists()


def test_what_does_not_fit_is_listed(task: Task, tmp_path: Path) -> None:
    found = run(task, tmp_path, 1, on_long_targets="skip")
    reason = "found 18 frames after pooling, needed 99 for its labels"
    assert found == [{"utt": "train-0", "reason": reason}]
