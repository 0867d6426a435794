"""Learning rates over a training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def factor(schedule: Sequence[Sequence[float]], done: float) -> float:
    """Return by what the learning rate is multiplied.

    schedule: points (share of the training, factor), between which it changes linearly. done: the
    share of the training that is behind, in [0, 1].
    """
    shares, factors = zip(*schedule, strict=True)
    return float(np.interp(done, shares, factors))
