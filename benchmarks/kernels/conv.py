"""Convolution with 3 x 3 filters, forward and backward: stages of a ResNet."""

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


TASKS = {
    "convolution, 32 channels": Conv(height=80, width=40, channels=32),
    "convolution, 64 channels": Conv(height=80, width=20, channels=64),
    "convolution, 256 channels": Conv(height=80, width=5, channels=256),
}
