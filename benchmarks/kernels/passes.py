"""What is bound by memory: activations, and a layer normalisation, forward and backward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import Run, tensorflow_gradients, torch_gradients
from benchmarks.kernels.contestants import tensorflow as load_tensorflow


@dataclass(frozen=True)
class Silu:
    """Of the frames of a batch, in a feed-forward layer of a Conformer."""

    rows: int = 1440
    size: int = 1024
    bar: float = 1.5

    def arrays(self) -> Any:
        rng = np.random.default_rng(0)
        return [rng.standard_normal((self.rows, self.size), np.float32) for _ in range(2)]

    def ours(self, threads: int) -> Run:
        from cupy_kernels.activation import activate, activate_backward

        x, dy = self.arrays()

        def run() -> Any:
            y = activate(x, "silu", threads=threads)
            return y, activate_backward(dy, x, "silu", threads=threads)

        return run

    def pytorch(self, threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        x, dy = map(torch.from_numpy, self.arrays())
        return torch_gradients(torch.nn.functional.silu, [x], dy)

    def tensorflow(self, threads: int) -> Run:
        tf = load_tensorflow(threads)
        x, dy = map(tf.constant, self.arrays())
        return tensorflow_gradients(tf, tf.nn.silu, [x], dy)


@dataclass(frozen=True)
class Glu:
    """Of the frames of a batch, in the convolution module of a Conformer: a gated linear unit."""

    rows: int = 1440
    size: int = 512
    bar: float = 1.5

    def arrays(self) -> Any:
        rng = np.random.default_rng(0)
        return [
            rng.standard_normal((self.rows, n), np.float32) for n in (self.size, self.size // 2)
        ]

    def ours(self, threads: int) -> Run:
        from cupy_kernels.activation import glu, glu_backward

        x, dy = self.arrays()
        return lambda: (glu(x, threads=threads), glu_backward(dy, x, threads=threads))

    def pytorch(self, threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        x, dy = map(torch.from_numpy, self.arrays())
        return torch_gradients(torch.nn.functional.glu, [x], dy)

    def tensorflow(self, threads: int) -> Run:
        tf = load_tensorflow(threads)
        x, dy = map(tf.constant, self.arrays())

        def glu(x: Any) -> Any:
            a, b = tf.split(x, 2, axis=-1)
            return a * tf.sigmoid(b)

        return tensorflow_gradients(tf, glu, [x], dy)


@dataclass(frozen=True)
class LayerNorm:
    """Of the frames of a batch, in a Conformer."""

    rows: int = 1440
    size: int = 256
    bar: float = 1.5

    def arrays(self) -> Any:
        rng = np.random.default_rng(0)
        x, dy = (rng.standard_normal((self.rows, self.size), np.float32) for _ in range(2))
        return [x, np.ones(self.size, np.float32), np.zeros(self.size, np.float32), dy]

    def ours(self, threads: int) -> Run:
        from cupy_kernels.layer_norm import layer_norm, layer_norm_backward

        x, scale, bias, dy = self.arrays()

        def run() -> Any:
            y, moments = layer_norm(x, scale, bias, 1e-6, threads=threads)
            return y, *layer_norm_backward(dy, x, scale, moments, threads=threads)

        return run

    def pytorch(self, threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        *values, dy = map(torch.from_numpy, self.arrays())

        def layer_norm(x: Any, scale: Any, bias: Any) -> Any:
            return torch.nn.functional.layer_norm(x, (self.size,), scale, bias, 1e-6)

        return torch_gradients(layer_norm, values, dy)

    def tensorflow(self, threads: int) -> Run:
        tf = load_tensorflow(threads)
        *values, dy = map(tf.constant, self.arrays())

        def layer_norm(x: Any, scale: Any, bias: Any) -> Any:
            mean, variance = tf.nn.moments(x, [-1], keepdims=True)
            return tf.nn.batch_normalization(x, mean, variance, bias, scale, 1e-6)

        return tensorflow_gradients(tf, layer_norm, values, dy)


TASKS = {
    "silu, 1440 x 1024": Silu(),
    "gated linear unit, 1440 x 512": Glu(),
    "layer normalisation, 1440 x 256": LayerNorm(),
}
