"""Convolution with 3 x 3 filters: checks, launch."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.conv import fused, reference, stepwise
from cupy_kernels.conv.source import SOURCE, Pair, counted

TAPS = 3


def conv3x3(
    x: Any,
    filters: Any,
    before: Pair,
    size: Pair,
    lengths: Any = None,
    *,
    threads: int | None = None,
) -> Any:
    """Convolution of images with filters of 3 x 3 pixels, which move by one pixel.

    y[b, i, j, k] = sum over p, q, c of x[b, i + p - before[0], j + q - before[1], c]
    filters[p, q, c, k], where x is zero outside of the image and from row lengths[b] on. By tiles
    of the output of 2 x 2 pixels, which take 16 products for each c and k and not 36: A. Lavin, S.
    Gray, "Fast algorithms for convolutional neural networks", 2016, F(2 x 2, 3 x 3). Sums are of
    float32.

    Args:
        x: float32 [batch, height, width, in].
        filters: float32 [3, 3, in, out].
        before: rows and columns of zeros that are thought of before each image.
        size: rows and columns of the output; there are as many zeros behind images as it needs.
        lengths: int32 [batch], rows of each image that count; by default all.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        float32 [batch, *size, out].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "conv3x3"
    xp, before, size = _check(where, filters, before, size, lengths, x=x)
    _lengths(where, lengths, x.shape[:2])
    _filters(where, filters, x.shape[3], None)
    if not x.size or not filters.size:
        return xp.zeros((len(x), *size, filters.shape[3]), np.float32)
    if xp is not np:
        return stepwise.convolve(xp, x, filters, before, size, lengths)
    if host.library(SOURCE) is None:
        return reference.conv3x3(x, filters, before, size, lengths).astype(np.float32)
    return fused.convolve(x, filters, before, size, lengths, thread_count(threads))


def conv3x3_input_gradient(
    dy: Any,
    filters: Any,
    before: Pair,
    size: Pair,
    lengths: Any = None,
    *,
    threads: int | None = None,
) -> Any:
    """Gradient of the images of `conv3x3`.

    Args:
        dy: float32 [batch, out height, out width, out], gradient of the output.
        filters, before, lengths, threads: as in the forward pass.
        size: rows and columns of the images.

    Returns:
        float32 [batch, *size, in], zero from row lengths[b] on.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "conv3x3_input_gradient"
    xp, before, size = _check(where, filters, before, size, lengths, dy=dy)
    _lengths(where, lengths, (len(dy), size[0]))
    _filters(where, filters, None, dy.shape[3])
    if not dy.size or not filters.size:
        return xp.zeros((len(dy), *size, filters.shape[2]), np.float32)
    # Each pixel of the output meets the filters turned by half a turn.
    turned = (TAPS - 1 - before[0], TAPS - 1 - before[1])
    if xp is not np:
        of_turned = xp.ascontiguousarray(filters[::-1, ::-1].transpose(0, 1, 3, 2))
        dx = stepwise.convolve(xp, dy, of_turned, turned, size, None)
        return counted(xp, dx, lengths)
    if host.library(SOURCE) is None:
        slow = reference.conv3x3_input_gradient(dy, filters, before, size, lengths)
        return slow.astype(np.float32)
    return fused.input_gradient(dy, filters, turned, size, lengths, thread_count(threads))


def conv3x3_filter_gradient(
    x: Any, dy: Any, before: Pair, lengths: Any = None, *, threads: int | None = None
) -> Any:
    """Gradient of the filters of `conv3x3`.

    Args:
        x, before, lengths, threads: as in the forward pass.
        dy: float32 [batch, out height, out width, out], gradient of the output.

    Returns:
        float32 [3, 3, in, out].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "conv3x3_filter_gradient"
    arrays = {"x": x, "dy": dy} | ({} if lengths is None else {"lengths": lengths})
    xp, before = check.array_module(where, **arrays), _pair(where, "before", before)
    _images(where, "x", x)
    _lengths(where, lengths, x.shape[:2])
    _images(where, "dy", dy, len(x))
    if not x.size or not dy.size:
        return xp.zeros((TAPS, TAPS, x.shape[3], dy.shape[3]), np.float32)
    if xp is not np:
        return stepwise.filter_gradient(xp, x, dy, before, lengths)
    if host.library(SOURCE) is None:
        return reference.conv3x3_filter_gradient(x, dy, before, lengths).astype(np.float32)
    return fused.filter_gradient(x, dy, before, lengths, thread_count(threads))


def _check(
    where: str, filters: Any, before: Any, size: Any, lengths: Any, **images: Any
) -> tuple[ModuleType, Pair, Pair]:
    """Check images and what is to be made of them; the module of the arrays, before and size."""
    given = {} if lengths is None else {"lengths": lengths}
    xp = check.array_module(where, **images, filters=filters, **given)
    for name, value in images.items():
        _images(where, name, value)
    return xp, _pair(where, "before", before), _pair(where, "size", size)


def _lengths(where: str, lengths: Any, size: Pair) -> None:
    """Check the lengths of images [batch, rows]."""
    if lengths is not None:
        check.array(where, "lengths", lengths, np.int32, batch=size[0])
        check.lengths(where, "lengths", lengths, size[1], "rows of an image")


def _pair(where: str, name: str, value: Any) -> Pair:
    right = isinstance(value, tuple | list) and len(value) == 2
    if not right or not all(check.whole(n) and n >= 0 for n in value):
        check.fail(where, name, repr(value), "two whole numbers, 0 or more")
    return int(value[0]), int(value[1])


def _images(where: str, name: str, value: Any, batch: int | None = None) -> None:
    axes = {"height": None, "width": None, "channels": None}
    check.array(where, name, value, np.float32, batch=batch, **axes)


def _filters(where: str, filters: Any, inputs: int | None, outputs: int | None) -> None:
    axes = {"rows": TAPS, "columns": TAPS, "in": inputs, "out": outputs}
    check.array(where, "filters", filters, np.float32, **axes)
