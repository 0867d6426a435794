"""Depthwise convolution over time, forward and backward: that of a Conformer's modules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import Run, tensorflow_gradients, torch_gradients
from benchmarks.kernels.contestants import tensorflow as load_tensorflow


@dataclass(frozen=True)
class Depthwise:
    """ "Same", with bias, of sequences of equal lengths, with all gradients."""

    channels: int
    window: int
    batch: int = 12
    frames: int = 120
    bar: float = 1.0

    def arrays(self) -> Any:
        rng = np.random.default_rng(0)
        shape = (self.batch, self.frames, self.channels)
        x, dy = (rng.standard_normal(shape, np.float32) for _ in range(2))
        filters = rng.standard_normal((self.window, self.channels), np.float32)
        return x, filters, np.ones(self.channels, np.float32), dy

    def ours(self, threads: int) -> Run:
        from cupy_kernels.depthwise import depthwise, depthwise_gradient

        x, filters, bias, dy = self.arrays()
        options = {"before": (self.window - 1) // 2, "threads": threads}

        def run() -> Any:
            y = depthwise(x, filters, bias, size=self.frames, **options)
            return y, *depthwise_gradient(dy, x, filters, **options)

        return run

    def pytorch(self, threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        x, filters, bias, dy = map(torch.from_numpy, self.arrays())

        def convolve(x: Any, filters: Any, bias: Any) -> Any:
            options = {"padding": "same", "groups": self.channels}
            y = torch.nn.functional.conv1d(x.mT, filters.T[:, None], bias, **options)
            return y.mT

        return torch_gradients(convolve, [x, filters, bias], dy)

    def tensorflow(self, threads: int) -> Run:
        tf = load_tensorflow(threads)
        x, filters, bias, dy = map(tf.constant, self.arrays())

        def convolve(x: Any, filters: Any, bias: Any) -> Any:
            high, filters = x[:, :, None], filters[:, None, :, None]
            return tf.nn.depthwise_conv2d(high, filters, [1] * 4, "SAME")[:, :, 0] + bias

        return tensorflow_gradients(tf, convolve, [x, filters, bias], dy)


TASKS = {
    "depthwise convolution, 256 channels": Depthwise(channels=256, window=31),
    "depthwise convolution, 512 channels": Depthwise(channels=512, window=31),
}
