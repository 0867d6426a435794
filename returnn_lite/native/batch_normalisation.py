"""Batch normalisation."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native.launch import Result, Size, launch, like, pays


def scale_shift(x: Any, factor: Any, offset: Any) -> Any:
    """Return x factor + offset.

    x: float [..., channels]. factor, offset: float [channels]. See `cupy_kernels.batch_norm`.
    """
    from cupy_kernels.batch_norm.op import SOURCE

    if not pays(SOURCE, x):
        return x * factor + offset
    channels = x.shape[-1]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any, factor: Any, offset: Any) -> Any:
        arrays = x, factor, offset, like(x, over=x)
        (y,) = launch(SOURCE, "scale_shift_forward", *arrays, Size(x), channels)

        def gradient(dy: Any) -> Any:
            arrays = dy, x, factor, like(x, over=dy), Result([2, channels])
            dx, parameters = launch(SOURCE, "scale_shift_gradients", *arrays, Size(x), channels)
            return dx, *tf.unstack(parameters)

        return y, gradient

    return compute(x, factor, offset)


def batch_norm(
    x: Any, gamma: Any, beta: Any, epsilon: float, lengths: Any | None = None, time_axis: int = 1
) -> tuple[Any, Any, Any]:
    """Return (x - mean) / sqrt(variance + epsilon) gamma + beta, mean and variance.

    x: float32 [..., channels], with lengths of [batch, time, ..., channels], and time and batch in
    the other order with time_axis 0. gamma, beta: float32 [channels]. lengths: int32 [batch], of
    sequences whose later frames do not count for mean and variance, float32 [channels], which
    have no gradient. See `cupy_kernels.batch_norm`.
    """
    from cupy_kernels.batch_norm.op import SOURCE

    if not pays(SOURCE, x):
        if lengths is None:
            return _fused(x, gamma, beta, epsilon)
        return _masked(x, gamma, beta, epsilon, lengths, time_axis)
    channels = x.shape[-1]

    def sizes(x: Any) -> tuple[Any, ...]:
        return Size(x, 0), Size(x, 1), time_axis, Size(x), channels

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any, gamma: Any, beta: Any) -> Any:
        results = like(x), Result([4, channels])
        arrays = x, gamma, beta, tf.constant(epsilon, tf.float32), lengths
        y, moments = launch(SOURCE, "batch_norm_forward", *arrays, *results, *sizes(x))

        def gradient(dy: Any, *_: Any) -> Any:
            arrays = dy, x, gamma, moments, lengths, like(x, over=dy), Result([2, channels])
            dx, parameters = launch(SOURCE, "batch_norm_gradients", *arrays, *sizes(x))
            return dx, *tf.unstack(parameters)

        return (y, moments), gradient

    y, moments = compute(x, gamma, beta)
    mean, variance, *_ = tf.unstack(tf.stop_gradient(moments))
    return y, mean, variance


def _fused(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Return it by TensorFlow's operation for images, of half the passes of its others."""
    channels = x.shape[-1]
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=tf.reshape(x, [1, -1, 1, channels]),
        scale=gamma,
        offset=beta,
        mean=[],
        variance=[],
        epsilon=epsilon,
    )
    count = tf.cast(tf.size(x) // channels, x.dtype)
    variance *= tf.maximum(count - 1.0, 1.0) / tf.maximum(count, 1.0)  # it is the unbiased one
    return tf.reshape(y, tf.shape(x)), tf.stop_gradient(mean), tf.stop_gradient(variance)


def _masked(
    x: Any, gamma: Any, beta: Any, epsilon: float, lengths: Any, time_axis: int
) -> tuple[Any, Any, Any]:
    axes = list(range(len(x.shape) - 1))
    mask = tf.sequence_mask(lengths, tf.shape(x)[time_axis])
    mask = mask if time_axis else tf.transpose(mask)
    mask = tf.reshape(mask, [*tf.unstack(tf.shape(mask)), *[1] * (len(axes) - 1)])
    mask = tf.broadcast_to(mask, tf.shape(x))
    count = tf.maximum(tf.reduce_sum(tf.cast(mask[..., 0], x.dtype)), 1.0)
    zeros = tf.zeros_like(x)
    mean = tf.reduce_sum(tf.where(mask, x, zeros), axis=axes) / count
    squares = tf.where(mask, tf.square(x - mean), zeros)
    variance = tf.reduce_sum(squares, axis=axes) / count
    factor = tf.math.rsqrt(variance + epsilon) * gamma
    y = (x - mean) * factor + beta
    return y, tf.stop_gradient(mean), tf.stop_gradient(variance)
