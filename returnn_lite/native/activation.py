"""Activations that TensorFlow makes of several passes."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native.launch import Result, Size, launch, like, pays


def silu(x: Any) -> Any:
    """Return x s(x), of x: float [any], with the logistic sigmoid s; also called swish."""
    return _activated(x, "silu")


def gelu(x: Any, approximate: bool = False) -> Any:
    """Return x Phi(x), of x: float [any], with the normal distribution Phi.

    approximate: TensorFlow's form with tanh.
    """
    return tf.nn.gelu(x, approximate) if approximate else _activated(x, "gelu")


def glu(x: Any) -> Any:
    """Return a s(b), of x: float [..., 2 n], whose halves are a and b; a gated linear unit."""
    from cupy_kernels.activation.op import SOURCE

    x = tf.convert_to_tensor(x)
    if not pays(SOURCE, x) or x.shape[-1] is None:
        a, b = tf.split(x, 2, axis=-1)
        return a * tf.math.sigmoid(b)
    half = x.shape[-1] // 2

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any) -> Any:
        y = Result([*like(x).shape[:-1], half])
        (y,) = launch(SOURCE, "glu_forward", x, y, Size(x), half)

        def gradient(dy: Any) -> Any:
            (dx,) = launch(SOURCE, "glu_backward", dy, x, like(x, over=x), Size(x), half)
            return dx

        return y, gradient

    return compute(x)


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
