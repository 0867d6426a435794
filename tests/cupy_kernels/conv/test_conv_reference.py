"""The reference against the definition, pixel by pixel, and its gradients against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cupy_kernels.conv import reference

SHAPES = [((1, 1), (4, 5)), ((0, 0), (2, 3)), ((2, 1), (7, 6)), ((3, 0), (9, 1))]


def _case(size: tuple[int, int]) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s) for s in ((2, 4, 5, 3), (3, 3, 3, 2), (2, *size, 2))]


@pytest.mark.parametrize(("before", "size"), SHAPES)
def test_by_definition(before: tuple[int, int], size: tuple[int, int]) -> None:
    x, filters, _ = _case(size)
    wide = np.zeros((2, 30, 30, 3))
    wide[:, 10:14, 10:15] = x
    found = reference.conv3x3(x, filters, before, size)
    for i, j in np.ndindex(*size):
        top, left = 10 + i - before[0], 10 + j - before[1]
        window = wide[:, top : top + 3, left : left + 3]
        np.testing.assert_allclose(
            found[:, i, j], np.einsum("bpqc,pqck->bk", window, filters), atol=1e-12
        )


@pytest.mark.parametrize(("before", "size"), SHAPES)
def test_gradients_equal_differences(before: tuple[int, int], size: tuple[int, int]) -> None:
    """The operation is linear in both arguments: differences are exact."""
    x, filters, dy = _case(size)
    rng = np.random.default_rng(1)
    by_x, by_filters = (rng.standard_normal(a.shape) for a in (x, filters))
    dx = reference.conv3x3_input_gradient(dy, filters, before, (4, 5))
    wanted = (reference.conv3x3(by_x, filters, before, size) * dy).sum()
    np.testing.assert_allclose((dx * by_x).sum(), wanted, rtol=1e-10)
    dfilters = reference.conv3x3_filter_gradient(x, dy, before)
    wanted = (reference.conv3x3(x, by_filters, before, size) * dy).sum()
    np.testing.assert_allclose((dfilters * by_filters).sum(), wanted, rtol=1e-10)
