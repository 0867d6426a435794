"""The LSTM layer is the LSTM of its input's product, in values and in gradients."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cupy_kernels.check import ArgumentError
from cupy_kernels.lstm import lstm_layer_backward, lstm_layer_forward, reference


def _case(lengths: list[int], inputs: int, units: int) -> list[Any]:
    """x, w, bias, w_re, lengths, y0, c0."""
    rng = np.random.default_rng(inputs + units)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, np.float32)

    batch = len(lengths)
    w, w_re = normal(inputs, 4 * units), normal(units, 4 * units) / np.float32(units**0.5)
    x = normal(max(lengths), batch, inputs)
    states = normal(batch, units), normal(batch, units)
    return [x, w, normal(4 * units), w_re, np.array(lengths, np.int32), *states]


CASES = {
    "ragged": ([9, 4, 1, 0, 7], 13, 20),
    "one of each": ([1], 1, 1),
    "more inputs than units": ([5, 2, 6], 150, 6),
    "more rows than a tile, more units than a panel": ([4] * 20 + [2] * 3, 70, 70),
    "more frames than a block of sums": ([120, 90, 111, 120, 8, 120], 5, 8),
    "no inputs": ([3, 2], 0, 4),
}


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("name", CASES)
def test_equals_the_reference_of_the_product(xp: ModuleType, name: str, direction: int) -> None:
    case = _case(*CASES[name])
    x, w, bias, *state = case
    shape = (*x.shape[:2], w.shape[1] // 4)
    rng = np.random.default_rng(0)
    dy, dc = rng.standard_normal(shape, np.float32), rng.standard_normal(shape[1:], np.float32)

    arrays = [xp.asarray(a) for a in case]
    y, c_final, saved = lstm_layer_forward(*arrays, direction=direction)
    gradients = (xp.asarray(dy), xp.asarray(dc))
    inputs = (*arrays[:2], *arrays[3:])
    grads = lstm_layer_backward(*gradients, saved, y, *inputs, direction=direction)
    found = [a.get() if hasattr(a, "get") else a for a in (y, c_final, *saved, *grads)]

    z = x.astype(np.float64) @ w + bias
    y64, c64, gates, cells = reference.lstm_forward(z, *state, direction=direction)
    dz, *rest = reference.lstm_backward(dy, dc, gates, cells, y64, *state, direction=direction)
    rows = dz.reshape(-1, w.shape[1])
    dw = x.reshape(len(rows), len(w)).T @ rows
    wanted = [y64, c64, gates, cells, dz @ w.T, dw, rows.sum(axis=0), *rest]
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=3e-5, atol=3e-5 * np.abs(b).max(initial=1e-30))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_runs_are_equal_bit_for_bit(threads: int) -> None:
    case = _case([7, 3, 5], 30, 70)
    inputs = (*case[:2], *case[3:])
    dy, dc = np.ones((7, 3, 70), np.float32), np.ones((3, 70), np.float32)

    def run(count: int) -> list[Any]:
        y, c, saved = lstm_layer_forward(*case, threads=count)
        return [y, c, *saved, *lstm_layer_backward(dy, dc, saved, y, *inputs, threads=count)]

    for a, b in zip(run(1), run(threads), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("position", "change", "message"),
    [
        (0, lambda a: a[:, :, ::2], r"\(x\): found a non-contiguous view, needed a contiguous"),
        (1, lambda a: a[:4], r"\(w\): found shape \(4, 12\), needed \[inputs=5, gates=12\]"),
        (2, lambda a: a[:4], r"\(bias\): found shape \(4,\), needed \[gates=12\]"),
        (3, lambda a: a.T.copy(), r"\(w\): found shape \(5, 12\), needed \[inputs=5, gates=48\]"),
        (4, lambda a: a - 4, r"\(lengths\[1\]\): found -2, needed 0 to 4 \(the time axis\)"),
    ],
)
def test_wrong_arguments_are_named(position: int, change: Any, message: str) -> None:
    case = _case([4, 2], 5, 3)
    case[position] = change(case[position])
    with pytest.raises(ArgumentError, match="lstm_layer_forward " + message):
        lstm_layer_forward(*case)
