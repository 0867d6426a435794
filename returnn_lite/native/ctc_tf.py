"""CTC loss and alignment in TensorFlow's own operations."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native.log_space import NEVER, after_scan, exact, negative_log, path_to


def ctc_loss(
    logits: Any, frames: Any, labels: Any, counts: Any, *, blank: int, label_repetition: bool
) -> Any:
    """Return float32 [batch], see `native.ctc_loss`: the sum over paths, forwards in log-space."""
    states, stays, skip = _states(labels, counts, blank=blank, repetition=label_repetition)
    log_probs = tf.nn.log_softmax(logits)
    emission = _emission(log_probs, states)

    def step(t: Any, sums: Any) -> Any:
        ways = _ways(sums, stays, skip)
        new = tf.maximum(tf.reduce_logsumexp(ways, axis=0) + emission[t], NEVER)
        return t + 1, tf.where((t < frames)[:, None], new, sums)

    start = tf.one_hot(tf.zeros_like(counts), tf.shape(states)[1], 0.0, NEVER)
    time = tf.shape(logits)[0]
    _, sums = tf.while_loop(lambda t, _: t < time, step, (0, start), maximum_iterations=time)
    _, last = _ends(sums, counts)
    total = tf.reduce_logsumexp(last, axis=1)
    return negative_log(total)


def ctc_align(
    logits: Any, frames: Any, labels: Any, counts: Any, *, blank: int, label_repetition: bool
) -> tuple[Any, Any]:
    """Return int32 [batch, time] and float32 [batch], see `native.ctc_best_path`."""
    states, stays, skip = _states(labels, counts, blank=blank, repetition=label_repetition)
    emission = exact(_emission(logits, states))

    def forward(before: tuple[Any, Any], frame: tuple[Any, Any]) -> tuple[Any, Any]:
        t, scores = frame
        ways = _ways(before[0], stays, skip)
        # Of equal ways the first one, that from the furthest state.
        best = tf.argmax(ways, axis=0, output_type=tf.int32)
        new = tf.maximum(tf.reduce_max(ways, axis=0) + scores, NEVER)
        within = (t < frames)[:, None]
        return tf.where(within, new, before[0]), tf.where(within, best, 0)

    zero, never = (tf.constant(x, tf.float64) for x in (0.0, NEVER))
    start = tf.one_hot(tf.zeros_like(counts), tf.shape(states)[1], zero, never)
    steps = (tf.range(tf.shape(logits)[0]), emission)
    totals, moves = tf.scan(forward, steps, (start, tf.zeros_like(states)))
    ends, last = _ends(after_scan(totals, start), counts)
    which = tf.argmax(last, axis=1, output_type=tf.int32)
    score = tf.cast(tf.reduce_max(last, axis=1), tf.float32)
    state = tf.gather(ends, which, batch_dims=1)
    path = path_to(state, moves)
    found = tf.logical_and(
        tf.sequence_mask(frames, tf.shape(logits)[0]), (score > NEVER / 2)[:, None]
    )
    alignment = tf.where(found, tf.gather(states, path, batch_dims=1), blank)
    return alignment, tf.where(score > NEVER / 2, score, float("-inf"))


def _states(labels: Any, counts: Any, *, blank: int, repetition: bool) -> tuple[Any, Any, Any]:
    """Return blank, label 1, blank, ..., label n, blank: int32 [batch, states]; bool: which may
    stay for another frame, and which may follow on the one before the last.
    """
    batch, most = tf.shape(labels)[0], tf.shape(labels)[1]
    labels = tf.where(tf.sequence_mask(counts, most), labels, blank)
    blanks = tf.fill([batch, most], blank)
    states = tf.reshape(tf.stack([blanks, labels], axis=2), [batch, 2 * most])
    states = tf.pad(states, [[0, 0], [0, 1]], constant_values=blank)
    is_label = tf.range(2 * most + 1) % 2 == 1
    skip = tf.logical_and(is_label, tf.ones_like(states, tf.bool))
    if repetition:
        before = tf.pad(states[:, :-2], [[0, 0], [2, 0]], constant_values=-1)
        skip = tf.logical_and(skip, states != before)
    return states, tf.logical_or(tf.logical_not(is_label), repetition), skip


def _emission(log_probs: Any, states: Any) -> Any:
    """Return float32 [time, batch, states]: the scores of the labels of the states."""
    every = tf.tile(states[None], [tf.shape(log_probs)[0], 1, 1])
    return tf.maximum(tf.gather(log_probs, every, batch_dims=2), NEVER)


def _ways(sums: Any, stays: Any, skip: Any) -> Any:
    """Return float32 [3, batch, states]: what comes from a state, and from one and two before."""
    one = tf.pad(sums[:, :-1], [[0, 0], [1, 0]], constant_values=NEVER)
    two = tf.pad(sums[:, :-2], [[0, 0], [2, 0]], constant_values=NEVER)
    return tf.stack([tf.where(stays, sums, NEVER), one, tf.where(skip, two, NEVER)])


def _ends(sums: Any, counts: Any) -> tuple[Any, Any]:
    """Return the last blank and the last label: states int32 [batch, 2], and their sums."""
    ends = tf.stack([2 * counts, tf.maximum(2 * counts - 1, 0)], axis=1)
    last = tf.gather(sums, ends, batch_dims=1)
    return ends, tf.where(tf.stack([counts >= 0, counts > 0], axis=1), last, NEVER)
