"""Batch normalisation: the reference, sizes of all kinds, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.batch_norm import (
    batch_norm,
    batch_norm_backward,
    reference,
    scale_shift,
    scale_shift_backward,
)
from cupy_kernels.check import ArgumentError

SHAPES = [(1, 1), (5, 2), (64, 40), (65, 129), (700, 16), (0, 8), (3, 0)]


def _case(rows: int, channels: int) -> list[Any]:
    """dy, x, factor, offset."""
    rng = np.random.default_rng(rows + channels)
    shapes = (rows, channels), (rows, channels), (channels,), (channels,)
    return [rng.standard_normal(s, np.float32) for s in shapes]


def _run(case: list[Any], xp: ModuleType = np, **options: Any) -> list[Any]:
    """y, dx, dfactor, doffset."""
    dy, x, factor, offset = map(xp.asarray, case)
    y = scale_shift(x, factor, offset, **options)
    found = [y, *scale_shift_backward(dy, x, factor, **options)]
    return [a.get() if hasattr(a, "get") else a for a in found]


def _check(case: list[Any], xp: ModuleType = np) -> None:
    dy, x, factor, offset = case
    wanted = [reference.scale_shift(x, factor, offset)]
    wanted += reference.scale_shift_backward(dy, x, factor)
    for a, b in zip(_run(case, xp), wanted, strict=True):
        assert a.dtype == np.float32 and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=3e-6 * np.abs(b).max(initial=1))


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_reference(xp: ModuleType, shape: tuple[int, int]) -> None:
    _check(_case(*shape), xp)


@given(rows=st.integers(0, 140), channels=st.integers(0, 300))
@settings(deadline=None, max_examples=40)
def test_any_sizes(rows: int, channels: int) -> None:
    _check(_case(rows, channels))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_runs_are_equal_bit_for_bit(xp: ModuleType, threads: int) -> None:
    case = _case(700, 33)
    for a, b in zip(_run(case, xp), _run(case, xp, threads=threads), strict=True):
        np.testing.assert_array_equal(a, b)


def _frames(batch: int, time: int, channels: int, mean: float = 0.5) -> list[Any]:
    """dy, x, gamma, beta, lengths; also of no frame."""
    rng = np.random.default_rng(batch + time + channels)
    dy, x, gamma, beta = (
        rng.standard_normal(s, np.float32)
        for s in (*[(batch, time, channels)] * 2, *[channels] * 2)
    )
    lengths = rng.integers(0, time + 1, batch, dtype=np.int32)
    return [dy, x + np.float32(mean), gamma, beta, lengths]


def _normalise(case: list[Any], xp: ModuleType = np, **options: Any) -> list[Any]:
    """y, moments, dx, dgamma, dbeta."""
    dy, x, gamma, beta = map(xp.asarray, case[:4])
    lengths = None if case[4] is None else xp.asarray(case[4])
    y, moments = batch_norm(x, gamma, beta, 0.01, lengths, **options)
    found = [y, moments, *batch_norm_backward(dy, x, gamma, moments, lengths, **options)]
    return [a.get() if hasattr(a, "get") else a for a in found]


def _check_frames(case: list[Any], xp: ModuleType = np, *, time_axis: int = 1) -> None:
    dy, x, gamma, beta, lengths = case
    y, moments = reference.batch_norm(x, gamma, beta, 0.01, lengths, time_axis=time_axis)
    wanted = [y, moments]
    wanted += reference.batch_norm_backward(dy, x, gamma, moments, lengths, time_axis=time_axis)
    # A mean of few numbers that nearly cancel has the digits of these.
    scale = np.abs(x).max(initial=1) * moments[2].max(initial=1)
    for a, b in zip(_normalise(case, xp, time_axis=time_axis), wanted, strict=True):
        assert a.dtype == np.float32 and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=3e-6 * scale * np.abs(b).max(initial=1))


def _in_order(case: list[Any], time_axis: int, *, padded: bool) -> list[Any]:
    dy, x, gamma, beta, lengths = case
    if not time_axis:
        dy, x = (np.ascontiguousarray(a.swapaxes(0, 1)) for a in (dy, x))
    return [dy, x, gamma, beta, lengths if padded else None]


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("time_axis", [0, 1])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 5), (4, 90, 33), (2, 0, 3), (0, 3, 2)])
def test_normalises_like_the_reference(
    xp: ModuleType, shape: tuple[int, int, int], time_axis: int, padded: bool
) -> None:
    _check_frames(_in_order(_frames(*shape), time_axis, padded=padded), xp, time_axis=time_axis)


@given(
    batch=st.integers(0, 6),
    time=st.integers(0, 60),
    channels=st.integers(0, 70),
    time_axis=st.integers(0, 1),
    padded=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_frames_of_any_sizes(
    batch: int, time: int, channels: int, time_axis: int, padded: bool
) -> None:
    case = _in_order(_frames(batch, time, channels), time_axis, padded=padded)
    _check_frames(case, time_axis=time_axis)


def test_what_lies_behind_the_ends_does_not_count(xp: ModuleType) -> None:
    case = _frames(3, 40, 5)
    wanted = _normalise(case, xp)[1]
    case[1][np.arange(40) >= case[4][:, None]] = np.nan
    np.testing.assert_array_equal(_normalise(case, xp)[1], wanted)


def test_a_far_mean_leaves_digits(xp: ModuleType) -> None:
    """The variance is that of differences from a mean, not of squares."""
    case = _frames(5, 300, 8, mean=1000.0)
    _, moments = reference.batch_norm(*case[1:4], 0.01, case[4])
    np.testing.assert_allclose(_normalise(case, xp)[1][1], moments[1], rtol=1e-4)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_moments_are_equal_bit_for_bit(xp: ModuleType, threads: int) -> None:
    case = _frames(7, 90, 33)
    for a, b in zip(_normalise(case, xp), _normalise(case, xp, threads=threads), strict=True):
        np.testing.assert_array_equal(a, b)


def test_wrong_frames_are_named() -> None:
    dy, x, gamma, beta, lengths = _frames(3, 7, 5)
    for value in (-1.0, 1, None, float("nan")):
        wrong = rf"^batch_norm \(epsilon\): found {value}, needed a float of at least 0"
        with pytest.raises(ArgumentError, match=wrong):
            batch_norm(x, gamma, beta, value)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"^batch_norm \(time_axis\): found 2, needed 0 or 1"):
        batch_norm(x, gamma, beta, 0.1, time_axis=2)
    with pytest.raises(ArgumentError, match=r"\(lengths\[1\]\): found 8, needed 0 to 7"):
        batch_norm(x, gamma, beta, 0.1, np.array([1, 8, 2], np.int32))
    wrong = r"\(moments\): found shape \(3, 5\), needed \[four=4, channels=5\]"
    with pytest.raises(ArgumentError, match=wrong):
        batch_norm_backward(dy, x, gamma, np.ones((3, 5), np.float32), lengths)


def test_wrong_arguments_are_named() -> None:
    dy, x, factor, offset = _case(5, 4)
    wrong = r"^scale_shift \(offset\): found shape \(3,\), needed \[channels=4\]"
    with pytest.raises(ArgumentError, match=wrong):
        scale_shift(x, factor, offset[:3].copy())
    wrong = r"^scale_shift_backward \(dy\): found shape \(4, 4\), needed \[rows=5, channels=4\]"
    with pytest.raises(ArgumentError, match=wrong):
        scale_shift_backward(dy[:4].copy(), x, factor)
