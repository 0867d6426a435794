"""The reference against the definition, window by window, and its gradient against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cupy_kernels.pool import reference

LENGTHS, BEFORE = np.array([6, 0, 3], np.int32), np.array([1, 0, 2], np.int32)
# Size, strides, size, dilation, left.
PLACES: dict[str, tuple[Any, ...]] = {
    "apart": ((2, 2), (2, 2), (4, 3), (1, 1), 0),
    "overlapping": ((3, 2), (1, 1), (7, 6), (1, 1), 1),
    "dilated": ((2, 3), (2, 1), (3, 4), (3, 2), 2),
    "far from each other": ((1, 2), (3, 3), (3, 2), (1, 1), 0),
}
MODES = ("max", "mean", "mean_of_all")


def _normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def _window(x: Any, b: int, i: int, j: int, places: tuple[Any, ...]) -> Any:
    """The entries that count, [entries, channels]."""
    window, strides, _, dilation, left = places
    found = []
    for p, q in np.ndindex(*window):
        row = i * strides[0] - BEFORE[b] + p * dilation[0]
        column = j * strides[1] - left + q * dilation[1]
        if 0 <= row < LENGTHS[b] and 0 <= column < x.shape[2]:
            found.append(x[b, row, column])
    return np.reshape(found, (-1, x.shape[3]))


@pytest.mark.parametrize("name", PLACES)
def test_by_definition(name: str) -> None:
    x, places = _normal(3, 6, 5, 2), PLACES[name]
    found = {mode: reference.pool(x, LENGTHS, BEFORE, mode, *places) for mode in MODES}
    for b, i, j in np.ndindex(3, *places[2]):
        entries = _window(x, b, i, j, places)
        wanted = np.zeros((3, 2))
        if len(entries):
            total = entries.sum(axis=0)
            wanted[:] = entries.max(axis=0), total / len(entries), total / np.prod(places[0])
        np.testing.assert_allclose([found[mode][b, i, j] for mode in MODES], wanted, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PLACES)
def test_gradients_equal_differences(name: str, mode: str) -> None:
    x, (window, strides, size, *others) = _normal(3, 6, 5, 2), PLACES[name]
    dy, by = _normal(3, *size, 2), 1e-6 * _normal(*x.shape)
    both = (
        reference.pool(x + d, LENGTHS, BEFORE, mode, window, strides, size, *others)
        for d in (by, -by)
    )
    found = reference.pool_gradient(dy, x, LENGTHS, BEFORE, mode, window, strides, *others)
    wanted = np.subtract(*both) / 2e-6
    np.testing.assert_allclose((found * by).sum() * 1e6, (wanted * dy).sum(), atol=1e-6)


def test_of_equal_ones_the_first_has_the_gradient() -> None:
    x, dy = np.full((1, 2, 3, 1), -np.inf), np.array([2.0, 3.0]).reshape(1, 1, 2, 1)
    lengths, before = np.array([2], np.int32), np.array([1], np.int32)
    found = reference.pool_gradient(dy, x, lengths, before, "max", (3, 2), (1, 1), (1, 1), 0)
    np.testing.assert_array_equal(found[0, :, :, 0], [[2, 3, 0], [0, 0, 0]])
