"""Layer normalisation."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native.launch import Result, Size, launch, like, pays


def layer_norm(x: Any, scale: Any, bias: Any, epsilon: float) -> Any:
    """Return x, normalised over its last axis, times scale plus bias.

    x: float [..., size]. scale, bias: float [size]. See `cupy_kernels.layer_norm`.
    """
    from cupy_kernels.layer_norm.op import SOURCE

    if not pays(SOURCE, x):
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        return (x - mean) * (tf.math.rsqrt(variance + epsilon) * scale) + bias
    size = x.shape[-1]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any, scale: Any, bias: Any) -> Any:
        moments = Result([*like(x).shape[:-1], 2])
        arrays = x, scale, bias, tf.constant(epsilon, tf.float32), like(x), moments
        y, moments = launch(SOURCE, "layer_norm_forward", *arrays, Size(x), size)

        def gradient(dy: Any) -> Any:
            arrays = dy, x, scale, moments, like(x, over=dy), Result([2, size])
            dx, parameters = launch(SOURCE, "layer_norm_gradients", *arrays, Size(x), size)
            return dx, *tf.unstack(parameters)

        return y, gradient

    return compute(x, scale, bias)
