"""Chunks: what a caller sees, then the reference, independent code, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.check import ArgumentError
from cupy_kernels.chunk import chunk, chunk_backward, reference, unchunk, unchunk_backward


class Case(NamedTuple):
    """Sequences, and how to cut them."""

    x: Any
    lengths: Any
    sizes: dict[str, Any]


def _case(lengths: list[int], features: int, size: int, step: int) -> Case:
    rng = np.random.default_rng(features)
    shape = (max(lengths), len(lengths), features)
    sizes = {"chunk_size": size, "chunk_step": step}
    return Case(rng.standard_normal(shape, np.float32), np.array(lengths, np.int32), sizes)


CASES = {
    "ragged": ([23, 7, 1, 15, 0], 11, 6, 2),
    "no overlap": ([12, 9], 3, 4, 4),
    "step does not divide size": ([31, 30, 17], 20, 7, 3),
    "all frames in one chunk": ([5, 3], 4, 50, 25),
    "one frame": ([1, 0], 2, 1, 1),
    "a chunk at each frame": ([9, 8, 4], 130, 5, 1),
    "no features": ([4, 2], 0, 3, 1),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return _case(*CASES[request.param])


def _numpy(x: Any) -> Any:
    return x.get() if hasattr(x, "get") else x


def _shape(case: Case) -> dict[str, int]:
    return {"batch": case.x.shape[1], "time": case.x.shape[0]}


def _run(case: Case, xp: ModuleType = np, **options: Any) -> list[Any]:
    """Chunks, their lengths, x, lengths and factors again, and both gradients of random arrays."""
    rng = np.random.default_rng(7)
    x, lengths = xp.asarray(case.x), xp.asarray(case.lengths)
    options |= case.sizes
    chunks, counts = chunk(x, lengths, **options)
    dchunks = xp.asarray(rng.standard_normal(chunks.shape, np.float32))
    whole = unchunk(dchunks, counts, **_shape(case), **options)
    dx = chunk_backward(dchunks, lengths, time=len(x), **options)
    found = [chunks, counts, *whole, dx, unchunk_backward(x, lengths, **options)]
    return [_numpy(a) for a in found]


def _padding(case: Case) -> Any:
    return np.arange(len(case.x))[:, None] >= case.lengths


def test_chunks_of_a_sequence_stand_side_by_side() -> None:
    x = np.arange(1, 11, dtype=np.float32).reshape(5, 2, 1)
    lengths = np.array([5, 2], np.int32)
    chunks, counts = chunk(x, lengths, chunk_size=3, chunk_step=2)
    assert chunks[:, :, 0].T.tolist() == [[1, 3, 5], [5, 7, 9], [2, 4, 0], [0, 0, 0]]
    assert counts.tolist() == [3, 3, 2, 0]


def test_equals_the_reference(xp: ModuleType, case: Case) -> None:
    chunks, counts = reference.chunk(case.x, case.lengths, **case.sizes)
    dchunks = np.random.default_rng(7).standard_normal(chunks.shape, np.float32)
    sizes = {"time": len(case.x), **case.sizes}
    x, factors = reference.unchunk(dchunks, case.lengths, **sizes)
    dx = reference.chunk_backward(dchunks, case.lengths, **sizes)
    back = reference.unchunk_backward(case.x, case.lengths, **case.sizes)
    wanted = [chunks, counts, x, case.lengths, factors, dx, back]
    for a, b in zip(_run(case, xp), wanted, strict=True):
        assert a.dtype == (np.int32 if b.dtype == np.int32 else np.float32)
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_padding_is_zero_and_is_not_read(xp: ModuleType) -> None:
    case = _case(*CASES["ragged"])
    spoilt = case.x.copy()
    spoilt[_padding(case)] = np.nan
    found, clean = _run(case._replace(x=spoilt), xp), _run(case, xp)
    for a, b in zip(found, clean, strict=True):
        np.testing.assert_array_equal(a, b)
    chunks, counts, x, _, _, dx, dchunks = found
    rest = np.arange(len(chunks))[:, None] >= counts
    assert not chunks[rest].any() and not dchunks[rest].any()
    assert not x[_padding(case)].any() and not dx[_padding(case)].any()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_runs_are_equal_bit_for_bit(xp: ModuleType, case: Case, threads: int) -> None:
    for a, b in zip(_run(case, xp, threads=1), _run(case, xp, threads=threads), strict=True):
        np.testing.assert_array_equal(a, b)


def test_windows_of_numpy_agree() -> None:
    """Where the chunks end with the sequences."""
    case = _case([26, 26, 26], 5, 6, 4)
    windows = np.lib.stride_tricks.sliding_window_view(case.x, 6, axis=0)[::4]
    chunks, counts = chunk(case.x, case.lengths, **case.sizes)
    np.testing.assert_array_equal(chunks, windows.transpose(3, 1, 0, 2).reshape(6, -1, 5))
    assert (counts == 6).all()


def test_tensorflow_agrees_on_the_sum() -> None:
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    case = _case([31, 31], 3, 7, 3)
    dchunks = np.random.default_rng(0).standard_normal((7, 2 * 9, 3), np.float32)
    dx = chunk_backward(dchunks, case.lengths, time=31, **case.sizes)
    frames = dchunks.reshape(7, 2, 9, 3).transpose(1, 3, 2, 0)
    theirs = tf.signal.overlap_and_add(frames, 3).numpy().transpose(2, 0, 1)
    np.testing.assert_allclose(dx, theirs, rtol=1e-6, atol=1e-6)


SIZES = st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=4), sizes=SIZES)
def test_any_sequences_are_put_back_together(lengths: list[int], sizes: tuple[int, int]) -> None:
    case = _case(lengths, 3, *sizes)
    found = chunk(case.x, case.lengths, **case.sizes, threads=1)
    x, whole, _ = unchunk(*found, **_shape(case), **case.sizes, threads=1)
    np.testing.assert_array_equal(whole, case.lengths)
    wanted = np.where(_padding(case)[:, :, None], 0, case.x)
    np.testing.assert_allclose(x, wanted, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=4), sizes=SIZES)
def test_inner_products_are_kept(lengths: list[int], sizes: tuple[int, int]) -> None:
    """<chunk(x), c> = <x, chunk_backward(c)>, and so for unchunk: linear with these gradients."""
    case = _case(lengths, 3, *sizes)
    chunks, _, y, _, _, dx, dchunks = (a.astype(np.float64) for a in _run(case, threads=1))
    c, x = np.random.default_rng(7).standard_normal(chunks.shape, np.float32), case.x
    np.testing.assert_allclose((chunks * c).sum(), (x * dx).sum(), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose((y * x).sum(), (c * dchunks).sum(), rtol=1e-5, atol=1e-4)


def test_empty_batch_and_empty_time(xp: ModuleType) -> None:
    for time, batch in ((0, 2), (3, 0)):
        x, lengths = xp.zeros((time, batch, 4), np.float32), xp.zeros(batch, np.int32)
        options: dict[str, Any] = {"chunk_size": 3, "chunk_step": 2}
        chunks, counts = chunk(x, lengths, **options)
        assert (chunks.shape, counts.shape) == ((3, batch, 4), (batch,))
        back, _, factors = unchunk(chunks, counts, batch=batch, time=time, **options)
        assert (back.shape, factors.shape) == ((time, batch, 4), (time, batch))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": lambda x: x.astype(np.float64)}, r"\(x\): found float64, needed float32; try x.as"),
        ({"x": lambda x: x[:, :, ::2]}, r"\(x\): found a non-contiguous view, needed a contiguous"),
        ({"x": lambda x: x[0]}, r"\(x\): found shape \(5, 11\), needed \[time=any, batch=any, fe"),
        ({"lengths": lambda x: x + 1}, r"\(lengths\[0\]\): found 24, needed 0 to 23 \(the time a"),
        ({"lengths": lambda x: x[1:]}, r"\(lengths\): found shape \(4,\), needed \[batch=5\]"),
        ({"lengths": lambda x: x.astype(np.int64)}, r"\(lengths\): found int64, needed int32"),
        ({"chunk_size": lambda x: 0}, r"\(chunk_size\): found 0, needed at least 1"),
        ({"chunk_step": lambda x: 0}, r"\(chunk_step\): found 0, needed 1 to 6 \(chunk_size\)"),
        ({"chunk_step": lambda x: 7}, r"\(chunk_step\): found 7, needed 1 to 6 \(chunk_size\)"),
    ],
)
def test_wrong_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    case = _case(*CASES["ragged"])
    arguments = {"x": case.x, "lengths": case.lengths, **case.sizes}
    for name, change in changes.items():
        arguments[name] = change(arguments[name])
    with pytest.raises(ArgumentError, match="chunk " + message):
        chunk(**arguments)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, 7, r"\(chunk_lengths\[0\]\): found 7, needed those of chunks of 6 every 2 of at most"),
        (0, 5, r"\(chunk_lengths\[0\]\): found 5, needed those"),  # but the next ones are full
        (10, -1, r"\(chunk_lengths\[10\]\): found -1, needed those"),
        (9, 6, r"\(chunk_lengths\[9\]\): found 6, needed those"),  # of 24 frames, not 23
    ],
)
def test_chunk_lengths_of_no_sequence_are_named(place: int, value: int, message: str) -> None:
    case = _case(*CASES["ragged"])
    chunks, counts = chunk(case.x, case.lengths, **case.sizes)
    counts[place] = value
    with pytest.raises(ArgumentError, match="unchunk " + message):
        unchunk(chunks, counts, **_shape(case), **case.sizes)


def test_chunks_of_another_shape_are_named() -> None:
    case = _case(*CASES["ragged"])
    found = chunk(case.x, case.lengths, **case.sizes)
    wrong = r"unchunk \(chunks\): found shape \(6, 50, 11\), needed \[chunk_size=6, chunks=40"
    with pytest.raises(ArgumentError, match=wrong):
        unchunk(*found, batch=4, time=23, **case.sizes)
    with pytest.raises(ArgumentError, match=r"unchunk \(time\): found -1, needed at least 0"):
        unchunk(*found, batch=5, time=-1, **case.sizes)
    wrong = r"chunk_backward \(lengths\[0\]\): found 24, needed 0 to 23 \(the argument time\)"
    with pytest.raises(ArgumentError, match=wrong):
        chunk_backward(found[0], case.lengths + 1, time=23, **case.sizes)
