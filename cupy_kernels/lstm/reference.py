"""LSTM in float64, frame by frame: the definition, and what tests compare with.

The state goes on only where a sequence has a frame; elsewhere outputs, saved values and gradients
are zero. Direction -1 starts at the last frame of each sequence. With bfloat16 the operands of the
products are rounded, as in the operation; the gradient is that of the products without rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cupy_kernels.lstm.precision import Precision, operand

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]


def lstm_forward(
    z: npt.NDArray[Any],
    w_re: npt.NDArray[Any],
    lengths: Integers,
    y0: npt.NDArray[Any],
    c0: npt.NDArray[Any],
    *,
    direction: int = 1,
    precision: Precision = "float32",
) -> tuple[Floats, Floats, Floats, Floats]:
    """The operation's y, c_final, gates and cells."""
    time, batch, width = z.shape
    y, cells = (np.zeros((time, batch, width // 4)) for _ in range(2))
    gates = np.zeros(z.shape)
    h, c = y0.astype(np.float64), c0.astype(np.float64)
    for t in _frames(time, direction):
        inside = (t < lengths)[:, None]
        inputs = z[t].astype(np.float64) + _product(h, w_re, precision)
        a, i, f, o = np.split(inputs, 4, axis=1)
        a, i, f, o = np.tanh(a), _sigmoid(i), _sigmoid(f), _sigmoid(o)
        new_c = a * i + c * f
        new_h = np.tanh(new_c) * o
        h, c = np.where(inside, new_h, h), np.where(inside, new_c, c)
        y[t], cells[t] = np.where(inside, new_h, 0), np.where(inside, new_c, 0)
        gates[t] = np.where(inside, np.concatenate([a, i, f, o], axis=1), 0)
    return y, c, gates, cells


def lstm_backward(
    dy: npt.NDArray[Any],
    dc_final: npt.NDArray[Any],
    gates: npt.NDArray[Any],
    cells: npt.NDArray[Any],
    y: npt.NDArray[Any],
    w_re: npt.NDArray[Any],
    lengths: Integers,
    y0: npt.NDArray[Any],
    c0: npt.NDArray[Any],
    *,
    direction: int = 1,
    precision: Precision = "float32",
) -> tuple[Floats, Floats, Floats, Floats]:
    """The operation's dz, dw_re, dy0 and dc0."""
    dz, dw = np.zeros(gates.shape), np.zeros(w_re.shape)
    dh, dc = np.zeros(y0.shape), dc_final.astype(np.float64)
    for t in _frames(len(dy), -direction):
        inside = (t < lengths)[:, None]
        old_h, old_c = (_before(t - direction, lengths, *x) for x in ((y, y0), (cells, c0)))
        a, i, f, o = np.split(gates[t].astype(np.float64), 4, axis=1)
        squashed = np.tanh(cells[t].astype(np.float64))
        d_out = dy[t] + dh
        d_state = dc + d_out * o * (1 - squashed**2)
        parts = [
            d_state * i * (1 - a**2),
            d_state * a * i * (1 - i),
            d_state * old_c * f * (1 - f),
            d_out * squashed * o * (1 - o),
        ]
        dz[t] = np.where(inside, np.concatenate(parts, axis=1), 0)
        dw += _product(old_h.T, dz[t], precision)
        dh = np.where(inside, _product(dz[t], w_re.T, precision), dh)
        dc = np.where(inside, d_state * f, dc)
    return dz, dw, dh, dc


def _product(a: npt.NDArray[Any], b: npt.NDArray[Any], precision: Precision) -> Floats:
    product: Floats = operand(a, precision).astype(np.float64) @ operand(b, precision)
    return product


def _before(t: int, lengths: Integers, rows: npt.NDArray[Any], start: npt.NDArray[Any]) -> Floats:
    """The state at frame t, or the initial one of sequences that have no frame t."""
    if not 0 <= t < len(rows):
        return start.astype(np.float64)
    return np.where((t < lengths)[:, None], rows[t], start).astype(np.float64)


def _frames(time: int, direction: int) -> range:
    return range(time) if direction > 0 else range(time - 1, -1, -1)


def _sigmoid(x: Floats) -> Floats:
    return 0.5 * (1.0 + np.tanh(0.5 * x))
