"""Layer normalisation."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native import bridge


def layer_norm(x: Any, scale: Any, bias: Any, epsilon: float) -> Any:
    """Return x, normalised over its last axis, times scale plus bias.

    x: float [..., size]. scale, bias: float [size]. See `cupy_kernels.layer_norm`.
    """
    from cupy_kernels.layer_norm import layer_norm, layer_norm_backward
    from cupy_kernels.layer_norm.op import SOURCE

    if not bridge.pays(SOURCE, x):
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        return (x - mean) * (tf.math.rsqrt(variance + epsilon) * scale) + bias

    def forward(x: Any, scale: Any, bias: Any) -> Any:
        return layer_norm(x, scale, bias, epsilon)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any, scale: Any, bias: Any) -> Any:
        rows = tf.reshape(x, [-1, scale.shape[0]])
        y, moments = bridge.call(forward, [rows, scale, bias], [tf.float32] * 2)

        def gradient(dy: Any) -> Any:
            arguments = [tf.reshape(dy, tf.shape(rows)), rows, scale, moments]
            dx, *others = bridge.call(layer_norm_backward, arguments, [tf.float32] * 3)
            found = [tf.reshape(dx, tf.shape(x)), *others]
            return [
                tf.ensure_shape(d, z.shape) for d, z in zip(found, (x, scale, bias), strict=True)
            ]

        return tf.ensure_shape(tf.reshape(y, tf.shape(x)), x.shape), gradient

    return compute(x, tf.convert_to_tensor(scale), tf.convert_to_tensor(bias))
