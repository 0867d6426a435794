"""Convolution with 3 x 3 filters: the kernel and TensorFlow's own operation give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import assert_equal

from returnn_lite import native
from returnn_lite.native import conv, launch


def _normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def _count_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    called = []

    def count(source: Any, name: str, *arguments: Any) -> Any:
        called.append(name)
        return launch.launch(source, name, *arguments)

    monkeypatch.setattr(conv, "launch", count)
    return called


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size", [(5, 4), (8, 7), (3, 3)])
def test_both_forms(padding: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    called = _count_calls(monkeypatch)
    inputs = [_normal(2, *size, 16), _normal(3, 3, 16, 17)]
    y = assert_equal(lambda *a: native.conv3x3(*a, padding), inputs)[0]
    assert y.shape[1:3] == (size if padding == "SAME" else (size[0] - 2, size[1] - 2))
    assert called == ["conv_forward", "conv_forward", "conv_filter_gradient"]
    assert_equal(lambda *a: native.conv3x3(*a, padding), inputs, compiled=True)


def test_sizes_that_a_graph_does_not_know() -> None:
    filters = tf.constant(_normal(3, 3, 16, 16))
    spec = tf.TensorSpec([None, None, None, 16])

    @tf.function(input_signature=[spec], autograph=False)
    def compute(x: Any) -> Any:
        y = native.conv3x3(x, filters, "SAME")
        assert y.shape.as_list() == [None, None, None, 16]
        return y, tf.gradients(y, x)[0]

    for size in ((2, 5, 4), (1, 1, 3), (0, 4, 4), (2, 0, 3)):
        x = _normal(*size, 16)
        y, dx = compute(x)
        assert dx.shape == x.shape
        np.testing.assert_allclose(y, tf.nn.conv2d(x, filters, 1, "SAME"), atol=2e-5)


def test_a_gradient_that_nothing_needs_is_not_made() -> None:
    x, filters = tf.constant(_normal(2, 5, 4, 16)), tf.constant(_normal(3, 3, 16, 16))

    @tf.function(autograph=False)
    def compute() -> Any:
        return tf.gradients(native.conv3x3(x, filters, "SAME"), filters)[0]

    graph = compute.get_concrete_function().graph
    needed, waiting = set(), [x.op for x in graph.outputs]
    while waiting:
        operation = waiting.pop()
        if operation not in needed:
            needed.add(operation)
            waiting += [x.op for x in operation.inputs]
    assert [x.type for x in needed].count("KernelLaunch") == 1


def test_few_channels_are_left_to_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    called = _count_calls(monkeypatch)
    x, filters = _normal(2, 9, 8, 3), _normal(3, 3, 3, 32)
    y = native.conv3x3(tf.constant(x), tf.constant(filters), "SAME")
    np.testing.assert_array_equal(y, tf.nn.conv2d(x, filters, 1, "SAME"))
    assert not called
