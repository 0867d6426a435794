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
    from cupy_kernels.lstm.op import lstm_backward, lstm_forward

    return _lstm(lstm_forward, lstm_backward, [z], [], w_re, lengths, direction)


def lstm_layer(
    x: Any, w: Any, bias: Any, w_re: Any, lengths: Any, *, direction: int = 1
) -> tuple[Any, Any]:
    """Return the same as `lstm` for z = x w + bias, which is never stored.

    x: float32 [time, batch, inputs]. w: float32 [inputs, 4 n]. bias: float32 [4 n].
    """
    from cupy_kernels.lstm.layer import lstm_layer_backward, lstm_layer_forward

    return _lstm(
        lstm_layer_forward, lstm_layer_backward, [x, w, bias], [x, w], w_re, lengths, direction
    )


def _lstm(
    forward: Any,
    backward: Any,
    inputs: list[Any],
    again: list[Any],
    w_re: Any,
    lengths: Any,
    direction: int,
) -> tuple[Any, Any]:
    """Run an LSTM kernel; again: those of the inputs that its backward pass needs."""
    from cupy_kernels.lstm.arguments import LstmSaved

    zeros = tf.zeros([tf.shape(inputs[0])[1], w_re.shape[0]])
    parts = [tf.float32] * 4
    # TensorFlow runs the two directions of a layer at the same time: each has half of the cores.
    options = {"direction": direction, "threads": max(1, _threads() // 2)}

    def run_forward(*arrays: Any) -> Any:
        y, c_final, saved = forward(*_plain(arrays), **options)
        return y, c_final, *saved

    def run_backward(*arrays: Any) -> Any:
        dy, dc, gates, cells, *rest = _plain(arrays)
        return backward(dy, dc, LstmSaved(gates, cells), *rest, **options)[: len(inputs) + 1]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(*values: Any) -> Any:
        arguments = [*values, lengths, zeros, zeros]
        y, c, gates, cells = tf.numpy_function(run_forward, arguments, parts, stateful=False)
        y.set_shape([None, None, w_re.shape[0]])
        c.set_shape([None, w_re.shape[0]])

        def gradient(dy: Any, dc: Any) -> Any:
            arguments = [dy, dc, gates, cells, y, *again, w_re, lengths, zeros, zeros]
            kinds = [tf.float32] * len(values)
            found = tf.numpy_function(run_backward, arguments, kinds, stateful=False)
            return [tf.ensure_shape(d, v.shape) for d, v in zip(found, values, strict=True)]

        return (y, c), gradient

    y, c = compute(*inputs, w_re)
    return y, c


def _threads() -> int:
    """Return how many threads a kernel may use."""
    from cupy_kernels.backend.threads import thread_count

    return thread_count(None)


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
