"""Layer normalisation: checks, launch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.layer_norm import reference

SOURCE = Path(__file__).with_name("layer_norm.cu")
ROWS = 32  # as in layer_norm.cu


def layer_norm(
    x: Any, scale: Any, bias: Any, epsilon: float, *, threads: int | None = None
) -> tuple[Any, Any]:
    """Layer normalisation of rows, in one pass.

    J. L. Ba et al., "Layer normalization", 2016: y = (x - mean) / sqrt(variance + epsilon) scale +
    bias, with the mean and the variance of each row.

    Args:
        x: float32 [rows, size].
        scale, bias: float32 [size].
        epsilon: what is added to the variance, at least 0.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        y, float32 [rows, size]; moments, float32 [rows, 2], for `layer_norm_backward`.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "layer_norm"
    xp = check.array_module(where, x=x, scale=scale, bias=bias)
    check.array(where, "x", x, np.float32, rows=None, size=None)
    rows, size = x.shape
    for name, value in {"scale": scale, "bias": bias}.items():
        check.array(where, name, value, np.float32, size=size)
    if not isinstance(epsilon, float | np.floating) or not epsilon >= 0:
        check.fail(where, "epsilon", repr(epsilon), "a float of at least 0")
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        y, moments = reference.layer_norm(x, scale, bias, float(epsilon))
        return y.astype(np.float32), moments.astype(np.float32)
    y, moments = xp.empty_like(x), xp.empty((rows, 2), np.float32)
    arrays = (x, scale, bias, xp.full(1, epsilon, np.float32), y, moments)
    workers = workers if xp is np else max(1, -(-rows // ROWS))
    launch(SOURCE, "layer_norm_forward", *arrays, x.size, size, workers=workers, xp=xp)
    return y, moments


def layer_norm_backward(
    dy: Any, x: Any, scale: Any, moments: Any, *, threads: int | None = None
) -> tuple[Any, Any, Any]:
    """Gradient of `layer_norm`.

    Args:
        dy: float32 [rows, size], gradient of y.
        x, scale, threads: as in the forward pass.
        moments: float32 [rows, 2], of the forward pass.

    Returns:
        dx, float32 [rows, size]; dscale and dbias, float32 [size].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "layer_norm_backward"
    xp = check.array_module(where, dy=dy, x=x, scale=scale, moments=moments)
    check.array(where, "x", x, np.float32, rows=None, size=None)
    rows, size = x.shape
    check.array(where, "dy", dy, np.float32, rows=rows, size=size)
    check.array(where, "scale", scale, np.float32, size=size)
    check.array(where, "moments", moments, np.float32, rows=rows, two=2)
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        slow = reference.layer_norm_backward(dy, x, scale, moments)
        dx, dscale, dbias = (a.astype(np.float32) for a in slow)
        return dx, dscale, dbias
    dx, blocks = xp.empty_like(x), -(-rows // ROWS)
    if xp is np:
        found = xp.empty((2, size), np.float32)
        arrays = (dy, x, scale, moments, dx, found)
        name = "layer_norm_gradients"
        launch(SOURCE, name, *arrays, x.size, size, workers=workers, xp=xp)
        return dx, *found
    sums = xp.empty((blocks, 2, size), np.float32)
    arrays = (dy, x, scale, moments, dx, sums)
    blocks = max(1, blocks)
    launch(SOURCE, "layer_norm_backward", *arrays, x.size, size, workers=blocks, xp=xp)
    return dx, *sums.sum(axis=0)
