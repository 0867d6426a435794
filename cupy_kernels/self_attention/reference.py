"""Self-attention in float64: the definition, and what tests compare with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


class Head(NamedTuple):
    """A head of a sequence: where its columns begin and its values lie, and what it computes."""

    sequence: int
    head: int
    query: Floats  # [queries, key size], scaled
    key: Floats  # [frames, key size]
    value: Floats
    shift: Floats  # [queries, frames, key size]
    log_sums: Floats  # [queries]
    weights: Floats  # [queries, frames]


def self_attention(
    qkv: Array,
    key_shift: Array | None,
    lengths: Array,
    heads: int,
    key_size: int,
    left_only: bool = False,
    every_query: bool = False,
) -> tuple[Floats, Floats]:
    """The operation's values, and the logarithms of the softmax' sums."""
    key_shift = _by_pair(key_shift, qkv.shape[1])
    batch, time = qkv.shape[:2]
    out = np.zeros((batch, time, heads, qkv.shape[2] // heads - 2 * key_size))
    log_sums = np.zeros((batch, heads, time))
    for x in _heads(qkv, key_shift, lengths, heads, key_size, left_only, every_query):
        queries = len(x.query)
        out[x.sequence, :queries, x.head] = x.weights @ x.value
        log_sums[x.sequence, x.head, :queries] = x.log_sums
    return out.reshape(batch, time, heads * out.shape[3]), log_sums


def self_attention_backward(
    d_out: Array,
    qkv: Array,
    key_shift: Array | None,
    lengths: Array,
    heads: int,
    key_size: int,
    left_only: bool = False,
    every_query: bool = False,
) -> tuple[Floats, Floats | None]:
    """The gradients of qkv, and of key_shift where there is one."""
    batch, time = qkv.shape[:2]
    given, key_shift = key_shift, _by_pair(key_shift, time)
    d_qkv = np.zeros((batch, time, heads, qkv.shape[2] // heads))
    d_shift = np.zeros((time, time, key_size))
    for x in _heads(qkv, key_shift, lengths, heads, key_size, left_only, every_query):
        queries, frames = x.weights.shape
        d = d_out[x.sequence, :queries].reshape(queries, heads, -1)[:, x.head].astype(np.float64)
        d_weights = d @ x.value.T
        means = (d_weights * x.weights).sum(axis=1, keepdims=True)
        d_energies = x.weights * (d_weights - means)
        d_query = d_energies @ x.key + np.einsum("ij,ijk->ik", d_energies, x.shift)
        d_head = d_qkv[x.sequence, :, x.head]
        d_head[:queries, :key_size] = d_query * key_size**-0.5
        d_head[:frames, key_size:] = np.hstack([d_energies.T @ x.query, x.weights.T @ d])
        d_shift[:queries, :frames] += d_energies[:, :, None] * x.query[:, None]
    if given is not None and given.ndim == 2:
        d_pairs, d_shift = d_shift, np.zeros(given.shape)
        np.add.at(d_shift, _distances(given, time), d_pairs)
    return d_qkv.reshape(qkv.shape), None if given is None else d_shift


def _by_pair(key_shift: Array | None, time: int) -> Array | None:
    """Shifts of each query and key, [time, time, key size], where they may be of distances."""
    if key_shift is None or key_shift.ndim == 3:
        return key_shift
    by_pair: Array = key_shift[_distances(key_shift, time)]
    return by_pair


def _distances(key_shift: Array, time: int) -> npt.NDArray[np.int64]:
    """The row of the shifts of each query and key."""
    frames, clipping = np.arange(time), len(key_shift) // 2
    rows: npt.NDArray[np.int64] = np.clip(frames - frames[:, None], -clipping, clipping) + clipping
    return rows


def _heads(
    qkv: Array,
    key_shift: Array | None,
    lengths: Array,
    heads: int,
    key_size: int,
    left_only: bool,
    every_query: bool,
) -> Iterator[Head]:
    """Each head of each sequence."""
    for b, length in enumerate(lengths):
        frames = int(length)
        if not frames:
            continue
        queries = qkv.shape[1] if every_query else frames
        shift = np.zeros((queries, frames, key_size))
        if key_shift is not None:
            shift += key_shift[:queries, :frames]
        columns = qkv[b, :queries].astype(np.float64).reshape(queries, heads, -1)
        for h in range(heads):
            query, key, value = np.split(columns[:, h], [key_size, 2 * key_size], axis=1)
            query, key, value = query * key_size**-0.5, key[:frames], value[:frames]
            energies = query @ key.T + np.einsum("ik,ijk->ij", query, shift)
            if left_only:
                energies[np.triu_indices(queries, 1, frames)] = -np.inf
            most = energies.max(axis=1, keepdims=True)
            log_sums = most + np.log(np.exp(energies - most).sum(axis=1, keepdims=True))
            weights = np.exp(energies - log_sums)
            yield Head(b, h, query, key, value, shift, log_sums[:, 0], weights)
