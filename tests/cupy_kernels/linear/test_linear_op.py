"""An affine map of frames: the reference, padding, threads, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.check import ArgumentError
from cupy_kernels.linear import linear, linear_backward, reference


class Case(NamedTuple):
    """Arguments of both passes."""

    dy: Any
    x: Any
    w: Any
    bias: Any
    lengths: Any
    time_axis: int = 1


def _case(frames: list[int], sizes: tuple[int, int], **changes: Any) -> Case:
    """The frames of each sequence, at least one in all; inputs and outputs."""
    rng = np.random.default_rng(sizes[0])
    shape = len(frames), max(frames)
    dy, x = (rng.standard_normal((*shape, n), np.float32) for n in reversed(sizes))
    w, bias = rng.standard_normal(sizes, np.float32), rng.standard_normal(sizes[1], np.float32)
    return Case(dy, x, w, bias, np.array(frames, np.int32))._replace(**changes)


def _time_major(case: Case) -> Case:
    dy, x = (np.ascontiguousarray(a.swapaxes(0, 1)) for a in (case.dy, case.x))
    return case._replace(dy=dy, x=x, time_axis=0)


CASES = {
    "ragged": lambda: _case([23, 7, 1, 15, 0], (40, 33)),
    "time-major": lambda: _time_major(_case([23, 7, 1, 15, 0], (40, 33))),
    "all frames": lambda: _case([9, 9, 9], (17, 64), lengths=None),
    "no bias": lambda: _case([5, 9], (64, 100), bias=None),
    "one number": lambda: _case([3, 2], (1, 1)),
    "blocks of rows, threads": lambda: _case([300, 251, 0, 299], (65, 130)),
    "deep": lambda: _case([130, 61], (1300, 40)),
    "wide": lambda: _case([20, 11], (40, 1300)),
    "no frame": lambda: _case([0, 0, 0], (4, 5)),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


def _run(case: Case, xp: ModuleType = np, **options: Any) -> list[Any]:
    """y, dx, dw, dbias."""
    dy, x, w, bias, lengths = (None if a is None else xp.asarray(a) for a in case[:5])
    options = {"time_axis": case.time_axis, **options}
    found = [
        linear(x, w, bias, lengths, **options),
        *linear_backward(dy, x, w, lengths, **options),
    ]
    return [a.get() if hasattr(a, "get") else a for a in found]


def _reference(case: Case) -> list[Any]:
    dy, *of_forward = case[:5]
    x, w, _, lengths = of_forward
    axis = {"time_axis": case.time_axis}
    backward = reference.linear_backward(dy, x, w, lengths, **axis)
    return [reference.linear(*of_forward, **axis), *backward]


def test_equals_the_reference(xp: ModuleType, case: Case) -> None:
    for a, b in zip(_run(case, xp), _reference(case), strict=True):
        assert a.dtype == np.float32 and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=3e-6 * np.abs(b).max(initial=1e-9))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_equals_the_reference_for_any_sizes(data: st.DataObject) -> None:
    frames = data.draw(st.lists(st.integers(0, 20), min_size=1, max_size=4))
    sizes = data.draw(st.tuples(st.integers(1, 80), st.integers(1, 80)))
    case = _case(frames, sizes)
    if data.draw(st.booleans()):
        case = _time_major(case)
    for a, b in zip(_run(case), _reference(case), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max(initial=1e-9))


def test_the_reference_is_the_derivative() -> None:
    case = _case([4, 2, 0], (3, 5))
    _, dx, dw, dbias = _reference(case)

    def change(**of: Any) -> float:
        """How much more y is with something added, times dy."""
        more, less = (
            case._replace(**{n: getattr(case, n) + sign * 1e-3 * d for n, d in of.items()})
            for sign in (1, -1)
        )
        inside = reference.valid(case.dy, case.lengths, 1)
        difference = reference.linear(*more[1:5]) - reference.linear(*less[1:5])
        return float((inside * difference).sum() / 2e-3)

    rng = np.random.default_rng(1)
    for name, gradient in (("x", dx), ("w", dw), ("bias", dbias)):
        direction = rng.standard_normal(gradient.shape)
        assert change(**{name: direction}) == pytest.approx((gradient * direction).sum(), rel=1e-6)


def test_padding_is_never_read() -> None:
    case = CASES["ragged"]()
    usual = _run(case)
    behind = np.arange(case.x.shape[1]) >= case.lengths[:, None]
    dirty = [np.where(behind[..., None], np.float32(np.nan), a) for a in (case.dy, case.x)]
    for a, b in zip(usual, _run(case._replace(dy=dirty[0], x=dirty[1])), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_result_does_not_depend_on_threads() -> None:
    case = CASES["blocks of rows, threads"]()
    one = _run(case, threads=1)
    for threads in (2, 3):
        for a, b in zip(one, _run(case, threads=threads), strict=True):
            np.testing.assert_array_equal(a, b)


def test_bad_arguments_are_named() -> None:
    case = _case([4, 2], (3, 5))
    x, w, bias, lengths = case[1:5]
    for call, message in (
        (lambda: linear(x, w, bias, lengths, time_axis=2), r"\(time_axis\): found 2, needed 0 or"),
        (lambda: linear(x, w, bias, lengths + 9), r"\(lengths\[0\]\): found 13, needed 0 to 4"),
        (lambda: linear(x, w[:, :0]), r"\(w\): found shape \(3, 0\), needed at least one input"),
        (lambda: linear(x, w.T.copy()), r"\(w\): found shape \(5, 3\), needed \[inputs=3, out"),
        (lambda: linear_backward(case.dy[:1], x, w), r"\(dy\): found shape \(1, 4, 5\), needed"),
    ):
        with pytest.raises(ArgumentError, match=message):
            call()
