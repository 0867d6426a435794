"""Energies of additive attention: of a search's step, and of a training with its gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import Run
from benchmarks.kernels.contestants import tensorflow as load_tensorflow


@dataclass(frozen=True)
class Energies:
    """Keys of all frames against queries: hypotheses, or labels with gradients."""

    batch: int = 8
    frames: int = 40
    queries: int = 12
    size: int = 1024
    gradients: bool = False
    scale: float = 1.0  # of the numbers
    bar: float = 1.0

    def arrays(self) -> Any:
        rng = np.random.default_rng(0)
        shapes = ((self.frames, self.size), (self.queries, self.size))
        scale = np.float32(self.scale)
        keys, queries = (rng.standard_normal((self.batch, *s), np.float32) * scale for s in shapes)
        denergies = rng.standard_normal((self.batch, self.queries, self.frames), np.float32)
        return keys, queries, rng.standard_normal(self.size, np.float32), denergies

    def ours(self, threads: int) -> Run:
        from cupy_kernels.energies import additive_energies, additive_energies_backward

        *values, denergies = self.arrays()

        def run() -> Any:
            energies = additive_energies(*values, threads=threads)
            if not self.gradients:
                return energies
            return energies, *additive_energies_backward(denergies, *values, threads=threads)

        return run

    def pytorch(self, threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        *values, denergies = map(torch.from_numpy, self.arrays())
        for x in values:
            x.requires_grad_(self.gradients)
        keys, queries, v = values

        def run() -> Any:
            energies = torch.tanh(keys[:, None] + queries[:, :, None]) @ v
            if self.gradients:
                return torch.autograd.grad(energies, values, denergies)
            return energies

        return run

    def tensorflow(self, threads: int) -> Run:
        tf = load_tensorflow(threads)
        *values, denergies = map(tf.constant, self.arrays())

        @tf.function
        def run(*values: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(values)
                keys, queries, v = values
                energies = tf.linalg.matvec(tf.tanh(keys[:, None] + queries[:, :, None]), v)
            if self.gradients:
                return energies, tape.gradient(energies, values, output_gradients=denergies)
            return energies

        return lambda: tf.nest.map_structure(lambda x: x.numpy(), run(*values))


TASKS = {
    "energies, one step": Energies(),
    "energies, one step, numbers of 3": Energies(scale=3.0),
    "energies, 40 labels": Energies(queries=40, gradients=True),
    "energies, 40 labels, numbers of 3": Energies(queries=40, gradients=True, scale=3.0),
}
