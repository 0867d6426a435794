"""Energies of additive attention: checks, launch."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.energies import reference

SOURCE = Path(__file__).with_name("energies.cu")
PIECE = 128  # as in energies.cu


def additive_energies(
    keys: Any, queries: Any, v: Any, lengths: Any = None, *, threads: int | None = None
) -> Any:
    """The energies of all pairs of a key and a query, without their tanh ever being stored.

    D. Bahdanau et al., "Neural machine translation by jointly learning to align and translate",
    2015: energies[b, q, t] = sum over k of v[k] tanh(keys[b, t, k] + queries[b, q, k]).

    Args:
        keys: float32 [batch, time, size].
        queries: float32 [batch, queries, size].
        v: float32 [size].
        lengths: int32 [batch], keys of each sequence; by default all.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        float32 [batch, queries, time], zero behind the lengths.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "additive_energies"
    xp, lengths = _check(where, keys, queries, v, lengths)
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        return reference.additive_energies(keys, queries, v, lengths).astype(np.float32)
    (batch, time, size), count = keys.shape, queries.shape[1]
    factors, largest = (xp.empty((batch, count, n), np.float32) for n in (2 * size, 1))
    rows = batch * count
    of_rows = _workers(xp, workers, rows)
    launch(
        SOURCE, "energies_factors", queries, factors, largest, rows, size, workers=of_rows, xp=xp
    )
    workers = _workers(xp, workers, batch * time)
    energies, space = (xp.empty(s, np.float32) for s in ((batch, count, time), (workers, 2, size)))
    arrays = (keys, queries, v, lengths, factors, largest, space, energies)
    sizes = (batch, time, count, size)
    launch(SOURCE, "energies_forward", *arrays, *sizes, workers=workers, xp=xp)
    return energies


def additive_energies_backward(
    denergies: Any,
    keys: Any,
    queries: Any,
    v: Any,
    lengths: Any = None,
    *,
    threads: int | None = None,
) -> tuple[Any, Any, Any]:
    """Gradient of `additive_energies`; the tanh of each pair is computed once more.

    Args:
        denergies: float32 [batch, queries, time], gradient of the energies; ignored behind the
            lengths.
        keys, queries, v, lengths, threads: as in the forward pass.

    Returns:
        dkeys, float32 [batch, time, size], zero behind the lengths;
        dqueries, float32 [batch, queries, size]; dv, float32 [size].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "additive_energies_backward"
    xp, lengths = _check(where, keys, queries, v, lengths, denergies=denergies)
    (batch, time, size), count = keys.shape, queries.shape[1]
    axes = {"batch": batch, "queries": count, "time": time}
    check.array(where, "denergies", denergies, np.float32, **axes)
    values = (denergies, keys, queries, v, lengths)
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        slow = reference.additive_energies_backward(*values)
        dkeys, dqueries, dv = (x.astype(np.float32) for x in slow)
        return dkeys, dqueries, dv
    workers = _workers(xp, workers, batch * -(-size // PIECE))
    space = xp.empty((workers, 1 + count, 2, PIECE), np.float32)
    dkeys, dqueries = xp.empty_like(keys), xp.empty_like(queries)
    dv = xp.empty((batch, size), np.float32)
    arrays = (*values, space, dkeys, dqueries, dv)
    sizes = (batch, time, count, size)
    launch(SOURCE, "energies_backward", *arrays, *sizes, workers=workers, xp=xp)
    return dkeys, dqueries, dv.sum(axis=0)


def _workers(xp: ModuleType, threads: int, blocks: int) -> int:
    """Threads of the host, or blocks of a GPU's grid, for so many blocks of work."""
    return max(1, min(threads, blocks) if xp is np else blocks)


def _check(
    where: str, keys: Any, queries: Any, v: Any, lengths: Any, **others: Any
) -> tuple[ModuleType, Any]:
    """Check what both passes have; the module of the arrays, and lengths where there are none."""
    arrays = {"keys": keys, "queries": queries, "v": v, **others}
    if lengths is not None:
        arrays["lengths"] = lengths
    xp = check.array_module(where, **arrays)
    check.array(where, "keys", keys, np.float32, batch=None, time=None, size=None)
    batch, time, size = keys.shape
    check.array(where, "queries", queries, np.float32, batch=batch, queries=None, size=size)
    check.array(where, "v", v, np.float32, size=size)
    if lengths is None:
        return xp, xp.full(batch, time, np.int32)
    check.array(where, "lengths", lengths, np.int32, batch=batch)
    check.lengths(where, "lengths", lengths, time, "time axis")
    return xp, lengths
