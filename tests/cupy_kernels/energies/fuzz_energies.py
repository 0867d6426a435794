"""Energies of additive attention, and their gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.energies import additive_energies, additive_energies_backward


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem, with numbers of which some are too large to be multiplied."""
    batch, time, count = (int(x) for x in rng.integers(0, [4, 20, 6]))
    size = int(rng.integers(0, 300))
    scale = rng.choice([1, 20])
    keys = rng.standard_normal((batch, time, size), np.float32) * np.float32(scale)
    queries = rng.standard_normal((batch, count, size), np.float32)
    v = rng.standard_normal(size, np.float32)
    lengths = rng.integers(0, time + 1, batch, dtype=np.int32)
    denergies = rng.standard_normal((batch, count, time), np.float32)
    energies = additive_energies(keys, queries, v, lengths, threads=2)
    return [
        energies,
        *additive_energies_backward(denergies, keys, queries, v, lengths, threads=2),
    ]
