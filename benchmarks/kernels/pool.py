"""Pooling, forward and backward: of the convolutions before a Conformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import Run, tensorflow_gradients
from benchmarks.kernels.contestants import tensorflow as load_tensorflow


@dataclass(frozen=True)
class Pool:
    """Maxima of windows that lie side by side."""

    height: int
    width: int
    window: tuple[int, int]
    channels: int = 32
    batch: int = 12
    bar: float = 1.0

    def arrays(self) -> Any:
        rng = np.random.default_rng(0)
        height, width = self._size()
        shapes = (self.height, self.width), (height, width)
        return [rng.standard_normal((self.batch, *s, self.channels), np.float32) for s in shapes]

    def _size(self) -> tuple[int, int]:
        return self.height // self.window[0], self.width // self.window[1]

    def ours(self, threads: int) -> Run:
        from cupy_kernels.pool import pool, pool_gradient

        x, dy = self.arrays()
        options: Any = {
            "mode": "max",
            "window": self.window,
            "strides": self.window,
            "threads": threads,
        }

        def run() -> Any:
            y = pool(x, None, None, size=self._size(), **options)
            return y, pool_gradient(dy, x, None, None, **options)

        return run

    def pytorch(self, threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        x, dy = (torch.from_numpy(a).permute(0, 3, 1, 2) for a in self.arrays())  # channels last
        x.requires_grad_(True)

        def run() -> Any:
            y = torch.nn.functional.max_pool2d(x, self.window)
            (dx,) = torch.autograd.grad(y, x, dy)
            return y.permute(0, 2, 3, 1), dx.permute(0, 2, 3, 1)

        return run

    def tensorflow(self, threads: int) -> Run:
        tf = load_tensorflow(threads)
        x, dy = map(tf.constant, self.arrays())

        def pool(x: Any) -> Any:
            return tf.nn.max_pool2d(x, self.window, self.window, "VALID")

        return tensorflow_gradients(tf, pool, [x], dy)


TASKS = {
    "pooling of 2 x 2": Pool(height=240, width=80, window=(2, 2)),
    "pooling of 1 x 2": Pool(height=120, width=40, window=(1, 2)),
}
