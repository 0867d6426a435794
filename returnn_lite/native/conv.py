"""Convolution with filters of 3 x 3 pixels."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native import bridge

CHANNELS = 16  # of input and output: of fewer, the products are too thin to gain from


def conv3x3(x: Any, filters: Any, padding: str) -> Any:
    """Return float32 [batch, height, width, out]: images under filters that move by single pixels.

    x: float32 [batch, height, width, in]. filters: float32 [3, 3, in, out]. padding: "SAME" or
    "VALID", as of TensorFlow. On a GPU it is TensorFlow's, cuDNN's. See `cupy_kernels.conv`.
    """
    from cupy_kernels import conv
    from cupy_kernels.conv.source import SOURCE

    few = min(filters.shape[2:]) < CHANNELS
    if few or x.dtype != tf.float32 or bridge.on_gpu() or not bridge.serves(SOURCE):
        return tf.nn.conv2d(x, filters, 1, padding)
    same = padding == "SAME"
    before = (1, 1) if same else (0, 0)

    def forward(x: Any, filters: Any) -> Any:
        return conv.conv3x3(x, filters, before, _size(x, 0 if same else -2))

    def of_input(dy: Any, x: Any, filters: Any) -> Any:
        return conv.conv3x3_input_gradient(dy, filters, before, x.shape[1:3])

    def of_filters(dy: Any, x: Any) -> Any:
        return conv.conv3x3_filter_gradient(x, dy, before)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any, filters: Any) -> Any:
        (y,) = bridge.call(forward, [x, filters], [tf.float32])
        shape = [x.shape[0], *(None if n is None or not same else n for n in x.shape[1:3])]

        def gradient(dy: Any) -> Any:
            # Two calls, so that a graph leaves out what it does not need.
            (dx,) = bridge.call(of_input, [dy, x, filters], [tf.float32])
            (dfilters,) = bridge.call(of_filters, [dy, x], [tf.float32])
            return tf.ensure_shape(dx, x.shape), tf.ensure_shape(dfilters, filters.shape)

        return tf.ensure_shape(y, [*shape, filters.shape[3]]), gradient

    return compute(x, filters)


def _size(x: Any, more: int) -> tuple[int, int]:
    return max(x.shape[1] + more, 0), max(x.shape[2] + more, 0)
