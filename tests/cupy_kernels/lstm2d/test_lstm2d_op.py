"""2D LSTM: what a caller sees, then the reference, autodiff's gradients, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.check import ArgumentError
from cupy_kernels.lstm2d import (
    Lstm2dSaved,
    lstm2d_backward,
    lstm2d_forward,
    reference,
    wavefront,
)
from cupy_kernels.lstm2d.front import number_cells


class Case(NamedTuple):
    """Arguments of the forward pass."""

    z: Any
    v_h: Any
    v_v: Any
    lengths_t: Any
    lengths_s: Any


def _case(rows: list[int], columns: list[int], units: int, scale: float = 1.0) -> Case:
    rng = np.random.default_rng(units)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, np.float32)

    v_h, v_v = (normal(units, 5 * units) / np.float32(units**0.5) for _ in range(2))
    z = normal(max(rows), max(columns), len(rows), 5 * units) * np.float32(scale)
    return Case(z, v_h, v_v, np.array(rows, np.int32), np.array(columns, np.int32))


CASES = {
    "ragged": ([5, 3, 1, 0, 4], [2, 6, 4, 3, 0], 20, 1.0),
    "one cell, one unit": ([1], [1], 1, 1.0),
    "one row": ([1, 1], [7, 4], 5, 1.0),
    "one column": ([6, 2], [1, 1], 33, 1.0),
    "more rows than columns": ([9, 7], [3, 2], 16, 1.0),
    "units behind a panel": ([3, 4, 4], [4, 2, 4], 70, 1.0),
    "a batch of 23": ([3] * 20 + [1, 2, 3], [2] * 20 + [1, 1, 2], 9, 1.0),
    "inputs of 50": ([6, 5], [5, 6], 7, 50.0),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return _case(*CASES[request.param])


def _numpy(x: Any) -> Any:
    return x.get() if hasattr(x, "get") else x


def _cotangent(case: Case) -> Any:
    shape = (*case.z.shape[:3], len(case.v_h))
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def _run(case: Case, dy: Any, **options: Any) -> list[Any]:
    """y, gates, cells, dz, dv_h, dv_v."""
    y, saved = lstm2d_forward(*case, **options)
    grads = lstm2d_backward(dy, saved, y, *case[1:], **options)
    return [_numpy(x) for x in (y, *saved, *grads)]


def _reference(case: Case, dy: Any) -> list[Any]:
    y, *saved = reference.lstm2d_forward(*case)
    return [y, *saved, *reference.lstm2d_backward(dy, *saved, y, *case[1:])]


def _outside(case: Case) -> Any:
    t, s = (np.arange(n) for n in case.z.shape[:2])
    return (t[:, None, None] >= case.lengths_t) | (s[:, None] >= case.lengths_s)


def _same(found: list[Any], wanted: list[Any], tolerance: float = 2e-5) -> None:
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max(initial=0))


def test_one_cell_is_its_equation() -> None:
    z = np.array([0.5, -1.0, 2.0, 0.3, 0.8], np.float32).reshape(1, 1, 1, 5)
    one, v = np.ones(1, np.int32), np.ones((1, 5), np.float32)
    y, saved = lstm2d_forward(z, v, v, one, one)
    in_, _, _, open_ = 1 / (1 + np.exp(-z[0, 0, 0, :4]))
    np.testing.assert_allclose(saved.cells.item(), np.tanh(0.8) * in_, rtol=1e-6)
    np.testing.assert_allclose(y.item(), np.tanh(np.tanh(0.8) * in_) * open_, rtol=1e-6)


def test_equals_the_reference(xp: ModuleType, case: Case) -> None:
    dy = _cotangent(case)
    found = _run(Case(*(xp.asarray(x) for x in case)), xp.asarray(dy))
    _same(found, _reference(case, dy))


def test_form_of_the_gpu_equals_the_reference(case: Case) -> None:
    dy = _cotangent(case)
    front = number_cells(np, case.lengths_t, case.lengths_s, *case.z.shape[:2])
    y, *saved = wavefront.forward(np, front, *case[:3])
    grads = wavefront.backward(np, front, dy, *saved, y, *case[1:3])
    _same([y, *saved, *grads], _reference(case, dy))


def test_what_is_outside_is_zero_and_is_not_read(xp: ModuleType) -> None:
    case = _case(*CASES["ragged"])
    outside, dy = _outside(case), _cotangent(case)
    clean = _run(case, dy)
    case.z[outside], dy[outside] = np.nan, np.nan
    found = _run(Case(*(xp.asarray(x) for x in case)), xp.asarray(dy))
    _same(found, clean)
    for x in found[:4]:
        assert not x[outside].any()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_runs_are_equal_bit_for_bit(xp: ModuleType, case: Case, threads: int) -> None:
    arrays, dy = Case(*(xp.asarray(x) for x in case)), xp.asarray(_cotangent(case))
    first, second = (_run(arrays, dy, threads=n) for n in (1, threads))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_backward_twice_is_equal_and_leaves_its_arguments_alone() -> None:
    case = _case(*CASES["ragged"])
    dy = _cotangent(case)
    y, saved = lstm2d_forward(*case)
    arguments = (dy, *saved, y, *case)
    before = [x.copy() for x in arguments]
    first, second = (lstm2d_backward(dy, saved, y, *case[1:]) for _ in range(2))
    for a, b in zip([*first, *before], [*second, *arguments], strict=True):
        np.testing.assert_array_equal(a, b)


def test_swapping_the_axes_swaps_the_matrices() -> None:
    """And the gate lambda closes where it opened."""
    case = _case(*CASES["ragged"])
    n, dy = len(case.v_h), _cotangent(case)

    def turned(x: Any) -> Any:
        x = x.copy()
        x[..., 2 * n : 3 * n] *= -1
        return x

    z, v_h, v_v, lengths_t, lengths_s = case
    other = Case(turned(z.swapaxes(0, 1)), turned(v_v), turned(v_h), lengths_s, lengths_t)
    y, _, _, dz, dv_h, dv_v = _run(case, dy)
    y2, _, _, dz2, dv_h2, dv_v2 = _run(other, dy.swapaxes(0, 1).copy())
    _same([y2.swapaxes(0, 1), turned(dz2).swapaxes(0, 1)], [y, dz])
    _same([turned(dv_v2), turned(dv_h2)], [dv_h, dv_v])


def test_autodiff_agrees() -> None:
    """The recurrence cell by cell, differentiated by TensorFlow."""
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    case = _case([3, 2], [3, 4], 6)
    dy, zero = _cotangent(case), tf.zeros((2, 6))
    z, v_h, v_v = (tf.constant(x) for x in case[:3])
    with tf.GradientTape() as tape:
        tape.watch([z, v_h, v_v])
        state: dict[tuple[int, int], Any] = {}
        for t, s in np.ndindex(case.z.shape[:2]):
            (y_left, c_left), (y_below, c_below) = (
                state.get(place, (zero, zero)) for place in ((t, s - 1), (t - 1, s))
            )
            x = z[t, s] + y_left @ v_h + y_below @ v_v
            *gates, a = tf.split(x, 5, axis=1)
            i, f, lam, o = map(tf.sigmoid, gates)
            c = tf.tanh(a) * i + f * (lam * c_below + (1 - lam) * c_left)
            state[t, s] = tf.tanh(c) * o, c
        inside = ~_outside(case)
        y = tf.stack([pair[0] for pair in state.values()])
        y = tf.reshape(y, dy.shape) * tf.cast(inside[..., None], tf.float32)
        value = tf.reduce_sum(y * dy)
    found = _run(case, dy)
    theirs = [y, *tape.gradient(value, [z, v_h, v_v])]
    _same([found[0], *found[3:]], [x.numpy() for x in theirs], tolerance=1e-4)


PAIRS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=4)


@settings(max_examples=30, deadline=None)
@given(pairs=PAIRS, units=st.integers(1, 40))
def test_any_shape_equals_the_reference(pairs: list[tuple[int, int]], units: int) -> None:
    case = _case([t for t, _ in pairs], [s for _, s in pairs], units)
    dy = _cotangent(case)
    _same(_run(case, dy, threads=1), _reference(case, dy), tolerance=1e-4)


def test_empty_batch_and_empty_axes(xp: ModuleType) -> None:
    for time_t, time_s, batch in ((0, 3, 2), (3, 0, 2), (2, 2, 0)):
        z = xp.zeros((time_t, time_s, batch, 20), np.float32)
        v, lengths = xp.ones((4, 20), np.float32), xp.zeros(batch, np.int32)
        case = Case(z, v, v, lengths, lengths)
        y, _, _, dz, dv_h, dv_v = _run(case, z[..., :4].copy())
        assert (y.shape, dz.shape) == ((time_t, time_s, batch, 4), z.shape)
        assert dv_h.shape == dv_v.shape == (4, 20)
        assert not dv_h.any() and not dv_v.any()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("z", lambda x: x.astype(np.float64), r"\(z\): found float64, needed float32; try z.asty"),
        ("z", lambda x: x[:, ::2], r"\(z\): found a non-contiguous view, needed a contiguous arr"),
        ("z", lambda x: x[0], r"\(z\): found shape \(6, 5, 100\), needed \[time_t=any, time_s=a"),
        ("z", lambda x: x[..., :99].copy(), r"\(z\): found shape .* batch=any, gates=100\]"),
        ("v_h", lambda x: x[:, :99].copy(), r"\(v_h\): found shape \(20, 99\), needed \[units=20"),
        ("v_v", lambda x: x[1:], r"\(v_v\): found shape \(19, 100\), needed \[units=20, gates=10"),
        ("v_v", lambda x: x.tolist(), r"\(v_v\): found a list, needed a numpy or cupy array"),
        ("lengths_t", lambda x: x + 1, r"\(lengths_t\[0\]\): found 6, needed 0 to 5 \(the t axis"),
        ("lengths_s", lambda x: x - 1, r"\(lengths_s\[4\]\): found -1, needed 0 to 6 \(the s axi"),
        ("lengths_s", lambda x: x.astype(np.int64), r"\(lengths_s\): found int64, needed int32"),
        ("lengths_s", lambda x: x[1:], r"\(lengths_s\): found shape \(4,\), needed \[batch=5\]"),
    ],
)
def test_wrong_arguments_are_named(name: str, change: Any, message: str) -> None:
    case = _case(*CASES["ragged"])
    case = case._replace(**{name: change(getattr(case, name))})
    with pytest.raises(ArgumentError, match="lstm2d_forward " + message):
        lstm2d_forward(*case)


@pytest.mark.parametrize("name", ["dy", "cells", "y", "gates"])
def test_wrong_arguments_of_backward_are_named(name: str) -> None:
    case = _case(*CASES["ragged"])
    y, saved = lstm2d_forward(*case)
    arrays = {"dy": _cotangent(case), "y": y, **saved._asdict()}
    arrays[name] = arrays[name][..., 1:].copy()
    gates, cells = arrays.pop("gates"), arrays.pop("cells")
    rest = case._asdict()
    rest.pop("z")
    with pytest.raises(ArgumentError, match=rf"lstm2d_backward \({name}\): found shape"):
        lstm2d_backward(saved=Lstm2dSaved(gates, cells), **arrays, **rest)
