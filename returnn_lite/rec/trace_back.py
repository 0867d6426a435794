"""From what each step's hypotheses continued to the final ones."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf


def trace_back(sources: Any, size: int) -> Any:
    """Return int32 [steps, batch, size]: which entry each final hypothesis was in after each step.

    sources: int32 [steps, batch, size], which entry of the step before each hypothesis continues.
    """
    last = tf.tile(tf.range(size)[None, :], [tf.shape(sources)[1], 1])
    # The first entry is not used, but a scan over nothing is an error.
    earlier = tf.scan(
        lambda entry, source: tf.gather(source, entry, batch_dims=1),
        sources,
        initializer=last,
        reverse=True,
    )
    return tf.concat([earlier[1:], last[None]], axis=0)


def reordered(tensor: Any, origin: Any, batch_axis: int, size: int) -> Any:
    """Reorder the hypotheses of every step.

    tensor: [steps, ...] with batch * size as axis batch_axis + 1. origin: int32 [steps, batch,
    size].
    """
    rank = len(tensor.shape)
    axis = batch_axis + 1
    order = [0, axis, *(i for i in range(1, rank) if i != axis)]
    tensor = tf.transpose(tensor, order)
    steps, batch = tf.shape(origin)[0], tf.shape(origin)[1]
    flat = origin + tf.range(batch)[None, :, None] * size
    tensor = tf.gather(tensor, tf.reshape(flat, [steps, batch * size]), batch_dims=1)
    return tf.transpose(tensor, [order.index(i) for i in range(rank)])
