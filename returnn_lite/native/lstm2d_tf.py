"""2D LSTM in TensorFlow's own operations, cell by cell."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf


def lstm2d_row(
    z: Any, v_h: Any, v_v: Any, y_below: Any, c_below: Any, lengths_s: Any
) -> tuple[Any, Any]:
    """Return outputs and cells of one row, see `native.lstm2d_row`."""
    shape = [None, v_h.shape[0]]
    arrays = [tf.TensorArray(z.dtype, size=tf.shape(z)[0], element_shape=shape) for _ in range(2)]
    nothing = tf.zeros([tf.shape(z)[1], v_h.shape[0]], z.dtype)

    def cell(s: Any, y: Any, c: Any, outputs: Any, cells: Any) -> Any:
        inputs = z[s] + tf.matmul(y, v_h) + tf.matmul(y_below[s], v_v)
        i, f, mix, o, a = tf.split(inputs, 5, axis=1)
        mix = tf.sigmoid(mix)
        before = mix * c_below[s] + (1.0 - mix) * c
        inside = (s < lengths_s)[:, None]
        c = tf.where(inside, tf.tanh(a) * tf.sigmoid(i) + tf.sigmoid(f) * before, 0.0)
        y = tf.where(inside, tf.tanh(c) * tf.sigmoid(o), 0.0)
        return s + 1, y, c, outputs.write(s, y), cells.write(s, c)

    columns = tf.shape(z)[0]
    _, _, _, outputs, cells = tf.while_loop(
        lambda s, *_: s < columns, cell, (0, nothing, nothing, *arrays), maximum_iterations=columns
    )
    return tuple(tf.ensure_shape(a.stack(), [None, *shape]) for a in (outputs, cells))


def lstm2d(z: Any, v_h: Any, v_v: Any, lengths_t: Any, lengths_s: Any) -> Any:
    """Return outputs, see `native.lstm2d`."""
    rows, columns, batch = (tf.shape(z)[i] for i in range(3))
    units = v_h.shape[0]

    def row(t: Any, y_below: Any, c_below: Any, grid: Any) -> Any:
        lengths = tf.where(t < lengths_t, lengths_s, 0)
        y, c = lstm2d_row(z[t], v_h, v_v, y_below, c_below, lengths)
        y, c = (tf.ensure_shape(x, start.shape) for x in (y, c))
        return t + 1, y, c, grid.write(t, y)

    start = tf.zeros([columns, batch, units], z.dtype)
    grid = tf.TensorArray(z.dtype, size=rows, element_shape=[None, None, units])
    _, _, _, grid = tf.while_loop(
        lambda t, *_: t < rows, row, (0, start, start, grid), maximum_iterations=rows
    )
    return grid.stack()
