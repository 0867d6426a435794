"""Convolution on the host: each pass in one call of the kernel, for checked arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.backend.launch import launch
from cupy_kernels.conv.source import SOURCE, Pair


def convolve(x: Any, filters: Any, before: Pair, size: Pair, lengths: Any, threads: int) -> Any:
    """Return y."""
    return _convolve((x, filters, lengths, None), before, size, threads, turned=False)


def input_gradient(
    dy: Any, filters: Any, before: Pair, size: Pair, lengths: Any, threads: int
) -> Any:
    """Return dx; before: of the filters turned by half a turn."""
    return _convolve((dy, filters, None, lengths), before, size, threads, turned=True)


def _convolve(
    arrays: tuple[Any, ...], before: Pair, size: Pair, threads: int, *, turned: bool
) -> Any:
    x, filters = arrays[:2]
    y = np.empty((len(x), *size, filters.shape[2 if turned else 3]), np.float32)
    sizes = (*x.shape, *y.shape[1:], *before, int(turned))
    launch(SOURCE, "conv_forward", *arrays, y, *sizes, workers=threads, xp=np)
    return y


def filter_gradient(x: Any, dy: Any, before: Pair, lengths: Any, threads: int) -> Any:
    """Return dfilters."""
    dfilters = np.empty((3, 3, x.shape[3], dy.shape[3]), np.float32)
    sizes = (*x.shape, *dy.shape[1:], *before)
    arrays = (x, dy, lengths, dfilters)
    launch(SOURCE, "conv_filter_gradient", *arrays, *sizes, workers=threads, xp=np)
    return dfilters
