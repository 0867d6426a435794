"""The reference against the definition, pixel by pixel, and its gradients against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cupy_kernels.conv2d import Windows, reference

CASES: dict[str, Windows] = {
    "plain": Windows(size=(3, 4)),
    "same": Windows(size=(4, 5), before=(1, 0)),
    "apart": Windows(size=(2, 3), before=(1, 1), strides=(2, 2)),
    "dilated": Windows(size=(5, 4), before=(2, 1), dilation=(2, 3)),
    "apart and dilated": Windows(size=(3, 2), before=(0, 2), strides=(2, 3), dilation=(1, 2)),
}
ROWS = {"all": (None, None), "some": (np.array([4, 2]), np.array([1, 3]))}


@pytest.fixture(params=CASES)
def windows(request: pytest.FixtureRequest) -> Windows:
    return CASES[request.param]


@pytest.fixture(params=ROWS)
def rows(request: pytest.FixtureRequest) -> Any:
    return ROWS[request.param]


def _case(windows: Windows) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s) for s in ((2, 4, 5, 3), (3, 2, 3, 2), (2, *windows.size, 2))]


def test_by_definition(windows: Windows, rows: Any) -> None:
    x, filters, _ = _case(windows)
    lengths, tops = rows
    found = reference.conv2d(x, filters, windows, np.array([1.0, -1.0]), lengths, tops)
    for b, i, j in np.ndindex(2, *windows.size):
        wanted = np.array([1.0, -1.0])
        for p, q in np.ndindex(3, 2):
            top = windows.before[0] if tops is None else tops[b]
            row = i * windows.strides[0] - top + p * windows.dilation[0]
            column = j * windows.strides[1] - windows.before[1] + q * windows.dilation[1]
            if 0 <= row < (4 if lengths is None else lengths[b]) and 0 <= column < 5:
                wanted = wanted + x[b, row, column] @ filters[p, q]
        np.testing.assert_allclose(found[b, i, j], wanted, atol=1e-12)


def test_gradients_equal_differences(windows: Windows, rows: Any) -> None:
    """The operation is linear in all its arguments: differences are exact."""
    x, filters, dy = _case(windows)
    rng = np.random.default_rng(1)
    by_x, by_filters, by_bias = (rng.standard_normal(s) for s in (x.shape, filters.shape, 2))
    dx = reference.conv2d_input_gradient(dy, filters, windows, (4, 5), *rows)
    wanted = (reference.conv2d(by_x, filters, windows, None, *rows) * dy).sum()
    np.testing.assert_allclose((dx * by_x).sum(), wanted, rtol=1e-10)
    dfilters, dbias = reference.conv2d_filter_gradient(x, dy, windows, (3, 2), *rows)
    wanted = (reference.conv2d(x, by_filters, windows, None, *rows) * dy).sum()
    np.testing.assert_allclose((dfilters * by_filters).sum(), wanted, rtol=1e-10)
    wanted = (reference.conv2d(x, 0 * filters, windows, by_bias, *rows) * dy).sum()
    np.testing.assert_allclose((dbias * by_bias).sum(), wanted, rtol=1e-10)
