"""The row of distances of a growing hypothesis, one label at a time: checks, launch."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.edit import reference
from cupy_kernels.edit.arguments import SOURCE, check_row, padded, used


def first_edit_distance_row(b_lengths: Any, max_b: int) -> Any:
    """The row of empty hypotheses.

    Args:
        b_lengths: int32 [batch], labels of each reference.
        max_b: size of the references' second axis.

    Returns:
        int32 [batch, max_b + 1]: the distances to the first 0, 1, ... labels of the reference;
        behind its length the last value goes on, in this row and in all that follow.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape or range.
    """
    where = "first_edit_distance_row"
    xp = check.array_module(where, b_lengths=b_lengths)
    check.array(where, "b_lengths", b_lengths, np.int32, batch=None)
    check.integer(where, "max_b", max_b)
    check.lengths(where, "b_lengths", b_lengths, max_b, "argument max_b")
    return xp.minimum(xp.arange(max_b + 1, dtype=np.int32), b_lengths[:, None])


def next_edit_distance_row(
    row: Any, label: Any, ended: Any, b: Any, b_lengths: Any, *, threads: int | None = None
) -> Any:
    """The row after one more label of each hypothesis (Wagner and Fischer 1974).

    Args:
        row: int32 [batch, max_b + 1], from `first_edit_distance_row`, from here, or from
            `edit_distance_row`; its first entry is the number of labels so far.
        label: int32 [batch], the next label of each hypothesis.
        ended: bool [batch], hypotheses that have no further label: their row stays as it is.
        b: int32 [batch, max_b], the references, padded with anything.
        b_lengths: int32 [batch].
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        int32 [batch, max_b + 1]; `[:, -1]` is the edit distance.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "next_edit_distance_row"
    xp = check_row(where, row, b, b_lengths, label=label, ended=ended)
    batch, max_b = b.shape
    check.array(where, "label", label, np.int32, batch=batch)
    check.array(where, "ended", ended, np.bool_, batch=batch)
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        lists = zip(used(row, b_lengths + 1), label.tolist(), used(b, b_lengths), strict=True)
        following = padded([reference.next_row(*one) for one in lists], max_b + 1)
        return np.where(ended[:, None], row, following)
    workers = max(1, min(workers, batch) if xp is np else batch)
    following = xp.empty_like(row)
    space = xp.empty((workers, 2, max_b + 1), np.int32)
    arrays = (row, label, ended, b, b_lengths, following, space)
    launch(SOURCE, "edit_next_row", *arrays, batch, max_b, workers=workers, xp=xp)
    return following
