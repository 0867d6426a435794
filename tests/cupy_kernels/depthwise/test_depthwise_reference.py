"""The reference against the definition, frame by frame, and its gradients against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cupy_kernels.depthwise import reference

LENGTHS = np.array([6, 3, 0], np.int32)
# Window, frames before, size, dilation.
CASES = [(3, 1, 6, 1), (3, 0, 4, 1), (4, 5, 9, 2), (1, 0, 6, 1), (2, 9, 20, 3), (5, 0, 3, 4)]


def _case(window: int, size: int) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s) for s in ((3, 6, 2), (window, 2), (2,), (3, size, 2))]


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize(("window", "before", "size", "dilation"), CASES)
def test_by_definition(window: int, before: int, size: int, dilation: int, lengths: Any) -> None:
    x, filters, bias, _ = _case(window, size)
    options = {"before": before, "size": size, "dilation": dilation}
    found = reference.depthwise(x, filters, bias, lengths, **options)
    for b, t in np.ndindex(3, size):
        wanted = bias.copy()
        for k in range(window):
            s = t + k * dilation - before
            if 0 <= s < (6 if lengths is None else lengths[b]):
                wanted += filters[k] * x[b, s]
        np.testing.assert_allclose(found[b, t], wanted, atol=1e-12)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize(("window", "before", "size", "dilation"), CASES)
def test_gradients_equal_differences(
    window: int, before: int, size: int, dilation: int, lengths: Any
) -> None:
    """The operation is linear in each argument: differences are exact."""
    x, filters, bias, dy = _case(window, size)
    options = {"before": before, "dilation": dilation}
    dx, dfilters, dbias = reference.depthwise_gradient(dy, x, filters, lengths, **options)
    rng = np.random.default_rng(1)
    by_x, by_filters = (rng.standard_normal(a.shape) for a in (x, filters))
    nothing, of_y = np.zeros_like(x), {"size": size, **options}
    for gradient, by, y in (
        (dx, by_x, reference.depthwise(by_x, filters, None, lengths, **of_y)),
        (dfilters, by_filters, reference.depthwise(x, by_filters, None, lengths, **of_y)),
        (dbias, bias, reference.depthwise(nothing, filters, bias, lengths, **of_y)),
    ):
        np.testing.assert_allclose((gradient * by).sum(), (y * dy).sum(), rtol=1e-10, atol=1e-12)
