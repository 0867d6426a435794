"""The maximum or the mean of windows over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from returnn_lite.lazy import tf
from returnn_lite.native.launch import Result, count, launch, like, pays

Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Pooling:
    """What is made of each window over one or two dims.

    mode: as in `cupy_kernels.pool`. dilation: from frame to frame of a window.
    """

    mode: Literal["max", "mean", "mean_of_all"]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]


def pools(x: Any, of: Pooling) -> bool:
    """Return whether there is a kernel for windows over x [batch, spatial dims, channels]."""
    from cupy_kernels.pool.op import SOURCE

    return len(of.window) in (1, 2) and pays(SOURCE, x)


def pool(x: Any, lengths: Any | None, places: list[tuple[Any, Any]], of: Pooling) -> Any:
    """Return float32 [batch, windows, channels], where `pools`.

    x: float32 [batch, spatial dims, channels]. lengths: int32 [batch], frames of the first dim that
    count; None: all. places: of each dim, how many frames are thought of before it, and how many
    windows there are: numbers, of the first dim also tensors, int32 [] or, of the frames, [batch].
    See `cupy_kernels.pool`.
    """
    from cupy_kernels.pool.op import MODES, SOURCE

    first, left = _two([before for before, _ in places], 0)
    before = tf.reshape(tf.convert_to_tensor(first, tf.int32), [-1])
    apart = int(tf.is_tensor(first) and first.shape.rank == 1)
    windows = [count(n) for _, n in places]
    frames = (*_two(of.window), *_two(of.strides), *_two(of.dilation))
    options = apart, left, *frames, MODES.index(of.mode)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any) -> Any:
        batch, *spatial, channels = like(x).shape
        sizes = batch, *_two(spatial), channels, *_two(windows), *options
        y = Result([batch, *windows, channels])
        (y,) = launch(SOURCE, "pool_forward", x, lengths, before, y, *sizes)

        def gradient(dy: Any) -> Any:
            arrays = x, lengths, before, dy, like(x)
            return launch(SOURCE, "pool_gradient_of_rows", *arrays, *sizes)[0]

        return y, gradient

    return compute(x)


def _two(values: Sequence[Any], other: int = 1) -> list[Any]:
    """Return the values of two dims, of which the second may be one of size 1."""
    return [*values, other][:2]
