"""bfloat16: what is rounded, that nothing else is, and that it is the same everywhere.

Rounding is a step, so tests take each frame from the state that the operation had before it.
"""

from __future__ import annotations

import ctypes
import platform
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cupy_kernels.backend import host
from cupy_kernels.check import ArgumentError
from cupy_kernels.lstm import (
    lstm_backward,
    lstm_forward,
    lstm_layer_backward,
    lstm_layer_forward,
    lstm_low_memory_backward,
    lstm_low_memory_forward,
    reference,
)
from cupy_kernels.lstm.precision import operand
from cupy_kernels.lstm.source import SOURCE


def _case(lengths: list[int], inputs: int, units: int) -> list[Any]:
    """x, w, bias, w_re, lengths, y0, c0, dy, dc_final."""
    rng = np.random.default_rng(units)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, np.float32)

    time, batch, gates = max(lengths), len(lengths), 4 * units
    weights = [normal(n, gates) / np.float32(n**0.5) for n in (inputs, units)]
    states = [normal(batch, units) for _ in range(3)]
    frames = np.array(lengths, np.int32)
    x, dy = normal(time, batch, inputs), normal(time, batch, units)
    return [x, weights[0], normal(gates), weights[1], frames, *states[:2], dy, states[2]]


CASES = {
    "ragged": ([9, 4, 1, 0, 7], 14, 20),
    "one of each": ([1], 1, 1),
    "odd numbers": ([5, 2, 6], 37, 71),
    "more rows than a tile": ([4] * 20 + [2] * 3, 70, 70),
    "more frames than a block of sums": ([240, 190, 201, 240, 8, 240], 5, 9),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> list[Any]:
    return _case(*CASES[request.param])


def _equal(found: Any, wanted: Any, tolerance: float = 1e-5) -> None:
    found = found.get() if hasattr(found, "get") else found
    assert found.dtype == np.float32
    limit = tolerance * np.abs(wanted).max(initial=1e-30)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=limit)


def _layer(case: list[Any], **options: Any) -> list[Any]:
    """All results of the layer: y, c_final, gates, cells, and the gradients."""
    *arrays, dy, dc = case
    y, c, saved = lstm_layer_forward(*arrays, **options)
    inputs = (*arrays[:2], *arrays[3:])
    return [y, c, *saved, *lstm_layer_backward(dy, dc, saved, y, *inputs, **options)]


def test_rounds_to_the_nearest() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, np.uint32)
    ends = [0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0x7F7FFFFF, 0x7F800000, 0x80000000, 0x3F808000]
    x = np.concatenate([bits, np.array(ends, np.uint32)]).view(np.float32)
    with np.errstate(all="ignore"):
        wanted = x.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(operand(x, "bfloat16"), wanted)


@pytest.mark.parametrize("direction", [1, -1])
def test_frames_are_those_of_rounded_operands(
    xp: ModuleType, case: list[Any], direction: int
) -> None:
    x, w, bias, w_re, lengths, y0, c0 = case[:7]
    arrays = [xp.asarray(a) for a in case[:7]]
    y, _, saved = lstm_layer_forward(*arrays, direction=direction, precision="bfloat16")
    y, gates, cells = (a.get() if hasattr(a, "get") else a for a in (y, *saved))
    z = operand(x, "bfloat16").astype(np.float64) @ operand(w, "bfloat16") + bias
    h, c = y0, c0
    for t in range(len(x))[::direction]:
        inside = (lengths > t).astype(np.int32)
        wanted = reference.lstm_forward(z[t : t + 1], w_re, inside, h, c, precision="bfloat16")
        found = y[t], gates[t], cells[t]
        for a, b in zip(found, (wanted[0], *wanted[2:]), strict=True):
            _equal(a, b[0])
        has = inside[:, None] > 0
        h, c = np.where(has, y[t], h), np.where(has, cells[t], c)


