"""Convolution on the host: each pass in one call of the kernel, for checked arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.backend.launch import launch
from cupy_kernels.conv.source import SOURCE, Pair


def convolve(
    x: Any, filters: Any, before: Pair, size: Pair, threads: int, *, turned: bool = False
) -> Any:
    """Return y; turned: with the filters of the input's gradient."""
    y = np.empty((len(x), *size, filters.shape[2 if turned else 3]), np.float32)
    sizes = (*x.shape, *y.shape[1:], *before, int(turned))
    launch(SOURCE, "conv_forward", x, filters, y, *sizes, workers=threads, xp=np)
    return y


def filter_gradient(x: Any, dy: Any, before: Pair, threads: int) -> Any:
    """Return dfilters."""
    dfilters = np.empty((3, 3, x.shape[3], dy.shape[3]), np.float32)
    sizes = (*x.shape, *dy.shape[1:], *before)
    launch(SOURCE, "conv_filter_gradient", x, dy, dfilters, *sizes, workers=threads, xp=np)
    return dfilters
