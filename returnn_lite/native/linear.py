"""An affine map of the frames of sequences."""

from __future__ import annotations

import math
from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native.launch import Result, Size, launch, like, pays

WORTH = 2**14  # weights: with fewer, the products are too small to gain from


def affine(x: Any, w: Any, bias: Any | None, lengths: Any | None = None, time_axis: int = 1) -> Any:
    """Return x w + bias for every frame.

    x: float [..., inputs], with lengths of [batch, time, ..., inputs], and time and batch in the
    other order with time_axis 0. w: float [inputs, outputs]. bias: float [outputs]. lengths: int32
    [batch], of sequences whose later frames need no result: it is zero there, or as usual. See
    `cupy_kernels.linear`.
    """
    from cupy_kernels.linear.op import SOURCE

    w = tf.convert_to_tensor(w)
    if math.prod(w.shape) < WORTH or w.dtype != x.dtype or not pays(SOURCE, x):
        return _affine(x, w, bias)
    inputs, outputs = w.shape

    def sizes(x: Any) -> tuple[Any, ...]:
        return Size(x, 0), Size(x, 1), time_axis, Size(x), inputs, outputs

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any, w: Any, *bias: Any) -> Any:
        y = Result([*like(x).shape[:-1], outputs])
        arrays = x, w, bias[0] if bias else None, lengths, y
        (y,) = launch(SOURCE, "linear_forward", *arrays, *sizes(x))

        def gradient(dy: Any) -> Any:
            results = like(x), like(w), Result([outputs]) if bias else None
            # One after the other: side by side, they would share the cores and their caches. That
            # of x is made even where nothing needs it: of a first layer, mostly.
            arrays = dy, x, w, lengths, *results
            return launch(SOURCE, "linear_backward", *arrays, *sizes(x))

        return y, gradient

    return compute(x, w) if bias is None else compute(x, w, bias)


def _affine(x: Any, w: Any, bias: Any | None) -> Any:
    y = tf.matmul(tf.reshape(x, [-1, w.shape[0]]), w)
    sizes = [tf.shape(x)[i] if n is None else n for i, n in enumerate(x.shape[:-1])]
    y = tf.reshape(y, [*sizes, w.shape[1]])
    return y if bias is None else y + bias
