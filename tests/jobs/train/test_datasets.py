"""Sequence files as a dataset, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import DIM, LABELS, Task, train, write_sequences

from jobs.job import JobError
from jobs.train.datasets import open_dataset
from jobs.train.network import Inputs, Params
from jobs.train.training import dataset
from returnn_lite.datasets.dataset import Stream
from returnn_lite.engine.options import TrainOptions
from returnn_lite.hdf import HdfReader

NETWORK = {"output": {"class": "copy"}}


def test_features_are_normalised_and_targets_joined_by_name(task: Task) -> None:
    params = Params(network=NETWORK, options=TrainOptions(epochs=1))
    data = dataset(task.features("train"), task.targets("train"), task.train_inputs(), params)
    assert data.tags[:2] == ["train-0", "train-1"] and len(data.tags) == 48
    read = [data.read(i) for i in range(48)]
    frames = np.concatenate([r["data"] for r in read])
    np.testing.assert_allclose(frames.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(frames[:, [0, 2, 3]].std(0), 1, atol=1e-5)
    with HdfReader(task.targets("train")) as reader:
        np.testing.assert_array_equal(read[5]["classes"], reader.read(5))


def test_the_end_is_put_behind_labels_and_before_them_as_delayed(tmp_path: Path) -> None:
    path = write_sequences(tmp_path / "a.hdf", {"u": np.array([3, 2]), "v": np.array([4])}, LABELS)
    params = Params(network=NETWORK, options=TrainOptions(epochs=1), end_label=0)
    data = dataset(path, None, Inputs(train=path, dev=path), params)
    found = [{key: x.tolist() for key, x in data.read(i).items()} for i in range(2)]
    assert found == [
        {"data": [3, 2, 0], "delayed": [0, 3, 2]},
        {"data": [4, 0], "delayed": [0, 4]},
    ]
    assert data.lengths("data").tolist() == data.lengths("delayed").tolist() == [3, 2]


@pytest.mark.parametrize(("label", "kind"), [(LABELS, "labels of dim 5"), (0, "features of dim 6")])
def test_an_end_that_is_no_label(task: Task, label: int, kind: str) -> None:
    path = task.targets("train") if label else task.features("train")
    message = rf"{path.name}: found {kind}, needed labels of which {label} is one, .*set end_label"
    with pytest.raises(JobError, match=message):
        dataset(
            path,
            None,
            Inputs(train=path, dev=path),
            Params(network=NETWORK, options=TrainOptions(epochs=1), end_label=label),
        )


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"a\.hdf: found no such file, needed one for .*'data'"):
        open_dataset({"data": Stream(path=tmp_path / "a.hdf")})


def test_a_file_that_is_no_hdf5(task: Task, tmp_path: Path) -> None:
    (tmp_path / "a.hdf").write_text("text")
    with pytest.raises(JobError, match=r"a\.hdf: found no readable HDF5 file"):
        train(task, tmp_path, {"train": tmp_path / "a.hdf"})


def test_a_file_without_sequences(task: Task, tmp_path: Path) -> None:
    path = write_sequences(tmp_path / "a.hdf", {}, DIM)
    for others in ({"train": path}, {"dev": path}):
        with pytest.raises(JobError, match=r"a\.hdf: found no sequences, needed at least one"):
            train(task, tmp_path, others)


def test_utterances_without_targets_are_counted(task: Task, tmp_path: Path) -> None:
    path = write_sequences(tmp_path / "a.hdf", {"train-1": np.array([2])}, LABELS)
    message = r"a\.hdf: found no sequence 'train-0' and 46 others, needed for the stream 'classes'"
    with pytest.raises(JobError, match=message):
        train(task, tmp_path, {"train_targets": path})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"a\.json: found no statistics \(JSONDecodeError"),
        ("{}", r"a\.json: found no statistics \(KeyError\('mean'\)\), needed a file of features"),
        ({"mean": [0.0] * 3, "std": [1.0] * 2}, "found 3 means and 2 deviations, needed as many"),
        (
            {"mean": [0.0] * 3, "std": [1.0] * 3},
            r"train\.hdf: found features of dim 6, needed features of dim 3, as the stat.*a\.json",
        ),
    ],
)
def test_statistics_that_do_not_fit(task: Task, tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(JobError, match=message):
        train(task, tmp_path, {"statistics": path})


def test_statistics_are_not_for_labels(task: Task, tmp_path: Path) -> None:
    others = {"train": task.targets("train"), "train_targets": None}
    with pytest.raises(
        JobError, match=r"train_targets\.hdf: found labels of dim 5, needed features"
    ):
        train(task, tmp_path, others)
