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


def batch_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    epsilon: float,
    lengths: Array | None,
    *,
    time_axis: int = 1,
) -> tuple[Floats, Floats]:
    """The operation's y and moments."""
    x = x.astype(np.float64)
    valid = counted(x, lengths, time_axis)
    frames, share = x[valid], 1 / max(valid.sum(), 1)
    mean = frames.sum(axis=0) * share
    variance = ((frames - mean) ** 2).sum(axis=0) * share
    factor = 1 / np.sqrt(variance + epsilon)
    moments = np.stack([mean, variance, factor, np.full_like(mean, share)])
    return (x - mean) * (factor * gamma) + beta, moments


def batch_norm_backward(
    dy: Array,
    x: Array,
    gamma: Array,
    moments: Array,
    lengths: Array | None,
    *,
    time_axis: int = 1,
) -> tuple[Floats, Floats, Floats]:
    """The operation's dx, dgamma and dbeta."""
    mean, _, factor, share = moments.astype(np.float64)
    n, dy = (x - mean) * factor, dy.astype(np.float64)
    dgamma, dbeta = (dy * n).sum(axis=(0, 1)), dy.sum(axis=(0, 1))
    through_moments = np.where(counted(x, lengths, time_axis)[..., None], dbeta + n * dgamma, 0)
    return (dy - through_moments * share) * (factor * gamma), dgamma, dbeta


def counted(x: Array, lengths: Array | None, time_axis: int) -> npt.NDArray[np.bool_]:
    """Which frames count for the moments: [first, second]."""
    if lengths is None:
        return np.ones(x.shape[:2], np.bool_)
    inside: npt.NDArray[np.bool_] = np.arange(x.shape[time_axis]) < lengths[:, None]
    return inside if time_axis else inside.T
