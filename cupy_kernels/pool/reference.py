"""Maximum or mean of windows in float64: the definition, and what tests compare with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Pair = tuple[int, int]


class _Entries(NamedTuple):
    """Where the entries of all windows are, those of a window row by row.

    rows: [entries, batch, row windows]. columns: [entries, column windows]. counts: whether they
    do, bool [entries, batch, row windows, column windows, 1].
    """

    rows: Array
    columns: Array
    counts: Array

    def of(self, x: Array) -> Array:
        """Their values; any where they do not count."""
        rows, columns = (np.clip(a, 0, n - 1) for a, n in zip(self[:2], x.shape[1:3], strict=True))
        batch = np.arange(len(x))[:, None, None]
        found: Array = x[batch, rows[..., None], columns[:, None, None, :]]
        return found


def _entries(
    x: Array,
    lengths: Array | None,
    before: Array | None,
    window: Pair,
    strides: Pair,
    size: Pair,
    dilation: Pair,
    left: int,
) -> _Entries:
    batch, height, width, _ = x.shape
    limits = np.full(batch, height) if lengths is None else lengths
    top = np.broadcast_to(0 if before is None else before, [batch])
    p, q = (n.reshape(-1, 1) for n in np.indices(window))
    starts = np.arange(size[0]) * strides[0] - top[:, None]
    rows = starts + (p * dilation[0])[..., None]
    columns = np.arange(size[1]) * strides[1] - left + q * dilation[1]
    in_rows = (rows >= 0) & (rows < limits[:, None])
    in_columns = (columns >= 0) & (columns < width)
    counts = in_rows[..., None] & in_columns[:, None, None, :]
    return _Entries(rows, columns, counts[..., None])


def pool(x: Array, lengths: Array | None, before: Array | None, mode: str, *places: Any) -> Floats:
    """The operation's result; places: window, strides, size, dilation, left."""
    x = x.astype(np.float64)
    shape = (len(x), *places[2], x.shape[3])
    if not x.size:
        return np.zeros(shape)
    entries = _entries(x, lengths, before, *places)
    values, counts = entries.of(x), entries.counts
    if mode == "max":
        found: Floats = np.where(counts, values, -np.inf).max(axis=0)
        return np.where(np.any(counts, axis=0), found, 0)
    sums: Floats = np.where(counts, values, 0).sum(axis=0) / _divisor(entries, mode)
    return sums


def pool_gradient(
    dy: Array,
    x: Array,
    lengths: Array | None,
    before: Array | None,
    mode: str,
    window: Pair,
    strides: Pair,
    dilation: Pair,
    left: int,
) -> Floats:
    """The gradient of x."""
    dx = np.zeros(x.shape)
    if not x.size:
        return dx
    entries = _entries(x, lengths, before, window, strides, dy.shape[1:3], dilation, left)
    if mode == "max":
        values = np.where(entries.counts, entries.of(x.astype(np.float64)), -np.inf)
        # One that does not count is not the first of several that are -inf.
        largest = entries.counts & (values == values.max(axis=0))
        first = largest & (largest.cumsum(axis=0) == 1)
        shares = first * dy.astype(np.float64)
    else:
        shares = np.where(entries.counts, dy.astype(np.float64) / _divisor(entries, mode), 0)
    for k, counts in enumerate(entries.counts[..., 0]):
        b, i, j = np.nonzero(counts)
        np.add.at(dx, (b, entries.rows[k, b, i], entries.columns[k, j]), shares[k, b, i, j])
    return dx


def _divisor(entries: _Entries, mode: str) -> Any:
    """By what sums are divided."""
    if mode == "mean_of_all":
        return len(entries.counts)
    return np.maximum(entries.counts.sum(axis=0), 1)
