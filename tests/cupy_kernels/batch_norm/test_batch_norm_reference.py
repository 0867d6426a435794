"""The reference of batch normalisation: its gradients are those of differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cupy_kernels.batch_norm import reference


def test_a_factor_and_an_offset_for_each_channel() -> None:
    x = np.array([[1.0, 2.0], [3.0, -1.0]])
    y = reference.scale_shift(x, np.array([2.0, 0.5]), np.array([1.0, 0.0]))
    np.testing.assert_array_equal(y, [[3.0, 1.0], [7.0, -0.5]])


def test_the_gradient_is_that_of_differences() -> None:
    rng = np.random.default_rng(0)
    dy, x, factor, offset = (rng.standard_normal(s) for s in ((3, 5), (3, 5), 5, 5))
    values = [x, factor, offset]
    for i, gradient in enumerate(reference.scale_shift_backward(dy, x, factor)):
        direction = rng.standard_normal(gradient.shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = [v + step * direction if j == i else v for j, v in enumerate(values)]
            ends.append((reference.scale_shift(*moved) * dy).sum())
        wanted = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose((gradient * direction).sum(), wanted, rtol=1e-6)


@pytest.mark.parametrize("lengths", [None, np.array([4, 1, 0])])
def test_the_gradient_through_moments_is_that_of_differences(lengths: Any) -> None:
    rng = np.random.default_rng(0)
    dy, x, gamma, beta = (rng.standard_normal(s) for s in ((3, 4, 5), (3, 4, 5), 5, 5))
    _, moments = reference.batch_norm(x, gamma, beta, 0.1, lengths)
    found = reference.batch_norm_backward(dy, x, gamma, moments, lengths)
    values = [x, gamma, beta]
    for i, gradient in enumerate(found):
        direction = rng.standard_normal(gradient.shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = [v + step * direction if j == i else v for j, v in enumerate(values)]
            ends.append((reference.batch_norm(*moved, 0.1, lengths)[0] * dy).sum())
        wanted = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose((gradient * direction).sum(), wanted, rtol=1e-6)
