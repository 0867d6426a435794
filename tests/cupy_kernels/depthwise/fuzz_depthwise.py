"""Depthwise convolution over time, and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.depthwise import depthwise, depthwise_gradient


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem."""
    sizes = (int(n) for n in rng.integers([0, 0, 1, 1, 1], [4, 40, 40, 20, 4]))
    batch, time, channels, window, dilation = sizes
    size, before = int(rng.integers(0, time + 20)), int(rng.integers(0, window * dilation + 3))
    x = rng.standard_normal((batch, time, channels), np.float32)
    dy = rng.standard_normal((batch, size, channels), np.float32)
    filters = rng.standard_normal((window, channels), np.float32)
    bias = rng.standard_normal(channels, np.float32) if rng.integers(0, 2) else None
    lengths = rng.integers(0, time + 1, batch, dtype=np.int32) if rng.integers(0, 2) else None
    options = {"before": before, "dilation": dilation, "threads": 2}
    y = depthwise(x, filters, bias, lengths, size=size, **options)
    return [y, *depthwise_gradient(dy, x, filters, lengths, **options)]
