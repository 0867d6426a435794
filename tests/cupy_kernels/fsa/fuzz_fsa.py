"""Any automaton: losses, posteriors and best paths."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.fsa import Automaton, fsa_best_path, fsa_full_sum, fsa_loss


def random_automaton(
    rng: np.random.Generator, batch: int, labels: int, states: int = 9, whole: bool = False
) -> Automaton:
    """With loops, parallel edges, states that nothing reaches, and costs of which some are inf."""

    def costs(size: int, never: float) -> Any:
        values = rng.integers(0, 2, size) if whole else rng.standard_normal(size)
        return np.where(rng.random(size) < never, np.inf, values).astype(np.float32)

    edges, starts, finals = [], [], []
    for _ in range(batch):
        count = int(rng.integers(1, states + 1))
        size = int(rng.integers(0, 4 * count + 1))
        ends = rng.integers(0, count, (2, size))
        columns = (*ends.tolist(), rng.integers(0, labels, size).tolist(), costs(size, 0.1))
        edges.append([(a, b, c, float(d)) for a, b, c, d in zip(*columns, strict=True)])
        first, last = costs(count, 0.5), costs(count, 0.5)
        first[rng.integers(count)] = 0.5
        starts.append({s: float(c) for s, c in enumerate(first)})
        finals.append({s: float(c) for s, c in enumerate(last)})
    return Automaton.of(edges, starts, finals)


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem."""
    time, batch, labels, states = (int(x) for x in rng.integers([0, 0, 1, 1], [20, 7, 40, 40]))
    automaton = random_automaton(rng, batch, labels, states)
    scores = rng.standard_normal((time, batch, labels), np.float32) * 20
    lengths = rng.integers(0, time + 1, batch, dtype=np.int32)
    found: list[Any] = []
    for operation in (fsa_full_sum, fsa_loss, fsa_best_path):
        found += operation(scores, lengths, automaton, threads=2)
    return found
