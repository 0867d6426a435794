"""2D LSTM, forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.backend import host
from cupy_kernels.lstm2d import lstm2d_backward, lstm2d_forward, wavefront
from cupy_kernels.lstm2d.front import SOURCE, number_cells


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem."""
    time_t, time_s, batch = (int(x) for x in rng.integers(0, [9, 9, 5]))
    n = int(rng.integers(1, 70))
    z = rng.standard_normal((time_t, time_s, batch, 5 * n), np.float32)
    v_h, v_v = (rng.standard_normal((n, 5 * n), np.float32) for _ in range(2))
    lengths = [rng.integers(0, n + 1, batch, dtype=np.int32) for n in (time_t, time_s)]
    y, saved = lstm2d_forward(z, v_h, v_v, *lengths, threads=2)
    dy = rng.standard_normal(y.shape, np.float32)
    grads = lstm2d_backward(dy, saved, y, v_h, v_v, *lengths, threads=2)
    found = [y, *saved, *grads]
    if host.library(SOURCE):
        front = number_cells(np, *lengths, time_t, time_s)
        found += wavefront.forward(np, front, z, v_h, v_v)
        found += wavefront.backward(np, front, dy, *saved, y, v_h, v_v)
    return found
