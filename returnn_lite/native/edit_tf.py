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


def alignment_counts(a: Any, a_lengths: Any, b: Any, b_lengths: Any) -> tuple[Any, Any, Any]:
    """Return int32 [batch] each, see `native.alignment_counts`."""
    a, b, i, j = _stripped(a, a_lengths, b, b_lengths)
    first = tf.minimum(tf.range(tf.shape(b)[1] + 1), i[:, None])

    def add(row: Any, step: tuple[Any, Any]) -> Any:
        return next_edit_distance_row(row, step[1], step[0] >= j, b, i)

    steps = tf.range(tf.shape(a)[1])
    rows = tf.concat([first[None], tf.scan(add, (steps, tf.transpose(a)), first)], axis=0)
    table = tf.transpose(rows, [1, 0, 2])  # [batch, max_a + 1, max_b + 1]

    def back(i: Any, j: Any, counts: Any) -> Any:
        def cost(up: int, left: int) -> Any:
            places = tf.stack([tf.maximum(j - up, 0), tf.maximum(i - left, 0)], axis=1)
            return tf.gather_nd(table, places, batch_dims=1)

        labels = (tf.gather(x, tf.maximum(k - 1, 0), batch_dims=1) for x, k in ((a, j), (b, i)))
        inside = (i > 0) & (j > 0)
        deletion = inside & (cost(0, 0) == cost(0, 1) + 1)
        insertion = inside & ~deletion & (cost(1, 0) < cost(1, 1))
        match = inside & ~deletion & ~insertion
        kinds = (match & tf.not_equal(*labels), deletion, insertion)
        moves = (tf.cast(x, tf.int32) for x in (match | deletion, match | insertion))
        left, up = moves
        return i - left, j - up, counts + tf.cast(tf.stack(kinds), tf.int32)

    start = (i, j, tf.zeros([3, tf.shape(i)[0]], tf.int32))
    most = tf.shape(a)[1] + tf.shape(b)[1]
    i, j, counts = tf.while_loop(
        lambda i, j, _: tf.reduce_any((i > 0) & (j > 0)), back, start, maximum_iterations=most
    )
    return counts[0], counts[1] + i, counts[2] + j


def _stripped(a: Any, a_lengths: Any, b: Any, b_lengths: Any) -> tuple[Any, Any, Any, Any]:
    """Return a and b without what they begin and end with alike, and the lengths of b and a.

    Both have one label of padding more, so that no axis is empty.
    """
    a, b = (tf.pad(x, [[0, 0], [0, 1]]) for x in (a, b))
    places = tf.range(tf.minimum(tf.shape(a)[1], tf.shape(b)[1]))

    def alike(a_places: Any, b_places: Any, most: Any) -> Any:
        """Return how many labels are equal at the places, up to the first that are not."""
        pairs = (
            tf.gather(x, tf.maximum(k + tf.zeros_like(most)[:, None], 0), batch_dims=1)
            for x, k in ((a, a_places), (b, b_places))
        )
        equal = tf.equal(*pairs) & (places < most[:, None])
        return tf.reduce_sum(tf.math.cumprod(tf.cast(equal, tf.int32), axis=1), axis=1)

    shorter = tf.minimum(a_lengths, b_lengths)
    begin = alike(places, places, shorter)
    a_ends, b_ends = (n[:, None] - 1 - places for n in (a_lengths, b_lengths))
    end = alike(a_ends, b_ends, shorter - begin)

    def rest(x: Any) -> Any:
        width = tf.shape(x)[1]
        at = tf.minimum(tf.range(width) + begin[:, None], width - 1)
        return tf.gather(x, at, batch_dims=1)

    return rest(a), rest(b), b_lengths - begin - end, a_lengths - begin - end


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
