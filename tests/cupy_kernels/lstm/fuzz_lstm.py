"""LSTM: both directions, from the gates' input and from the layer's, forward and backward."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import numpy as np

from cupy_kernels.backend import host
from cupy_kernels.lstm import (
    Precision,
    lstm_backward,
    lstm_forward,
    lstm_layer_backward,
    lstm_layer_forward,
    stepwise,
)
from cupy_kernels.lstm.source import SOURCE


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem."""
    time, batch, width = (int(x) for x in rng.integers(0, [30, 9, 25]))
    n = int(rng.integers(1, 70))
    lengths = rng.integers(0, time + 1, batch, dtype=np.int32)
    z = rng.standard_normal((time, batch, 4 * n), np.float32)
    w = rng.standard_normal((n, 4 * n), np.float32)
    states = rng.standard_normal((2, batch, n), np.float32)
    case = (w, lengths, states[0].copy(), states[1].copy())
    dy, dc = rng.standard_normal((time, batch, n), np.float32), states[1].copy()
    x = rng.standard_normal((time, batch, width), np.float32)
    wx = w[:1].repeat(width, axis=0)
    found: list[Any] = []
    for direction, precision in itertools.product((1, -1), get_args(Precision)):
        options: dict[str, Any] = {"direction": direction, "precision": precision, "threads": 2}
        y, c, saved = lstm_forward(z, *case, **options)
        found += [y, c, *saved, *lstm_backward(dy, dc, saved, y, *case, **options)]
        y, c, saved = lstm_layer_forward(x, wx, w[0], *case, **options)
        found += [y, c, *saved, *lstm_layer_backward(dy, dc, saved, y, x, wx, *case, **options)]
        if host.library(SOURCE):
            found += stepwise.forward(np, SOURCE, z, *case, direction, precision)
    return found
