"""Batch normalisation: its kernel and TensorFlow's own operations give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import assert_equal

from returnn_lite import native
from returnn_lite.native import batch_normalisation


def _normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


@pytest.mark.parametrize("shape", [(3, 40, 5), (0, 4, 5), (2, 3, 4, 60), (3, 4)])
def test_scale_shift(shape: tuple[int, ...]) -> None:
    inputs = [_normal(*shape), _normal(shape[-1]), _normal(shape[-1] + 1)[1:]]
    assert_equal(native.scale_shift, inputs)
    assert_equal(native.scale_shift, inputs, compiled=True)


LENGTHS = np.array([7, 0, 4], np.int32)


@pytest.mark.parametrize("shape", [(3, 40, 5), (1, 1, 5), (2, 3, 4, 60), (30, 4)])
def test_moments_of_all_frames(shape: tuple[int, ...]) -> None:
    inputs = [_normal(*shape) + 1, _normal(shape[-1]), _normal(shape[-1] + 1)[1:]]
    assert_equal(lambda *a: native.batch_norm(*a, 0.01), inputs)
    assert_equal(lambda *a: native.batch_norm(*a, 0.01), inputs, compiled=True)


@pytest.mark.parametrize("time_axis", [0, 1])
@pytest.mark.parametrize("inner", [[], [2], [3, 4]])
def test_moments_of_frames_that_count(time_axis: int, inner: list[int]) -> None:
    x = _normal(*((3, 7) if time_axis else (7, 3)), *inner, 5) + 1
    inputs = [x, _normal(5), _normal(6)[1:]]

    def function(*a: Any) -> Any:
        return native.batch_norm(*a, 0.01, tf.constant(LENGTHS), time_axis)

    found = assert_equal(function, inputs)
    inside = np.arange(7) < LENGTHS[:, None]
    frames = x[inside if time_axis else inside.T].reshape(-1, 5)
    np.testing.assert_allclose(found[1], frames.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[2], frames.var(axis=0), rtol=1e-5, atol=1e-6)
    assert_equal(function, inputs, compiled=True)


@pytest.mark.parametrize("lengths", [[0, 0, 0], [1, 0, 0]])
def test_none_or_one_that_counts(lengths: list[int]) -> None:
    inputs = [_normal(3, 7, 5), _normal(5), _normal(6)[1:]]
    assert_equal(lambda *a: native.batch_norm(*a, 0.01, tf.constant(lengths, tf.int32)), inputs)


def test_what_else_is_needed_is_not_written_over() -> None:
    inputs = [_normal(2, 3, 4), _normal(4), _normal(5)[1:]]
    assert_equal(lambda x, *a: (y := tf.tanh(x)) + native.scale_shift(y, *a) + y, inputs)
    x, factor, offset = map(tf.constant, inputs)

    @tf.function(autograph=False)
    def graph(x: Any) -> Any:
        return native.scale_shift(x, factor, offset)

    variable = tf.Variable(x)
    for given in (x, variable):
        np.testing.assert_allclose(graph(given), x * factor + offset, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(given, inputs[0])


def test_a_step_of_a_loop_and_other_numbers_are_tensorflows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_normalisation, "launch", None)
    x, ones = tf.constant(_normal(2, 3, 4)), tf.ones(4)
    assert native.scale_shift(x[0], ones, ones).shape == (3, 4)
    ones = tf.cast(ones, tf.float64)
    assert native.scale_shift(tf.cast(x, tf.float64), ones, ones).dtype == tf.float64
