"""LSTM on the host: all frames in one call of the kernel, for checked arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.backend.launch import launch
from cupy_kernels.lstm.arguments import Sizes
from cupy_kernels.lstm.precision import Precision
from cupy_kernels.lstm.source import SOURCE

State = tuple[Any, Any, Any, Any]  # w_re, lengths, y0, c0


def forward(
    sizes: Sizes,
    z: Any,
    x: Any,
    w: Any,
    bias: Any,
    state: State,
    direction: int,
    precision: Precision,
    threads: int,
) -> tuple[Any, Any, Any, Any]:
    """y, c_final, gates and cells, from either z or x, w and bias (the others are None)."""
    time, batch, units, inputs = sizes
    y, cells = (np.empty((time, batch, units), np.float32) for _ in range(2))
    gates = np.empty((time, batch, 4 * units), np.float32)
    c_final = np.empty((batch, units), np.float32)
    arrays = (z, x, w, bias, *state, y, c_final, gates, cells)
    numbers = (time, batch, units, inputs, direction, int(precision == "bfloat16"))
    launch(SOURCE, "lstm_forward", *arrays, *numbers, workers=threads, xp=np)
    return y, c_final, gates, cells


def backward(
    sizes: Sizes,
    values: tuple[Any, Any, Any, Any, Any],
    x: Any,
    w: Any,
    state: State,
    direction: int,
    precision: Precision,
    threads: int,
) -> tuple[Any, Any, Any, Any, Any, Any, Any]:
    """dz, dx, dw, dbias, dw_re, dy0 and dc0, from dy, dc_final, gates, cells and y.

    Without x and w, which are None then, dx and dw are empty.
    """
    time, batch, units, inputs = sizes
    dy, dc_final, gates, cells, y = values
    w_re, lengths, y0, c0 = state
    dz, dx = np.empty_like(gates), np.empty((time, batch, inputs), np.float32)
    shapes = ((inputs, 4 * units), (4 * units,), (units, 4 * units), (batch, units))
    dw, dbias, dw_re, dy0 = (np.zeros(shape, np.float32) for shape in shapes)
    dc = dc_final.copy()
    arrays = (dy, x, w, w_re, lengths, y, y0, c0, gates, cells)
    grads = (dz, dx, dw, dbias, dw_re, dy0, dc)
    numbers = (time, batch, units, inputs, direction, int(precision == "bfloat16"))
    launch(SOURCE, "lstm_backward", *arrays, *grads, *numbers, workers=threads, xp=np)
    return grads
