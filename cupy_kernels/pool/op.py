"""Maximum or mean of windows over images: checks, launch."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.pool import reference

SOURCE = Path(__file__).with_name("pool.cu")
MODES = ("max", "mean", "mean_of_all")  # in the order of windows.h
MOST = 2**16  # entries of a window in one direction, and steps
Pair = tuple[int, int]


def pool(
    x: Any,
    lengths: Any | None,
    before: Any | None,
    *,
    mode: str,
    window: Pair,
    strides: Pair,
    size: Pair,
    dilation: Pair = (1, 1),
    left: int = 0,
    threads: int | None = None,
) -> Any:
    """Maximum or mean of each window over images, of which sequences may have fewer rows.

    Entry (p, q) of window (i, j) is row i * strides[0] - before + p * dilation[0], and likewise the
    column, with `left`. What is outside of the image, or behind the end of its sequence, does not
    count, and is not read; a window without anything that counts has 0.

    Args:
        x: float32 [batch, height, width, channels].
        lengths: int32 [batch], rows that count. None: all.
        before: int32 [batch], or [1] for all: rows that are thought of before each image. None: 0.
        mode: "max"; "mean": of what counts; "mean_of_all": in which what does not count is zero.
        window: rows and columns of a window.
        strides: from window to window. dilation: from entry to entry of a window.
        size: how many there are, one below the other and side by side.
        left: columns that are thought of before each image.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        float32 [batch, *size, channels].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "pool"
    xp = _arrays(where, lengths, before, x=x)
    sizes = _sizes(where, mode, window, strides, dilation, left)
    size = _pair(where, "size", size, 0)
    if xp is np and host.library(SOURCE) is None:
        slow = reference.pool(x, lengths, before, mode, window, strides, size, dilation, left)
        return slow.astype(np.float32)
    y = xp.empty((len(x), *size, x.shape[3]), np.float32)
    _run(xp, "pool_forward", (x, lengths, before), (y,), size, sizes, threads)
    return y


def pool_gradient(
    dy: Any,
    x: Any,
    lengths: Any | None,
    before: Any | None,
    *,
    mode: str,
    window: Pair,
    strides: Pair,
    dilation: Pair = (1, 1),
    left: int = 0,
    threads: int | None = None,
) -> Any:
    """Gradient of `pool`; that of a maximum goes to the first of the largest entries, row by row.

    Args:
        dy: float32 [batch, *size, channels], gradient of the result.
        x, lengths, before, mode, window, strides, dilation, left, threads: as in the forward pass.

    Returns:
        float32, as x.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "pool_gradient"
    xp = _arrays(where, lengths, before, x=x, dy=dy)
    sizes = _sizes(where, mode, window, strides, dilation, left)
    if xp is np and host.library(SOURCE) is None:
        slow = reference.pool_gradient(
            dy, x, lengths, before, mode, window, strides, dilation, left
        )
        return slow.astype(np.float32)
    dx = xp.empty_like(x)
    # Where threads have caches of their own, a window is better looked at once.
    name = "pool_gradient_of_rows" if xp is np else "pool_gradient"
    _run(xp, name, (x, lengths, before), (dy, dx), dy.shape[1:3], sizes, threads)
    return dx


def _run(
    xp: ModuleType,
    name: str,
    inputs: tuple[Any, Any, Any],
    others: tuple[Any, ...],
    size: Pair,
    sizes: tuple[int, ...],
    threads: int | None,
) -> None:
    """Launch; on a GPU with a block for each row of the last array, the result."""
    x, _, before = inputs
    step, out = int(before is not None and len(before) > 1), others[-1]
    workers = thread_count(threads) if xp is np else max(len(out) * out.shape[1], 1)
    arrays = *inputs, *others
    launch(SOURCE, name, *arrays, *x.shape, *size, step, *sizes, workers=workers, xp=xp)


def _arrays(where: str, lengths: Any, before: Any, **images: Any) -> ModuleType:
    """Check the arrays; the module of all."""
    given = {"lengths": lengths, "before": before}
    of_batch = {name: value for name, value in given.items() if value is not None}
    xp = check.array_module(where, **images, **of_batch)
    batch, height, _, channels = _image(where, "x", images["x"])
    if "dy" in images:
        _image(where, "dy", images["dy"], batch, channels)
    if lengths is not None:
        check.array(where, "lengths", lengths, np.int32, batch=batch)
        check.lengths(where, "lengths", lengths, height, "height of x")
    if before is not None:
        check.array(where, "before", before, np.int32, batch=1 if before.shape == (1,) else batch)
        rows = check.on_host(before)
        check.outside(where, "before", rows, rows < 0, "0 or more")
    return xp


def _image(
    where: str, name: str, value: Any, batch: int | None = None, channels: int | None = None
) -> tuple[int, ...]:
    axes = {"batch": batch, "height": None, "width": None, "channels": channels}
    check.array(where, name, value, np.float32, **axes)
    return tuple(value.shape)


def _sizes(
    where: str, mode: str, window: Pair, strides: Pair, dilation: Pair, left: int
) -> tuple[int, ...]:
    """Check the options; what the kernels take for them."""
    if mode not in MODES:
        check.fail(where, "mode", repr(mode), f"one of {', '.join(map(repr, MODES))}")
    pairs = {"window": window, "strides": strides, "dilation": dilation}
    found = [n for name, pair in pairs.items() for n in _pair(where, name, pair, 1)]
    check.integer(where, "left", left)
    if not left >= 0:
        check.fail(where, "left", str(left), "0 or more")
    return left, *found, MODES.index(mode)


def _pair(where: str, name: str, value: Any, least: int) -> Pair:
    right = isinstance(value, tuple | list) and len(value) == 2
    if not right or not all(check.whole(n) and least <= n <= MOST for n in value):
        check.fail(where, name, repr(value), f"two whole numbers from {least} to {MOST}")
    return int(value[0]), int(value[1])
