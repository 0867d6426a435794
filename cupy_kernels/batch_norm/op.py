"""Batch normalisation: checks, launch."""

from __future__ import annotations

from functools import partial
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
    sums = xp.empty((_blocks(x), 2, channels), np.float32)
    launch(SOURCE, "scale_shift_backward", dy, x, factor, dx, sums, *sizes, workers=workers, xp=xp)
    return dx, *sums.sum(axis=0)


def batch_norm(
    x: Any,
    gamma: Any,
    beta: Any,
    epsilon: float,
    lengths: Any = None,
    *,
    time_axis: int = 1,
    threads: int | None = None,
) -> tuple[Any, Any]:
    """Batch normalisation, by the moments of the frames that count.

    S. Ioffe and C. Szegedy, "Batch normalization", 2015: y = (x - mean) / sqrt(variance + epsilon)
    gamma + beta, of all frames, with the mean and the variance of each channel.

    Args:
        x: float32 [batch, time, channels], or [time, batch, channels].
        gamma, beta: float32 [channels].
        epsilon: what is added to the variance, at least 0.
        lengths: int32 [batch], frames of each sequence that count; by default all.
        time_axis: which axis of x is of frames, 1 or 0.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        y, float32 as x; moments, float32 [4, channels]: mean, variance, 1 / sqrt(variance +
        epsilon), 1 / the number of frames, for `batch_norm_backward`.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "batch_norm"
    xp = _check(where, x, lengths, time_axis, gamma=gamma, beta=beta)
    if not isinstance(epsilon, float | np.floating) or not epsilon >= 0:
        check.fail(where, "epsilon", repr(epsilon), "a float of at least 0")
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        slow = reference.batch_norm(x, gamma, beta, float(epsilon), lengths, time_axis=time_axis)
        y, moments = (a.astype(np.float32) for a in slow)
        return y, moments
    channels = x.shape[2]
    y, moments = xp.empty_like(x), xp.empty((4, channels), np.float32)
    added = xp.full(1, epsilon, np.float32)
    frames, sizes = (*x.shape[:2], time_axis), (x.size, channels)
    if xp is np:
        arrays = (x, gamma, beta, added, lengths, y, moments)
        launch(SOURCE, "batch_norm_forward", *arrays, *frames, *sizes, workers=workers, xp=xp)
        return y, moments
    blocks = _blocks(x)
    sums = xp.empty((blocks, 2, channels), np.float32)
    run = partial(launch, SOURCE, workers=max(1, blocks), xp=xp)
    run("batch_norm_parts", x, lengths, sums, *frames, *sizes)
    found = (sums, added, lengths, moments)
    launch(SOURCE, "batch_norm_moments", *found, *frames, *sizes, workers=1, xp=xp)
    run("batch_norm_normalised", x, gamma, beta, moments, y, *sizes)
    return y, moments


def batch_norm_backward(
    dy: Any,
    x: Any,
    gamma: Any,
    moments: Any,
    lengths: Any = None,
    *,
    time_axis: int = 1,
    threads: int | None = None,
) -> tuple[Any, Any, Any]:
    """Gradient of `batch_norm`.

    Args:
        dy: float32 as x, gradient of y.
        x, gamma, lengths, time_axis, threads: as in the forward pass.
        moments: float32 [4, channels], of the forward pass.

    Returns:
        dx, float32 as x; dgamma and dbeta, float32 [channels].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "batch_norm_backward"
    xp = _check(where, x, lengths, time_axis, dy=dy, gamma=gamma, moments=moments)
    workers, channels = thread_count(threads), x.shape[2]
    arrays = (dy, x, gamma, moments, lengths)
    if xp is np and host.library(SOURCE) is None:
        slow = reference.batch_norm_backward(*arrays, time_axis=time_axis)
        dx, dgamma, dbeta = (a.astype(np.float32) for a in slow)
        return dx, dgamma, dbeta
    dx, frames, sizes = xp.empty_like(x), (*x.shape[:2], time_axis), (x.size, channels)
    if xp is np:
        found, name = xp.empty((2, channels), np.float32), "batch_norm_gradients"
        launch(SOURCE, name, *arrays, dx, found, *frames, *sizes, workers=workers, xp=xp)
        return dx, *found
    blocks = _blocks(x)
    sums = xp.empty((blocks, 2, channels), np.float32)
    run = partial(launch, SOURCE, workers=max(1, blocks), xp=xp)
    run("batch_norm_sums", dy, x, moments, sums, *sizes)
    found = sums.sum(axis=0)
    run("batch_norm_input_gradient", *arrays, found, dx, *frames, *sizes)
    return dx, *found


def _check(where: str, x: Any, lengths: Any, time_axis: int, **others: Any) -> ModuleType:
    """Check what both passes have; the module of the arrays."""
    given = {} if lengths is None else {"lengths": lengths}
    xp = check.array_module(where, x=x, **others, **given)
    check.integer(where, "time_axis", time_axis)
    if time_axis not in (0, 1):
        check.fail(where, "time_axis", str(time_axis), "0 or 1")
    check.array(where, "x", x, np.float32, first=None, second=None, channels=None)
    of_channels = {"channels": x.shape[2]}
    axes = {"dy": {"first": x.shape[0], "second": x.shape[1]}, "moments": {"four": 4}}
    for name, value in others.items():
        check.array(where, name, value, np.float32, **axes.get(name, {}), **of_channels)
    if lengths is not None:
        check.array(where, "lengths", lengths, np.int32, batch=x.shape[1 - time_axis])
        check.lengths(where, "lengths", lengths, x.shape[time_axis], "time axis")
    return xp


def _blocks(x: Any) -> int:
    rows: int = x.size // max(x.shape[-1], 1)
    return -(-rows // ROWS)


def _workers(x: Any, threads: int, xp: ModuleType) -> int:
    """The threads, or the blocks of a GPU."""
    return threads if xp is np else max(1, _blocks(x))
