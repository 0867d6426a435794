"""An affine map of frames: checks, launch."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.linear import reference

SOURCE = Path(__file__).with_name("linear.cu")


def linear(
    x: Any,
    w: Any,
    bias: Any = None,
    lengths: Any = None,
    *,
    time_axis: int = 1,
    threads: int | None = None,
) -> Any:
    """x w + bias for every frame of sequences, without a look at what lies behind their ends.

    Args:
        x: float32 [batch, time, inputs], or [time, batch, inputs].
        w: float32 [inputs, outputs].
        bias: float32 [outputs], or None.
        lengths: int32 [batch], frames of each sequence; by default all.
        time_axis: which axis of x is of frames, 1 or 0.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        float32 [batch, time, outputs] in the order of x, zero behind the lengths.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    xp = _check("linear", x, w, lengths, time_axis, bias=bias)
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        return reference.linear(x, w, bias, lengths, time_axis=time_axis).astype(np.float32)
    sizes = (*x.shape[:2], time_axis)
    y = xp.empty((*x.shape[:-1], w.shape[1]), np.float32)
    if xp is np:
        arrays = (x, w, bias, lengths, y)
        launch(SOURCE, "linear_forward", *arrays, *sizes, x.size, *w.shape, workers=workers, xp=xp)
        return y
    return _frames(xp, xp.matmul(x, w), bias, lengths, sizes)


def linear_backward(
    dy: Any,
    x: Any,
    w: Any,
    lengths: Any = None,
    *,
    time_axis: int = 1,
    threads: int | None = None,
) -> tuple[Any, Any, Any]:
    """Gradient of `linear`.

    Args:
        dy: float32 [batch, time, outputs], gradient of the result; ignored behind the lengths.
        x, w, lengths, time_axis, threads: as in the forward pass.

    Returns:
        dx, float32 as x, zero behind the lengths; dw, float32 [inputs, outputs]; dbias, float32
        [outputs].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    xp = _check("linear_backward", x, w, lengths, time_axis, dy=dy)
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        slow = reference.linear_backward(dy, x, w, lengths, time_axis=time_axis)
        dx, dw, dbias = (a.astype(np.float32) for a in slow)
        return dx, dw, dbias
    sizes = (*x.shape[:2], time_axis)
    if xp is np:
        dx, dw, dbias = xp.empty_like(x), xp.empty_like(w), xp.empty(w.shape[1], np.float32)
        arrays = (dy, x, w, lengths, dx, dw, dbias)
        launch(SOURCE, "linear_backward", *arrays, *sizes, x.size, *w.shape, workers=workers, xp=xp)
        return dx, dw, dbias
    dy, x = (_frames(xp, a, None, lengths, sizes) for a in (dy, x))
    rows, dy_rows = (a.reshape(-1, a.shape[-1]) for a in (x, dy))
    return xp.matmul(dy, w.T), xp.matmul(rows.T, dy_rows), dy_rows.sum(axis=0)


def _frames(xp: ModuleType, x: Any, bias: Any, lengths: Any, sizes: tuple[int, int, int]) -> Any:
    """x + bias in frames that count, zero in others."""
    if lengths is None:
        return x if bias is None else x + bias
    columns = x.shape[-1]
    rows = x.size // columns
    bias = xp.zeros(columns, np.float32) if bias is None else bias
    y = xp.empty_like(x)
    arrays = (xp.ascontiguousarray(x), bias, lengths, y)
    launch(SOURCE, "linear_frames", *arrays, *sizes, rows, columns, workers=max(1, rows), xp=xp)
    return y


def _check(where: str, x: Any, w: Any, lengths: Any, time_axis: int, **others: Any) -> ModuleType:
    """Check what both passes have; the module of the arrays."""
    arrays = {"x": x, "w": w, "lengths": lengths, **others}
    arrays = {n: a for n, a in arrays.items() if a is not None or n not in ("bias", "lengths")}
    xp = check.array_module(where, **arrays)
    check.integer(where, "time_axis", time_axis)
    if time_axis not in (0, 1):
        check.fail(where, "time_axis", str(time_axis), "0 or 1")
    check.array(where, "x", x, np.float32, first=None, second=None, inputs=None)
    check.array(where, "w", w, np.float32, inputs=x.shape[2], outputs=None)
    if min(w.shape) < 1:
        check.fail(where, "w", f"shape {tuple(w.shape)}", "at least one input and output")
    frames = dict(zip(("first", "second"), x.shape, strict=False))
    for name in arrays.keys() & others.keys():
        axes = frames if name == "dy" else {}
        check.array(where, name, others[name], np.float32, **axes, outputs=w.shape[1])
    if lengths is not None:
        check.array(where, "lengths", lengths, np.int32, batch=x.shape[1 - time_axis])
        check.lengths(where, "lengths", lengths, x.shape[time_axis], "time axis")
    return xp
