"""2D LSTM diagonal by diagonal: the library's matrix product, then a kernel for the cells.

No cell of an anti-diagonal depends on another one of it, so all of them, of all sequences, are the
rows of one product. Cells outside the sequences are in none.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from cupy_kernels.backend.launch import launch

SOURCE = Path(__file__).with_name("lstm2d.cu")
ENOUGH = 1 << 14  # numbers of a diagonal from which on it pays to wake another thread


class Front(NamedTuple):
    """The cells of all sequences, numbered along the diagonals; neighbours, -1 where none."""

    bounds: list[int]  # of the diagonals: numbers bounds[d] to bounds[d + 1] - 1
    place: Any  # int64 [cells], on the grid with batch; so all below
    left: Any
    below: Any
    right: Any
    above: Any

    @property
    def widest(self) -> int:
        """The most cells of a diagonal."""
        return max((b - a for a, b in self.diagonals()), default=0)

    def diagonals(self) -> list[tuple[int, int]]:
        """First number and end of each diagonal."""
        return list(zip(self.bounds, self.bounds[1:], strict=False))


def number_cells(xp: ModuleType, lengths_t: Any, lengths_s: Any, time_t: int, time_s: int) -> Front:
    """Number the cells with t < lengths_t, s < lengths_s, by diagonal, t, and sequence."""
    batch = len(lengths_t)
    t = xp.arange(time_t)[None, :, None]
    s = xp.arange(time_t + time_s)[:, None, None] - t
    inside = (s >= 0) & (s < lengths_s) & (t < lengths_t)
    sizes = inside.sum(axis=(1, 2))
    d, t, b = (x.astype(np.int64) for x in xp.nonzero(inside))
    s = d - t
    numbers = xp.full((time_t + 2, time_s + 2, batch), -1, np.int64)  # with a margin
    numbers[t + 1, s + 1, b] = xp.arange(len(t))
    neighbours = [
        numbers[t + 1 + dt, s + 1 + ds, b] for dt, ds in ((0, -1), (-1, 0), (0, 1), (1, 0))
    ]
    bounds = [0, *(int(x) for x in xp.cumsum(sizes))]
    return Front(bounds, (t * time_s + s) * batch + b, *neighbours)


def forward(
    xp: ModuleType, front: Front, z: Any, v_h: Any, v_v: Any, threads: int
) -> tuple[Any, Any, Any]:
    """y, gates and cells of the operation, for checked arguments."""
    _, time_s, batch, _ = z.shape
    units = len(v_h)
    y, cells = (xp.zeros((*z.shape[:3], units), np.float32) for _ in range(2))
    gates, zeros = xp.zeros_like(z), xp.zeros(5 * units, np.float32)
    weights = xp.concatenate([v_h, v_v], axis=1)
    outputs = xp.empty((front.widest, units), np.float32)
    product = xp.empty((front.widest, 10 * units), np.float32)
    before = (0, 0)
    for first, end in front.diagonals():
        done, count = before[1] - before[0], end - first
        xp.matmul(outputs[:done], weights, out=product[:done])
        arrays = (z, product, zeros, *front[1:4], outputs, y, gates, cells)
        sizes = (first, count, before[0], time_s * batch, batch, units)
        workers = _workers(xp, count, units, threads)
        launch(SOURCE, "lstm2d_cells", *arrays, *sizes, workers=workers, xp=xp)
        before = (first, end)
    return y, gates, cells


def backward(
    xp: ModuleType,
    front: Front,
    dy: Any,
    gates: Any,
    cells: Any,
    y: Any,
    v_h: Any,
    v_v: Any,
    threads: int,
) -> tuple[Any, Any, Any]:
    """dz, dv_h and dv_v of the operation, for checked arguments."""
    _, time_s, batch, units = y.shape
    dz, zeros = xp.zeros_like(gates), xp.zeros(units, np.float32)
    rows = xp.empty((front.bounds[-1], 5 * units), np.float32)  # dz, by number
    weights = xp.concatenate([v_h.T, v_v.T], axis=1)
    product, carry, new_carry = (xp.empty((front.widest, 2 * units), np.float32) for _ in range(3))
    after = (front.bounds[-1], front.bounds[-1])
    for first, end in reversed(front.diagonals()):
        count, done = end - first, after[1] - after[0]
        xp.matmul(rows[slice(*after)], weights, out=product[:done])
        arrays = (
            dy,
            product,
            carry,
            zeros,
            *front[1:],
            gates,
            cells,
            new_carry,
            rows[first:end],
            dz,
        )
        sizes = (first, count, after[0], time_s * batch, batch, units)
        workers = _workers(xp, count, units, threads)
        launch(SOURCE, "lstm2d_cells_backward", *arrays, *sizes, workers=workers, xp=xp)
        carry, new_carry = new_carry, carry
        after = (first, end)
    dv_h, dv_v = xp.split(_states_before(xp, front, y).T @ rows, 2)
    return dz, dv_h, dv_v


def _states_before(xp: ModuleType, front: Front, y: Any) -> Any:
    """[cells, 2 units]: y of the left neighbour and of the one below, or zeros."""
    _, time_s, batch, units = y.shape
    rows = y.reshape(-1, units)
    states = xp.zeros((len(front.place), 2 * units), np.float32)
    for i, (number, distance) in enumerate(((front.left, batch), (front.below, time_s * batch))):
        found = number >= 0
        states[found, i * units : (i + 1) * units] = rows[front.place[found] - distance]
    return states


def _workers(xp: ModuleType, count: int, units: int, threads: int) -> int:
    if xp is not np:
        return max(1, count)
    return threads if count * units >= ENOUGH else 1
