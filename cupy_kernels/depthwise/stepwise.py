"""Depthwise convolution by simple kernels, for a GPU and checked arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels.backend.launch import launch
from cupy_kernels.depthwise.source import SOURCE


def convolve(
    xp: ModuleType,
    x: Any,
    filters: Any,
    bias: Any,
    lengths: Any,
    before: int,
    size: int,
    dilation: int,
) -> Any:
    """Return y."""
    batch, frames, channels = x.shape
    y = xp.empty((batch, size, channels), np.float32)
    sizes = (frames, size, channels, len(filters), before, dilation, 0)
    arrays = (x, filters, bias, lengths, None, y)
    _launch(xp, "depthwise_frames", *arrays, *sizes, blocks=batch * size)
    return y


def gradients(
    xp: ModuleType, dy: Any, x: Any, filters: Any, lengths: Any, before: int, dilation: int
) -> tuple[Any, Any, Any]:
    """Return dx, dfilters and dbias."""
    batch, frames, channels = x.shape
    size, window = dy.shape[1], len(filters)
    dx, sums = xp.empty_like(x), xp.empty((batch, window + 1, channels), np.float32)
    turned = (size, frames, channels, window, (window - 1) * dilation - before, dilation, 1)
    of_dx = (dy, filters, None, None, lengths, dx)
    _launch(xp, "depthwise_frames", *of_dx, *turned, blocks=batch * frames)
    sizes = (frames, size, channels, window, before, dilation)
    of_sums = (dy, x, lengths, sums)
    _launch(xp, "depthwise_sums", *of_sums, *sizes, blocks=batch * (window + 1))
    found = sums.sum(axis=0)
    return dx, found[:-1], found[-1]


def _launch(xp: ModuleType, name: str, *arguments: Any, blocks: int) -> None:
    """Run a kernel with a block for each row; on the host, where tests run it, in turn."""
    launch(SOURCE, name, *arguments, blocks, workers=1 if xp is np else max(blocks, 1), xp=xp)
