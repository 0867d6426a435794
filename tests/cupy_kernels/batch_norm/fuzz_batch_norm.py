"""Batch normalisation, a factor and an offset for each channel, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.batch_norm import (
    batch_norm,
    batch_norm_backward,
    scale_shift,
    scale_shift_backward,
)


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem."""
    rows, channels = int(rng.integers(0, 200)), int(rng.integers(1, 70))
    x, dy = rng.standard_normal((2, rows, channels), np.float32)
    factor, offset = rng.standard_normal((2, channels), np.float32)
    y = scale_shift(x, factor, offset, threads=2)
    found = [y, *scale_shift_backward(dy, x, factor, threads=2)]
    batch, time, axis = (int(n) for n in rng.integers([0, 0, 0], [6, 50, 2]))
    x, dy = rng.standard_normal((2, *((batch, time) if axis else (time, batch)), channels), "f4")
    lengths = rng.integers(0, time + 1, batch, dtype=np.int32) if rng.integers(0, 2) else None
    options: dict[str, Any] = {"lengths": lengths, "time_axis": axis, "threads": 2}
    y, moments = batch_norm(x, factor, offset, 0.01, **options)
    return [*found, y, moments, *batch_norm_backward(dy, x, factor, moments, **options)]
