"""Edit distances, their rows, and optimal completions: integers, without gradients."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native import bridge, edit_tf


def edit_distance(a: Any, a_lengths: Any, b: Any, b_lengths: Any) -> Any:
    """Return int32 [batch], the Levenshtein distances.

    a, b: int32 [batch, label], padded with anything. a_lengths, b_lengths: int32 [batch].
    """
    from cupy_kernels.edit import edit_distance as kernel

    arguments = [a, a_lengths, b, b_lengths]
    if not _serves():
        return edit_tf.edit_distance(*arguments)
    return _integers(kernel, arguments, [None])


def alignment_counts(a: Any, a_lengths: Any, b: Any, b_lengths: Any) -> tuple[Any, Any, Any]:
    """Return int32 [batch] each: substitutions, deletions and insertions that lead from b to a.

    a, b, a_lengths, b_lengths: as of `edit_distance`, hypotheses and references. Of equally good
    alignments it is that of `cupy_kernels.edit.alignment_counts`.
    """
    from cupy_kernels.edit import alignment_counts as kernel

    arguments = [a, a_lengths, b, b_lengths]
    if not _serves():
        return edit_tf.alignment_counts(*arguments)
    found = bridge.call(kernel, arguments, [tf.int32] * 3)
    substitutions, deletions, insertions = (tf.ensure_shape(x, [None]) for x in found)
    return substitutions, deletions, insertions


def first_edit_distance_row(b_lengths: Any, max_b: Any) -> Any:
    """Return int32 [batch, max_b + 1], the row of an empty hypothesis: see `cupy_kernels.edit`."""
    return tf.minimum(tf.range(max_b + 1), b_lengths[:, None])


def next_edit_distance_row(row: Any, label: Any, ended: Any, b: Any, b_lengths: Any) -> Any:
    """Return int32 [batch, max_b + 1], the row after one more label of each hypothesis.

    row: that before. label: int32 [batch]. ended: bool [batch], whose row stays. b: int32 [batch,
    max_b], the references. b_lengths: int32 [batch].
    """
    from cupy_kernels.edit import next_edit_distance_row as kernel

    arguments = [row, label, ended, b, b_lengths]
    if not _serves():
        return edit_tf.next_edit_distance_row(*arguments)
    return _integers(kernel, arguments, row.shape)


def optimal_completion(row: Any, b: Any, b_lengths: Any, labels: int) -> Any:
    """Return int32 [batch, labels], the least distance after each next label (Sabour et al., 2018).

    row, b, b_lengths: as in `next_edit_distance_row`.
    """
    from cupy_kernels.edit import optimal_completion_of_row as kernel

    if not _serves():
        return edit_tf.optimal_completion(row, b, b_lengths, labels)

    def compute(row: Any, b: Any, b_lengths: Any) -> Any:
        return kernel(row, b, b_lengths, labels)

    return _integers(compute, [row, b, b_lengths], [None, labels])


def _serves() -> bool:
    from cupy_kernels.edit.arguments import SOURCE

    return bridge.serves(SOURCE)


def _integers(kernel: Any, arguments: list[Any], shape: Any) -> Any:
    [found] = bridge.call(kernel, arguments, [tf.int32])
    return tf.ensure_shape(found, shape)
