"""2D LSTM by diagonals: the library's matrix product, then a kernel for the cells. For the GPU."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels.backend.launch import launch
from cupy_kernels.lstm2d.front import SOURCE, Front


def forward(xp: ModuleType, front: Front, z: Any, v_h: Any, v_v: Any) -> tuple[Any, Any, Any]:
    """y, gates and cells of the operation, for checked arguments."""
    _, time_s, batch, _ = z.shape
    units, widest = len(v_h), _widest(front)
    y, cells = (xp.zeros((*z.shape[:3], units), np.float32) for _ in range(2))
    gates, zeros = xp.zeros_like(z), xp.zeros(5 * units, np.float32)
    weights = xp.concatenate([v_h, v_v], axis=1)
    outputs = xp.empty((widest, units), np.float32)
    product = xp.empty((widest, 10 * units), np.float32)
    before, done = 0, 0
    for first, end in front.diagonals():
        if done:
            xp.matmul(outputs[:done], weights, out=product[:done])
        count = end - first
        arrays = (z, product, zeros, *front[1:], outputs, y, gates, cells)
        sizes = (first, count, before, time_s * batch, batch, units)
        launch(SOURCE, "lstm2d_cells", *arrays, *sizes, workers=count if xp is not np else 1, xp=xp)
        before, done = first, count
    return y, gates, cells


def backward(
    xp: ModuleType, front: Front, dy: Any, gates: Any, cells: Any, y: Any, v_h: Any, v_v: Any
) -> tuple[Any, Any, Any]:
    """dz, dv_h and dv_v of the operation, for checked arguments."""
    _, time_s, batch, units = y.shape
    dz, zeros = xp.zeros_like(gates), xp.zeros(units, np.float32)
    rows = xp.empty((front.bounds[-1], 5 * units), np.float32)  # dz, by number
    weights = xp.concatenate([v_h.T, v_v.T], axis=1)
    product, carry, new_carry = (
        xp.empty((_widest(front), 2 * units), np.float32) for _ in range(3)
    )
    after = (0, 0)
    for first, end in reversed(front.diagonals()):
        done, count = after[1] - after[0], end - first
        if done:
            xp.matmul(rows[slice(*after)], weights, out=product[:done])
        arrays = (
            dy,
            product,
            carry,
            zeros,
            *front[1:],
            gates,
            cells,
            new_carry,
            rows[first:end],
            dz,
        )
        sizes = (first, count, after[0], time_s * batch, batch, units)
        workers = count if xp is not np else 1
        launch(SOURCE, "lstm2d_cells_backward", *arrays, *sizes, workers=workers, xp=xp)
        carry, new_carry, after = new_carry, carry, (first, end)
    dv_h, dv_v = xp.split(_states_before(xp, front, y).T @ rows, 2)
    return dz, dv_h, dv_v


def _states_before(xp: ModuleType, front: Front, y: Any) -> Any:
    """[cells, 2 units]: y of the left neighbour and of the one below, or zeros."""
    _, time_s, batch, units = y.shape
    rows = y.reshape(-1, units)
    states = xp.zeros((len(front.place), 2, units), np.float32)
    for i, (number, distance) in enumerate(((front.left, batch), (front.below, time_s * batch))):
        found = number >= 0
        states[found, i] = rows[front.place[found] - distance]
    return states.reshape(-1, 2 * units)


def _widest(front: Front) -> int:
    return max((end - first for first, end in front.diagonals()), default=0)
