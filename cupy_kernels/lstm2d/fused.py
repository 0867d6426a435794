"""2D LSTM on the host: all diagonals in one call of the kernel, for checked arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.backend.launch import launch
from cupy_kernels.lstm2d.front import SOURCE, Front


def forward(front: Front, z: Any, v_h: Any, v_v: Any, threads: int) -> tuple[Any, Any, Any]:
    """y, gates and cells of the operation."""
    _, time_s, batch, _ = z.shape
    units = len(v_h)
    y, cells = (np.zeros((*z.shape[:3], units), np.float32) for _ in range(2))
    gates, zeros = np.zeros_like(z), np.zeros(5 * units, np.float32)
    arrays = (z, v_h, v_v, zeros, np.array(front.bounds, np.int64), *front[1:], y, gates, cells)
    sizes = (len(front.bounds) - 1, time_s * batch, batch, units)
    launch(SOURCE, "lstm2d_forward", *arrays, *sizes, workers=threads, xp=np)
    return y, gates, cells


def backward(
    front: Front, dy: Any, gates: Any, cells: Any, y: Any, v_h: Any, v_v: Any, threads: int
) -> tuple[Any, Any, Any]:
    """dz, dv_h and dv_v of the operation."""
    _, time_s, batch, units = y.shape
    dz, dv_h, dv_v = (np.zeros_like(x) for x in (gates, v_h, v_v))
    zeros, bounds = np.zeros(5 * units, np.float32), np.array(front.bounds, np.int64)
    arrays = (dy, v_h, v_v, zeros, bounds, *front[1:], y, gates, cells, dz, dv_h, dv_v)
    sizes = (len(front.bounds) - 1, time_s * batch, batch, units)
    launch(SOURCE, "lstm2d_backward", *arrays, *sizes, workers=threads, xp=np)
    return dz, dv_h, dv_v