@pytest.mark.parametrize("direction", [1, -1])
def test_gradients_are_those_of_rounded_operands(
    xp: ModuleType, case: list[Any], direction: int
) -> None:
    x, w, _, w_re, lengths, y0, c0, dy, dc = case
    options: dict[str, Any] = {"direction": direction, "precision": "bfloat16"}
    arrays = [xp.asarray(a) for a in case]
    state, start = arrays[3:7], arrays[7:]
    y, _, saved = lstm_layer_forward(*arrays[:7], **options)
    dz, dw_re, dy0, dc0 = lstm_backward(*start, saved, y, *state, **options)
    layer = lstm_layer_backward(*start, saved, y, *arrays[:2], *state, **options)
    found = [a.get() if hasattr(a, "get") else a for a in (y, *saved, dz)]
    y, gates, cells, dz = found

    dh = np.zeros(y0.shape)
    total = np.zeros(w_re.shape)
    for t in range(len(x))[::-direction]:
        inside, before = (lengths > t).astype(np.int32), t - direction
        old = [reference._before(before, lengths, *a) for a in ((y, y0), (cells, c0))]
        values = ((dy[t] + dh)[None], dc, *(a[t : t + 1] for a in (gates, cells, y)))
        wanted = reference.lstm_backward(*values, w_re, inside, *old)
        _equal(dz[t], wanted[0][0])
        dc, rounded = wanted[3], operand(dz[t], "bfloat16").astype(np.float64)
        dh = np.where(inside[:, None], rounded @ operand(w_re, "bfloat16").T, dh)
        total += operand(old[0], "bfloat16").T @ rounded
    for a, b in zip((dw_re, dy0, dc0), (total, dh, dc), strict=True):
        _equal(a, b)
    rows = operand(dz.reshape(-1, dz.shape[2]), "bfloat16").astype(np.float64)
    dx = (rows @ operand(w, "bfloat16").T).reshape(x.shape)
    dw = operand(x.reshape(-1, x.shape[2]), "bfloat16").T @ rows
    dbias = dz.astype(np.float64).sum(axis=(0, 1))  # no product, so not rounded
    for a, b in zip(layer, (dx, dw, dbias, total, dh, dc), strict=True):
        _equal(a, b)


def test_is_close_to_float32_and_differs(xp: ModuleType, case: list[Any]) -> None:
    arrays = [xp.asarray(a) for a in case]
    rounded, usual = (_layer(arrays, precision=p) for p in ("bfloat16", "float32"))
    for a, b in zip(rounded, usual, strict=True):
        _equal(a, b.get() if hasattr(b, "get") else b, 2e-2)
    assert bool((rounded[0] != usual[0]).any())


@pytest.mark.parametrize("threads", [2, 5])
def test_runs_are_equal_bit_for_bit(case: list[Any], threads: int) -> None:
    first, second = (_layer(case, precision="bfloat16", threads=n) for n in (1, threads))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("flag", ["-mno-avx512bf16", "-march=haswell", "-march=x86-64"])
def test_processors_without_bfloat16_give_the_same(
    case: list[Any], flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if platform.machine() != "x86_64" or (host._compiler() or [""])[0] != "g++":
        pytest.skip("for g++ on x86")
    z = case[0] @ case[1] + case[2]

    def run() -> Any:
        y, _, saved = lstm_forward(z[:1], *case[3:7], precision="bfloat16")
        values = (case[7][:1], case[8], saved, y, *case[3:7])
        return [y, *saved, *lstm_backward(*values, precision="bfloat16")[2:]]

    case[4] = np.minimum(case[4], 1)
    usual = run()
    other = ctypes.CDLL(str(host._compiled(SOURCE, ["g++", flag])))
    monkeypatch.setattr(host, "library", lambda source: other)
    for a, b in zip(run(), usual, strict=True):
        _equal(a, b, 1e-5)


@pytest.mark.parametrize("direction", [1, -1])
def test_low_memory_equals_the_layer(case: list[Any], direction: int) -> None:
    options: dict[str, Any] = {"direction": direction, "precision": "bfloat16"}
    y, c, _, _, *grads = _layer(case, **options)
    y2, c2, states = lstm_low_memory_forward(*case[:7], block=3, **options)
    start = (case[7], case[8], states)
    grads2 = lstm_low_memory_backward(*start, *case[:7], block=3, **options)
    np.testing.assert_array_equal(y2, y)
    np.testing.assert_array_equal(c2, c)
    for a, b in zip(grads2, grads, strict=True):
        _equal(a, b, 1e-4)  # gradients of a block's last outputs are summed before, not after


def test_a_wrong_precision_is_named() -> None:
    x, w, bias, *state, dy, dc = _case([4, 2], 5, 3)
    z, wrong = x @ w + bias, {"precision": "float16"}
    message = r"\(precision\): found 'float16', needed 'float32' or 'bfloat16'"
    with pytest.raises(ArgumentError, match=r"lstm_forward " + message):
        lstm_forward(z, *state, **wrong)
    y, _, saved = lstm_forward(z, *state)
    with pytest.raises(ArgumentError, match=r"lstm_backward " + message):
        lstm_backward(dy, dc, saved, y, *state, **wrong)
    with pytest.raises(ArgumentError, match=r"lstm_layer_forward " + message):
        lstm_layer_forward(x, w, bias, *state, **wrong)
    with pytest.raises(ArgumentError, match=r"lstm_layer_backward " + message):
        lstm_layer_backward(dy, dc, saved, y, x, w, *state, **wrong)
    with pytest.raises(ArgumentError, match=r"lstm_low_memory_forward " + message):
        lstm_low_memory_forward(x, w, bias, *state, **wrong)
