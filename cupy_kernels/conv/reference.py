"""Convolution with 3 x 3 filters in float64: the definition, and what tests compare with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cupy_kernels.conv.source import Pair, counted

Floats = npt.NDArray[np.float64]


def conv3x3(
    x: npt.NDArray[Any],
    filters: npt.NDArray[Any],
    before: Pair,
    size: Pair,
    lengths: npt.NDArray[Any] | None = None,
) -> Floats:
    """The operation's result."""
    x = counted(np, x, lengths)
    y = np.zeros((len(x), *size, filters.shape[3]))
    for tap, here, there in _taps(before, x.shape[1:3], size):
        y[there] += x[here].astype(np.float64) @ filters[tap]
    return y


def conv3x3_input_gradient(
    dy: npt.NDArray[Any],
    filters: npt.NDArray[Any],
    before: Pair,
    size: Pair,
    lengths: npt.NDArray[Any] | None = None,
) -> Floats:
    """The gradient of the operation's input."""
    dx = np.zeros((len(dy), *size, filters.shape[2]))
    for tap, here, there in _taps(before, size, dy.shape[1:3]):
        dx[here] += dy[there].astype(np.float64) @ filters[tap].T
    found: Floats = counted(np, dx, lengths)
    return found


def conv3x3_filter_gradient(
    x: npt.NDArray[Any],
    dy: npt.NDArray[Any],
    before: Pair,
    lengths: npt.NDArray[Any] | None = None,
) -> Floats:
    """The gradient of the operation's filters."""
    x = counted(np, x, lengths)
    dfilters = np.zeros((3, 3, x.shape[3], dy.shape[3]))
    for tap, here, there in _taps(before, x.shape[1:3], dy.shape[1:3]):
        pixels = x[here].astype(np.float64)
        dfilters[tap] = np.tensordot(pixels, dy[there], axes=([0, 1, 2], [0, 1, 2]))
    return dfilters


def _taps(
    before: Pair, size: tuple[int, ...], out_size: tuple[int, ...]
) -> Iterator[tuple[Pair, tuple[slice, ...], tuple[slice, ...]]]:
    """Of each pixel of a filter: which part of the images meets which part of the output."""
    for i in range(3):
        for j in range(3):
            here, there = [slice(None)], [slice(None)]
            for tap, n, most, outputs in zip((i, j), before, size, out_size, strict=True):
                first = max(0, n - tap)
                last = max(first, min(outputs, most + n - tap))
                there.append(slice(first, last))
                here.append(slice(first + tap - n, last + tap - n))
            yield (i, j), tuple(here), tuple(there)
