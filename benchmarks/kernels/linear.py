"""An affine map of frames, forward and backward; peers multiply what lies behind the ends, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import Run, tensorflow_gradients, torch_gradients
from benchmarks.kernels.contestants import tensorflow as load_tensorflow


@dataclass(frozen=True)
class Linear:
    """Of a feed-forward layer; shortest: the frames of the shortest sequence, as a share."""

    inputs: int
    outputs: int
    batch: int = 12
    frames: int = 120
    shortest: float = 1.0
    bar: float = 1.0

    def arrays(self) -> Any:
        rng = np.random.default_rng(0)
        frames = (self.batch, self.frames)
        x = rng.standard_normal((*frames, self.inputs), np.float32)
        w = rng.standard_normal((self.inputs, self.outputs), np.float32)
        lengths = np.linspace(self.shortest, 1.0, self.batch) * self.frames
        dy = rng.standard_normal((*frames, self.outputs), np.float32)
        dy[np.arange(self.frames) >= lengths.astype(np.int32)[:, None]] = 0.0
        return x, w, np.ones(self.outputs, np.float32), lengths.astype(np.int32), dy

    def ours(self, threads: int) -> Run:
        from cupy_kernels.linear import linear, linear_backward

        x, w, bias, lengths, dy = self.arrays()

        def run() -> Any:
            y = linear(x, w, bias, lengths, threads=threads)
            return y, *linear_backward(dy, x, w, lengths, threads=threads)

        return run

    def pytorch(self, threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        x, w, bias, _, dy = map(torch.from_numpy, self.arrays())
        return torch_gradients(lambda x, w, bias: torch.matmul(x, w) + bias, [x, w, bias], dy)

    def tensorflow(self, threads: int) -> Run:
        tf = load_tensorflow(threads)
        x, w, bias, _, dy = map(tf.constant, self.arrays())

        def linear(x: Any, w: Any, bias: Any) -> Any:
            y = tf.matmul(tf.reshape(x, [-1, self.inputs]), w) + bias
            return tf.reshape(y, dy.shape)

        return tensorflow_gradients(tf, linear, [x, w, bias], dy)


TASKS = {
    "linear, 256 to 1024": Linear(256, 1024),
    "linear, 512 to 2048, ragged": Linear(512, 2048, frames=80, shortest=2 / 3),
}
