"""Energies of additive attention in float64: the definition, and what tests compare with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]


def additive_energies(
    keys: npt.NDArray[Any], queries: npt.NDArray[Any], v: npt.NDArray[Any], lengths: Integers
) -> Floats:
    """The operation's energies."""
    energies = np.zeros((len(keys), queries.shape[1], keys.shape[1]))
    for b, q, frames, tanh in _pairs(keys, queries, lengths):
        energies[b, q, frames] = tanh @ v
    return energies


def additive_energies_backward(
    denergies: npt.NDArray[Any],
    keys: npt.NDArray[Any],
    queries: npt.NDArray[Any],
    v: npt.NDArray[Any],
    lengths: Integers,
) -> tuple[Floats, Floats, Floats]:
    """The operation's dkeys, dqueries and dv."""
    dkeys, dqueries, dv = (np.zeros(x.shape) for x in (keys, queries, v))
    for b, q, frames, tanh in _pairs(keys, queries, lengths):
        de = denergies[b, q, frames, None].astype(np.float64)
        slopes = de * v * (1 - tanh**2)
        dkeys[b, frames] += slopes
        dqueries[b, q] += slopes.sum(axis=0)
        dv += (de * tanh).sum(axis=0)
    return dkeys, dqueries, dv


def _pairs(
    keys: npt.NDArray[Any], queries: npt.NDArray[Any], lengths: Integers
) -> Iterator[tuple[int, int, slice, Floats]]:
    """Sequence, query, the frames, and for these tanh(key + query), [frames, size]."""
    for b, length in enumerate(lengths):
        for q in range(queries.shape[1]):
            frames = slice(0, int(length))
            yield b, q, frames, np.tanh(keys[b, frames].astype(np.float64) + queries[b, q])
