"""Convolution of images: checks, launch."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.conv2d import reference, stepwise
from cupy_kernels.conv2d.windows import SOURCE, Pair, Windows


def conv2d(
    x: Any,
    filters: Any,
    windows: Windows,
    bias: Any = None,
    lengths: Any = None,
    tops: Any = None,
    *,
    threads: int | None = None,
) -> Any:
    """Convolution of images with filters of any size that move by any steps.

    y[b, i, j, k] = bias[k] + sum over p, q, c of
    x[b, i strides[0] + p dilation[0] - tops[b], j strides[1] + q dilation[1] - before[1], c]
    filters[p, q, c, k], where x is zero outside of the image and from row lengths[b] on.

    Args:
        x: float32 [batch, height, width, in].
        filters: float32 [rows, columns, in, out].
        windows: how the filters move.
        bias: float32 [out], or None.
        lengths: int32 [batch], rows of each image that count; by default all.
        tops: int32 [batch], rows of zeros before each image; by default windows.before[0].
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        float32 [batch, *windows.size, out].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "conv2d"
    xp = _module(where, windows, x=x, filters=filters, bias=bias, lengths=lengths, tops=tops)
    _images(where, "x", x, None, lengths, tops)
    _filters(where, filters, x.shape[3], None)
    if bias is not None:
        check.array(where, "bias", bias, np.float32, out=filters.shape[3])
    y = (len(x), *windows.size, filters.shape[3])
    if not x.size or not filters.size or 0 in y:
        return xp.zeros(y, np.float32) + (np.float32(0) if bias is None else bias)
    if xp is not np:
        return stepwise.convolve(xp, x, filters, windows, bias, lengths, tops)
    if host.library(SOURCE) is None:
        slow = reference.conv2d(x, filters, windows, bias, lengths, tops)
        return slow.astype(np.float32)
    found = np.empty(y, np.float32)
    arrays = (x, filters, bias, lengths, tops, found)
    _launch("conv2d_forward", arrays, windows.arguments(x.shape, filters.shape), threads)
    return found


def conv2d_input_gradient(
    dy: Any,
    filters: Any,
    windows: Windows,
    size: Pair,
    lengths: Any = None,
    tops: Any = None,
    *,
    threads: int | None = None,
) -> Any:
    """Gradient of the images of `conv2d`.

    Args:
        dy: float32 [batch, *windows.size, out], gradient of the output.
        filters, windows, lengths, tops, threads: as in the forward pass.
        size: rows and columns of the images.

    Returns:
        float32 [batch, *size, in], zero from row lengths[b] on.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "conv2d_input_gradient"
    xp = _module(where, windows, dy=dy, filters=filters, lengths=lengths, tops=tops)
    _pair(where, "size", size, 0)
    _images(where, "dy", dy, windows.size, lengths, tops, size[0])
    _filters(where, filters, None, dy.shape[3])
    shape = (len(dy), *size, filters.shape[2])
    if not dy.size or not filters.size or 0 in shape:
        return xp.zeros(shape, np.float32)
    if xp is not np:
        return stepwise.input_gradient(xp, dy, filters, windows, size, lengths, tops)
    if host.library(SOURCE) is None:
        slow = reference.conv2d_input_gradient(dy, filters, windows, size, lengths, tops)
        return slow.astype(np.float32)
    dx = np.empty(shape, np.float32)
    arrays = (dy, filters, lengths, tops, dx)
    _launch("conv2d_input_gradient", arrays, windows.arguments(shape, filters.shape), threads)
    return dx


def conv2d_filter_gradient(
    x: Any,
    dy: Any,
    windows: Windows,
    filter_size: Pair,
    lengths: Any = None,
    tops: Any = None,
    *,
    threads: int | None = None,
) -> tuple[Any, Any]:
    """Gradient of the filters and the bias of `conv2d`.

    Args:
        x, windows, lengths, tops, threads: as in the forward pass.
        dy: float32 [batch, *windows.size, out], gradient of the output.
        filter_size: rows and columns of a filter.

    Returns:
        dfilters, float32 [*filter_size, in, out]; dbias, float32 [out].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "conv2d_filter_gradient"
    xp = _module(where, windows, x=x, dy=dy, lengths=lengths, tops=tops)
    _pair(where, "filter_size", filter_size, 1)
    _images(where, "x", x, None, lengths, tops)
    _images(where, "dy", dy, windows.size, batch=len(x))
    shape = (*filter_size, x.shape[3], dy.shape[3])
    if not x.size or not dy.size:
        return xp.zeros(shape, np.float32), dy.sum((0, 1, 2))
    if xp is not np:
        return stepwise.filter_gradient(xp, x, dy, windows, filter_size, lengths, tops)
    if host.library(SOURCE) is None:
        slow = reference.conv2d_filter_gradient(x, dy, windows, filter_size, lengths, tops)
        dfilters, dbias = (a.astype(np.float32) for a in slow)
        return dfilters, dbias
    dfilters, dbias = np.empty(shape, np.float32), np.empty(shape[3], np.float32)
    arrays = (x, dy, lengths, tops, dfilters, dbias)
    _launch("conv2d_filter_gradient", arrays, windows.arguments(x.shape, shape), threads)
    return dfilters, dbias


def _launch(
    name: str, arrays: tuple[Any, ...], sizes: tuple[int, ...], threads: int | None
) -> None:
    launch(SOURCE, name, *arrays, *sizes, workers=thread_count(threads), xp=np)


def _module(where: str, windows: Any, **arrays: Any) -> ModuleType:
    """Check what windows have; the module of the arrays."""
    if not isinstance(windows, Windows):
        check.fail(where, "windows", repr(windows), "Windows")
    for name, pair in windows.pairs().items():
        _pair(where, name, pair, 1 if name in ("strides", "dilation") else 0)
    optional = ("bias", "lengths", "tops")
    given = {n: a for n, a in arrays.items() if a is not None or n not in optional}
    return check.array_module(where, **given)


def _pair(where: str, name: str, value: Any, least: int) -> None:
    right = isinstance(value, tuple | list) and len(value) == 2
    if not right or not all(check.whole(n) and n >= least for n in value):
        check.fail(where, name, repr(value), f"two whole numbers, {least} or more")


def _images(
    where: str,
    name: str,
    value: Any,
    size: Pair | None,
    lengths: Any = None,
    tops: Any = None,
    height: int | None = None,
    *,
    batch: int | None = None,
) -> None:
    """Check images, and what their rows have; height: rows of the input, by default of these."""
    rows, columns = (None, None) if size is None else size
    axes = {"batch": batch, "height": rows, "width": columns, "channels": None}
    check.array(where, name, value, np.float32, **axes)
    for of_rows, array in {"lengths": lengths, "tops": tops}.items():
        if array is not None:
            check.array(where, of_rows, array, np.int32, batch=len(value))
    if lengths is not None:
        most = value.shape[1] if height is None else height
        check.lengths(where, "lengths", lengths, most, "rows of an image")
    if tops is not None:
        on_host = check.on_host(tops)
        check.outside(where, "tops", on_host, on_host < 0, "0 or more")


def _filters(where: str, filters: Any, inputs: int | None, outputs: int | None) -> None:
    axes = {"rows": None, "columns": None, "in": inputs, "out": outputs}
    check.array(where, "filters", filters, np.float32, **axes)
