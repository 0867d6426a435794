"""The order in which the cells of a 2D LSTM can be computed: diagonal by diagonal.

No cell of an anti-diagonal depends on another one of it, so all of them, of all sequences, are the
rows of one matrix product. Cells outside the sequences are in none.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

SOURCE = Path(__file__).with_name("lstm2d.cu")


class Front(NamedTuple):
    """The cells of all sequences, numbered along the diagonals."""

    bounds: list[int]  # diagonal d has the numbers bounds[d] to bounds[d + 1] - 1; none is empty
    place: Any  # int64 [cells]: where in [time_t, time_s, batch]
    left: Any  # int64 [cells], as all below: number of this neighbour, or -1
    below: Any
    right: Any
    above: Any

    def diagonals(self) -> list[tuple[int, int]]:
        """First number and end of each diagonal."""
        return list(zip(self.bounds, self.bounds[1:], strict=False))


def number_cells(xp: ModuleType, lengths_t: Any, lengths_s: Any, time_t: int, time_s: int) -> Front:
    """Number the cells with t < lengths_t, s < lengths_s, by diagonal, t, and sequence."""
    batch = len(lengths_t)
    t = xp.arange(time_t)[None, :, None]
    s = xp.arange(time_t + time_s)[:, None, None] - t
    inside = (s >= 0) & (s < lengths_s) & (t < lengths_t)
    ends = xp.cumsum(inside.sum(axis=(1, 2))).tolist()
    d, t, b = (x.astype(np.int64) for x in xp.nonzero(inside))
    s = d - t
    numbers = xp.full((time_t + 2, time_s + 2, batch), -1, np.int64)  # with a margin
    numbers[t + 1, s + 1, b] = xp.arange(len(t))
    left, right = numbers[t + 1, s, b], numbers[t + 1, s + 2, b]
    below, above = numbers[t, s + 1, b], numbers[t + 2, s + 1, b]
    bounds = sorted({0, *ends})
    return Front(bounds, (t * time_s + s) * batch + b, left, below, right, above)
