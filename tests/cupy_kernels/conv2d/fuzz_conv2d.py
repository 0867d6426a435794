"""Convolution with filters of any size and steps, and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.conv2d import Windows, conv2d, conv2d_filter_gradient, conv2d_input_gradient


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem."""

    def pair(least: int, end: int) -> Any:
        return tuple(rng.integers(least, end, 2).tolist())

    batch, height, width = (int(n) for n in rng.integers(0, [3, 9, 9]))
    inputs, outputs = pair(1, 70)
    windows = Windows(size=pair(0, 8), before=pair(0, 4), strides=pair(1, 4), dilation=pair(1, 3))
    x = rng.standard_normal((batch, height, width, inputs), np.float32)
    filters = rng.standard_normal((*pair(1, 5), inputs, outputs), np.float32)
    dy = rng.standard_normal((batch, *windows.size, outputs), np.float32)
    bias = rng.standard_normal(outputs, np.float32)
    rows: Any = (
        rng.integers(0, height + 1, batch).astype(np.int32),
        rng.integers(0, 4, batch).astype(np.int32),
    )
    rows = rows if rng.integers(2) else (None, None)
    return [
        conv2d(x, filters, windows, bias, *rows, threads=2),
        conv2d_input_gradient(dy, filters, windows, (height, width), *rows, threads=2),
        *conv2d_filter_gradient(x, dy, windows, filters.shape[:2], *rows, threads=2),
    ]
