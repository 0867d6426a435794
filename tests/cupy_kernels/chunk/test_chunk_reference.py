"""The reference against the definition in words, and its gradients against inner products."""

from __future__ import annotations

import numpy as np
import pytest

from cupy_kernels.chunk import reference


@pytest.mark.parametrize(
    ("time", "count"),
    [(0, 1), (1, 1), (49, 1), (50, 1), (51, 2), (60, 2), (61, 3), (99, 6), (100, 6), (101, 7)],
)
def test_number_of_chunks_as_in_returnn(time: int, count: int) -> None:
    assert reference.chunk_count(time, size=50, step=10) == count


def test_overlapping_chunks_of_two_sequences() -> None:
    x = np.arange(1.0, 11.0).reshape(5, 2, 1)  # 1 3 5 7 9 and 2 4 6 8 10
    lengths = np.array([5, 2], np.int32)
    chunks, counts = reference.chunk(x, lengths, chunk_size=3, chunk_step=2)
    assert chunks[:, :, 0].T.tolist() == [[1, 3, 5], [5, 7, 9], [2, 4, 0], [0, 0, 0]]
    assert counts.tolist() == [3, 3, 2, 0]
    chunks[0, 1] = 9.0  # frame 2 of the first sequence, which two chunks hold: 5 and 9
    y, factors = reference.unchunk(chunks, lengths, time=5, chunk_size=3, chunk_step=2)
    assert y[:, :, 0].T.tolist() == [[1, 3, 7, 7, 9], [2, 4, 0, 0, 0]]
    assert factors.T.tolist() == [[1, 1, 0.5, 1, 1], [1, 1, 1, 1, 1]]


@pytest.mark.parametrize(("size", "step"), [(1, 1), (4, 1), (4, 3), (5, 5), (20, 7)])
def test_gradients_equal_differences(size: int, step: int) -> None:
    """Both are linear, so the difference of two values is the slope, whatever the distance."""
    rng = np.random.default_rng(size)
    lengths, time = np.array([13, 6, 0, 1], np.int32), 13
    x = rng.standard_normal((time, 4, 3))
    sizes = {"chunk_size": size, "chunk_step": step}
    chunks, _ = reference.chunk(x, lengths, **sizes)
    cotangent = rng.standard_normal(chunks.shape)
    dx = reference.chunk_backward(cotangent, lengths, time=time, **sizes)
    np.testing.assert_allclose((chunks * cotangent).sum(), (x * dx).sum(), rtol=1e-12)

    y, _ = reference.unchunk(cotangent, lengths, time=time, **sizes)
    dchunks = reference.unchunk_backward(x, lengths, **sizes)
    np.testing.assert_allclose((y * x).sum(), (cotangent * dchunks).sum(), rtol=1e-12)
