"""LSTM over a sequence in TensorFlow's own operations."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf


def rounded(x: Any, precision: str) -> Any:
    """Return an operand of a product as the kernel has it; the gradient is that of x."""
    if precision == "float32":
        return x
    return x + tf.stop_gradient(tf.cast(tf.cast(x, tf.bfloat16), x.dtype) - x)


def lstm_step(z: Any, w_re: Any, h: Any, c: Any, precision: str = "float32") -> tuple[Any, Any]:
    """Return output and cell of one step, see `native.lstm_step`."""
    product = tf.matmul(rounded(h, precision), rounded(w_re, precision))
    j, i, f, o = tf.split(z + product, 4, axis=-1)
    c_new = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(j)
    return tf.sigmoid(o) * tf.tanh(c_new), c_new


def lstm(
    z: Any,
    w_re: Any,
    lengths: Any,
    direction: int,
    initial: tuple[Any, Any] | None,
    precision: str = "float32",
) -> tuple[Any, Any]:
    """Return outputs and final cells, see `native.lstm`."""
    if direction < 0:
        z = tf.reverse_sequence(z, lengths, seq_axis=0, batch_axis=1)
    time, batch = tf.shape(z)[0], tf.shape(z)[1]
    if initial is None:
        initial = (tf.zeros([batch, w_re.shape[0]], z.dtype),) * 2

    def step(t: Any, h: Any, c: Any, outputs: Any) -> Any:
        h_new, c_new = lstm_step(z[t], w_re, h, c, precision)
        inside = (t < lengths)[:, None]
        outputs = outputs.write(t, tf.where(inside, h_new, 0.0))
        return t + 1, tf.where(inside, h_new, h), tf.where(inside, c_new, c), outputs

    array = tf.TensorArray(z.dtype, size=time, element_shape=[None, w_re.shape[0]])
    _, _, c_final, outputs = tf.while_loop(
        lambda t, *_: t < time, step, (0, *initial, array), maximum_iterations=time
    )
    y = tf.ensure_shape(outputs.stack(), [None, None, w_re.shape[0]])
    if direction < 0:
        y = tf.reverse_sequence(y, lengths, seq_axis=0, batch_axis=1)
    return y, c_final
