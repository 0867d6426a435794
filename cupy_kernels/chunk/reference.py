"""Chunks in float64, frame by frame: the definition, and what tests compare with.

Chunk c of a sequence holds its frames c * step to c * step + size - 1; the chunks of sequence b are
the columns b * count to (b + 1) * count - 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]


def chunk_count(time: int, size: int, step: int) -> int:
    """The number of chunks that `time` frames need; one if there are none."""
    return max(time - size + step - 1, 0) // step + 1


def chunk(
    x: npt.NDArray[Any], lengths: Integers, *, chunk_size: int, chunk_step: int
) -> tuple[Floats, Integers]:
    """The operation's chunks and chunk_lengths."""
    time, batch, features = x.shape
    columns = batch * chunk_count(time, chunk_size, chunk_step)
    chunks, counts = np.zeros((chunk_size, columns, features)), np.zeros(columns, np.int32)
    for row, column, t, b in _frames(time, lengths, chunk_size, chunk_step):
        chunks[row, column] = x[t, b]
        counts[column] += 1
    return chunks, counts


def chunk_backward(
    dchunks: npt.NDArray[Any], lengths: Integers, *, time: int, chunk_size: int, chunk_step: int
) -> Floats:
    """The operation's dx."""
    dx = np.zeros((time, len(lengths), dchunks.shape[2]))
    for row, column, t, b in _frames(time, lengths, chunk_size, chunk_step):
        dx[t, b] += dchunks[row, column]
    return dx


def unchunk(
    chunks: npt.NDArray[Any], lengths: Integers, *, time: int, chunk_size: int, chunk_step: int
) -> tuple[Floats, Floats]:
    """The operation's x and factors; its lengths are given here."""
    held = np.zeros((time, len(lengths)))
    for _, _, t, b in _frames(time, lengths, chunk_size, chunk_step):
        held[t, b] += 1
    factors = 1 / np.maximum(held, 1)
    sizes = {"time": time, "chunk_size": chunk_size, "chunk_step": chunk_step}
    return chunk_backward(chunks, lengths, **sizes) * factors[:, :, None], factors


def unchunk_backward(
    dx: npt.NDArray[Any], lengths: Integers, *, chunk_size: int, chunk_step: int
) -> Floats:
    """The operation's dchunks."""
    sizes = {"chunk_size": chunk_size, "chunk_step": chunk_step}
    columns = len(lengths) * chunk_count(len(dx), chunk_size, chunk_step)
    nothing = np.zeros((chunk_size, columns, 0))
    _, factors = unchunk(nothing, lengths, time=len(dx), **sizes)
    return chunk(dx * factors[:, :, None], lengths, **sizes)[0]


def _frames(
    time: int, lengths: Integers, size: int, step: int
) -> Iterator[tuple[int, int, int, int]]:
    """Row and column of the chunks, frame and sequence, of all pairs that belong together."""
    count = chunk_count(time, size, step)
    for b, length in enumerate(lengths):
        for c in range(count):
            for row in range(size):
                if c * step + row < length:
                    yield row, b * count + c, c * step + row, b
