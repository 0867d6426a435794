"""Automata, chunks and 2D LSTM: kernels and TensorFlow's own operations give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import assert_equal, values

from cupy_kernels.fsa import Automaton, ctc_automaton
from returnn_lite import native

FRAMES = np.array([8, 5, 2], np.int32)
LABELS = np.array([[1, 2, 2], [3, 0, 0], [1, 2, 3]], np.int32)
COUNTS = np.array([3, 1, 3], np.int32)  # the last does not fit into its frames


def _normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def test_sums_over_automata() -> None:
    automaton = ctc_automaton(LABELS, COUNTS, blank=4)
    log_probs = [_normal(8, 3, 5)]
    found = assert_equal(lambda x: native.fsa_full_sum(x, FRAMES, automaton), log_probs)
    assert np.isinf(found[0]).tolist() == [False, False, True]

    def made_in_the_graph(x: Any) -> Any:
        labels = (tf.constant(LABELS), tf.constant(COUNTS))
        return native.fsa_full_sum(x, FRAMES, lambda *a: ctc_automaton(*a, blank=4), labels)

    for a, b in zip(values(made_in_the_graph, log_probs), found, strict=True):
        np.testing.assert_array_equal(a, b)
    with (
        native.tensorflow_only(),
        pytest.raises(ValueError, match="made when the graph runs, needed"),
    ):
        made_in_the_graph(tf.constant(log_probs[0]))


def test_costs_and_several_edges() -> None:
    edges = [(0, 1, 0, 0.5), (0, 1, 0, 0.1), (1, 1, 1), (1, 0, 2, float("inf")), (1, 2, 2)]
    automaton = Automaton.of([edges], [{0: 0.3, 1: 0.0}], [{2: 0.2, 1: 1.0}])
    frames = np.array([4], np.int32)
    assert_equal(lambda x: native.fsa_full_sum(x, frames, automaton), [_normal(4, 1, 3)])


@pytest.mark.parametrize(("size", "step"), [(4, 4), (5, 2), (20, 3), (1, 1)])
def test_chunks(size: int, step: int) -> None:
    sizes = {"chunk_size": size, "chunk_step": step}
    found = assert_equal(lambda x: native.chunk(x, FRAMES, **sizes), [_normal(8, 3, 2)])
    chunks, counts = found[:2]
    again = assert_equal(lambda c: native.unchunk(c, counts, 3, 8, **sizes), [chunks])
    np.testing.assert_array_equal(again[1], FRAMES)


def test_2d_lstm() -> None:
    lengths = tf.constant([4, 2, 0]), tf.constant([3, 5, 5])
    inputs = [_normal(4, 5, 3, 10), _normal(2, 10), _normal(2, 11)[:, :10]]
    assert_equal(lambda *a: native.lstm2d(*a, *lengths), inputs)


def test_xla_compiles_tensorflows_forms() -> None:
    automaton = ctc_automaton(LABELS, COUNTS, blank=4)
    frames = tf.constant(FRAMES)
    full_sum = [_normal(8, 3, 5)]
    assert_equal(lambda x: native.fsa_full_sum(x, frames, automaton), full_sum, compiled=True)
    sizes = {"chunk_size": 4, "chunk_step": 2}
    assert_equal(lambda x: native.chunk(x, frames, **sizes), [_normal(8, 3, 2)], compiled=True)
