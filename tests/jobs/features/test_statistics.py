"""Statistics of features."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from jobs.features import statistics
from jobs.features.statistics import Inputs, Outputs, Params
from jobs.job import JobError
from returnn_lite.hdf import HdfWriter

LOG = logging.getLogger("test")


def _statistics(folder: Path, sequences: list[NDArray[np.float32]], dim: int) -> dict[str, object]:
    with HdfWriter(folder / "features.hdf", dim) as writer:
        for i, sequence in enumerate(sequences):
            writer.write(str(i), sequence)
    outputs = Outputs(statistics=folder / "statistics.json")
    statistics.run(Inputs(features=folder / "features.hdf"), outputs, Params(), LOG)
    result: dict[str, object] = json.loads(outputs.statistics.read_text(encoding="utf-8"))
    return result


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(any),
    offset=st.sampled_from([0.0, -7.0, 1e4]),
    seed=st.integers(0, 99),
)
def test_they_are_those_of_all_frames_together(
    lengths: list[int], offset: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sequences = [(rng.normal(size=(n, 3)) + offset).astype(np.float32) for n in lengths]
    together = np.concatenate(sequences).astype(np.float64)
    with tempfile.TemporaryDirectory() as folder:
        result = _statistics(Path(folder), sequences, 3)
    assert list(result) == ["frames", "mean", "std"]
    assert result["frames"] == sum(lengths)
    np.testing.assert_allclose(result["mean"], together.mean(0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result["std"], np.maximum(together.std(0), 1e-5), rtol=1e-6)


def test_a_constant_dimension_gets_the_floor(tmp_path: Path) -> None:
    result = _statistics(tmp_path, [np.full((4, 2), 3, np.float32)], 2)
    assert result == {"frames": 4, "mean": [3.0, 3.0], "std": [1e-5, 1e-5]}


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"features\.hdf: found no frames, needed at least one"):
        _statistics(tmp_path, [], 2)
    with pytest.raises(JobError, match="found a value in '0' that is not finite"):
        _statistics(tmp_path, [np.full((1, 2), np.nan, np.float32)], 2)
    with HdfWriter(tmp_path / "labels.hdf", 2, sparse=True) as writer:
        writer.write("a", [0, 1])
    outputs = Outputs(statistics=tmp_path / "statistics.json")
    with pytest.raises(JobError, match="found labels, needed features"):
        statistics.run(Inputs(features=tmp_path / "labels.hdf"), outputs, Params(), LOG)
