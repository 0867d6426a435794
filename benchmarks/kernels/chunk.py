"""Overlapping chunks of sequences, and their mean put back together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import Run
from benchmarks.kernels.contestants import tensorflow as load_tensorflow


@dataclass(frozen=True)
class Chunk:
    """Chunks of 50 frames every 25, then their mean; all sequences of full length."""

    time: int = 1000
    batch: int = 32
    features: int = 40
    size: int = 50
    step: int = 25
    bar: float = 1.0

    def arrays(self) -> Any:
        shape = (self.time, self.batch, self.features)
        return np.random.default_rng(0).standard_normal(shape, np.float32)

    def ours(self, threads: int) -> Run:
        from cupy_kernels.chunk import chunk, unchunk

        x, lengths = self.arrays(), np.full(self.batch, self.time, np.int32)
        options: dict[str, Any] = {"chunk_size": self.size, "chunk_step": self.step}
        options["threads"] = threads
        sizes = {"batch": self.batch, "time": self.time}
        return lambda: unchunk(*chunk(x, lengths, **options), **sizes, **options)

    def pytorch(self, threads: int) -> Run:
        """Needs time - size to be a multiple of step, and no lengths."""
        import torch

        torch.set_num_threads(threads)
        x = torch.from_numpy(self.arrays())
        rows = self.batch * self.features
        fold = {"kernel_size": (self.size, 1), "stride": (self.step, 1)}
        ones = torch.ones(1, 1, self.time, 1)
        held = torch.nn.functional.unfold(ones, **fold)
        factors = 1 / torch.nn.functional.fold(held, (self.time, 1), **fold).reshape(-1, 1, 1)

        def run() -> Any:
            windows = x.unfold(0, self.size, self.step)  # [chunks, batch, features, size]
            chunks = windows.permute(3, 1, 0, 2).contiguous()
            columns = chunks.permute(1, 3, 0, 2).reshape(1, rows * self.size, -1)
            total = torch.nn.functional.fold(columns, (self.time, 1), **fold)
            return total.reshape(self.batch, self.features, -1).permute(2, 0, 1) * factors

        return run

    def tensorflow(self, threads: int) -> Run:
        tf = load_tensorflow(threads)
        x = tf.constant(self.arrays())

        def add(chunks: Any) -> Any:  # [size, batch, chunks, features]
            frames = tf.transpose(chunks, [1, 3, 2, 0])
            return tf.signal.overlap_and_add(frames, self.step)

        held = add(tf.ones([self.size, 1, (self.time - self.size) // self.step + 1, 1]))

        @tf.function
        def run() -> Any:
            windows = tf.signal.frame(x, self.size, self.step, axis=0)
            chunks = tf.transpose(windows, [1, 2, 0, 3])
            return tf.transpose(add(chunks) / held, [2, 0, 1])

        return lambda: run().numpy()


TASKS = {"chunk": Chunk(), "chunk, 512 features": Chunk(features=512)}
