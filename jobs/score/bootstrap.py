"""Confidence interval of an error rate, by resampling utterances."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

BLOCK = 1 << 20  # draws in memory at once


def interval(
    errors: ArrayLike, tokens: ArrayLike, resamples: int, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Return the ends of the bootstrap interval of sum(errors) / sum(tokens), as a fraction.

    errors, tokens: [utterances] int. Each of the resamples draws as many utterances as there are,
    with replacement; the ends are percentiles (Bisani and Ney, ICASSP 2004). Resamples without any
    token are left out.
    """
    counts = np.stack([np.asarray(errors), np.asarray(tokens)], axis=1).astype(np.float64)
    rng = np.random.default_rng(seed)
    sums = np.empty((resamples, 2))
    step = max(1, BLOCK // len(counts))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(len(counts), size=(size, len(counts)))
        sums[start : start + size] = counts[drawn].sum(axis=1)
    sums = sums[sums[:, 1] > 0]
    tails = [50 * (1 - level), 50 * (1 + level)]
    low, high = np.percentile(sums[:, 0] / sums[:, 1], tails)
    return float(low), float(high)
