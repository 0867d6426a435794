"""Tensors as arrays and back, and graphs without kernels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from cupy_kernels.backend import host
from cupy_kernels.ctc.op import SOURCE, ctc_loss
from returnn_lite import native
from returnn_lite.native import bridge


def test_the_way_by_dlpack_gives_what_the_kernel_gives() -> None:
    """As it is on a GPU, but with numpy's arrays."""
    rng = np.random.default_rng(0)
    arrays = [
        rng.standard_normal((7, 2, 5), np.float32),
        np.array([7, 4], np.int32),
        np.array([[1, 2], [3, 3]], np.int32),
        np.array([2, 1], np.int32),
    ]
    found = bridge.exchange(lambda *a: ctc_loss(*a, blank=0), [tf.constant(a) for a in arrays], np)
    for tensor, wanted in zip(found, ctc_loss(*arrays, blank=0), strict=True):
        assert isinstance(tensor, tf.Tensor)
        np.testing.assert_array_equal(tensor, wanted)
    [one] = bridge.exchange(np.exp, [tf.constant([1.0])], np)
    np.testing.assert_allclose(one, [np.e], rtol=1e-6)


def test_a_graph_for_export_has_no_python_in_it(tmp_path: Path) -> None:
    def loss(logits: Any) -> Any:
        one = tf.ones([1], tf.int32)
        return native.ctc_loss(logits, 3 * one, one[:, None], one, blank=0)

    spec = tf.TensorSpec([3, 1, 4], tf.float32)
    assert calls_python(loss, spec)

    def exported(logits: Any) -> Any:
        with native.tensorflow_only():
            return loss(logits)

    assert not calls_python(exported, spec)
    module = tf.Module()
    module.loss = tf.function(exported, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(tmp_path))
    logits = np.random.default_rng(0).standard_normal((3, 1, 4), np.float32)
    again = tf.saved_model.load(str(tmp_path)).loss(tf.constant(logits))
    np.testing.assert_allclose(again, loss(tf.constant(logits)), rtol=1e-5)


def calls_python(function: Callable[..., Any], spec: tf.TensorSpec) -> bool:
    """Whether the graph of a function has an operation that does."""
    graph = tf.function(function, autograph=False).get_concrete_function(spec).graph
    return any("PyFunc" in op.type for op in graph.get_operations())


def test_without_a_compiler_tensorflow_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "library", lambda source: None)
    assert not bridge.serves(SOURCE)
