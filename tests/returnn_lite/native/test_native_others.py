"""Other kernels than those of files of their own: TensorFlow's operations give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import assert_equal

from returnn_lite import native
from returnn_lite.native import activation, energies, normalise

FRAMES = np.array([8, 5, 2], np.int32)


def _normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


@pytest.mark.parametrize(("size", "step"), [(4, 4), (5, 2), (20, 3), (1, 1)])
def test_chunks(size: int, step: int) -> None:
    sizes = {"chunk_size": size, "chunk_step": step}
    found = assert_equal(lambda x: native.chunk(x, FRAMES, **sizes), [_normal(8, 3, 2)])
    chunks, counts = found[:2]
    again = assert_equal(lambda c: native.unchunk(c, counts, 3, 8, **sizes), [chunks])
    np.testing.assert_array_equal(again[1], FRAMES)


_NONE = np.zeros(2, np.int32)  # frames of two sequences
_TARGETS = (_NONE, np.array([[1], [2]], np.int32), np.array([0, 1], np.int32))
_TOPOLOGIES = ("rnnt", "rna", "ctc")
OF_NO_FRAME: dict[str, tuple[Any, tuple[int, ...]]] = {
    "chunk": (lambda x: native.chunk(x, _NONE, chunk_size=4, chunk_step=2), (0, 2, 3)),
    "ctc_loss": (lambda x: native.ctc_loss(x, *_TARGETS, blank=3), (0, 2, 4)),
    **{
        f"ctc_best_path, repetition {r}": (
            lambda x, r=r: native.ctc_best_path(x, *_TARGETS, blank=3, label_repetition=r),
            (0, 2, 4),
        )
        for r in (True, False)
    },
    **{
        f"{name}, {topology}": (
            lambda x, f=f, t=topology: f(x, *_TARGETS, blank=3, topology=t),
            (2, 0, 2, 4),
        )
        for name, f in (("loss", native.transducer_loss), ("align", native.transducer_align))
        for topology in _TOPOLOGIES
    },
}


@pytest.mark.parametrize("name", OF_NO_FRAME)
def test_a_batch_without_a_frame(name: str) -> None:
    function, shape = OF_NO_FRAME[name]
    x = tf.zeros(shape)
    with native.tensorflow_only():
        pure = function(x)
    for a, b in zip(tf.nest.flatten(function(x)), tf.nest.flatten(pure), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("rows", "columns"), [(4, 5), (0, 5), (4, 0), (0, 0)])
def test_2d_lstm(rows: int, columns: int) -> None:
    lengths = [tf.minimum(most, n) for most, n in ((rows, [4, 2, 0]), (columns, [3, 5, 5]))]
    inputs = [_normal(rows, columns, 3, 10), _normal(2, 10), _normal(2, 11)[:, :10]]
    assert_equal(lambda *a: native.lstm2d(*a, *lengths), inputs)


@pytest.mark.parametrize("worth", [0, 10**9])  # the kernel, or a gradient without it
@pytest.mark.parametrize("count", [1, 3])
def test_energies_of_additive_attention(
    count: int, worth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energies, "WORTH", worth)
    inputs = [_normal(2, 8, 5), _normal(2, count, 5), _normal(5)]
    found = assert_equal(native.additive_energies, inputs)
    assert found[0].shape == (2, count, 8)
    assert_equal(native.additive_energies, inputs, compiled=True)


def test_xla_compiles_tensorflows_form() -> None:
    frames = tf.constant(FRAMES)
    sizes = {"chunk_size": 4, "chunk_step": 2}
    assert_equal(lambda x: native.chunk(x, frames, **sizes), [_normal(8, 3, 2)], compiled=True)


@pytest.mark.parametrize("function", [native.silu, native.gelu])
@pytest.mark.parametrize("shape", [(3, 4, 5), (0, 4, 5), (2, 3, 4, 600), (3, 4)])
def test_activations(function: Any, shape: tuple[int, ...]) -> None:
    x = _normal(*shape) * 5
    assert_equal(function, [x])
    assert_equal(function, [x], compiled=True)


@pytest.mark.parametrize("shape", [(3, 4, 6), (0, 4, 6), (3, 4, 0), (2, 3, 4, 600), (3, 4)])
def test_gated_linear_unit(shape: tuple[int, ...]) -> None:
    x = _normal(*shape) * 5
    found = assert_equal(native.glu, [x])
    assert found[0].shape == (*shape[:-1], shape[-1] // 2)
    assert_equal(native.glu, [x], compiled=True)


def test_gradient_of_a_gated_linear_unit_leaves_what_is_needed_later() -> None:
    @tf.function(autograph=False)
    def compute(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            z = 2.0 * x
            y = native.glu(z)
        return z, tape.gradient(y, x)

    x = _normal(3, 4, 6)
    np.testing.assert_array_equal(compute(tf.constant(x))[0], 2 * x)


def test_activations_of_other_numbers() -> None:
    x = tf.constant(_normal(2, 3, 4), tf.float64)
    np.testing.assert_array_equal(native.silu(x), tf.nn.silu(x))
    a, b = tf.split(x, 2, axis=-1)
    np.testing.assert_array_equal(native.glu(x), a * tf.sigmoid(b))
    x = tf.constant(_normal(2, 3, 4))
    np.testing.assert_array_equal(native.gelu(x, approximate=True), tf.nn.gelu(x, True))


@pytest.mark.parametrize("shape", [(3, 40, 5), (0, 4, 5), (2, 3, 4, 60), (3, 4)])
def test_layer_norm(shape: tuple[int, ...]) -> None:
    inputs = [_normal(*shape) + 1, _normal(shape[-1]), _normal(shape[-1] + 1)[1:]]
    assert_equal(lambda *a: native.layer_norm(*a, 1e-6), inputs)
    assert_equal(lambda *a: native.layer_norm(*a, 1e-6), inputs, compiled=True)


def test_a_step_of_a_loop_calls_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (activation, normalise):
        monkeypatch.setattr(module, "launch", None)
    x, ones = tf.constant(_normal(3, 4)), tf.ones(4)
    assert native.silu(x).shape == native.layer_norm(x, ones, ones, 1e-6).shape == (3, 4)
    assert native.glu(x).shape == (3, 2)
