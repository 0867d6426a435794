"""Convolution with filters of 3 x 3 pixels."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native.launch import Result, Size, launch, like, serves

TAPS = 3  # of a filter in each direction
CHANNELS = 16  # of input and output: of fewer, the products are too thin to gain from


def conv3x3(x: Any, filters: Any, padding: str) -> Any:
    """Return float32 [batch, height, width, out]: images under filters that move by single pixels.

    x: float32 [batch, height, width, in]. filters: float32 [3, 3, in, out]. padding: "SAME" or
    "VALID", as of TensorFlow. On a GPU it is TensorFlow's, cuDNN's. See `cupy_kernels.conv`.
    """
    from cupy_kernels.conv.source import SOURCE

    few = min(filters.shape[2:]) < CHANNELS
    if few or x.dtype != tf.float32 or not serves(SOURCE):
        return tf.nn.conv2d(x, filters, 1, padding)
    before, less = (1, 0) if padding == "SAME" else (0, 2)
    inputs, outputs = filters.shape[2:]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any, filters: Any) -> Any:
        of_x, size = like(x).shape, [Size(x, axis, -less) for axis in (1, 2)]
        y = Result([of_x[0], *size, outputs])
        sizes = *of_x, *size, outputs, before, before
        (y,) = launch(SOURCE, "conv_forward", x, filters, y, *sizes, 0)

        def gradient(dy: Any) -> Any:
            # Two calls, so that a graph leaves out what it does not need.
            of_x, of_dy, turned = like(x).shape, like(dy).shape, TAPS - 1 - before
            sizes = *of_dy, *of_x[1:], turned, turned, 1
            (dx,) = launch(SOURCE, "conv_forward", dy, filters, Result(of_x), *sizes)
            dfilters = Result([TAPS, TAPS, inputs, outputs])
            sizes = *of_x, *of_dy[1:], before, before
            (dfilters,) = launch(SOURCE, "conv_filter_gradient", x, dy, dfilters, *sizes)
            return dx, dfilters

        return y, gradient

    return compute(x, filters)
