"""CTC and RNA: losses and best paths."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.align import ctc_align
from cupy_kernels.ctc import ctc_loss


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem in both topologies."""
    time, batch, width = (int(x) for x in rng.integers(0, [30, 9, 25]))
    vocabulary = int(rng.integers(2, 40))
    case = (
        rng.standard_normal((time, batch, vocabulary), np.float32) * 20,
        rng.integers(0, time + 1, batch, dtype=np.int32),
        rng.integers(1, vocabulary, (batch, width), dtype=np.int32),
        rng.integers(0, width + 1, batch, dtype=np.int32),
    )
    found: list[Any] = []
    for repetition in (True, False):
        options: dict[str, Any] = {"blank": 0, "label_repetition": repetition, "threads": 2}
        found += [*ctc_loss(*case, **options), *ctc_align(*case, **options)]
    return found
