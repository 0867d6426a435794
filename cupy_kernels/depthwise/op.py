"""Depthwise convolution over time: checks, launch."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.depthwise import reference, stepwise
from cupy_kernels.depthwise.source import SOURCE


def depthwise(
    x: Any,
    filters: Any,
    bias: Any = None,
    lengths: Any = None,
    *,
    before: int,
    size: int,
    dilation: int = 1,
    threads: int | None = None,
) -> Any:
    """Convolution of sequences over time, of each channel with a filter of its own.

    y[b, t] = bias + sum over k of filters[k] x[b, t + k dilation - before], with x zero outside of
    its sequence.

    Args:
        x: float32 [batch, time, channels].
        filters: float32 [window, channels].
        bias: float32 [channels], or None.
        lengths: int32 [batch], frames of each sequence; by default all. Later ones are never read.
        before: frames by which the first window begins before the first frame, 0 or more.
        size: frames of the result.
        dilation: frames from one of a window to the next.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        float32 [batch, size, channels].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "depthwise"
    xp = _check(where, x, filters, lengths, before, dilation, bias=bias)
    _at_least(where, "size", size, 0)
    workers = thread_count(threads)
    options = {"before": int(before), "size": int(size), "dilation": int(dilation)}
    if xp is not np:
        return stepwise.convolve(xp, x, filters, bias, lengths, **options)
    if host.library(SOURCE) is None:
        return reference.depthwise(x, filters, bias, lengths, **options).astype(np.float32)
    y = np.empty((len(x), size, x.shape[2]), np.float32)
    sizes = (*x.shape[:2], size, x.shape[2], len(filters), before, dilation)
    launch(
        SOURCE, "depthwise_forward", x, filters, bias, lengths, y, *sizes, workers=workers, xp=xp
    )
    return y


def depthwise_gradient(
    dy: Any,
    x: Any,
    filters: Any,
    lengths: Any = None,
    *,
    before: int,
    dilation: int = 1,
    threads: int | None = None,
) -> tuple[Any, Any, Any]:
    """Gradient of `depthwise`.

    Args:
        dy: float32 [batch, size, channels], gradient of the result; all of its frames count.
        x, filters, lengths, before, dilation, threads: as in the forward pass.

    Returns:
        dx, float32 as x, zero behind the lengths; dfilters, float32 [window, channels]; dbias,
        float32 [channels].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    xp = _check("depthwise_gradient", x, filters, lengths, before, dilation, dy=dy)
    workers = thread_count(threads)
    options = {"before": int(before), "dilation": int(dilation)}
    if xp is not np:
        found: tuple[Any, Any, Any]
        found = stepwise.gradients(xp, dy, x, filters, lengths, **options)
        return found
    if host.library(SOURCE) is None:
        slow = reference.depthwise_gradient(dy, x, filters, lengths, **options)
        dx, dfilters, dbias = (a.astype(np.float32) for a in slow)
        return dx, dfilters, dbias
    dx, dfilters = np.empty_like(x), np.empty_like(filters)
    dbias = np.empty(x.shape[2], np.float32)
    sizes = (*x.shape[:2], dy.shape[1], x.shape[2], len(filters), before, dilation)
    arrays = (dy, x, filters, lengths, dx, dfilters, dbias)
    launch(SOURCE, "depthwise_backward", *arrays, *sizes, workers=workers, xp=xp)
    return dx, dfilters, dbias


def _check(
    where: str, x: Any, filters: Any, lengths: Any, before: Any, dilation: Any, **others: Any
) -> ModuleType:
    """Check what both passes have; the module of the arrays."""
    arrays = {"x": x, "filters": filters, "lengths": lengths, **others}
    arrays = {n: a for n, a in arrays.items() if a is not None or n not in ("bias", "lengths")}
    xp = check.array_module(where, **arrays)
    check.array(where, "x", x, np.float32, batch=None, time=None, channels=None)
    batch, time, channels = x.shape
    check.array(where, "filters", filters, np.float32, window=None, channels=channels)
    if len(filters) < 1:
        check.fail(where, "filters", f"shape {tuple(filters.shape)}", "a window of a frame or more")
    if "bias" in arrays:
        check.array(where, "bias", arrays["bias"], np.float32, channels=channels)
    if "dy" in arrays:
        axes = {"batch": batch, "size": None, "channels": channels}
        check.array(where, "dy", arrays["dy"], np.float32, **axes)
    if lengths is not None:
        check.array(where, "lengths", lengths, np.int32, batch=batch)
        check.lengths(where, "lengths", lengths, time, "time axis")
    _at_least(where, "before", before, 0)
    _at_least(where, "dilation", dilation, 1)
    return xp


def _at_least(where: str, name: str, value: Any, least: int) -> None:
    if not check.whole(value) or value < least:
        check.fail(where, name, repr(value), f"a whole number, {least} or more")
