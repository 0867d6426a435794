"""Edit distances: the kernels and TensorFlow's own operations give the same integers."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.edit import reference
from returnn_lite import native


def _pairs(seed: int) -> tuple[list[Any], int]:
    """a, a_lengths, b, b_lengths, and the number of labels."""
    rng = np.random.default_rng(seed)
    batch, max_a, max_b, labels = (int(x) for x in rng.integers(1, [5, 8, 8, 5]))
    arrays = []
    for most in (max_a, max_b):
        values = rng.integers(0, labels, (batch, most), dtype=np.int32)
        lengths = rng.integers(0, most + 1, batch, dtype=np.int32)
        values[np.arange(most) >= lengths[:, None]] = 99
        arrays += [tf.constant(values), tf.constant(lengths)]
    return arrays, labels


def _all(a: Any, a_lengths: Any, b: Any, b_lengths: Any, labels: int) -> list[Any]:
    """Distances, the row of each prefix of a, and its completions."""
    row = native.first_edit_distance_row(b_lengths, b.shape[1])
    found = [native.edit_distance(a, a_lengths, b, b_lengths), row]
    for i in range(a.shape[1]):
        row = native.next_edit_distance_row(row, a[:, i], i >= a_lengths, b, b_lengths)
        found += [row, native.optimal_completion(row, b, b_lengths, labels)]
    return [x.numpy() for x in found]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_both_forms_are_the_reference(seed: int) -> None:
    arrays, labels = _pairs(seed)
    kernel = _all(*arrays, labels)
    with native.tensorflow_only():
        pure = _all(*arrays, labels)
    for x, y in zip(kernel, pure, strict=True):
        assert x.dtype == y.dtype == np.int32
        np.testing.assert_array_equal(x, y)
    a, a_lengths, b, b_lengths = (x.numpy() for x in arrays)
    for i, distance in enumerate(kernel[0]):
        pair = (a[i, : a_lengths[i]].tolist(), b[i, : b_lengths[i]].tolist())
        assert distance == reference.distance(*pair) == kernel[-2][i, -1]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_counts_of_edits_are_those_of_the_reference(seed: int) -> None:
    arrays, _ = _pairs(seed)
    kernel = [x.numpy() for x in native.alignment_counts(*arrays)]
    with native.tensorflow_only():
        pure = [x.numpy() for x in native.alignment_counts(*arrays)]
    for x, y in zip(kernel, pure, strict=True):
        assert x.dtype == y.dtype == np.int32
        np.testing.assert_array_equal(x, y)
    a, a_lengths, b, b_lengths = (x.numpy() for x in arrays)
    for i, counts in enumerate(zip(*kernel, strict=True)):
        pair = (a[i, : a_lengths[i]].tolist(), b[i, : b_lengths[i]].tolist())
        assert counts == reference.alignment_counts(*pair)


def test_no_labels_at_all() -> None:
    empty, some = tf.zeros([1, 0], tf.int32), tf.constant([[4, 5]])
    none, two = tf.constant([0]), tf.constant([2])
    for pure in (False, True):
        with native.tensorflow_only() if pure else contextlib.nullcontext():
            for pairs, wanted in [
                ((empty, none, empty, none), [0, 0, 0]),
                ((empty, none, some, two), [0, 2, 0]),
                ((some, two, empty, none), [0, 0, 2]),
            ]:
                assert [int(x[0]) for x in native.alignment_counts(*pairs)] == wanted
                assert int(native.edit_distance(*pairs)[0]) == sum(wanted)


def test_xla_compiles_tensorflows_forms() -> None:
    arrays, _ = _pairs(3)

    @tf.function(jit_compile=True, autograph=False)
    def compute(*tensors: Any) -> Any:
        with native.tensorflow_only():
            return [native.edit_distance(*tensors), *native.alignment_counts(*tensors)]

    wanted = [native.edit_distance(*arrays), *native.alignment_counts(*arrays)]
    for x, y in zip(compute(*arrays), wanted, strict=True):
        np.testing.assert_array_equal(x, y)


def test_ctc_errors_are_the_distance_of_the_best_path() -> None:
    best = np.array([[1, 1, 0, 1, 2], [0, 3, 3, 2, 2]])  # without blanks: 1 1 2, and 3 for 3 frames
    logits = tf.constant(np.eye(4, dtype=np.float32)[best].transpose(1, 0, 2))
    labels = tf.constant([[1, 2, 2], [3, 1, 1]])
    errors = native.ctc_errors(logits, tf.constant([5, 3]), labels, tf.constant([3, 1]), blank=0)
    assert errors.numpy().tolist() == [1.0, 0.0]
