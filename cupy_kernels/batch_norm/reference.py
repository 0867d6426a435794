"""Batch normalisation in float64: the definition, and what tests compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def scale_shift(x: Array, factor: Array, offset: Array) -> Floats:
    """The operation's y."""
    y: Floats = x.astype(np.float64) * factor + offset
    return y


def scale_shift_backward(dy: Array, x: Array, factor: Array) -> tuple[Floats, Floats, Floats]:
    """The operation's dx, dfactor and doffset."""
    dy = dy.astype(np.float64)
    return dy * factor, (dy * x).sum(axis=0), dy.sum(axis=0)
