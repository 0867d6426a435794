"""CTC loss in TensorFlow's own operations."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native.log_space import NEVER, negative_log


def ctc_loss(
    logits: Any, frames: Any, labels: Any, counts: Any, *, blank: int, label_repetition: bool
) -> Any:
    """Return float32 [batch], see `native.ctc_loss`: the sum over paths, forwards in log-space."""
    batch, most = tf.shape(labels)[0], tf.shape(labels)[1]
    used = tf.sequence_mask(counts, most)
    labels = tf.where(used, labels, blank)
    blanks = tf.fill([batch, most], blank)
    # blank, label 1, blank, ..., label n, blank: [batch, states]
    states = tf.reshape(tf.stack([blanks, labels], axis=2), [batch, 2 * most])
    states = tf.pad(states, [[0, 0], [0, 1]], constant_values=blank)
    is_label = tf.range(2 * most + 1) % 2 == 1
    skip = tf.logical_and(is_label, tf.ones_like(states, tf.bool))
    if label_repetition:
        before = tf.pad(states[:, :-2], [[0, 0], [2, 0]], constant_values=-1)
        skip = tf.logical_and(skip, states != before)
    stays = tf.logical_or(tf.logical_not(is_label), label_repetition)
    log_probs = tf.nn.log_softmax(logits)
    emission = tf.gather(
        log_probs, tf.tile(states[None], [tf.shape(logits)[0], 1, 1]), batch_dims=2
    )
    emission = tf.maximum(emission, NEVER)

    def step(t: Any, sums: Any) -> Any:
        one = tf.pad(sums[:, :-1], [[0, 0], [1, 0]], constant_values=NEVER)
        two = tf.pad(sums[:, :-2], [[0, 0], [2, 0]], constant_values=NEVER)
        ways = [tf.where(stays, sums, NEVER), one, tf.where(skip, two, NEVER)]
        new = tf.maximum(tf.reduce_logsumexp(tf.stack(ways), axis=0) + emission[t], NEVER)
        return t + 1, tf.where((t < frames)[:, None], new, sums)

    start = tf.one_hot(tf.zeros_like(counts), 2 * most + 1, 0.0, NEVER)
    time = tf.shape(logits)[0]
    _, sums = tf.while_loop(lambda t, _: t < time, step, (0, start), maximum_iterations=time)
    # In the last blank or in the last label.
    ends = tf.stack([2 * counts, tf.maximum(2 * counts - 1, 0)], axis=1)
    last = tf.gather(sums, ends, batch_dims=1)
    last = tf.where(tf.stack([counts >= 0, counts > 0], axis=1), last, NEVER)
    total = tf.reduce_logsumexp(last, axis=1)
    return negative_log(total)
