"""An affine map of frames, and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.linear import linear, linear_backward


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem."""
    batch, time, inputs, outputs = (int(n) for n in rng.integers([0, 0, 1, 1], [5, 40, 70, 70]))
    axis = int(rng.integers(0, 2))
    frames = (batch, time) if axis else (time, batch)
    x = rng.standard_normal((*frames, inputs), np.float32)
    dy = rng.standard_normal((*frames, outputs), np.float32)
    w = rng.standard_normal((inputs, outputs), np.float32)
    bias = rng.standard_normal(outputs, np.float32) if rng.integers(0, 2) else None
    lengths = rng.integers(0, time + 1, batch, dtype=np.int32) if rng.integers(0, 2) else None
    options = {"time_axis": axis, "threads": 2}
    y = linear(x, w, bias, lengths, **options)
    return [y, *linear_backward(dy, x, w, lengths, **options)]
