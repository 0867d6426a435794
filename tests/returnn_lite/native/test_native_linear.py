"""An affine map of frames: its kernel and TensorFlow's own operations give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import assert_equal, values

from returnn_lite import native
from returnn_lite.native import linear

LENGTHS = np.array([7, 0, 4], np.int32)


@pytest.fixture(autouse=True)
def for_few_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel serves, whatever the sizes."""
    monkeypatch.setattr(linear, "WORTH", 0)


def _normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def _inputs(*shape: int, outputs: int = 6) -> list[Any]:
    return [_normal(*shape), _normal(shape[-1], outputs), _normal(outputs)]


@pytest.mark.parametrize("shape", [(3, 7, 5), (2, 3, 4, 20), (3, 0, 5), (3, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_all_frames(shape: tuple[int, ...], bias: bool) -> None:
    inputs = _inputs(*shape)[: 3 if bias else 2]
    function = native.affine if bias else lambda x, w: native.affine(x, w, None)
    assert_equal(function, inputs)
    assert_equal(function, inputs, compiled=True)


@pytest.mark.parametrize("time_axis", [0, 1])
@pytest.mark.parametrize("inner", [[], [2]])
def test_frames_that_count(time_axis: int, inner: list[int]) -> None:
    """The others are zero, and give no gradient, whatever is there."""
    x, w, bias = _inputs(*((3, 7) if time_axis else (7, 3)), *inner, 5)
    inside = np.arange(7) < LENGTHS[:, None]
    inside = (inside if time_axis else inside.T).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
    x[~np.broadcast_to(inside, x.shape)] = np.nan

    def own(x: Any, w: Any, bias: Any) -> Any:
        return tf.where(inside, native.affine(tf.where(inside, x, 0.0), w, bias), 0.0)

    def kernel(x: Any, w: Any, bias: Any) -> Any:
        return native.affine(x, w, bias, tf.constant(LENGTHS), time_axis)

    for a, b in zip(
        values(kernel, [x, w, bias]), values(own, [x, w, bias], pure=True), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_small_weights_steps_and_other_numbers_are_tensorflows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linear, "launch", None)
    x, w, bias = (tf.constant(a) for a in _inputs(2, 3, 4))
    assert native.affine(x[0], w, bias).shape == (3, 6)
    assert native.affine(tf.cast(x, tf.float64), tf.cast(w, tf.float64), None).dtype == tf.float64
    monkeypatch.setattr(linear, "WORTH", 25)
    assert native.affine(x, w, bias).shape == (2, 3, 6)


def test_sizes_that_differ_between_batches() -> None:
    x, w, bias = _inputs(2, 3, 4)
    spec = tf.TensorSpec([None, None, 4], tf.float32)

    @tf.function(autograph=False, input_signature=[spec])
    def graph(x: Any) -> Any:
        y = native.affine(x, tf.constant(w), tf.constant(bias))
        assert y.shape.as_list() == [None, None, 6]
        return y

    for shape in ((2, 3, 4), (5, 1, 4)):
        x = _normal(*shape)
        np.testing.assert_allclose(graph(x), x @ w + bias, rtol=1e-5, atol=1e-5)
