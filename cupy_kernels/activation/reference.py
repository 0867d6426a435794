"""Activations in float64: the definition, and what tests compare with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def activate(x: npt.NDArray[Any], kind: str) -> Floats:
    """The operation's result."""
    x = x.astype(np.float64)
    return x * _shares(x, kind)[0]


def activate_backward(dy: npt.NDArray[Any], x: npt.NDArray[Any], kind: str) -> Floats:
    """The gradient of x."""
    x = x.astype(np.float64)
    share, slope = _shares(x, kind)
    return dy * (share + x * slope)


def glu(x: npt.NDArray[Any]) -> Floats:
    """The operation's result."""
    a, b = np.split(x.astype(np.float64), 2, axis=-1)
    return a * _shares(b, "silu")[0]


def glu_backward(dy: npt.NDArray[Any], x: npt.NDArray[Any]) -> Floats:
    """The gradient of x."""
    a, b = np.split(x.astype(np.float64), 2, axis=-1)
    share, slope = _shares(b, "silu")
    return np.concatenate([dy * share, dy * a * slope], axis=-1)


def _shares(x: Floats, kind: str) -> tuple[Floats, Floats]:
    """What x is multiplied by, and its derivative."""
    if kind == "silu":
        share = 0.5 + 0.5 * np.tanh(0.5 * x)
        return share, share * (1 - share)
    share = 0.5 + 0.5 * np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2))
    return share, np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
