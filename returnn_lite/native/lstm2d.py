"""2D LSTM over a grid, or over one row of it."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native import bridge, lstm2d_tf


def lstm2d(z: Any, v_h: Any, v_v: Any, lengths_t: Any, lengths_s: Any) -> Any:
    """Return outputs [target, source, batch, units] of RETURNN's TwoDLSTM, zero outside.

    z: float32 [target, source, batch, 5 units], the input product with bias. v_h, v_v: float32
    [units, 5 units]. lengths_t, lengths_s: int32 [batch]. See `cupy_kernels.lstm2d`.
    """
    from cupy_kernels.lstm2d import Lstm2dSaved, lstm2d_backward, lstm2d_forward
    from cupy_kernels.lstm2d.front import SOURCE

    if not bridge.serves(SOURCE):
        return lstm2d_tf.lstm2d(z, v_h, v_v, lengths_t, lengths_s)
    lengths = [lengths_t, lengths_s]

    def forward(*arrays: Any) -> Any:
        y, saved = lstm2d_forward(*arrays)
        return y, *saved

    def backward(dy: Any, gates: Any, cells: Any, y: Any, *arrays: Any) -> Any:
        return lstm2d_backward(dy, Lstm2dSaved(gates, cells), y, *arrays)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(*values: Any) -> Any:
        y, *saved = bridge.call(forward, [*values, *lengths], [tf.float32] * 3)

        def gradient(dy: Any) -> Any:
            arguments = [dy, *saved, y, *values[1:], *lengths]
            found = bridge.call(backward, arguments, [tf.float32] * 3)
            return [tf.ensure_shape(d, v.shape) for d, v in zip(found, values, strict=True)]

        return tf.ensure_shape(y, [None, None, None, v_h.shape[0]]), gradient

    return compute(z, v_h, v_v)


def lstm2d_row(
    z: Any, v_h: Any, v_v: Any, y_below: Any, c_below: Any, lengths_s: Any
) -> tuple[Any, Any]:
    """Return outputs and cells [source, batch, units] of the next row of a grid.

    z: float32 [source, batch, 5 units]. y_below, c_below: those of the row before; zeros before the
    first one. Else as `lstm2d`.
    """
    return lstm2d_tf.lstm2d_row(z, v_h, v_v, y_below, c_below, lengths_s)
