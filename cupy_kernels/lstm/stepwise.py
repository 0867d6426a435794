"""LSTM frame by frame: the library's matrix product, then a kernel for the cells. For the GPU.

CuPy has no bfloat16: there the operands are rounded to it, and the product is that of float32.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels.backend.launch import launch
from cupy_kernels.lstm.precision import Precision, operand


def forward(
    xp: ModuleType,
    source: Path,
    z: Any,
    w_re: Any,
    lengths: Any,
    y0: Any,
    c0: Any,
    direction: int,
    precision: Precision = "float32",
) -> tuple[Any, Any, Any, Any]:
    """y, c_final, gates and cells of the operation, for checked arguments."""
    time, batch, width = z.shape
    y, cells = (xp.empty((time, batch, width // 4), np.float32) for _ in range(2))
    gates, product = xp.empty_like(z), xp.empty((batch, width), np.float32)
    h, c, w = y0.copy(), c0.copy(), operand(w_re, precision)
    for t in range(time)[::direction]:
        xp.matmul(operand(h, precision), w, out=product)
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
    precision: Precision = "float32",
) -> tuple[Any, Any, Any, Any]:
    """dz, dw_re, dy0 and dc0 of the operation, for checked arguments."""
    time, batch, units = y.shape
    dz, dh, dc = xp.empty_like(gates), xp.zeros_like(y0), dc_final.copy()
    w = operand(w_re, precision).T
    for t in range(time)[::-direction]:
        arrays = (dy, dh, lengths, gates, cells, c0, dc, dz)
        sizes = (t, time, batch, units, direction)
        launch(source, "lstm_step_backward", *arrays, *sizes, workers=max(1, batch), xp=xp)
        xp.matmul(operand(dz[t], precision), w, out=dh)
    dw_re, dy0 = state_gradients(xp, dz, y, w_re, lengths, y0, direction, precision)
    return dz, dw_re, dy0, dc


def state_gradients(
    xp: ModuleType,
    dz: Any,
    y: Any,
    w_re: Any,
    lengths: Any,
    y0: Any,
    direction: int,
    precision: Precision = "float32",
) -> tuple[Any, Any]:
    """dw_re and dy0, from dz."""
    time, batch, units = y.shape
    w = operand(w_re, precision).T
    # dz of the first frame of each sequence, zero for those without frames.
    first = xp.zeros_like(lengths) if direction > 0 else xp.maximum(lengths - 1, 0)
    start = dz[first, xp.arange(batch)] if time else xp.zeros((batch, 4 * units), np.float32)
    start = operand(start, precision)
    dw_re = operand(y0, precision).T @ start
    if time > 1:
        old, new = (y[:-1], dz[1:]) if direction > 0 else (y[1:], dz[:-1])
        old, new = operand(old.reshape(-1, units), precision), operand(new, precision)
        dw_re += old.T @ new.reshape(-1, 4 * units)
    return dw_re, start @ w
