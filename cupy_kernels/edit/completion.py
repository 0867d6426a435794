"""Optimal completions of hypotheses: checks, launch."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.edit import reference
from cupy_kernels.edit.arguments import SOURCE, check_row, check_sequences, used
from cupy_kernels.edit.op import edit_distance_row


def optimal_completion(
    a: Any,
    a_lengths: Any,
    b: Any,
    b_lengths: Any,
    successors: Any,
    *,
    threads: int | None = None,
) -> Any:
    """The least distance to b of all sequences that begin with a and a given next label.

    S. Sabour et al., "Optimal Completion Distillation for Sequence Learning", 2018.

    Args:
        a: int32 [batch, max_a], the hypotheses so far, padded with anything.
        a_lengths: int32 [batch].
        b: int32 [batch, max_b], the references, padded with anything.
        b_lengths: int32 [batch].
        successors: the number n of labels, for 0 to n - 1, or int32 [n], any labels.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        int32 [batch, n].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "optimal_completion"
    xp = check_sequences(where, a=a, a_lengths=a_lengths, b=b, b_lengths=b_lengths)
    _labels(where, xp, successors)
    row = edit_distance_row(a, a_lengths, b, b_lengths, threads=threads)
    return optimal_completion_of_row(row, b, b_lengths, successors, threads=threads)


def optimal_completion_of_row(
    row: Any, b: Any, b_lengths: Any, successors: Any, *, threads: int | None = None
) -> Any:
    """The same from the row of the hypotheses, for use step by step in a search.

    Args:
        row: int32 [batch, max_b + 1], as of `next_edit_distance_row`.
        b, b_lengths, successors, threads: as of `optimal_completion`.

    Returns:
        int32 [batch, n].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "optimal_completion_of_row"
    xp = check_row(where, row, b, b_lengths)
    labels = _labels(where, xp, successors)
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        pairs = zip(used(row, b_lengths + 1), used(b, b_lengths), strict=True)
        found = [reference.optimal_completion(*pair, labels.tolist()) for pair in pairs]
        return np.array(found, np.int32).reshape(len(b), len(labels))
    increasing, places = labels, None
    if not check.whole(successors):
        increasing, places = xp.unique(labels, return_inverse=True)
    batch, max_b = b.shape
    distances = xp.empty((batch, len(increasing)), np.int32)
    sizes = (batch, max_b, len(increasing))
    arrays = (row, b, b_lengths, increasing, distances)
    workers = max(1, min(workers, batch) if xp is np else batch)
    launch(SOURCE, "edit_completion", *arrays, *sizes, workers=workers, xp=xp)
    return distances if places is None else xp.take(distances, places, axis=1)


def _labels(where: str, xp: ModuleType, successors: Any) -> Any:
    """int32 [n]."""
    if check.whole(successors):
        if successors < 0:
            check.fail(where, "successors", str(successors), "a number of labels, or labels")
        return xp.arange(successors, dtype=np.int32)
    if check.array_module(where, successors=successors) is not xp:
        found = "an array on another device than row"
        check.fail(where, "successors", found, "all arrays on the same device")
    check.array(where, "successors", successors, np.int32, count=None)
    return successors
