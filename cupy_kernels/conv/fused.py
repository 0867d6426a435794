"""Convolution on the host: each pass in one call of the kernel, for checked arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.backend.launch import launch
from cupy_kernels.conv.source import ELEMENTS, SOURCE, Pair, count_tiles

MOST = 64  # columns of a panel of transformed filters, WIDTH in product.h, at most


def convolve(
    x: Any, filters: Any, before: Pair, size: Pair, threads: int, *, turned: bool = False
) -> Any:
    """Return y; turned: with the filters of the input's gradient."""
    inputs, outputs = (filters.shape[3], filters.shape[2]) if turned else filters.shape[2:]
    packed = np.empty(ELEMENTS * inputs * -(-outputs // MOST) * MOST, np.float32)
    arrays = (filters, packed, *filters.shape[2:], int(turned))
    launch(SOURCE, "conv_filters", *arrays, workers=threads, xp=np)
    y, zeros = np.empty((len(x), *size, outputs), np.float32), np.zeros(inputs, np.float32)
    tiles, *grid = count_tiles(len(x), size)
    sizes = (tiles, *x.shape[1:], *size, outputs, *grid, *before)
    launch(SOURCE, "conv_forward", x, zeros, packed, y, *sizes, workers=threads, xp=np)
    return y


def filter_gradient(x: Any, dy: Any, before: Pair, threads: int) -> Any:
    """Return dfilters."""
    inputs, outputs = x.shape[3], dy.shape[3]
    dfilters = np.empty((3, 3, inputs, outputs), np.float32)
    zeros = np.zeros(max(inputs, outputs), np.float32)
    sums = np.zeros((ELEMENTS, inputs, outputs), np.float32)
    tiles, *grid = count_tiles(len(x), dy.shape[1:3])
    sizes = (tiles, *x.shape[1:], *dy.shape[1:], *grid, *before)
    arrays = (x, dy, zeros, sums, dfilters)
    launch(SOURCE, "conv_filter_gradient", *arrays, *sizes, workers=threads, xp=np)
    return dfilters
