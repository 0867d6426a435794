"""Convolution with 3 x 3 filters, and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.conv import conv3x3, conv3x3_filter_gradient, conv3x3_input_gradient


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem."""
    batch, *sizes = (int(n) for n in rng.integers(0, [3, 8, 8, 8, 8]))
    inputs, outputs = (int(n) for n in rng.integers(1, 70, 2))
    before, size = tuple(rng.integers(0, 4, 2).tolist()), tuple(sizes[2:])
    x = rng.standard_normal((batch, *sizes[:2], inputs), np.float32)
    filters = rng.standard_normal((3, 3, inputs, outputs), np.float32)
    dy = rng.standard_normal((batch, *size, outputs), np.float32)
    return [
        conv3x3(x, filters, before, size, threads=2),
        conv3x3_input_gradient(dy, filters, before, x.shape[1:3], threads=2),
        conv3x3_filter_gradient(x, dy, before, threads=2),
    ]
