"""Batch normalisation: checks, launch."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.batch_norm import reference

SOURCE = Path(__file__).with_name("batch_norm.cu")
ROWS = 64  # as in batch_norm.cu


def scale_shift(x: Any, factor: Any, offset: Any, *, threads: int | None = None) -> Any:
    """A factor and an offset for each channel, in one pass: y = x factor + offset.

    Args:
        x: float32 [rows, channels].
        factor, offset: float32 [channels].
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        y, float32 [rows, channels].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape or device.
    """
    where = "scale_shift"
    xp = check.array_module(where, x=x, factor=factor, offset=offset)
    check.array(where, "x", x, np.float32, rows=None, channels=None)
    channels = x.shape[1]
    for name, value in {"factor": factor, "offset": offset}.items():
        check.array(where, name, value, np.float32, channels=channels)
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        return reference.scale_shift(x, factor, offset).astype(np.float32)
    y = xp.empty_like(x)
    arrays = (x, factor, offset, y)
    workers = _workers(x, workers, xp)
    launch(SOURCE, "scale_shift_forward", *arrays, x.size, channels, workers=workers, xp=xp)
    return y


def scale_shift_backward(
    dy: Any, x: Any, factor: Any, *, threads: int | None = None
) -> tuple[Any, Any, Any]:
    """Gradient of `scale_shift`.

    Args:
        dy: float32 [rows, channels], gradient of y.
        x, factor, threads: as in the forward pass.

    Returns:
        dx, float32 [rows, channels]; dfactor and doffset, float32 [channels].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape or device.
    """
    where = "scale_shift_backward"
    xp = check.array_module(where, dy=dy, x=x, factor=factor)
    check.array(where, "x", x, np.float32, rows=None, channels=None)
    rows, channels = x.shape
    check.array(where, "dy", dy, np.float32, rows=rows, channels=channels)
    check.array(where, "factor", factor, np.float32, channels=channels)
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        slow = reference.scale_shift_backward(dy, x, factor)
        dx, dfactor, doffset = (a.astype(np.float32) for a in slow)
        return dx, dfactor, doffset
    dx, sizes, workers = xp.empty_like(x), (x.size, channels), _workers(x, workers, xp)
    if xp is np:
        found = xp.empty((2, channels), np.float32)
        arrays = (dy, x, factor, dx, found)
        launch(SOURCE, "scale_shift_gradients", *arrays, *sizes, workers=workers, xp=xp)
        return dx, *found
    sums = xp.empty((-(-rows // ROWS), 2, channels), np.float32)
    launch(SOURCE, "scale_shift_backward", dy, x, factor, dx, sums, *sizes, workers=workers, xp=xp)
    return dx, *sums.sum(axis=0)


def _workers(x: Any, threads: int, xp: ModuleType) -> int:
    """The threads, or the blocks of a GPU."""
    return threads if xp is np else max(1, -(-x.shape[0] // ROWS))
