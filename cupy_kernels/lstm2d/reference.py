"""2D LSTM in float64, cell by cell: the definition, and what tests compare with.

A pair of sequences has the cells t < lengths_t, s < lengths_s of the grid; elsewhere outputs, saved
values and gradients are zero, and so is the state before the first row and the first column.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]


def lstm2d_forward(
    z: npt.NDArray[Any],
    v_h: npt.NDArray[Any],
    v_v: npt.NDArray[Any],
    lengths_t: Integers,
    lengths_s: Integers,
) -> tuple[Floats, Floats, Floats]:
    """The operation's y, gates and cells."""
    units = len(v_h)
    y, cells = (np.zeros((*z.shape[:3], units)) for _ in range(2))
    gates = np.zeros(z.shape)
    w_h, w_v = v_h.astype(np.float64), v_v.astype(np.float64)
    for t, s in np.ndindex(z.shape[:2]):
        inside = _inside(t, s, lengths_t, lengths_s)
        inputs = z[t, s] + _left(y, t, s) @ w_h + _below(y, t, s) @ w_v
        i, f, lam, o, a = np.split(inputs, 5, axis=1)
        i, f, lam, o, a = _sigmoid(i), _sigmoid(f), _sigmoid(lam), _sigmoid(o), np.tanh(a)
        c = a * i + f * (lam * _below(cells, t, s) + (1 - lam) * _left(cells, t, s))
        cells[t, s] = np.where(inside, c, 0)
        y[t, s] = np.where(inside, np.tanh(c) * o, 0)
        gates[t, s] = np.where(inside, np.concatenate([i, f, lam, o, a], axis=1), 0)
    return y, gates, cells


def lstm2d_backward(
    dy: npt.NDArray[Any],
    gates: npt.NDArray[Any],
    cells: npt.NDArray[Any],
    y: npt.NDArray[Any],
    v_h: npt.NDArray[Any],
    v_v: npt.NDArray[Any],
    lengths_t: Integers,
    lengths_s: Integers,
) -> tuple[Floats, Floats, Floats]:
    """The operation's dz, dv_h and dv_v."""
    w_h, w_v = v_h.astype(np.float64), v_v.astype(np.float64)
    dz, dw_h, dw_v = np.zeros(gates.shape), np.zeros(w_h.shape), np.zeros(w_v.shape)
    # What later cells give to this one; row -1 and column -1 take what leaves the grid.
    d_out, d_cell = (np.zeros((len(y) + 1, y.shape[1] + 1, *y.shape[2:])) for _ in range(2))
    for t, s in reversed(list(np.ndindex(y.shape[:2]))):
        inside = _inside(t, s, lengths_t, lengths_s)
        i, f, lam, o, a = np.split(gates[t, s].astype(np.float64), 5, axis=1)
        squashed = np.tanh(cells[t, s].astype(np.float64))
        left, below = (old(cells, t, s).astype(np.float64) for old in (_left, _below))
        d_y = np.where(inside, dy[t, s] + d_out[t, s], 0)
        d_c = np.where(inside, d_cell[t, s], 0) + d_y * o * (1 - squashed**2)
        parts = [
            d_c * a * i * (1 - i),
            d_c * (lam * below + (1 - lam) * left) * f * (1 - f),
            d_c * f * (below - left) * lam * (1 - lam),
            d_y * squashed * o * (1 - o),
            d_c * i * (1 - a**2),
        ]
        dz[t, s] = np.concatenate(parts, axis=1)
        dw_h += _left(y, t, s).T @ dz[t, s]
        dw_v += _below(y, t, s).T @ dz[t, s]
        d_out[t, s - 1] += dz[t, s] @ w_h.T
        d_out[t - 1, s] += dz[t, s] @ w_v.T
        d_cell[t, s - 1] += d_c * f * (1 - lam)
        d_cell[t - 1, s] += d_c * f * lam
    return dz, dw_h, dw_v


def _inside(t: int, s: int, lengths_t: Integers, lengths_s: Integers) -> npt.NDArray[np.bool_]:
    return ((t < lengths_t) & (s < lengths_s))[:, None]


def _left(x: npt.NDArray[Any], t: int, s: int) -> npt.NDArray[Any]:
    return x[t, s - 1] if s else np.zeros_like(x[t, s])


def _below(x: npt.NDArray[Any], t: int, s: int) -> npt.NDArray[Any]:
    return x[t - 1, s] if t else np.zeros_like(x[t, s])


def _sigmoid(x: Floats) -> Floats:
    return 0.5 * (1.0 + np.tanh(0.5 * x))
