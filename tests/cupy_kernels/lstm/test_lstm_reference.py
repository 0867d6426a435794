"""The reference against the equations written out, and against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cupy_kernels.lstm import reference


def test_equations_of_two_frames() -> None:
    """One unit with constant weights, worked out term by term."""
    z = np.array([[[0.5, -1.0, 2.0, 0.3]], [[-0.2, 0.7, 0.1, 1.5]]])
    w = np.array([[0.4, -0.3, 0.2, 0.6]])
    one, zero = np.full((1, 1), 0.9), np.full((1, 1), -0.8)

    def s(x: float) -> float:
        return 1 / (1 + np.exp(-x))

    c1 = np.tanh(0.5 + 0.36) * s(-1.0 - 0.27) - 0.8 * s(2.0 + 0.18)
    y1 = np.tanh(c1) * s(0.3 + 0.54)
    c2 = np.tanh(-0.2 + 0.4 * y1) * s(0.7 - 0.3 * y1) + c1 * s(0.1 + 0.2 * y1)
    y2 = np.tanh(c2) * s(1.5 + 0.6 * y1)
    y, c, _, _ = reference.lstm_forward(z, w, np.array([2], np.int32), one, zero)
    np.testing.assert_allclose(y.ravel(), [y1, y2], rtol=1e-12)
    np.testing.assert_allclose(c.ravel(), [c2], rtol=1e-12)


@pytest.mark.parametrize("direction", [1, -1])
def test_gradient_equals_differences(direction: int) -> None:
    """Of a random function of both results, for each argument, on ragged lengths."""
    rng = np.random.default_rng(5)
    time, batch, n = 5, 3, 2
    lengths = np.array([5, 2, 0], np.int32)
    shapes = {"z": (time, batch, 4 * n), "w": (n, 4 * n), "y0": (batch, n), "c0": (batch, n)}
    x = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    dy, dc = rng.standard_normal((time, batch, n)), rng.standard_normal((batch, n))

    def run(z: Any, w: Any, y0: Any, c0: Any) -> tuple[Any, ...]:
        return reference.lstm_forward(z, w, lengths, y0, c0, direction=direction)

    y, _, gates, cells = run(**x)
    rest = (x["w"], lengths, x["y0"], x["c0"])
    grads = reference.lstm_backward(dy, dc, gates, cells, y, *rest, direction=direction)
    for (name, value), grad in zip(x.items(), grads, strict=True):
        towards, step = rng.standard_normal(value.shape), 1e-6
        ends = [run(**{**x, name: value + sign * step * towards}) for sign in (1, -1)]
        up, down = ((dy * end[0]).sum() + (dc * end[1]).sum() for end in ends)
        slope = (up - down) / (2 * step)
        np.testing.assert_allclose((grad * towards).sum(), slope, rtol=1e-7, err_msg=name)
