"""Convolution with a library's products beside a kernel, for a GPU and checked arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels.backend.launch import launch
from cupy_kernels.conv2d.windows import SOURCE, Pair, Windows


def convolve(
    xp: ModuleType, x: Any, filters: Any, windows: Windows, bias: Any, lengths: Any, tops: Any
) -> Any:
    """Return y."""
    columns = _columns(xp, x, filters.shape, windows, lengths, tops)
    y = xp.matmul(columns, filters.reshape(-1, filters.shape[3]))
    y = y.reshape(len(x), *windows.size, -1)
    return y if bias is None else y + bias


def input_gradient(
    xp: ModuleType, dy: Any, filters: Any, windows: Windows, size: Pair, lengths: Any, tops: Any
) -> Any:
    """Return dx."""
    rows = dy.reshape(-1, dy.shape[3])
    d_columns = xp.matmul(rows, filters.reshape(-1, filters.shape[3]).T)
    dx = xp.empty((len(dy), *size, filters.shape[2]), np.float32)
    arguments = windows.arguments(dx.shape, filters.shape)
    arrays = (xp.ascontiguousarray(d_columns), lengths, tops, dx)
    _launch(xp, "conv2d_images", *arrays, *arguments, blocks=len(dy) * size[0] * size[1])
    return dx


def filter_gradient(
    xp: ModuleType, x: Any, dy: Any, windows: Windows, size: Pair, lengths: Any, tops: Any
) -> tuple[Any, Any]:
    """Return dfilters and dbias."""
    shape = (*size, x.shape[3], dy.shape[3])
    columns = _columns(xp, x, shape, windows, lengths, tops)
    rows = dy.reshape(-1, dy.shape[3])
    return xp.matmul(columns.T, rows).reshape(shape), rows.sum(axis=0)


def _columns(
    xp: ModuleType, x: Any, filters: tuple[int, ...], windows: Windows, lengths: Any, tops: Any
) -> Any:
    """The pixels of windows side by side, [windows, pixels of a filter * in]."""
    count = len(x) * windows.size[0] * windows.size[1]
    found = xp.empty((count, filters[0] * filters[1] * filters[2]), np.float32)
    arguments = windows.arguments(x.shape, filters)
    _launch(xp, "conv2d_columns", x, lengths, tops, found, *arguments, blocks=count)
    return found


def _launch(xp: ModuleType, name: str, *arguments: Any, blocks: int) -> None:
    """Run a kernel with a block for each piece; on the host, where tests run it, in turn."""
    launch(SOURCE, name, *arguments, workers=1 if xp is np else max(blocks, 1), xp=xp)
