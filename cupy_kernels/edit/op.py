"""Edit distances of whole pairs: checks, launch."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.edit import reference
from cupy_kernels.edit.arguments import SOURCE, check_sequences, padded, used

_SPACE = 2**28  # bytes that all blocks of a GPU may take for their tables, if one takes less


def edit_distance(
    a: Any, a_lengths: Any, b: Any, b_lengths: Any, *, threads: int | None = None
) -> Any:
    """The least number of insertions, deletions and substitutions that lead from a to b.

    V. Levenshtein, "Binary codes capable of correcting deletions, insertions, and reversals", 1966;
    computed in bits: G. Myers 1999, H. Hyyrö 2003.

    Args:
        a: int32 [batch, max_a], any values; padded with anything.
        a_lengths: int32 [batch].
        b: int32 [batch, max_b], likewise.
        b_lengths: int32 [batch].
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        int32 [batch].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    pairs = (a, a_lengths, b, b_lengths)
    xp = _check("edit_distance", pairs)
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        found = map(reference.distance, used(a, a_lengths), used(b, b_lengths))
        return np.array(list(found), np.int32)
    shorter, longer = sorted((a.shape[1], b.shape[1]))
    distance = xp.empty(len(a), np.int32)
    _run(xp, "edit_distance", pairs, distance, shorter, longer, workers)
    return distance


def edit_distance_row(
    a: Any, a_lengths: Any, b: Any, b_lengths: Any, *, threads: int | None = None
) -> Any:
    """The distances between a and the first 0, 1, ... labels of b.

    Args:
        a, a_lengths, b, b_lengths, threads: as of `edit_distance`.

    Returns:
        int32 [batch, max_b + 1]; behind the length of b its last value goes on, so that
        `row[:, -1]` is the edit distance, and `row.min(axis=1)` that of the best completion of a.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    pairs = (a, a_lengths, b, b_lengths)
    xp = _check("edit_distance_row", pairs)
    workers = thread_count(threads)
    max_a, max_b = a.shape[1], b.shape[1]
    if xp is np and host.library(SOURCE) is None:
        tables = map(reference.table, used(a, a_lengths), used(b, b_lengths))
        return padded([rows[-1] for rows in tables], max_b + 1)
    row = xp.empty((len(a), max_b + 1), np.int32)
    _run(xp, "edit_rows", pairs, row, max_a, max_b, workers)
    return row


def alignment_counts(
    a: Any, a_lengths: Any, b: Any, b_lengths: Any, *, threads: int | None = None
) -> tuple[Any, Any, Any]:
    """Substitutions, deletions and insertions of a best alignment; their sum is the distance.

    Of equally good alignments it is that which rapidfuzz's `Levenshtein.editops(b, a)` gives where
    a table has less than 2**22 cells: what a and b begin and end with alike is matched; the rest is
    read from its end, with a deletion where it is among the best steps, else an insertion where it
    is and a substitution is not, else a match or a substitution.

    Args:
        a: int32 [batch, max_a], the hypotheses; padded with anything.
        a_lengths: int32 [batch].
        b: int32 [batch, max_b], the references.
        b_lengths: int32 [batch].
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        substitutions, deletions (labels of b that a lacks), insertions: int32 [batch] each.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    pairs = (a, a_lengths, b, b_lengths)
    xp = _check("alignment_counts", pairs)
    workers = thread_count(threads)
    counts = xp.empty((len(a), 3), np.int32)
    if xp is np and host.library(SOURCE) is None:
        found = map(reference.alignment_counts, used(a, a_lengths), used(b, b_lengths))
        counts[:] = np.array(list(found), np.int32).reshape(-1, 3)
    else:
        _run(xp, "edit_counts", pairs, counts, a.shape[1], b.shape[1], workers, trace=True)
    substitutions, deletions, insertions = map(xp.ascontiguousarray, counts.T)
    return substitutions, deletions, insertions


def _check(where: str, pairs: tuple[Any, Any, Any, Any]) -> ModuleType:
    a, a_lengths, b, b_lengths = pairs
    return check_sequences(where, a=a, a_lengths=a_lengths, b=b, b_lengths=b_lengths)


def _run(
    xp: ModuleType,
    name: str,
    pairs: tuple[Any, Any, Any, Any],
    result: Any,
    columns: int,
    rows: int,
    workers: int,
    trace: bool = False,
) -> None:
    """Launch a kernel over bundles of pairs, whose tables have so many columns and rows at most."""
    batch, max_a, max_b = len(pairs[0]), pairs[0].shape[1], pairs[2].shape[1]
    lanes, block, least_slots = (8, 1, 4096) if xp is np else (1, 32, 64)  # lanes: of lanes.h
    slots = max(least_slots, 1 << (2 * rows).bit_length())
    chunks, strips = -(-columns // 64), -(-rows // 64)
    numbers = slots + rows + lanes * (columns + rows)
    words = lanes * (rows + 1 + 2 * chunks)
    traced = 2 * lanes * strips * columns if trace else 0
    if xp is not np:
        workers = _SPACE // (block * (4 * numbers + 8 * (words + traced)))
    spaces = block * max(1, min(workers, -(-batch // (lanes * block))))
    arrays = [xp.zeros(spaces * numbers, np.int32), xp.zeros(spaces * words, np.uint64)]
    arrays += [xp.empty(spaces * traced, np.uint64)] if trace else []
    order = xp.argsort(-(pairs[1] + pairs[3]))  # a bundle takes as long as its longest pair
    sizes = (batch, max_a, max_b, slots, block)
    arguments = (*pairs, order, result, *arrays, *sizes)
    launch(SOURCE, name, *arguments, workers=spaces // block, xp=xp, block=block)
