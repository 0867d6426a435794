"""Sequences from HDF5 files: joined by tag, normalised, with an end label, and delayed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from returnn_lite.datasets.dataset import HdfDataset, Stream
from returnn_lite.errors import NetworkError
from returnn_lite.hdf import HdfWriter


@pytest.fixture
def features(tmp_path: Path) -> Path:
    path = tmp_path / "features.hdf"
    with HdfWriter(path, 2) as out:
        for tag, n in (("a", 3), ("b", 1)):
            out.write(tag, np.arange(2 * n, dtype=np.float32).reshape(n, 2))
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.hdf"
    with HdfWriter(path, 5, sparse=True) as out:
        out.write("c", np.array([4]))
        out.write("b", np.array([], np.int32))
        out.write("a", np.array([1, 2, 3]))
    return path


def test_streams_are_joined_by_the_names_of_the_sequences(features: Path, labels: Path) -> None:
    data = HdfDataset({"data": Stream(path=features), "classes": Stream(path=labels)})
    assert list(data.tags) == ["a", "b"]
    assert data.extern_data == {
        "data": {"dim": 2, "sparse": False},
        "classes": {"dim": 5, "sparse": True},
    }
    assert data.lengths("data").tolist() == [3, 1]
    assert data.lengths("classes").tolist() == [3, 0]
    first = data.read(0)
    assert first["classes"].tolist() == [1, 2, 3]
    assert (first["data"].shape, first["data"].dtype) == ((3, 2), np.float32)
    assert data.read(1)["classes"].shape == (0,)


def test_an_end_label_and_the_label_before(labels: Path) -> None:
    data = HdfDataset({"data": Stream(path=labels, append=0)}, {"delayed": ("data", 0)})
    assert data.lengths("data").tolist() == data.lengths("delayed").tolist() == [2, 1, 4]
    assert data.extern_data["delayed"] == {
        "dim": 5,
        "sparse": True,
        "same_dim_tags_as": {"t": "data"},
    }
    found = data.read(2)
    assert (found["data"].tolist(), found["delayed"].tolist()) == ([1, 2, 3, 0], [0, 1, 2, 3])
    assert found["data"].dtype == found["delayed"].dtype == np.int32


def test_without_an_end_label_a_delayed_empty_sequence_is_empty(labels: Path) -> None:
    data = HdfDataset({"data": Stream(path=labels)}, {"delayed": ("data", 0)})
    assert data.read(1)["delayed"].tolist() == []
    assert data.read(2)["delayed"].tolist() == [0, 1, 2]


def test_features_are_normalised(features: Path, tmp_path: Path) -> None:
    statistics = tmp_path / "statistics.json"
    statistics.write_text(json.dumps({"mean": [1.0, 2.0], "std": [2.0, 4.0]}))
    data = HdfDataset({"data": Stream(path=features, statistics=statistics)})
    x = data.read(0)["data"]
    assert x.tolist() == [[-0.5, -0.25], [0.5, 0.25], [1.5, 0.75]]
    assert x.dtype == np.float32


def test_sequences_can_be_left_out(features: Path, labels: Path) -> None:
    data = HdfDataset({"data": Stream(path=features), "classes": Stream(path=labels)})
    data.keep([1])
    assert (list(data.tags), data.lengths("data").tolist()) == (["b"], [1])
    assert data.read(0)["data"].tolist() == [[0.0, 1.0]]


def test_a_stream_without_a_sequence(features: Path, labels: Path) -> None:
    with pytest.raises(
        NetworkError,
        match=r"features.hdf: found no sequence 'c' and 0 others, needed for the stream 'data'",
    ):
        HdfDataset({"classes": Stream(path=labels), "data": Stream(path=features)})
