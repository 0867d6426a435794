"""LSTM: the kernel and TensorFlow's own operations give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from returnn_lite import native

LENGTHS = [6, 2, 0, 5]


def _values(layer: bool, direction: int, *, pure: bool, compiled: bool = False) -> list[Any]:
    """y, c_final, and the gradients of all inputs, with random cotangents."""
    rng = np.random.default_rng(0)
    units, inputs = 5, 3
    shapes = [(6, 4, inputs), (inputs, 4 * units), (4 * units,)] if layer else [(6, 4, 4 * units)]
    arrays = [rng.standard_normal(s, np.float32) for s in (*shapes, (units, 4 * units))]
    dy, dc = (rng.standard_normal(s, np.float32) for s in ((6, 4, units), (4, units)))

    @tf.function(autograph=False, jit_compile=compiled)
    def compute(*values: Any) -> Any:
        lengths = tf.constant(LENGTHS)
        with tf.GradientTape() as tape:
            tape.watch(values)
            lstm = native.lstm_layer if layer else native.lstm
            if pure:
                with native.tensorflow_only():
                    y, c = lstm(*values, lengths, direction=direction)
            else:
                y, c = lstm(*values, lengths, direction=direction)
        return y, c, *tape.gradient([y, c], values, output_gradients=[dy, dc])

    return [x.numpy() for x in compute(*map(tf.constant, arrays))]


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("layer", [False, True])
def test_both_forms_are_equal(layer: bool, direction: int) -> None:
    kernel, pure = (_values(layer, direction, pure=pure) for pure in (False, True))
    for a, b in zip(kernel, pure, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_xla_compiles_tensorflows_form() -> None:
    pure = _values(True, -1, pure=True)
    for a, b in zip(_values(True, -1, pure=True, compiled=True), pure, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
