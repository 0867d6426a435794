"""One step of an LSTM is a sequence of one frame, and steps in a row are a longer one."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cupy_kernels.check import ArgumentError
from cupy_kernels.lstm import lstm_forward, lstm_step


def _case(time: int, batch: int, units: int) -> list[Any]:
    """z, w_re, y0, c0."""
    rng = np.random.default_rng(time + batch)
    shapes = ((time, batch, 4 * units), (units, 4 * units), (batch, units), (batch, units))
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


@pytest.mark.parametrize(("batch", "units"), [(1, 1), (3, 20), (0, 4)])
def test_steps_are_a_sequence(xp: ModuleType, batch: int, units: int) -> None:
    z, w_re, y0, c0 = (xp.asarray(a) for a in _case(4, batch, units))
    lengths = xp.full(batch, 4, np.int32)
    whole, c_final, _ = lstm_forward(z, w_re, lengths, y0, c0)
    y, c = y0, c0
    for t in range(4):
        y, c = lstm_step(z[t], w_re, y, c)
        a, b = (v.get() if hasattr(v, "get") else v for v in (y, whole[t]))
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    a, b = (v.get() if hasattr(v, "get") else v for v in (c, c_final))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("position", "change", "message"),
    [
        (0, lambda a: a[:, :8], r"\(w_re\): found shape \(3, 12\), needed \[units=2, gates=8\]"),
        (0, lambda a: a[:, :7], r"\(z\): found 7 gates, needed four times the units"),
        (2, lambda a: a[:1], r"\(y\): found shape \(1, 3\), needed \[batch=2, units=3\]"),
        (3, lambda a: a.astype(np.float16), r"\(c\): found float16, needed float32"),
    ],
)
def test_wrong_arguments_are_named(position: int, change: Any, message: str) -> None:
    case = _case(1, 2, 3)
    case[0] = case[0][0]
    case[position] = np.ascontiguousarray(change(case[position]))
    with pytest.raises(ArgumentError, match="lstm_step " + message):
        lstm_step(*case)
