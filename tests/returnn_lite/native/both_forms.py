"""An operation computed by its kernel and by TensorFlow's own operations, with gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from cupy_kernels.backend import host
from returnn_lite import native

# Without one both forms are TensorFlow's.
NEEDS_COMPILER = pytest.mark.skipif(host._compiler() is None, reason="no C++ compiler here")
Array = np.ndarray[Any, np.dtype[Any]]


def values(
    function: Callable[..., Any],
    inputs: Sequence[Array],
    *,
    pure: bool = False,
    compiled: bool = False,
) -> list[Array]:
    """Return the results of a function, and the gradients of the inputs with random cotangents.

    pure: in TensorFlow's own operations. compiled: by XLA. Results that are integers have none.
    """

    @tf.function(autograph=False, jit_compile=compiled)
    def compute(*tensors: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            if pure:
                with native.tensorflow_only():
                    found = function(*tensors)
            else:
                found = function(*tensors)
        results = list(found) if isinstance(found, list | tuple) else [found]
        floats = [x for x in results if x.dtype == tf.float32]
        cotangents = [_cotangent(x, i) for i, x in enumerate(floats)]
        gradients = tape.gradient(floats, tensors, output_gradients=cotangents)
        return results, [tf.convert_to_tensor(g) for g in gradients]

    results, gradients = compute(*map(tf.constant, inputs))
    return [x.numpy() for x in (*results, *gradients)]


def _cotangent(x: Any, i: int) -> Any:
    """Return numbers without a pattern, the same in both forms, and under XLA."""
    places = tf.range(tf.size(x), dtype=tf.float32)
    return tf.reshape(tf.sin(places * places + 2.0 * places + float(i)), tf.shape(x))


def assert_equal(
    function: Callable[..., Any], inputs: Sequence[Array], *, compiled: bool = False
) -> list[Array]:
    """Check that both forms give the same results and gradients; return them."""
    wanted = values(function, inputs, pure=compiled)
    found = values(function, inputs, pure=True, compiled=compiled)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    return wanted
