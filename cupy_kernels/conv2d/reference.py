"""Convolution in float64: the definition, and what tests compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cupy_kernels.conv2d.windows import Pair, Windows

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]


def conv2d(
    x: Array,
    filters: Array,
    windows: Windows,
    bias: Array | None = None,
    lengths: Array | None = None,
    tops: Array | None = None,
) -> Floats:
    """The operation's result."""
    y = np.tensordot(_columns(x, filters.shape[:2], windows, lengths, tops), filters, 3)
    return y if bias is None else y + bias


def conv2d_input_gradient(
    dy: Array,
    filters: Array,
    windows: Windows,
    size: Pair,
    lengths: Array | None = None,
    tops: Array | None = None,
) -> Floats:
    """The gradient of the operation's input."""
    dx = np.zeros((len(dy), *size, filters.shape[2]))
    d_columns = np.einsum("bijk,pqck->bijpqc", dy, filters.astype(np.float64))
    for b, (rows, columns, inside) in enumerate(
        _places(len(dy), size, filters.shape[:2], windows, lengths, tops)
    ):
        np.add.at(dx[b], (rows[inside], columns[inside]), d_columns[b][inside])
    return dx


def conv2d_filter_gradient(
    x: Array,
    dy: Array,
    windows: Windows,
    filter_size: Pair,
    lengths: Array | None = None,
    tops: Array | None = None,
) -> tuple[Floats, Floats]:
    """The gradients of the operation's filters and bias."""
    columns = _columns(x, filter_size, windows, lengths, tops)
    dfilters = np.tensordot(columns, dy, axes=([0, 1, 2], [0, 1, 2]))
    return dfilters, dy.sum((0, 1, 2), dtype=np.float64)


def _columns(x: Array, filter_size: Pair, windows: Windows, lengths: Any, tops: Any) -> Floats:
    """The pixels of every window, [batch, *size, *filter_size, in]."""
    found = np.zeros((len(x), *windows.size, *filter_size, x.shape[3]))
    places = _places(len(x), x.shape[1:3], filter_size, windows, lengths, tops)
    for b, (rows, columns, inside) in enumerate(places):
        found[b][inside] = x[b][rows[inside], columns[inside]]
    return found


def _places(
    batch: int, size: tuple[int, ...], filter_size: Pair, of: Windows, lengths: Any, tops: Any
) -> list[tuple[Array, Array, Array]]:
    """Of each image: rows and columns of the pixels of windows, and which of them count."""
    found = []
    i, j, p, q = np.indices((*of.size, *filter_size))
    for b in range(batch):
        rows = i * of.strides[0] - (of.before[0] if tops is None else tops[b]) + p * of.dilation[0]
        columns = j * of.strides[1] - of.before[1] + q * of.dilation[1]
        length = size[0] if lengths is None else lengths[b]
        inside = (rows >= 0) & (rows < length) & (columns >= 0) & (columns < size[1])
        found.append((rows, columns, inside))
    return found
