"""Convolution with a library's products between two kernels, for a GPU and checked arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels.backend.launch import launch
from cupy_kernels.conv.source import ELEMENTS, SOURCE, Pair, count_tiles


def convolve(xp: ModuleType, x: Any, filters: Any, before: Pair, size: Pair, lengths: Any) -> Any:
    """Return y."""
    inputs, outputs = filters.shape[2:]
    tiles, *grid = count_tiles(len(x), size)
    u, y = xp.empty((ELEMENTS, inputs, outputs), np.float32), _empty(xp, len(x), *size, outputs)
    _launch(xp, "conv_filter_tiles", filters, u, inputs, outputs, blocks=inputs)
    products = xp.matmul(_input_tiles(xp, x, before, size, lengths), u)
    sizes = (tiles, *size, outputs, *grid)
    _launch(xp, "conv_output_tiles", products, y, *sizes, blocks=tiles)
    return y


def filter_gradient(xp: ModuleType, x: Any, dy: Any, before: Pair, lengths: Any) -> Any:
    """Return dfilters."""
    inputs, outputs = x.shape[3], dy.shape[3]
    tiles, *grid = count_tiles(len(x), dy.shape[1:3])
    m, dfilters = _empty(xp, ELEMENTS, tiles, outputs), _empty(xp, 3, 3, inputs, outputs)
    sizes = (tiles, *dy.shape[1:], *grid)
    _launch(xp, "conv_gradient_tiles", dy, xp.zeros(outputs, np.float32), m, *sizes, blocks=tiles)
    v = _input_tiles(xp, x, before, dy.shape[1:3], lengths)
    sums = xp.matmul(v.transpose(0, 2, 1), m)
    arrays = (sums, dfilters, inputs, outputs)
    _launch(xp, "conv_filter_gradient_tiles", *arrays, blocks=inputs)
    return dfilters


def _input_tiles(xp: ModuleType, x: Any, before: Pair, size: Pair, lengths: Any) -> Any:
    tiles, *grid = count_tiles(len(x), size)
    v, zeros = _empty(xp, ELEMENTS, tiles, x.shape[3]), xp.zeros(x.shape[3], np.float32)
    sizes = (tiles, *x.shape[1:], *grid, *before)
    _launch(xp, "conv_input_tiles", x, zeros, lengths, v, *sizes, blocks=tiles)
    return v


def _empty(xp: ModuleType, *shape: int) -> Any:
    return xp.empty(shape, np.float32)


def _launch(xp: ModuleType, name: str, *arguments: Any, blocks: int) -> None:
    """Run a kernel with a block for each piece; on the host, where tests run it, in turn."""
    launch(SOURCE, name, *arguments, workers=1 if xp is np else max(blocks, 1), xp=xp)
