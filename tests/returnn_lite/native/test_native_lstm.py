"""LSTM: the kernel and TensorFlow's own operations give the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import assert_equal, values

from returnn_lite import native

UNITS, INPUTS, LENGTHS = 5, 3, [6, 2, 0, 5]


def _normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def _inputs(layer: bool) -> list[Any]:
    below = [_normal(6, 4, INPUTS), _normal(INPUTS, 4 * UNITS), _normal(4 * UNITS)]
    return [*(below if layer else [_normal(6, 4, 4 * UNITS)]), _normal(UNITS, 4 * UNITS)]


def _lstm(layer: bool, **options: Any) -> Callable[..., Any]:
    """y and c_final."""
    function = native.lstm_layer if layer else native.lstm
    return lambda *tensors: function(*tensors, tf.constant(LENGTHS), **options)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("layer", [False, True])
def test_both_forms_are_equal(layer: bool, direction: int) -> None:
    assert_equal(_lstm(layer, direction=direction), _inputs(layer))


@pytest.mark.parametrize("layer", [False, True])
def test_both_forms_round_the_operands(layer: bool) -> None:
    """To eight bits: the results differ from those without, by less than one percent."""
    inputs = _inputs(layer)
    (exact, _), (found, _) = (_lstm(layer, precision=p)(*inputs) for p in ("float32", "bfloat16"))
    with native.tensorflow_only():
        other, _ = _lstm(layer, precision="bfloat16")(*inputs)
    np.testing.assert_allclose(found, other, atol=1e-5)
    assert 1e-5 < np.abs(found - exact).max() < 2e-2


@pytest.mark.parametrize("options", [{}, {"low_memory": True}, {"direction": -1}])
def test_both_forms_begin_with_the_initial_state(options: dict[str, Any]) -> None:
    def lstm(*tensors: Any) -> Any:
        *below, h, c = tensors
        return _lstm(True, initial=(h, c), **options)(*below)

    state = [_normal(4, UNITS), 2 * _normal(4, UNITS)]
    found = assert_equal(lstm, [*_inputs(True), *state])
    # The third sequence has no frame.
    np.testing.assert_array_equal(found[1][2], state[1][2])


def test_low_memory_and_fewer_threads_are_the_same() -> None:
    plain = values(_lstm(True), _inputs(True))
    lean = values(_lstm(True, low_memory=True, alone=False), _inputs(True))
    for a, b in zip(plain, lean, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_xla_compiles_tensorflows_form() -> None:
    assert_equal(_lstm(True, direction=-1), _inputs(True), compiled=True)
