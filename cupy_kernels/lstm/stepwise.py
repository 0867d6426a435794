"""LSTM frame by frame: the library's matrix product, then a kernel for the cells. For the GPU."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels.backend.launch import launch


def forward(
    xp: ModuleType, source: Path, z: Any, w_re: Any, lengths: Any, y0: Any, c0: Any, direction: int
) -> tuple[Any, Any, Any, Any]:
    """y, c_final, gates and cells of the operation, for checked arguments."""
    time, batch, width = z.shape
    y, cells = (xp.empty((time, batch, width // 4), np.float32) for _ in range(2))
    gates, product = xp.empty_like(z), xp.empty((batch, width), np.float32)
    h, c = y0.copy(), c0.copy()
    for t in range(time)[::direction]:
        xp.matmul(h, w_re, out=product)
        arrays = (z, product, lengths, h, c, y, gates, cells)
        launch(source, "lstm_step", *arrays, t, batch, width // 4, workers=max(1, batch), xp=xp)
    return y, c, gates, cells


def backward(
    xp: ModuleType,
    source: Path,
    dy: Any,
    dc_final: Any,
    gates: Any,
    cells: Any,
    y: Any,
    w_re: Any,
    lengths: Any,
    y0: Any,
    c0: Any,
    direction: int,
) -> tuple[Any, Any, Any, Any]:
    """dz, dw_re, dy0 and dc0 of the operation, for checked arguments."""
    time, batch, units = y.shape
    dz, dh, dc = xp.empty_like(gates), xp.zeros_like(y0), dc_final.copy()
    for t in range(time)[::-direction]:
        arrays = (dy, dh, lengths, gates, cells, c0, dc, dz)
        sizes = (t, time, batch, units, direction)
        launch(source, "lstm_step_backward", *arrays, *sizes, workers=max(1, batch), xp=xp)
        xp.matmul(dz[t], w_re.T, out=dh)
    # dz of the first frame of each sequence, zero for those without frames.
    first = xp.zeros_like(lengths) if direction > 0 else xp.maximum(lengths - 1, 0)
    start = dz[first, xp.arange(batch)] if time else xp.zeros((batch, 4 * units), np.float32)
    dw_re = y0.T @ start
    if time > 1:
        old, new = (y[:-1], dz[1:]) if direction > 0 else (y[1:], dz[:-1])
        dw_re += old.reshape(-1, units).T @ new.reshape(-1, 4 * units)
    return dz, dw_re, start @ w_re.T, dc
