"""An affine map of frames in float64: the definition, and what tests compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def linear(
    x: Array, w: Array, bias: Array | None, lengths: Array | None, *, time_axis: int = 1
) -> Floats:
    """The operation's result."""
    y = valid(x, lengths, time_axis) @ w.astype(np.float64)
    return y if bias is None else valid(y + bias, lengths, time_axis)


def linear_backward(
    dy: Array, x: Array, w: Array, lengths: Array | None, *, time_axis: int = 1
) -> tuple[Floats, Floats, Floats]:
    """The gradients of x, w and bias."""
    x, dy = (valid(a, lengths, time_axis) for a in (x, dy))
    dw = x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])
    return dy @ w.T.astype(np.float64), dw, dy.reshape(-1, dy.shape[-1]).sum(axis=0)


def valid(x: Array, lengths: Array | None, time_axis: int) -> Floats:
    """x in float64, zero behind the ends of its sequences."""
    if lengths is None:
        return x.astype(np.float64)
    inside = np.arange(x.shape[time_axis]) < lengths[:, None]
    return np.where((inside if time_axis else inside.T)[..., None], x, 0.0).astype(np.float64)
