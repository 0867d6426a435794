"""CTC: loss, errors of the best path, and alignment."""

from __future__ import annotations

from typing import Any

import numpy as np

from returnn_lite.lazy import tf
from returnn_lite.native import bridge, ctc_tf, edit


def ctc_loss(
    logits: Any,
    frames: Any,
    labels: Any,
    counts: Any,
    *,
    blank: int,
    label_repetition: bool = True,
) -> Any:
    """Return float32 [batch], -log p of the labels by CTC (Graves et al., 2006), or inf.

    logits: float32 [time, batch, labels], before softmax. frames, counts: int32 [batch], lengths of
    the input and of the labels. labels: int32 [batch, label]. blank: its index. label_repetition:
    False for RNA's topology, in which a label takes one frame.
    """
    from cupy_kernels.ctc.op import SOURCE
    from cupy_kernels.ctc.op import ctc_loss as kernel

    options: dict[str, Any] = {"blank": blank, "label_repetition": label_repetition}
    if not bridge.serves(SOURCE):
        return ctc_tf.ctc_loss(logits, frames, labels, counts, **options)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def loss(logits: Any) -> Any:
        arguments = [logits, frames, labels, counts]
        value, gradient = bridge.call(
            lambda *arrays: kernel(*arrays, **options), arguments, [tf.float32, tf.float32]
        )
        value.set_shape([None])
        gradient.set_shape(logits.shape)
        return value, lambda upstream: gradient * upstream[None, :, None]

    return loss(logits)


def ctc_errors(logits: Any, frames: Any, labels: Any, counts: Any, *, blank: int) -> Any:
    """Return float32 [batch], the edit distance of the best path's labels to the given ones."""
    best = tf.transpose(tf.argmax(logits, axis=-1, output_type=tf.int32))
    before = tf.pad(best[:, :-1], [[0, 0], [1, 0]], constant_values=-1)
    valid = tf.sequence_mask(frames, tf.shape(best)[1])
    emitted = tf.logical_and(tf.logical_and(best != before, best != blank), valid)
    order = tf.argsort(tf.cast(tf.logical_not(emitted), tf.int32), axis=1, stable=True)
    hypotheses = tf.gather(best, order, batch_dims=1)
    lengths = tf.reduce_sum(tf.cast(emitted, tf.int32), axis=1)
    return tf.cast(edit.edit_distance(hypotheses, lengths, labels, counts), tf.float32)


def ctc_align(
    log_probs: Any, frames: Any, labels: Any, counts: Any, *, blank: int, label_repetition: bool
) -> tuple[Any, Any]:
    """Return the best path of arrays: labels int32 [batch, time], and its score [batch].

    log_probs: float32 [time, batch, labels]; the others as in `ctc_loss`. label_repetition: False
    for RNA's topology, in which a label takes one frame.
    """
    from cupy_kernels.align.op import ctc_align as kernel

    arrays = map(np.ascontiguousarray, (log_probs, frames, labels, counts))
    path, score = kernel(*arrays, blank=blank, label_repetition=label_repetition)
    return path, score


def ctc_best_path(
    log_probs: Any, frames: Any, labels: Any, counts: Any, *, blank: int, label_repetition: bool
) -> tuple[Any, Any]:
    """Return what `ctc_align` does, of tensors: int32 [batch, time], and float32 [batch]."""
    from cupy_kernels.align.op import SOURCE
    from cupy_kernels.align.op import ctc_align as kernel

    options: dict[str, Any] = {"blank": blank, "label_repetition": label_repetition}
    if not bridge.serves(SOURCE):
        return ctc_tf.ctc_align(log_probs, frames, labels, counts, **options)
    path, score = bridge.call(
        lambda *arrays: kernel(*arrays, **options),
        [log_probs, frames, labels, counts],
        [tf.int32, tf.float32],
    )
    path.set_shape([None, None])
    score.set_shape([None])
    return path, score
