"""The hot loops for TensorFlow, with their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from returnn_lite.lazy import tf


def lstm_step(z: Any, w_re: Any, h: Any, c: Any) -> tuple[Any, Any]:
    """Return output and cell state of one step of an LSTM: float32 [batch, n] each.

    z: float32 [batch, 4 n], the input product with bias; gates: cell input, input, forget, output.
    w_re: float32 [n, 4 n]. h, c: float32 [batch, n], output and cell state before.
    """
    j, i, f, o = tf.split(z + tf.matmul(h, w_re), 4, axis=-1)
    c_new = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(j)
    return tf.sigmoid(o) * tf.tanh(c_new), c_new


def lstm(z: Any, w_re: Any, lengths: Any, *, direction: int = 1) -> tuple[Any, Any]:
    """Return outputs [time, batch, n], zero behind the end, and final cell state [batch, n].

    z: float32 [time, batch, 4 n], as in `lstm_step`. lengths: int32 [batch]. direction: -1 begins
    at each sequence's own end.
    """
    zeros = tf.zeros([tf.shape(z)[1], w_re.shape[0]])
    parts = [tf.float32] * 4

    def forward(*arrays: Any) -> Any:
        y, c_final, saved = kernels.lstm_forward(*_plain(arrays), direction=direction)
        return y, c_final, *saved

    def backward(*arrays: Any) -> Any:
        dy, dc, gates, cells, *rest = _plain(arrays)
        saved = LstmSaved(gates, cells)
        return kernels.lstm_backward(dy, dc, saved, *rest, direction=direction)

    from cupy_kernels.lstm import op as kernels
    from cupy_kernels.lstm.arguments import LstmSaved

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(z: Any, w_re: Any) -> Any:
        inputs = [z, w_re, lengths, zeros, zeros]
        y, c, gates, cells = tf.numpy_function(forward, inputs, parts, stateful=False)
        y.set_shape([None, None, w_re.shape[0]])
        c.set_shape([None, w_re.shape[0]])

        def gradient(dy: Any, dc: Any) -> Any:
            inputs = [dy, dc, gates, cells, y, w_re, lengths, zeros, zeros]
            dz, dw, _, _ = tf.numpy_function(backward, inputs, parts, stateful=False)
            return tf.ensure_shape(dz, z.shape), tf.ensure_shape(dw, w_re.shape)

        return (y, c), gradient

    y, c = compute(z, w_re)
    return y, c


def _plain(arrays: Any) -> list[Any]:
    return [np.ascontiguousarray(a) for a in arrays]


def ctc_loss(logits: Any, frames: Any, labels: Any, counts: Any, *, blank: int) -> Any:
    """Return float32 [batch], -log p of the labels by CTC (Graves et al., 2006), or inf.

    logits: float32 [time, batch, labels], before softmax. frames, counts: int32 [batch], lengths of
    the input and of the labels. labels: int32 [batch, label]. blank: its index.
    """
    from cupy_kernels.ctc.op import ctc_loss as kernel

    def compute(*arrays: Any) -> Any:
        return kernel(*_plain(arrays), blank=blank)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def loss(logits: Any) -> Any:
        value, gradient = tf.numpy_function(
            compute, [logits, frames, labels, counts], [tf.float32, tf.float32], stateful=False
        )
        value.set_shape([None])
        gradient.set_shape(logits.shape)
        return value, lambda upstream: gradient * upstream[None, :, None]

    return loss(logits)


def ctc_errors(logits: Any, frames: Any, labels: Any, counts: Any, *, blank: int) -> Any:
    """Return float32 [batch], the edit distance of the best path's labels to the given ones."""
    best = tf.argmax(logits, axis=-1, output_type=tf.int32)
    before = tf.pad(best[:-1], [[1, 0], [0, 0]], constant_values=-1)
    valid = tf.transpose(tf.sequence_mask(frames, tf.shape(best)[0]))
    emitted = tf.logical_and(tf.logical_and(best != before, best != blank), valid)
    hyps = tf.RaggedTensor.from_tensor(tf.transpose(best))
    hyps = tf.ragged.boolean_mask(hyps, tf.transpose(emitted))
    refs = tf.RaggedTensor.from_tensor(labels, lengths=counts)
    return tf.edit_distance(hyps.to_sparse(), refs.to_sparse(), normalize=False)


def ctc_align(
    log_probs: Any, frames: Any, labels: Any, counts: Any, *, blank: int, label_repetition: bool
) -> tuple[Any, Any]:
    """Return the best path of numpy arrays: labels int32 [batch, time], and its score [batch].

    log_probs: float32 [time, batch, labels]; the others as in `ctc_loss`. label_repetition: False
    for RNA's topology, in which a label takes one frame.
    """
    from cupy_kernels.align.op import ctc_align as kernel

    arrays = _plain([log_probs, frames, labels, counts])
    path, score = kernel(*arrays, blank=blank, label_repetition=label_repetition)
    return path, score
