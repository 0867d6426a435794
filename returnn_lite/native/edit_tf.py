"""Edit distances in TensorFlow's own operations."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf


def edit_distance(a: Any, a_lengths: Any, b: Any, b_lengths: Any) -> Any:
    """Return int32 [batch], see `native.edit_distance`."""
    row = tf.minimum(tf.range(tf.shape(b)[1] + 1), b_lengths[:, None])

    def step(i: Any, row: Any) -> Any:
        return i + 1, next_edit_distance_row(row, a[:, i], i >= a_lengths, b, b_lengths)

    steps = tf.shape(a)[1]
    loop = tf.while_loop(lambda i, _: i < steps, step, (0, row), maximum_iterations=steps)
    return loop[1][:, -1]


def next_edit_distance_row(row: Any, label: Any, ended: Any, b: Any, b_lengths: Any) -> Any:
    """Return int32 [batch, max_b + 1], see `native.next_edit_distance_row`."""
    change = row[:, :-1] + tf.cast(b != label[:, None], tf.int32)
    without = tf.concat([row[:, :1] + 1, tf.minimum(row[:, 1:] + 1, change)], axis=1)
    # Deletions: entry j is the least of without[k] + j - k for k up to j.
    places = tf.range(tf.shape(row)[1])
    far = 2 * tf.shape(row)[1] + tf.reduce_max(row)
    ways = tf.where(places[:, None] >= places[None, :], (without - places)[:, None, :], far)
    new = tf.reduce_min(ways, axis=2) + places
    # Behind the end of the reference, the last value goes on.
    new = tf.gather(new, tf.minimum(places, b_lengths[:, None]), batch_dims=1)
    return tf.where(ended[:, None], row, new)


def optimal_completion(row: Any, b: Any, b_lengths: Any, labels: int) -> Any:
    """Return int32 [batch, labels], see `native.optimal_completion`."""
    batch, most = tf.shape(b)[0], tf.shape(b)[1]
    other = tf.tile(tf.reduce_min(row, axis=1, keepdims=True) + 1, [1, labels])
    fits = tf.logical_and(tf.sequence_mask(b_lengths, most), tf.logical_and(b >= 0, b < labels))
    sequence = tf.tile(tf.range(batch)[:, None], [1, most])
    places = tf.stack([sequence, tf.where(fits, b, 0)], axis=2)
    values = tf.where(fits, row[:, :-1], tf.int32.max)
    return tf.tensor_scatter_nd_min(other, places, values)
