"""Layer normalisation: the reference, sizes of all kinds, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.check import ArgumentError
from cupy_kernels.layer_norm import layer_norm, layer_norm_backward, reference

SHAPES = [(1, 1), (5, 2), (33, 40), (64, 129), (700, 16), (0, 8)]


def _case(rows: int, size: int, mean: float = 0.5) -> list[Any]:
    """dy, x, scale, bias."""
    rng = np.random.default_rng(rows + size)
    shapes = (rows, size), (rows, size), (size,), (size,)
    dy, x, scale, bias = (rng.standard_normal(s, np.float32) for s in shapes)
    return [dy, x + np.float32(mean), scale, bias]


def _run(case: list[Any], epsilon: float, xp: ModuleType = np, **options: Any) -> list[Any]:
    """y, moments, dx, dscale, dbias."""
    dy, x, scale, bias = map(xp.asarray, case)
    y, moments = layer_norm(x, scale, bias, epsilon, **options)
    found = [y, moments, *layer_norm_backward(dy, x, scale, moments, **options)]
    return [a.get() if hasattr(a, "get") else a for a in found]


def _check(case: list[Any], epsilon: float, xp: ModuleType = np) -> None:
    dy, x, scale, bias = case
    y, moments = reference.layer_norm(x, scale, bias, epsilon)
    wanted = [y, moments, *reference.layer_norm_backward(dy, x, scale, moments)]
    largest = [np.abs(a).max(initial=0) for a in wanted]
    # What is subtracted in dx may be all of it, as for rows of one or two numbers.
    largest[2] = np.abs(dy * scale).max(initial=0) * largest[1]
    for a, b, most in zip(_run(case, epsilon, xp), wanted, largest, strict=True):
        assert a.dtype == np.float32 and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=3e-6 * most)


@pytest.mark.parametrize("epsilon", [1e-6, 0.1])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_reference(xp: ModuleType, shape: tuple[int, int], epsilon: float) -> None:
    _check(_case(*shape), epsilon, xp)


@given(rows=st.integers(0, 70), size=st.integers(2, 300))
@settings(deadline=None, max_examples=40)
def test_any_sizes(rows: int, size: int) -> None:
    _check(_case(rows, size), 1e-3)


def test_the_reference_has_the_gradient_of_differences() -> None:
    rng = np.random.default_rng(0)
    dy, x, scale, bias = (rng.standard_normal(s) for s in ((3, 5), (3, 5), 5, 5))
    _, moments = reference.layer_norm(x, scale, bias, 0.1)
    found = reference.layer_norm_backward(dy, x, scale, moments)
    values = [x, scale, bias]
    for i, gradient in enumerate(found):
        direction = rng.standard_normal(gradient.shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = [v + step * direction if j == i else v for j, v in enumerate(values)]
            ends.append((reference.layer_norm(*moved, 0.1)[0] * dy).sum())
        wanted = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose((gradient * direction).sum(), wanted, rtol=1e-6)


def test_a_far_mean_leaves_digits(xp: ModuleType) -> None:
    """The variance is that of differences from the mean, not of squares."""
    dy, x, scale, bias = _case(4, 64, mean=1000.0)
    y, _ = reference.layer_norm(x, scale, bias, 1e-6)
    np.testing.assert_allclose(_run([dy, x, scale, bias], 1e-6, xp)[0], y, atol=1e-3)


def test_equal_numbers_are_the_bias(xp: ModuleType) -> None:
    dy, x, scale, bias = _case(3, 8)
    x[:] = 2.0
    y = _run([dy, x, scale, bias], 1e-6, xp)[0]
    np.testing.assert_array_equal(y, np.broadcast_to(bias, y.shape))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_runs_are_equal_bit_for_bit(xp: ModuleType, threads: int) -> None:
    case = _case(700, 33)
    for a, b in zip(_run(case, 1e-6, xp), _run(case, 1e-6, xp, threads=threads), strict=True):
        np.testing.assert_array_equal(a, b)


def test_wrong_arguments_are_named() -> None:
    dy, x, scale, bias = _case(5, 4)
    for value in (-1.0, 1, None, float("nan")):
        wrong = rf"^layer_norm \(epsilon\): found {value}, needed a float of at least 0"
        with pytest.raises(ArgumentError, match=wrong):
            layer_norm(x, scale, bias, value)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"\(bias\): found shape \(3,\), needed \[size=4\]"):
        layer_norm(x, scale, bias[:3].copy(), 1e-6)
    _, moments = layer_norm(x, scale, bias, 1e-6)
    with pytest.raises(ArgumentError, match=r"\(moments\): found shape \(4, 2\), needed \[rows=5"):
        layer_norm_backward(dy, x, scale, moments[:4].copy())
