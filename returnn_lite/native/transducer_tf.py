"""Transducer full-sum in TensorFlow's own operations."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native.log_space import NEVER, negative_log


def transducer_loss(
    log_probs: Any, frames: Any, labels: Any, counts: Any, *, blank: int, topology: str
) -> Any:
    """Return float32 [batch], see `native.transducer_loss`: forwards in log-space.

    After step d a path has u labels out, and is at frame d, in topology "rnnt" at frame d - u.
    """
    most = tf.shape(labels)[1]
    used = tf.sequence_mask(counts, most)
    diagonal = int(topology == "rnnt")
    steps = frames + diagonal * counts
    next_label = tf.pad(tf.where(used, labels, blank), [[0, 0], [0, 1]], constant_values=blank)
    last_label = tf.pad(next_label[:, :-1], [[0, 0], [1, 0]], constant_values=-1)
    places = tf.range(most + 1)
    more = places < counts[:, None]
    again = (places > 0) & (topology == "ctc")
    direct = (next_label != last_label) | (topology != "ctc")
    blanks = tf.maximum(log_probs[..., blank], NEVER)
    nexts, repeats = (_picked(log_probs, k) for k in (next_label, tf.maximum(last_label, 0)))

    def step(d: Any, after_blank: Any, after_label: Any) -> Any:
        t = d - diagonal * places
        inside = tf.logical_and(
            tf.logical_and(t >= 0, t < frames[:, None]), places <= counts[:, None]
        )

        def at(scores: Any, possible: Any) -> Any:
            rows = tf.clip_by_value(t, 0, tf.shape(scores)[1] - 1)
            picked = tf.gather(tf.transpose(scores, [0, 2, 1]), _rows(rows, scores), batch_dims=2)
            return tf.where(inside & possible, picked, NEVER)

        every = _add(after_blank, after_label)
        may = _add(after_blank, tf.where(direct, after_label, NEVER))
        emitted = may + at(nexts, more)
        emitted = tf.pad(emitted[:, :-1], [[0, 0], [1, 0]], constant_values=NEVER)
        new_blank = tf.maximum(every + at(blanks, True), NEVER)
        new_label = tf.maximum(_add(emitted, after_label + at(repeats, again)), NEVER)
        valid = (d < steps)[:, None]
        pairs = ((new_blank, after_blank), (new_label, after_label))
        return d + 1, *(tf.where(valid, new, old) for new, old in pairs)

    start = tf.one_hot(tf.zeros_like(counts), most + 1, 0.0, NEVER)
    number = tf.shape(log_probs)[1] + diagonal * most
    _, after_blank, after_label = tf.while_loop(
        lambda d, *_: d < number,
        step,
        (0, start, tf.fill(tf.shape(start), NEVER)),
        maximum_iterations=number,
    )
    if diagonal:  # the last step is a blank
        after_label = tf.where((frames == 0)[:, None], after_label, NEVER)
    total = tf.gather(_add(after_blank, after_label), counts, batch_dims=1)
    return negative_log(total)


def transducer_fused_loss(
    encoder: Any,
    predictor: Any,
    weight: Any,
    bias: Any,
    *sequences: Any,
    blank: int,
    topology: str,
    activation: str,
    separate_emit: bool,
) -> Any:
    """Return float32 [batch], see `native.transducer_fused_loss`: with all logits at once."""
    joint = encoder[:, :, None] + predictor[:, None]
    logits = tf.tensordot(_hidden(joint, activation), weight, 1) + bias
    if not separate_emit:
        log_probs = tf.nn.log_softmax(logits)
    else:
        emit = logits[..., blank : blank + 1]
        is_blank = tf.range(logits.shape[-1]) == blank
        labels = tf.nn.log_softmax(tf.where(is_blank, NEVER, logits))
        labels += tf.math.log_sigmoid(emit)
        log_probs = tf.where(is_blank, tf.math.log_sigmoid(-emit), labels)
    return transducer_loss(log_probs, *sequences, blank=blank, topology=topology)


def _hidden(x: Any, activation: str) -> Any:
    if activation == "maxout":
        return tf.reduce_max(tf.reshape(x, [*tf.unstack(tf.shape(x)[:3]), -1, 2]), axis=-1)
    return {"tanh": tf.tanh, "relu": tf.nn.relu, "linear": tf.identity}[activation](x)


def _picked(log_probs: Any, labels: Any) -> Any:
    """Return [batch, time, max_labels + 1], the scores of a label for each number of labels out."""
    rows = tf.transpose(log_probs, [0, 2, 3, 1])
    picked = tf.gather(rows, labels, batch_dims=2)
    return tf.maximum(tf.transpose(picked, [0, 2, 1]), NEVER)


def _rows(rows: Any, scores: Any) -> Any:
    """Return int32 [batch, max_labels + 1], the same frames for each sequence."""
    return tf.broadcast_to(rows, [tf.shape(scores)[0], tf.shape(scores)[2]])


def _add(a: Any, b: Any) -> Any:
    return tf.reduce_logsumexp(tf.stack([a, b]), axis=0)
