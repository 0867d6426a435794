"""Transducer: the kernel and TensorFlow's own operations give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import assert_equal

from returnn_lite import native

FRAMES = np.array([5, 4, 3, 2, 0], np.int32)
LABELS = np.array([[1, 2, 2], [3, 0, 0], [0, 0, 0], [1, 2, 3], [0, 0, 0]], np.int32)
COUNTS = np.array([3, 1, 0, 3, 0], np.int32)  # the fourth fits into its frames in RNN-T alone
SCORES = np.random.default_rng(0).standard_normal((5, 5, 4, 5), np.float32)


def _loss(scores: Any, topology: str) -> Any:
    lengths = [tf.constant(FRAMES), tf.constant(LABELS), tf.constant(COUNTS)]
    log_probs = tf.nn.log_softmax(scores)
    return native.transducer_loss(log_probs, *lengths, blank=4, topology=topology)


@pytest.mark.parametrize("topology", ["rnnt", "rna", "ctc"])
def test_both_forms_are_equal(topology: str) -> None:
    loss, _ = assert_equal(lambda x: _loss(x, topology), [SCORES])
    assert np.isinf(loss).tolist() == [False, False, False, topology != "rnnt", False]


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "relu", "linear", "maxout"])
def test_both_forms_of_the_fused_loss_are_equal(activation: str, separate: bool) -> None:
    rng = np.random.default_rng(1)
    inputs = 6
    joint = inputs // 2 if activation == "maxout" else inputs
    shapes = [(5, 5, inputs), (5, 4, inputs), (joint, 5), (5,)]
    lengths = [tf.constant(FRAMES), tf.constant(LABELS), tf.constant(COUNTS)]
    options: dict[str, Any] = {"activation": activation, "separate_emit": separate}

    def loss(*arrays: Any) -> Any:
        more = {"blank": 4, "topology": "rna", **options}
        return native.transducer_fused_loss(*arrays, *lengths, **more)

    assert_equal(loss, [rng.standard_normal(s, np.float32) for s in shapes])


def test_xla_compiles_tensorflows_form() -> None:
    assert_equal(lambda x: _loss(x, "ctc"), [SCORES], compiled=True)
