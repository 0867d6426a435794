"""2D LSTM in TensorFlow's own operations, cell by cell."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf


def lstm2d(z: Any, v_h: Any, v_v: Any, lengths_t: Any, lengths_s: Any) -> Any:
    """Return outputs, see `native.lstm2d`."""
    rows, columns, batch = (tf.shape(z)[i] for i in range(3))
    units = v_h.shape[0]
    nothing = tf.zeros([batch, units], z.dtype)
    shape = [None, units]

    def row(t: Any, y_below: Any, c_below: Any, grid: Any) -> Any:
        def cell(s: Any, y: Any, c: Any, outputs: Any, cells: Any) -> Any:
            inputs = z[t, s] + tf.matmul(y, v_h) + tf.matmul(y_below[s], v_v)
            i, f, mix, o, a = tf.split(inputs, 5, axis=1)
            mix = tf.sigmoid(mix)
            before = mix * c_below[s] + (1.0 - mix) * c
            inside = tf.logical_and(t < lengths_t, s < lengths_s)[:, None]
            c = tf.where(inside, tf.tanh(a) * tf.sigmoid(i) + tf.sigmoid(f) * before, 0.0)
            y = tf.where(inside, tf.tanh(c) * tf.sigmoid(o), 0.0)
            return s + 1, y, c, outputs.write(s, y), cells.write(s, c)

        arrays = [tf.TensorArray(z.dtype, size=columns, element_shape=shape) for _ in range(2)]
        _, _, _, outputs, cells = tf.while_loop(
            lambda s, *_: s < columns,
            cell,
            (0, nothing, nothing, *arrays),
            maximum_iterations=columns,
        )
        y_row, c_row = (tf.ensure_shape(a.stack(), start.shape) for a in (outputs, cells))
        return t + 1, y_row, c_row, grid.write(t, y_row)

    start = tf.zeros([columns, batch, units], z.dtype)
    grid = tf.TensorArray(z.dtype, size=rows, element_shape=[None, None, units])
    _, _, _, grid = tf.while_loop(
        lambda t, *_: t < rows, row, (0, start, start, grid), maximum_iterations=rows
    )
    return grid.stack()
