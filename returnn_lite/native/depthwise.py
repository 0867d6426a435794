"""Convolution over time with a filter for each channel."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native.launch import Result, Size, count, launch, like, pays


def depthwise_convolution(
    x: Any,
    filters: Any,
    bias: Any | None,
    lengths: Any | None,
    *,
    before: int,
    size: Any | None = None,
    dilation: int = 1,
) -> Any:
    """Return [batch, size, channels]: sequences under windows that move by single frames.

    x: float [batch, time, channels]. filters: float [window, channels]. bias: float [channels].
    lengths: int32 [batch], of sequences whose later frames are taken as zero; None: all count.
    before: frames by which the first window begins before the first frame. size: a number or int32
    [], by default as many windows as frames. dilation: frames from one of a window to the next. See
    `cupy_kernels.depthwise`.
    """
    from cupy_kernels.depthwise.source import SOURCE

    filters = tf.convert_to_tensor(filters)
    if filters.dtype != x.dtype or not pays(SOURCE, x):
        return _depthwise(x, filters, bias, lengths, before, size, dilation)
    windows = Size(x, 1) if size is None else count(size)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any, filters: Any, *bias: Any) -> Any:
        of_x, (window, channels) = like(x).shape, filters.shape
        y = Result([of_x[0], windows, channels])
        sizes = *of_x[:2], windows, channels, window, before, dilation
        arrays = x, filters, bias[0] if bias else None, lengths, y
        (y,) = launch(SOURCE, "depthwise_forward", *arrays, *sizes)

        def gradient(dy: Any) -> Any:
            # That of x is made even where nothing needs it: of a first layer, mostly.
            results = like(x), like(filters), Result([channels]) if bias else None
            arrays = dy, x, filters, lengths, *results
            return launch(SOURCE, "depthwise_backward", *arrays, *sizes)

        return y, gradient

    return compute(x, filters) if bias is None else compute(x, filters, bias)


def _depthwise(
    x: Any,
    filters: Any,
    bias: Any | None,
    lengths: Any | None,
    before: int,
    size: Any | None,
    dilation: int,
) -> Any:
    """Return the same by TensorFlow's own operations."""
    frames, span = tf.shape(x)[1], (filters.shape[0] - 1) * dilation + 1
    if lengths is not None:
        inside = tf.sequence_mask(lengths, frames)[..., None]
        x = tf.where(inside, x, tf.zeros([], x.dtype))
    padding = "SAME"
    if size is not None or before != (span - 1) // 2:
        padding, size = "VALID", frames if size is None else size
        behind = size + span - 1 - before - frames
        x = tf.pad(x, [[0, 0], [before, tf.maximum(behind, 0)], [0, 0]])
        x = x[:, : size + span - 1]
    # Windows that are high are faster than wide ones.
    x, filters, steps = x[:, :, None], filters[:, None, :, None], [1, 1, 1, 1]
    y = tf.nn.depthwise_conv2d(x, filters, steps, padding, dilations=(dilation, 1))[:, :, 0]
    return y if bias is None else y + bias
