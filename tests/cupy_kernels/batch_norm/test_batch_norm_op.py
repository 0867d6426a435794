"""Batch normalisation: the reference, sizes of all kinds, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.batch_norm import reference, scale_shift, scale_shift_backward
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


def test_wrong_arguments_are_named() -> None:
    dy, x, factor, offset = _case(5, 4)
    wrong = r"^scale_shift \(offset\): found shape \(3,\), needed \[channels=4\]"
    with pytest.raises(ArgumentError, match=wrong):
        scale_shift(x, factor, offset[:3].copy())
    wrong = r"^scale_shift_backward \(dy\): found shape \(4, 4\), needed \[rows=5, channels=4\]"
    with pytest.raises(ArgumentError, match=wrong):
        scale_shift_backward(dy[:4].copy(), x, factor)
