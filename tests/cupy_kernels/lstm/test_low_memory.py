"""The LSTM layer that computes its gates again gives what the one that keeps them gives."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cupy_kernels.check import ArgumentError
from cupy_kernels.lstm import (
    LstmStates,
    lstm_layer_backward,
    lstm_layer_forward,
    lstm_low_memory_backward,
    lstm_low_memory_forward,
)


def _case(lengths: list[int], inputs: int = 5, units: int = 7) -> list[Any]:
    """x, w, bias, w_re, lengths, y0, c0."""
    rng = np.random.default_rng(sum(lengths))

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, np.float32)

    batch, gates = len(lengths), 4 * units
    x = normal(max(lengths), batch, inputs)
    weights = normal(inputs, gates), normal(gates), normal(units, gates) / np.float32(3)
    return [x, *weights, np.array(lengths, np.int32), normal(batch, units), normal(batch, units)]


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("block", [1, 3, 4, 100])
@pytest.mark.parametrize("lengths", [[10, 3, 0, 4, 8, 1], [12], [1, 1]])
def test_equals_the_layer(xp: ModuleType, lengths: list[int], block: int, direction: int) -> None:
    case = [xp.asarray(a) for a in _case(lengths)]
    rng = np.random.default_rng(1)
    time, batch, units = len(case[0]), len(lengths), 7
    dy = xp.asarray(rng.standard_normal((time, batch, units), np.float32))
    dc = xp.asarray(rng.standard_normal((batch, units), np.float32))
    y, c, saved = lstm_layer_forward(*case, direction=direction)
    grads = lstm_layer_backward(dy, dc, saved, y, *case[:2], *case[3:], direction=direction)

    options: dict[str, Any] = {"direction": direction, "block": block}
    y2, c2, states = lstm_low_memory_forward(*case, **options)
    grads2 = lstm_low_memory_backward(dy, dc, states, *case, **options)
    assert states.cells.shape == (-(-time // block), batch, units)
    for found, wanted in zip((y2, c2, *grads2), (y, c, *grads), strict=True):
        assert found.dtype == np.float32
        a, b = (v.get() if hasattr(v, "get") else v for v in (found, wanted))
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)


def test_no_frames() -> None:
    case = _case([1, 1])
    case[0], case[4] = case[0][:0], np.zeros(2, np.int32)
    y, c, states = lstm_low_memory_forward(*case)
    assert y.shape == (0, 2, 7)
    np.testing.assert_array_equal(c, case[-1])
    dc = np.ones_like(c)
    _, dw, _, _, dy0, dc0 = lstm_low_memory_backward(y, dc, states, *case)
    assert not dw.any() and not dy0.any()
    np.testing.assert_array_equal(dc0, dc)


def test_arguments_are_left_as_they_are() -> None:
    case = _case([6, 2, 5])
    copies = [a.copy() for a in case]
    y, c, states = lstm_low_memory_forward(*case, block=2)
    c += 1
    kept = [s.copy() for s in states]
    lstm_low_memory_backward(y, c, states, *case, block=2)
    for found, wanted in zip((*case, *states), (*copies, *kept), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_wrong_arguments_are_named() -> None:
    case = _case([6, 2])
    with pytest.raises(ArgumentError, match=r"lstm_low_memory_forward \(block\): found 0, needed"):
        lstm_low_memory_forward(*case, block=0)
    y, c, states = lstm_low_memory_forward(*case, block=2)
    with pytest.raises(ArgumentError, match=r"_backward \(outputs\): found shape \(3, 2, 7\)"):
        lstm_low_memory_backward(y, c, states, *case, block=3)
    with pytest.raises(ArgumentError, match=r"_backward \(dy\): found float64, needed float32"):
        lstm_low_memory_backward(y.astype(float), c, LstmStates(*states), *case, block=2)
