"""Activations, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.activation import activate, activate_backward, glu, glu_backward


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem."""
    count = int(rng.choice([0, 1, 7, 4095, 4096, 10000]))
    x, dy = rng.standard_normal((2, count), np.float32) * np.float32(4)
    kinds = ("silu", "gelu")
    rows, half = int(rng.integers(0, 40)), int(rng.choice([0, 1, 7, 64, 1000, 5000]))
    halves, dy_half = (rng.standard_normal((rows, n), np.float32) for n in (2 * half, half))
    return [
        *(activate(x, kind, threads=2) for kind in kinds),
        *(activate_backward(dy, x, kind, threads=2) for kind in kinds),
        glu(halves, threads=2),
        glu_backward(dy_half, halves, threads=2),
    ]
