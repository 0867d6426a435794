"""Activations: the reference, large numbers, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.activation import activate, activate_backward, glu, glu_backward, reference
from cupy_kernels.check import ArgumentError

KINDS = ("silu", "gelu")
SHAPES = [(0,), (1,), (4096,), (3, 5, 7), (2, 9000)]


def _run(x: Any, dy: Any, kind: str, xp: ModuleType = np, **options: Any) -> list[Any]:
    x, dy = xp.asarray(x), xp.asarray(dy)
    found = [activate(x, kind, **options), activate_backward(dy, x, kind, **options)]
    return [a.get() if hasattr(a, "get") else a for a in found]


def _normal(shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(0).standard_normal((2, *shape), np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [0.01, 1, 6, 100])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_reference(
    xp: ModuleType, shape: tuple[int, ...], scale: float, kind: str
) -> None:
    x, dy = _normal(shape)
    x *= np.float32(scale)
    wanted = [reference.activate(x, kind), reference.activate_backward(dy, x, kind)]
    for a, b in zip(_run(x, dy, kind, xp), wanted, strict=True):
        assert a.dtype == np.float32 and a.shape == shape
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_has_the_slope_of_differences(kind: str) -> None:
    x = np.linspace(-6, 6, 200)
    ends = (reference.activate(x + step, kind) for step in (1e-6, -1e-6))
    slope = reference.activate_backward(np.ones(200), x, kind)
    np.testing.assert_allclose(slope, np.subtract(*ends) / 2e-6, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_far_from_zero(xp: ModuleType, kind: str) -> None:
    x = np.array([1e4, -1e4, 3e38, -3e38, 0, np.nan], np.float32)
    y, dx = _run(x, np.ones_like(x), kind, xp)
    np.testing.assert_allclose(y[:5], [1e4, 0, 3e38, 0, 0], rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(dx[:5], [1, 0, 1, 0, 0.5], rtol=1e-6, atol=1e-30)
    assert np.isnan(y[5]) and np.isnan(dx[5])


@given(x=st.floats(-100, 100, width=32), kind=st.sampled_from(KINDS))
@settings(deadline=None)
def test_any_number(x: float, kind: str) -> None:
    array = np.full(3, x, np.float32)
    y, dx = _run(array, np.ones_like(array), kind)
    np.testing.assert_allclose(y, reference.activate(array, kind), rtol=2e-6, atol=1e-6)
    wanted = reference.activate_backward(np.ones(3), array, kind)
    np.testing.assert_allclose(dx, wanted, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_runs_are_equal_bit_for_bit(xp: ModuleType, threads: int) -> None:
    x, dy = _normal((2, 9000))
    pairs = zip(_run(x, dy, "silu", xp), _run(x, dy, "silu", xp, threads=threads), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


OF_HALVES = [(0, 4), (2,), (3, 0), (3, 5, 6), (700, 14), (9, 4, 1026), (3, 10000)]


def _run_glu(x: Any, dy: Any, xp: ModuleType = np, **options: Any) -> list[Any]:
    x, dy = xp.asarray(x), xp.asarray(dy)
    found = [glu(x, **options), glu_backward(dy, x, **options)]
    return [a.get() if hasattr(a, "get") else a for a in found]


def _halves(shape: tuple[int, ...]) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    half = (*shape[:-1], shape[-1] // 2)
    return rng.standard_normal(shape, np.float32), rng.standard_normal(half, np.float32)


@pytest.mark.parametrize("scale", [0.01, 1, 6, 100])
@pytest.mark.parametrize("shape", OF_HALVES)
def test_glu_equals_the_reference(xp: ModuleType, shape: tuple[int, ...], scale: float) -> None:
    x, dy = _halves(shape)
    x *= np.float32(scale)
    wanted = [reference.glu(x), reference.glu_backward(dy, x)]
    for a, b in zip(_run_glu(x, dy, xp), wanted, strict=True):
        assert a.dtype == np.float32 and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6)


def test_the_reference_of_glu_has_the_slope_of_differences() -> None:
    x = np.random.default_rng(0).standard_normal((5, 8)) * 3
    dy = np.random.default_rng(1).standard_normal((5, 4))
    found = reference.glu_backward(dy, x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-6
        difference = (reference.glu(x + step) - reference.glu(x - step)) / 2e-6
        np.testing.assert_allclose(found[place], (dy * difference).sum(), atol=1e-8)


def test_glu_far_from_zero(xp: ModuleType) -> None:
    b = [1e4, -1e4, 3e38, -3e38, 0]
    x = np.array([[2] * 5 + b, [3e38] * 5 + b, [np.nan] * 5 + b], np.float32)
    y, dx = _run_glu(x, np.full((3, 5), 4, np.float32), xp)
    np.testing.assert_allclose(y[:2], [[2, 0, 2, 0, 1], [3e38, 0, 3e38, 0, 1.5e38]], rtol=1e-6)
    np.testing.assert_allclose(dx[:2, :5], [[4, 0, 4, 0, 2]] * 2, rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(dx[:2, 5:], [[0, 0, 0, 0, 2], [0, 0, 0, 0, 3e38]], rtol=1e-6)
    assert np.isnan(y[2]).all() and np.isnan(dx[2, 5:]).all()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_runs_of_glu_are_equal_bit_for_bit(xp: ModuleType, threads: int) -> None:
    x, dy = _halves((9, 40, 102))
    pairs = zip(_run_glu(x, dy, xp), _run_glu(x, dy, xp, threads=threads), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


def test_wrong_arguments_are_named() -> None:
    x, dy = _normal((3, 4))
    with pytest.raises(ArgumentError, match=r"\(kind\): found 'swish', needed one of 'silu', 'ge"):
        activate(x, "swish")
    with pytest.raises(ArgumentError, match=r"\(dy\): found shape \(2, 4\), needed \[axis 0=3, ax"):
        activate_backward(dy[:2].copy(), x, "silu")
    for wrong in (x[:, :3].copy(), np.array(1, np.float32)):
        with pytest.raises(ArgumentError, match=r"^glu \(x\): .*, needed an even size of its last"):
            glu(wrong)
    with pytest.raises(
        ArgumentError, match=r"\(dy\): found shape \(3, 4\), needed \[axis 0=3, axis 1=2"
    ):
        glu_backward(dy, x)
