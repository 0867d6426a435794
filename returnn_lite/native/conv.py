"""Convolution of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native.launch import Result, count, launch, like, serves

TAPS = 3  # of a filter in each direction that has tiles of its own
CHANNELS = 16  # of input and output: of fewer, the products of tiles are too thin to gain from


@dataclass(frozen=True)
class Moves:
    """How filters move over images, in rows and columns: see `cupy_kernels.conv2d.Windows`.

    size: windows, as whole numbers or scalar tensors. before: zeros before each image; of rows also
    int32 [] or [batch].
    """

    size: tuple[Any, Any]
    before: tuple[Any, int]
    strides: tuple[int, ...] = (1, 1)
    dilation: tuple[int, ...] = (1, 1)

    def counts(self) -> list[Any]:
        """Return the sizes as `launch` takes them."""
        return [count(n) for n in self.size]


def convolves(x: Any) -> bool:
    """Return whether there are kernels of convolution for images."""
    from cupy_kernels.conv2d.windows import SOURCE

    return x.dtype == tf.float32 and serves(SOURCE)


def conv2d(x: Any, filters: Any, bias: Any | None, lengths: Any | None, of: Moves) -> Any:
    """Return float32 [batch, *of.size, out], where `convolves`.

    x: float32 [batch, height, width, in]. filters: float32 [rows, columns, in, out]. bias: float32
    [out]. lengths: int32 [batch], rows of each image; what is behind them, or around it, is zero.
    See `cupy_kernels.conv2d` and, for filters of 3 x 3 pixels, `cupy_kernels.conv`.
    """
    by_pixels = of.strides == of.dilation == (1, 1) and isinstance(of.before[0], int)
    small = max(of.before) < TAPS if by_pixels else False
    if small and filters.shape[:2] == (TAPS, TAPS) and min(filters.shape[2:]) >= CHANNELS:
        y = _by_tiles(x, filters, lengths, of)
        return y if bias is None else y + bias
    return _by_rows(x, filters, bias, lengths, of)


def _by_tiles(x: Any, filters: Any, lengths: Any | None, of: Moves) -> Any:
    from cupy_kernels.conv.source import SOURCE

    inputs, outputs = filters.shape[2:]
    turned = [TAPS - 1 - n for n in of.before]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any, filters: Any) -> Any:
        of_y = like(x).shape[0], *of.counts(), outputs
        arrays = x, filters, lengths, None, Result(of_y)
        (y,) = launch(SOURCE, "conv_forward", *arrays, *like(x).shape, *of_y[1:], *of.before, 0)

        def gradient(dy: Any) -> Any:
            # Two calls, so that a graph leaves out what it does not need.
            of_x, of_dy = like(x).shape, like(dy).shape
            sizes = *of_dy, *of_x[1:], *turned, 1
            (dx,) = launch(SOURCE, "conv_forward", dy, filters, None, lengths, Result(of_x), *sizes)
            found = Result([TAPS, TAPS, inputs, outputs])
            sizes = *of_x, *of_dy[1:], *of.before
            (found,) = launch(SOURCE, "conv_filter_gradient", x, dy, lengths, found, *sizes)
            return dx, found

        return y, gradient

    return compute(x, filters)


def _by_rows(x: Any, filters: Any, bias: Any | None, lengths: Any | None, of: Moves) -> Any:
    from cupy_kernels.conv2d.windows import SOURCE

    *size, _, outputs = filters.shape
    before, tops = of.before, None
    if tf.is_tensor(before[0]):
        before, tops = (0, before[1]), tf.broadcast_to(before[0], tf.shape(x)[:1])
    moves = *size, *of.strides, *of.dilation, *before

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any, filters: Any, *bias: Any) -> Any:
        of_y = like(x).shape[0], *of.counts(), outputs
        arrays = x, filters, bias[0] if bias else None, lengths, tops, Result(of_y)
        (y,) = launch(SOURCE, "conv2d_forward", *arrays, *like(x).shape, *of_y[1:], *moves)

        def gradient(dy: Any) -> Any:
            # Two calls, as above.
            sizes = *like(x).shape, *like(dy).shape[1:], *moves
            of_rows = lengths, tops
            (dx,) = launch(SOURCE, "conv2d_input_gradient", dy, filters, *of_rows, like(x), *sizes)
            results = like(filters), Result([outputs]) if bias else None
            arrays = x, dy, *of_rows, *results
            return dx, *launch(SOURCE, "conv2d_filter_gradient", *arrays, *sizes)

        return y, gradient

    return compute(x, filters) if bias is None else compute(x, filters, bias)
