"""Chunks and their mean, and the gradients of both."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.chunk import chunk, chunk_backward, unchunk, unchunk_backward


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem."""
    time, batch, features = (int(x) for x in rng.integers(0, [40, 6, 40]))
    size = int(rng.integers(1, 50))
    options: dict[str, Any] = {"chunk_size": size, "chunk_step": int(rng.integers(1, size + 1))}
    options["threads"] = 2
    x = rng.standard_normal((time, batch, features), np.float32)
    lengths = rng.integers(0, time + 1, batch, dtype=np.int32)
    chunks, counts = chunk(x, lengths, **options)
    y = unchunk(chunks, counts, batch=batch, time=time, **options)
    dx = chunk_backward(chunks, lengths, time=time, **options)
    return [chunks, counts, *y, dx, unchunk_backward(x, lengths, **options)]
