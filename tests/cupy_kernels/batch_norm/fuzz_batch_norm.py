"""A factor and an offset for each channel, and their gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.batch_norm import scale_shift, scale_shift_backward


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem."""
    rows, channels = int(rng.integers(0, 200)), int(rng.integers(1, 70))
    x, dy = rng.standard_normal((2, rows, channels), np.float32)
    factor, offset = rng.standard_normal((2, channels), np.float32)
    y = scale_shift(x, factor, offset, threads=2)
    return [y, *scale_shift_backward(dy, x, factor, threads=2)]
