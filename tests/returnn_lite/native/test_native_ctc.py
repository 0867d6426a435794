"""CTC: the kernel and TensorFlow's own operations give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from returnn_lite import native

FRAMES = np.array([9, 5, 3, 4, 0, 6], np.int32)
LABELS = np.array(
    [[1, 2, 2, 4], [3, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]], np.int32
)
COUNTS = np.array([4, 1, 4, 0, 0, 2], np.int32)  # the third does not fit into its frames


def _values(*, repetition: bool, pure: bool, compiled: bool = False) -> list[Any]:
    """The loss, and the gradient of its sum with random weights."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((9, 6, 6), np.float32) * 3
    weights = tf.constant(rng.standard_normal(6, np.float32))

    @tf.function(autograph=False, jit_compile=compiled)
    def compute(logits: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            arguments = [logits, *map(tf.constant, (FRAMES, LABELS, COUNTS))]
            if pure:
                with native.tensorflow_only():
                    loss = native.ctc_loss(*arguments, blank=5, label_repetition=repetition)
            else:
                loss = native.ctc_loss(*arguments, blank=5, label_repetition=repetition)
        return loss, tape.gradient(loss, logits, output_gradients=weights)

    return [x.numpy() for x in compute(tf.constant(logits))]


@pytest.mark.parametrize("repetition", [True, False])
def test_both_forms_are_equal(repetition: bool) -> None:
    kernel, pure = (_values(repetition=repetition, pure=pure) for pure in (False, True))
    assert np.isinf(kernel[0]).tolist() == [False, False, True, False, False, False]
    for a, b in zip(kernel, pure, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_xla_compiles_tensorflows_form() -> None:
    pure = _values(repetition=True, pure=True)
    compiled = _values(repetition=True, pure=True, compiled=True)
    for a, b in zip(compiled, pure, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
