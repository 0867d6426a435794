"""Activations that TensorFlow makes of several passes."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native import bridge


def silu(x: Any) -> Any:
    """Return x s(x), of x: float [any], with the logistic sigmoid s; also called swish."""
    return _activated(x, "silu")


def gelu(x: Any, approximate: bool = False) -> Any:
    """Return x Phi(x), of x: float [any], with the normal distribution Phi.

    approximate: TensorFlow's form with tanh.
    """
    return tf.nn.gelu(x, approximate) if approximate else _activated(x, "gelu")


def _activated(x: Any, kind: str) -> Any:
    from cupy_kernels.activation import activate, activate_backward
    from cupy_kernels.activation.op import SOURCE

    x = tf.convert_to_tensor(x)

    if not bridge.pays(SOURCE, x):
        return tf.nn.silu(x) if kind == "silu" else tf.nn.gelu(x)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any) -> Any:
        (y,) = bridge.call(lambda x: activate(x, kind), [x], [tf.float32])

        def gradient(dy: Any) -> Any:
            (dx,) = bridge.call(lambda dy, x: activate_backward(dy, x, kind), [dy, x], [tf.float32])
            return tf.ensure_shape(dx, x.shape)

        return tf.ensure_shape(y, x.shape), gradient

    return compute(x)
