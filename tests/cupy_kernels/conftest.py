"""The case table that every operation over label sequences must pass, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from cupy_kernels.backend import host


class Sequences(NamedTuple):
    """Arguments of an operation over CTC paths."""

    logits: Any
    logit_lengths: Any
    labels: Any
    label_lengths: Any


def _sequences(
    lengths: list[int], label_lengths: list[int], vocabulary: int, scale: float = 1.0
) -> Sequences:
    """Random logits and labels; what lies behind the lengths is random too, or out of range."""
    rng = np.random.default_rng(len(lengths) * 1000 + vocabulary)
    time, batch, width = max(lengths), len(lengths), max(label_lengths)
    logits = rng.standard_normal((time, batch, vocabulary)) * scale
    labels = rng.integers(1, vocabulary, (batch, width))
    for b, count in enumerate(label_lengths):
        labels[b, count:] = 10**6
    return Sequences(
        logits.astype(np.float32),
        np.array(lengths, np.int32),
        labels.astype(np.int32),
        np.array(label_lengths, np.int32),
    )


def _repeated() -> Sequences:
    case = _sequences([12, 9, 12], [5, 4, 6], vocabulary=4)
    case.labels[0, :5] = [2, 2, 2, 1, 1]
    case.labels[1, :4] = [3, 3, 3, 3]
    case.labels[2, :6] = [1, 2, 1, 2, 1, 2]
    return case


CASES: dict[str, Callable[[], Sequences]] = {
    "ragged": lambda: _sequences([23, 7, 1, 15, 0], [6, 3, 1, 0, 0], vocabulary=11),
    "one frame": lambda: _sequences([1, 1], [1, 0], vocabulary=5),
    "no labels": lambda: _sequences([4, 6], [0, 0], vocabulary=3),
    "repeated labels": _repeated,
    "more labels than frames": lambda: _sequences([3, 8, 5], [4, 3, 6], vocabulary=7),
    "just enough frames": lambda: _sequences([6, 4], [6, 4], vocabulary=50),
    "long target": lambda: _sequences([90, 80], [70, 33], vocabulary=300),
    "vocabulary 5000": lambda: _sequences([9, 6], [4, 2], vocabulary=5000),
    "logits of 50": lambda: _sequences([60, 40], [9, 12], vocabulary=20, scale=50.0),
}


@pytest.fixture(params=CASES)
def sequences(request: pytest.FixtureRequest) -> Sequences:
    """One row of the case table, blank 0."""
    return CASES[request.param]()


@pytest.fixture(params=["host", "no compiler", pytest.param("gpu", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The array module of a backend; without a compiler the references serve."""
    if request.param == "gpu":
        return _cupy()
    if request.param == "no compiler":
        monkeypatch.setattr(host, "library", lambda source: None)
    return np


def _cupy() -> ModuleType:
    cupy: ModuleType = pytest.importorskip("cupy", reason="CuPy is not installed")
    try:
        cupy.cuda.Device().compute_capability  # noqa: B018 - raises without a device
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no GPU: {error}")
    return cupy
