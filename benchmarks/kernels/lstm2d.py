"""Two-dimensional LSTM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import Run


@dataclass(frozen=True)
class Lstm2d:
    """A grid, forward and backward, all pairs of full length; without the products of the input."""

    time_t: int = 40
    time_s: int = 40
    batch: int = 8
    units: int = 250
    bar: float = 1.5

    def arrays(self) -> tuple[Any, Any]:
        """What enters the gates, and the gradient of the output."""
        rng = np.random.default_rng(0)
        shape = (self.time_t, self.time_s, self.batch)
        return (
            rng.standard_normal((*shape, 5 * self.units), np.float32),
            rng.standard_normal((*shape, self.units), np.float32),
        )

    def weights(self) -> tuple[Any, Any]:
        rng = np.random.default_rng(1)
        shape = (self.units, 5 * self.units)
        v_h, v_v = (rng.standard_normal(shape, np.float32) / self.units**0.5 for _ in range(2))
        return v_h.astype(np.float32), v_v.astype(np.float32)

    def ours(self, threads: int) -> Run:
        from cupy_kernels.lstm2d import lstm2d_backward, lstm2d_forward

        z, dy = self.arrays()
        lengths = [np.full(self.batch, n, np.int32) for n in (self.time_t, self.time_s)]
        rest = (*self.weights(), *lengths)

        def run() -> Any:
            y, saved = lstm2d_forward(z, *rest, threads=threads)
            return lstm2d_backward(dy, saved, y, *rest, threads=threads)

        return run

    def ours_products_alone(self, threads: int) -> Run:
        """By numpy, of the same sizes, with as many threads as it likes: what is the least time."""
        v_h, v_v = self.weights()
        onward, back = np.hstack([v_h, v_v]), np.hstack([v_h.T, v_v.T])
        cells = self.time_t * self.time_s * self.batch
        dz = np.ones((cells, 5 * self.units), np.float32)
        states = np.ones((cells, 2 * self.units), np.float32)
        last = self.time_t + self.time_s - 1
        widths = [min(d, self.time_t, self.time_s, last + 1 - d) for d in range(1, last)]
        y = np.ones((max(widths) * self.batch, self.units), np.float32)

        def run() -> None:
            for rows in (width * self.batch for width in widths):
                _ = y[:rows] @ onward, dz[:rows] @ back
            _ = states.T @ dz

        return run

    def pytorch(self, threads: int) -> Run:
        """Diagonal by diagonal, two products and a handful of operations for each, by autograd."""
        import torch

        torch.set_num_threads(threads)
        z, dy = map(torch.from_numpy, self.arrays())
        z.requires_grad_()
        weights = [torch.from_numpy(w).requires_grad_() for w in self.weights()]
        v_h, v_v = weights

        def run() -> None:
            for leaf in (z, *weights):
                leaf.grad = None
            shape = (self.time_t + 1, self.batch, self.units)
            y, c = torch.zeros(shape), torch.zeros(shape)  # of row t at t + 1
            total: Any = 0
            for d in range(self.time_t + self.time_s - 1):
                first, end = max(0, d - self.time_s + 1), min(d + 1, self.time_t)
                t = torch.arange(first, end)
                x = z[t, d - t] + y[first + 1 : end + 1] @ v_h + y[first:end] @ v_v
                i, f, lam, o = torch.sigmoid(x[..., : 4 * self.units]).chunk(4, -1)
                a = torch.tanh(x[..., 4 * self.units :])
                old = lam * c[first:end] + (1 - lam) * c[first + 1 : end + 1]
                state = a * i + f * old
                out = torch.tanh(state) * o
                total = total + (out * dy[t, d - t]).sum()
                around = (0, 0, 0, 0, first + 1, self.time_t - end)
                y, c = (torch.nn.functional.pad(v, around) for v in (out, state))
            total.backward()

        return run


TASKS = {"lstm2d 250": Lstm2d(), "lstm2d 64": Lstm2d(units=64)}
