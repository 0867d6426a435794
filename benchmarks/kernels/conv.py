"""Convolution, forward and backward: stages of a ResNet, and filters of other kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import Run, tensorflow_gradients
from benchmarks.kernels.contestants import tensorflow as load_tensorflow


@dataclass(frozen=True)
class Conv:
    """Images of as many channels as outputs, "same", with both gradients."""

    height: int
    width: int
    channels: int
    batch: int = 6
    bar: float = 1.5

    def arrays(self) -> Any:
        rng = np.random.default_rng(0)
        shape = (self.batch, self.height, self.width, self.channels)
        x, dy = (rng.standard_normal(shape, np.float32) for _ in range(2))
        scale = np.float32(1 / (3 * self.channels**0.5))
        return x, rng.standard_normal((3, 3, *shape[3:] * 2), np.float32) * scale, dy

    def ours(self, threads: int) -> Run:
        from cupy_kernels import conv

        x, filters, dy = self.arrays()
        size, before = x.shape[1:3], (1, 1)

        def run() -> Any:
            return (
                conv.conv3x3(x, filters, before, size, threads=threads),
                conv.conv3x3_input_gradient(dy, filters, before, size, threads=threads),
                conv.conv3x3_filter_gradient(x, dy, before, threads=threads),
            )

        return run

    def pytorch(self, threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        x, filters, dy = map(torch.from_numpy, self.arrays())
        x, dy = (a.permute(0, 3, 1, 2) for a in (x, dy))  # channels last, as the others have them
        filters = filters.permute(3, 2, 0, 1).contiguous()
        for a in (x, filters):
            a.requires_grad_(True)

        def run() -> Any:
            y = torch.nn.functional.conv2d(x, filters, padding=1)
            dx, dfilters = torch.autograd.grad(y, (x, filters), dy)
            return y.permute(0, 2, 3, 1), dx.permute(0, 2, 3, 1), dfilters.permute(2, 3, 1, 0)

        return run

    def tensorflow(self, threads: int) -> Run:
        tf = load_tensorflow(threads)
        x, filters, dy = map(tf.constant, self.arrays())

        def convolve(x: Any, filters: Any) -> Any:
            return tf.nn.conv2d(x, filters, 1, "SAME")

        return tensorflow_gradients(tf, convolve, [x, filters], dy)


@dataclass(frozen=True)
class Strided:
    """Images under filters of any size that move by any strides, "same", with both gradients."""

    shape: tuple[int, int, int, int]
    filters: tuple[int, int, int]
    strides: tuple[int, int]
    bar: float = 1.0

    def _size(self) -> tuple[int, int]:
        rows, columns = (
            -(-n // step) for n, step in zip(self.shape[1:3], self.strides, strict=True)
        )
        return rows, columns

    def _before(self) -> tuple[int, int]:
        """Return the zeros before the images; those behind are as many, or one more."""
        images = zip(self.shape[1:3], self._size(), self.strides, self.filters[:2], strict=True)
        top, left = (max((m - 1) * step + n - size, 0) // 2 for size, m, step, n in images)
        return top, left

    def arrays(self) -> Any:
        rng = np.random.default_rng(0)
        rows, columns, outputs = self.filters
        x = rng.standard_normal(self.shape, np.float32)
        filters = rng.standard_normal((rows, columns, self.shape[3], outputs), np.float32)
        dy = rng.standard_normal((self.shape[0], *self._size(), outputs), np.float32)
        return x, filters / np.float32((rows * columns * self.shape[3]) ** 0.5), dy

    def ours(self, threads: int) -> Run:
        from cupy_kernels import conv2d as kernel

        x, filters, dy = self.arrays()
        of = kernel.Windows(size=self._size(), before=self._before(), strides=self.strides)

        def run() -> Any:
            return (
                kernel.conv2d(x, filters, of, threads=threads),
                kernel.conv2d_input_gradient(dy, filters, of, x.shape[1:3], threads=threads),
                kernel.conv2d_filter_gradient(x, dy, of, self.filters[:2], threads=threads)[0],
            )

        return run

    def tensorflow(self, threads: int) -> Run:
        tf = load_tensorflow(threads)
        x, filters, dy = map(tf.constant, self.arrays())

        def convolve(x: Any, filters: Any) -> Any:
            return tf.nn.conv2d(x, filters, self.strides, "SAME")

        return tensorflow_gradients(tf, convolve, [x, filters], dy)


TASKS = {
    "convolution, one channel": Strided((12, 240, 80, 1), (3, 3, 32), (1, 1)),
    "convolution, 32 channels, strided": Strided((6, 80, 40, 32), (3, 3, 64), (1, 2)),
    "convolution, 128 channels, strided": Strided((6, 80, 10, 128), (3, 3, 256), (1, 2)),
    "convolution over time, 512 channels": Strided((12, 200, 1, 512), (5, 1, 512), (1, 1)),
    "convolution, 32 channels": Conv(height=80, width=40, channels=32),
    "convolution, 64 channels": Conv(height=80, width=20, channels=64),
    "convolution, 256 channels": Conv(height=80, width=5, channels=256),
}
