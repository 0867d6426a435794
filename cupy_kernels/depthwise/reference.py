"""Depthwise convolution in float64: the definition, and what tests compare with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def depthwise(
    x: Array,
    filters: Array,
    bias: Array | None,
    lengths: Array | None,
    *,
    before: int,
    size: int,
    dilation: int,
) -> Floats:
    """The operation's result."""
    batch, frames, channels = x.shape
    x = valid(x, lengths)
    y = np.zeros((batch, size, channels))
    for k, here, there in _taps(len(filters), frames, before, size, dilation):
        y[:, there] += x[:, here] * filters[k]
    return y if bias is None else y + bias


def depthwise_gradient(
    dy: Array,
    x: Array,
    filters: Array,
    lengths: Array | None,
    *,
    before: int,
    dilation: int,
) -> tuple[Floats, Floats, Floats]:
    """The gradients of x, filters and bias."""
    inside, dy = valid(x, lengths), dy.astype(np.float64)
    dx, dfilters = np.zeros(x.shape), np.zeros(filters.shape)
    for k, here, there in _taps(len(filters), x.shape[1], before, dy.shape[1], dilation):
        dx[:, here] += dy[:, there] * filters[k]
        dfilters[k] = (inside[:, here] * dy[:, there]).sum(axis=(0, 1))
    return valid(dx, lengths), dfilters, dy.sum(axis=(0, 1))


def valid(x: Array, lengths: Array | None) -> Floats:
    """x in float64, zero behind the ends of its sequences."""
    if lengths is None:
        return x.astype(np.float64)
    inside = np.arange(x.shape[1]) < lengths[:, None]
    return np.where(inside[..., None], x, 0.0).astype(np.float64)


def _taps(
    window: int, frames: int, before: int, size: int, dilation: int
) -> Iterator[tuple[int, slice, slice]]:
    """Of each frame of a filter: which frames of the input meet which ones of the output."""
    for k in range(window):
        ahead = k * dilation - before
        first = min(max(0, -ahead), size)
        last = max(first, min(size, frames - ahead))
        there = slice(first, last)
        yield k, slice(first + ahead, last + ahead) if last > first else slice(0, 0), there
