"""Pooling, and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.pool import pool, pool_gradient
from cupy_kernels.pool.op import MODES


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem."""
    batch, height, width, *counts = (int(n) for n in rng.integers(0, [4, 12, 12, 8, 8]))
    size = counts[0], counts[1]
    channels = int(rng.choice([1, 3, 8, 19, 33]))
    window, strides, dilation = (tuple(n) for n in rng.integers(1, 4, (3, 2)).tolist())
    if rng.integers(2):  # side by side
        strides, dilation = window, (1, 1)
    lengths = rng.integers(0, height + 1, batch).astype(np.int32)
    before = rng.integers(0, 5, rng.choice([1, batch])).astype(np.int32)
    x = rng.integers(-3, 3, (batch, height, width, channels)).astype(np.float32)  # some are equal
    dy = rng.standard_normal((batch, *size, channels), np.float32)
    options: dict[str, Any] = {
        "window": window,
        "strides": strides,
        "dilation": dilation,
        "left": 1,
    }
    found = []
    for mode in MODES:
        options |= {"mode": mode, "threads": 2}
        found.append(pool(x, lengths, before, size=size, **options))
        found.append(pool_gradient(dy, x, lengths, before, **options))
    return found
