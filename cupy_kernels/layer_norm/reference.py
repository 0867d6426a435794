"""Layer normalisation in float64: the definition, and what tests compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def layer_norm(x: Array, scale: Array, bias: Array, epsilon: float) -> tuple[Floats, Floats]:
    """The operation's y and moments."""
    x = x.astype(np.float64)
    mean = x.mean(axis=1)
    factor = 1 / np.sqrt(x.var(axis=1) + epsilon)
    return (x - mean[:, None]) * factor[:, None] * scale + bias, np.stack([mean, factor], axis=1)


def layer_norm_backward(
    dy: Array, x: Array, scale: Array, moments: Array
) -> tuple[Floats, Floats, Floats]:
    """The operation's dx, dscale and dbias."""
    mean, factor = moments.astype(np.float64).T[:, :, None]
    n, g = (x - mean) * factor, dy.astype(np.float64) * scale
    dx = (g - g.mean(axis=1, keepdims=True) - n * (g * n).mean(axis=1, keepdims=True)) * factor
    return dx, (dy * n).sum(axis=0), dy.sum(axis=0, dtype=np.float64)
