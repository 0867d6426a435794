"""Learning rates over a training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def factor(schedule: Sequence[tuple[float, float]], done: float) -> float:
    """Return by what the learning rate is multiplied.

    schedule: points (share of the training, factor), between which it changes linearly. done: the
    share of the training that is behind, in [0, 1].
    """
    shares, factors = zip(*schedule, strict=True)
    return float(np.interp(done, shares, factors))


def check(schedule: Sequence[tuple[float, float]]) -> None:
    """Raise ValueError unless shares rise within [0, 1] and factors are not negative."""
    shares = [s for s, _ in schedule]
    rising = all(a < b for a, b in pairwise(shares))
    if not schedule or not rising or shares[0] < 0 or shares[-1] > 1:
        raise ValueError(f"schedule: found shares {shares}, needed rising ones within 0 and 1")
    if any(f < 0 for _, f in schedule):
        raise ValueError(f"schedule: found factors {[f for _, f in schedule]}, needed none below 0")
