"""Activations that TensorFlow makes of several passes."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native.launch import Size, launch, like, pays


def silu(x: Any) -> Any:
    """Return x s(x), of x: float [any], with the logistic sigmoid s; also called swish."""
    return _activated(x, "silu")


def gelu(x: Any, approximate: bool = False) -> Any:
    """Return x Phi(x), of x: float [any], with the normal distribution Phi.

    approximate: TensorFlow's form with tanh.
    """
    return tf.nn.gelu(x, approximate) if approximate else _activated(x, "gelu")


def _activated(x: Any, kind: str) -> Any:
    from cupy_kernels.activation.op import SOURCE

    x = tf.convert_to_tensor(x)
    if not pays(SOURCE, x):
        return tf.nn.silu(x) if kind == "silu" else tf.nn.gelu(x)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any) -> Any:
        (y,) = launch(SOURCE, f"{kind}_forward", x, like(x), Size(x))

        def gradient(dy: Any) -> Any:
            (dx,) = launch(SOURCE, f"{kind}_backward", dy, x, like(x, over=dy), Size(x))
            return dx

        return y, gradient

    return compute(x)
