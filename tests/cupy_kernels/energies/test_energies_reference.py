"""The reference against the definition in one line, and its gradient against differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.energies import reference

LENGTHS = np.array([5, 2, 0], np.int32)


def _case() -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) for shape in ((3, 5, 4), (3, 2, 4), (4,))]


def test_energies_by_definition() -> None:
    keys, queries, v = _case()
    found = reference.additive_energies(keys, queries, v, LENGTHS)
    wanted = np.tanh(keys[:, None] + queries[:, :, None]) @ v
    wanted[np.broadcast_to(np.arange(5) >= LENGTHS[:, None, None], wanted.shape)] = 0
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_gradients_equal_differences() -> None:
    values = _case()
    rng = np.random.default_rng(1)
    cotangent = rng.standard_normal((3, 2, 5))
    gradients = reference.additive_energies_backward(cotangent, *values, LENGTHS)
    for i, gradient in enumerate(gradients):
        direction = rng.standard_normal(values[i].shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = [x + step * direction if j == i else x for j, x in enumerate(values)]
            energies = reference.additive_energies(*moved, LENGTHS)
            ends.append((energies * cotangent).sum())
        wanted = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose((gradient * direction).sum(), wanted, rtol=1e-7)
