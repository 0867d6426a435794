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
