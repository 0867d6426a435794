"""Convolution over time with a filter for each channel: both forms give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import NEEDS_COMPILER, assert_equal, values

from returnn_lite import native
from returnn_lite.native import depthwise, launch

LENGTHS = np.array([9, 0, 4], np.int32)
# Window, dilation, frames before, frames of the result.
WINDOWS = [
    (3, 1, 1, None),  # as TensorFlow's "SAME" has it
    (4, 1, 1, None),
    (3, 2, 2, None),
    (3, 1, 2, None),
    (3, 1, 0, None),
    (3, 1, 0, 7),
    (3, 2, 5, 15),
    (2, 1, 4, 3),
    (12, 1, 0, 1),
]


def _normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def _function(lengths: Any, before: int, size: int | None = None, dilation: int = 1) -> Any:
    options: dict[str, Any] = {"before": before, "dilation": dilation}

    def compute(x: Any, filters: Any, *bias: Any) -> Any:
        count = None if size is None else tf.constant(size)
        frames = None if lengths is None else tf.constant(lengths)
        arrays = x, filters, bias[0] if bias else None, frames
        return native.depthwise_convolution(*arrays, size=count, **options)

    return compute


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("window", "dilation", "before", "size"), WINDOWS)
def test_both_forms(
    window: int, dilation: int, before: int, size: int | None, bias: bool, lengths: Any
) -> None:
    inputs = [_normal(3, 9, 5), _normal(window, 5), _normal(5)][: 3 if bias else 2]
    function = _function(lengths, before, size, dilation)
    y = assert_equal(function, inputs)[0]
    assert y.shape == (3, 9 if size is None else size, 5)


def test_compiled_by_xla() -> None:
    inputs = [_normal(3, 9, 5), _normal(3, 5), _normal(5)]
    assert_equal(_function(LENGTHS, 1, dilation=1), inputs, compiled=True)
    assert_equal(_function(LENGTHS, 0, 7), inputs, compiled=True)


def test_what_lies_behind_the_lengths_is_never_seen() -> None:
    x, filters, bias = _normal(3, 9, 5), _normal(3, 5), _normal(5)
    function = _function(LENGTHS, 1)
    wanted = values(function, [x, filters, bias])
    x[np.arange(9) >= LENGTHS[:, None]] = np.nan
    for pure in (False, True):
        for a, b in zip(values(function, [x, filters, bias], pure=pure), wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@NEEDS_COMPILER
def test_steps_and_other_numbers_are_tensorflows(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def count(source: Any, name: str, *arguments: Any) -> Any:
        called.append(name)
        return launch.launch(source, name, *arguments)

    monkeypatch.setattr(depthwise, "launch", count)
    x, filters, bias = _normal(3, 9, 5), _normal(3, 5), _normal(5)
    values(_function(None, 1), [x, filters, bias])
    assert called == ["depthwise_forward", "depthwise_backward"]
    double = [tf.constant(a, tf.float64) for a in (x, filters, bias)]
    y = _function(LENGTHS, 1)(*double)
    assert y.dtype == tf.float64 and len(called) == 2


@pytest.mark.parametrize("before", [1, 0])
def test_sizes_that_differ_between_batches(before: int) -> None:
    filters = tf.constant(_normal(3, 5))
    spec = tf.TensorSpec([None, None, 5], tf.float32)

    @tf.function(autograph=False, input_signature=[spec])
    def graph(x: Any) -> Any:
        size = None if before else tf.shape(x)[1] - 2
        y = native.depthwise_convolution(x, filters, None, None, before=before, size=size)
        assert y.shape.as_list() == [None, None, 5]
        return y, tf.gradients(y, x)[0]

    for shape in ((2, 3, 5), (5, 40, 5), (0, 4, 5)):
        x = _normal(*shape)
        y, dx = graph(x)
        assert dx.shape == x.shape and y.shape == (shape[0], shape[1] - (0 if before else 2), 5)
        ahead = tf.pad(tf.constant(x), [[0, 0], [before, before], [0, 0]])[:, :, None]
        wanted = tf.nn.depthwise_conv2d(ahead, filters[:, None, :, None], [1] * 4, "VALID")
        np.testing.assert_allclose(y, wanted[:, :, 0], rtol=1e-5, atol=1e-5)


def test_lengths_that_no_sequence_has_are_those_of_none_and_all() -> None:
    """Nothing is read or written outside of a sequence, whatever a network computes as lengths."""
    inputs = [_normal(2, 9, 5), _normal(3, 5)]
    wrong, right = (np.array(n, np.int32) for n in ([-3, 1000000], [0, 9]))
    found, wanted = (values(_function(n, 1), inputs) for n in (wrong, right))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)
