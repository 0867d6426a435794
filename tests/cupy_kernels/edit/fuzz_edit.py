"""Edit distances, rows, counts and completions."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels import edit


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random batch: few labels or many, close together or far apart."""
    batch, max_a, max_b = (int(x) for x in rng.integers(0, [20, 150, 150]))
    labels, apart = int(rng.integers(1, 90)), int(rng.choice([1, 10**7]))
    a, b = (rng.integers(-5, labels, (batch, n)).astype(np.int32) * apart for n in (max_a, max_b))
    a, b = a.astype(np.int32), b.astype(np.int32)
    counts = [rng.integers(0, n + 1, batch, dtype=np.int32) for n in (max_a, max_b)]
    pairs = (a, counts[0], b, counts[1])
    row = edit.edit_distance_row(*pairs, threads=2)
    label = rng.integers(-5, labels, batch).astype(np.int32) * np.int32(apart)
    ended = rng.integers(0, 2, batch).astype(np.bool_)
    following = edit.next_edit_distance_row(row, label, ended, b, counts[1], threads=2)
    successors = label[: batch // 2]
    return [
        row,
        following,
        edit.first_edit_distance_row(counts[1], max_b),
        edit.edit_distance(*pairs, threads=2),
        *edit.alignment_counts(*pairs, threads=2),
        edit.optimal_completion(*pairs, 7, threads=2),
        edit.optimal_completion_of_row(following, b, counts[1], successors, threads=2),
    ]
