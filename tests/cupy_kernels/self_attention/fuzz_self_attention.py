"""Self-attention, and its gradient, in the forms of the host and of GPUs."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.backend import host
from cupy_kernels.self_attention import op, self_attention, self_attention_backward


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem, at times of more queries than a tile has."""
    batch, time, heads = (int(x) for x in rng.integers([0, 0, 1], [4, 70, 4]))
    key_size, value_size = (int(x) for x in rng.integers(1, 40, 2))
    columns = heads * (2 * key_size + value_size)
    qkv = rng.standard_normal((batch, time, columns), np.float32)
    clipping = int(rng.choice([-1, 0, 1, 16, 100]))  # -1: shifts by pair
    shifts = (time, time) if clipping < 0 else (2 * clipping + 1,)
    shift = rng.standard_normal((*shifts, key_size), np.float32) if rng.integers(3) else None
    lengths = rng.integers(0, time + 1, batch, dtype=np.int32) if rng.integers(3) else None
    left_only, every_query = (bool(n) for n in rng.integers(0, 2, 2))
    d_out = rng.standard_normal((batch, time, heads * value_size), np.float32)
    options = {"left_only": left_only, "every_query": every_query, "threads": 2}
    saved = self_attention(qkv, shift, lengths, heads, key_size, **options)
    given = (d_out, qkv, shift, lengths, *saved)
    found = [*saved, *self_attention_backward(*given, heads, key_size, **options)]
    if host.library(op.SOURCE):
        sizes = (batch, time, heads, key_size, value_size, int(left_only), int(every_query))
        found += _by_rows(given[:4], op.Sizes(*sizes, clipping))
    return [x for x in found if x is not None]


def _by_rows(given: tuple[Any, ...], sizes: op.Sizes) -> list[Any]:
    """Those of the form of GPUs."""
    d_out, qkv, shift, lengths = given
    log_sums = np.empty((sizes.batch, sizes.heads, sizes.time), np.float32)
    saved = np.empty_like(d_out), log_sums
    op.forward_rows(np, (qkv, shift, lengths, *saved), sizes, grid=2)
    gradients = [None if x is None else np.empty_like(x) for x in (qkv, shift)]
    op.backward_rows(np, (*given, *saved, *gradients), sizes, grid=2)
    return [*saved, *gradients]
