"""Convolution: the kernels give what TensorFlow's own operations do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import NEEDS_COMPILER

from returnn_lite import native
from returnn_lite.native import Moves, conv, launch

pytestmark = NEEDS_COMPILER


def _normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def _gradients(compute: Callable[..., Any], inputs: list[Any]) -> list[Any]:
    """The result, and the gradients of the inputs by numbers without a pattern."""

    @tf.function(autograph=False)
    def both(*tensors: Any) -> Any:
        y = compute(*tensors)
        dy = tf.reshape(tf.sin(tf.range(tf.size(y), dtype=tf.float32) ** 2.0), tf.shape(y))
        return [y, *tf.gradients(y, tensors, dy)]

    return [a.numpy() for a in both(*map(tf.constant, inputs))]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernels that are called."""
    names = []

    def count(source: Any, name: str, *arguments: Any) -> Any:
        names.append(name)
        return launch.launch(source, name, *arguments)

    monkeypatch.setattr(conv, "launch", count)
    return names


TILES = ["conv_forward", "conv_forward", "conv_filter_gradient"]
ROWS = ["conv2d_forward", "conv2d_input_gradient", "conv2d_filter_gradient"]


@pytest.mark.parametrize(
    ("filters", "strides", "dilation", "kernels"),
    [
        ((3, 3, 16, 17), (1, 1), (1, 1), TILES),
        ((3, 3, 3, 17), (1, 1), (1, 1), ROWS),  # few channels make thin products
        ((3, 3, 16, 17), (2, 1), (1, 1), ROWS),
        ((3, 3, 16, 17), (1, 1), (1, 2), ROWS),
        ((2, 5, 20, 8), (1, 2), (1, 1), ROWS),
    ],
)
@pytest.mark.parametrize("lengths", [None, [9, 4, 1]])
def test_equals_tensorflow(
    called: list[str],
    filters: tuple[int, ...],
    strides: tuple[int, int],
    dilation: tuple[int, int],
    kernels: list[str],
    lengths: list[int] | None,
) -> None:
    inputs = [_normal(3, 9, 7, filters[2]), _normal(*filters), _normal(filters[3])]
    spans = [(n - 1) * rate + 1 for n, rate in zip(filters[:2], dilation, strict=True)]
    sizes = [-(-n // step) for n, step in zip((9, 7), strides, strict=True)]
    steps = zip((9, 7), sizes, strides, spans, strict=True)
    before = tuple(max((m - 1) * step + span - n, 0) // 2 for n, m, step, span in steps)
    moves = Moves(tuple(sizes), before, strides, dilation)
    counts = None if lengths is None else tf.constant(lengths)

    def by_tensorflow(x: Any, filters: Any, bias: Any) -> Any:
        if counts is not None:
            x = tf.where(tf.sequence_mask(counts, 9)[:, :, None, None], x, 0.0)
        return tf.nn.convolution(x, filters, strides, "SAME", dilations=dilation) + bias

    found = _gradients(lambda *a: native.conv2d(*a, counts, moves), inputs)
    assert called == kernels
    for a, b in zip(found, _gradients(by_tensorflow, inputs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize("channels", [3, 16])
def test_sizes_that_a_graph_does_not_know(channels: int) -> None:
    filters = tf.constant(_normal(3, 3, channels, 16))
    spec = tf.TensorSpec([None, None, None, channels])

    @tf.function(input_signature=[spec], autograph=False)
    def compute(x: Any) -> Any:
        moves = Moves(tuple(tf.unstack(tf.shape(x)[1:3])), (1, 1))
        y = native.conv2d(x, filters, None, None, moves)
        assert y.shape.as_list() == [None, None, None, 16]
        return y, tf.gradients(y, x)[0]

    for size in ((2, 5, 4), (1, 1, 3), (0, 4, 4), (2, 0, 3)):
        x = _normal(*size, channels)
        y, dx = compute(x)
        assert dx.shape == x.shape
        np.testing.assert_allclose(y, tf.nn.conv2d(x, filters, 1, "SAME"), atol=2e-5)


def test_zeros_before_each_image() -> None:
    x, filters, tops = _normal(3, 9, 2, 5), _normal(4, 1, 5, 6), [1, 2, 0]
    moves = Moves((4, 2), (tf.constant(tops), 0), (2, 1))
    y = native.conv2d(tf.constant(x), tf.constant(filters), None, None, moves)
    for b, top in enumerate(tops):
        padded = np.pad(x[b : b + 1], [(0, 0), (top, 4), (0, 0), (0, 0)])
        wanted = tf.nn.conv2d(padded, filters, [2, 1], "VALID")[:, :4]
        np.testing.assert_allclose(y[b : b + 1], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [3, 16])
def test_a_gradient_that_nothing_needs_is_not_made(channels: int) -> None:
    x, filters = tf.constant(_normal(2, 5, 4, channels)), tf.constant(_normal(3, 3, channels, 16))

    @tf.function(autograph=False)
    def compute() -> Any:
        y = native.conv2d(x, filters, None, None, Moves((5, 4), (1, 1)))
        return tf.gradients(y, filters)[0]

    graph = compute.get_concrete_function().graph
    needed, waiting = set(), [x.op for x in graph.outputs]
    while waiting:
        operation = waiting.pop()
        if operation not in needed:
            needed.add(operation)
            waiting += [x.op for x in operation.inputs]
    assert [x.type for x in needed].count("KernelLaunch") == 1


@pytest.mark.parametrize("channels", [3, 16])
def test_lengths_that_no_image_has_are_those_of_none_and_all(channels: int) -> None:
    """Nothing is read or written outside of an image, whatever a network computes as lengths."""
    inputs = [_normal(2, 5, 4, channels), _normal(3, 3, channels, 16)]

    def compute(lengths: list[int]) -> list[Any]:
        counts, moves = tf.constant(lengths), Moves((5, 4), (1, 1))
        return _gradients(lambda x, w: native.conv2d(x, w, None, counts, moves), inputs)

    for a, b in zip(compute([-3, 1000000]), compute([0, 5]), strict=True):
        np.testing.assert_array_equal(a, b)
