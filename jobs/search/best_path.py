"""Best paths: the best label of every frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jobs.search.decode import Hypothesis
from returnn_lite.datasets.batches import Array
from returnn_lite.output import Outputs


def collapse(path: Array, blank: int) -> list[int]:
    """Return the labels of a CTC path: int [time]."""
    before = np.concatenate([[-1], path[:-1]])
    labels: list[int] = path[(path != before) & (path != blank)].tolist()
    return labels


def best_paths(tags: list[str], outputs: Outputs, layer: str) -> Mapping[str, list[Hypothesis]]:
    """Return one hypothesis for each sequence, from probabilities over time; the blank is last."""
    out = outputs[layer]
    assert out.time_dim is not None
    probs, lengths = out.canonical(), out.lengths[out.time_dim.name]
    blank = probs.shape[-1] - 1
    found = {}
    for tag, rows, length in zip(tags, probs, lengths, strict=True):
        path = rows[:length].argmax(axis=-1)
        score = float(np.log(np.maximum(rows[:length].max(axis=-1), 1e-38)).sum())
        found[tag] = [Hypothesis(collapse(path, blank), score)]
    return found
