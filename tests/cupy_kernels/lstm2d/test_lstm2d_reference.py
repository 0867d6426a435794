"""The reference against the equations written out, against the LSTM, and against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cupy_kernels.lstm import reference as lstm
from cupy_kernels.lstm2d import reference

ONE = np.array([1], np.int32)


def _s(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def test_equations_of_two_by_two_cells() -> None:
    """One unit with constant weights, worked out term by term."""
    z = np.array([[[0.5, -1.0, 2.0, 0.3, 0.8], [-0.2, 0.7, 0.1, 1.5, -0.6]]] * 2)[:, :, None]
    z[1] += 0.1
    v_h, v_v = np.array([[0.4, -0.3, 0.2, 0.6, 0.9]]), np.array([[-0.5, 0.1, 0.7, -0.2, 0.3]])

    def cell(t: int, s: int, left: tuple[Any, Any], below: tuple[Any, Any]) -> tuple[Any, Any]:
        (y_left, c_left), (y_below, c_below) = left, below
        x = z[t, s, 0] + y_left * v_h[0] + y_below * v_v[0]
        c = np.tanh(x[4]) * _s(x[0]) + _s(x[1]) * (_s(x[2]) * c_below + (1 - _s(x[2])) * c_left)
        return np.tanh(c) * _s(x[3]), c

    start = (0.0, 0.0)
    first = cell(0, 0, start, start)
    right, above = cell(0, 1, first, start), cell(1, 0, start, first)
    last = cell(1, 1, above, right)  # to the left: (1, 0); below: (0, 1)
    two = 2 * ONE
    y, gates, cells = reference.lstm2d_forward(z, v_h, v_v, two, two)
    np.testing.assert_allclose(y.ravel(), [x[0] for x in (first, right, above, last)], rtol=1e-12)
    np.testing.assert_allclose(cells.ravel(), [x[1] for x in (first, right, above, last)])
    np.testing.assert_allclose(gates[0, 0, 0], [*_s(z[0, 0, 0, :4]), np.tanh(0.8)], rtol=1e-12)


@pytest.mark.parametrize("axis", ["t", "s"])
def test_one_row_with_the_gate_open_to_it_is_an_lstm(axis: str) -> None:
    """Values and gradients; of a single row all cells are left neighbours, of a column below."""
    rng = np.random.default_rng(4)
    time, batch, n = 6, 3, 4
    z = rng.standard_normal((time, batch, 4 * n))  # of the LSTM: cell input, input, forget, output
    w = rng.standard_normal((n, 4 * n))
    lengths, full = np.array([6, 3, 1], np.int32), np.ones(batch, np.int32)
    always = np.full((time, batch, n), 1000.0 if axis == "t" else -1000.0)
    closed = np.zeros((n, n))

    def reorder(x: Any, gate: Any) -> Any:
        a, i, f, o = np.split(x, 4, axis=-1)
        return np.concatenate([i, f, gate, o, a], axis=-1)

    z2, w2 = np.expand_dims(reorder(z, always), 0 if axis == "s" else 1), reorder(w, closed)
    other = rng.standard_normal(w2.shape)  # has nothing to multiply
    weights = (w2, other) if axis == "s" else (other, w2)
    grid = (full, lengths) if axis == "s" else (lengths, full)
    y2, gates2, cells2 = reference.lstm2d_forward(z2, *weights, *grid)

    zero = np.zeros((batch, n))
    y, _, gates, cells = lstm.lstm_forward(z, w, lengths, zero, zero)
    np.testing.assert_allclose(y2.squeeze(0 if axis == "s" else 1), y, rtol=1e-12)

    dy = rng.standard_normal(y.shape)
    saved = (gates2, cells2, y2)
    dz2, *dv = reference.lstm2d_backward(dy.reshape(y2.shape), *saved, *weights, *grid)
    dz, dw, _, _ = lstm.lstm_backward(dy, zero, gates, cells, y, w, lengths, zero, zero)
    np.testing.assert_allclose(dz2.reshape(time, batch, -1), reorder(dz, 0 * always), atol=1e-12)
    used, unused = dv if axis == "s" else dv[::-1]
    np.testing.assert_allclose(used, reorder(dw, closed), atol=1e-12)
    assert not unused.any()


def test_gradient_equals_differences() -> None:
    """Of a random function of y, for each argument, on ragged grids."""
    rng = np.random.default_rng(5)
    n, lengths = 2, (np.array([4, 2, 0], np.int32), np.array([3, 5, 2], np.int32))
    x = [rng.standard_normal(shape) for shape in ((4, 5, 3, 5 * n), (n, 5 * n), (n, 5 * n))]
    y, *saved = reference.lstm2d_forward(*x, *lengths)
    dy = rng.standard_normal(y.shape)
    grads = reference.lstm2d_backward(dy, *saved, y, *x[1:], *lengths)
    for i, grad in enumerate(grads):
        towards, step = rng.standard_normal(grad.shape), 1e-6

        def value(size: float, i: int = i, towards: Any = towards) -> Any:
            moved = [v + size * towards if i == j else v for j, v in enumerate(x)]
            return (dy * reference.lstm2d_forward(*moved, *lengths)[0]).sum()

        slope = (value(step) - value(-step)) / (2 * step)
        np.testing.assert_allclose((grad * towards).sum(), slope, rtol=1e-7)
