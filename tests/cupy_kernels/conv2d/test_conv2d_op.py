"""Convolution of images: the reference, windows of all kinds, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.check import ArgumentError
from cupy_kernels.conv2d import (
    Windows,
    conv2d,
    conv2d_filter_gradient,
    conv2d_input_gradient,
    reference,
    stepwise,
)


class Case(NamedTuple):
    """Arguments of all passes."""

    x: Any
    filters: Any
    dy: Any
    windows: Windows
    bias: Any = None
    lengths: Any = None
    tops: Any = None


def _case(
    shape: tuple[int, ...],
    filters: tuple[int, int, int],
    size: tuple[int, int],
    *,
    bias: bool = False,
    lengths: list[int] | None = None,
    tops: list[int] | None = None,
    **windows: Any,
) -> Case:
    """filters: rows, columns, outputs. What lies behind lengths is no number."""
    rng = np.random.default_rng(sum(shape) + sum(filters))
    shapes = shape, (*filters[:2], shape[3], filters[2]), (shape[0], *size, filters[2])
    arrays = [rng.standard_normal(s, np.float32) for s in shapes]
    for b, length in enumerate(lengths or []):
        arrays[0][b, length:] = np.nan
    of_rows = (None if a is None else np.array(a, np.int32) for a in (lengths, tops))
    added = rng.standard_normal(filters[2], np.float32) if bias else None
    return Case(*arrays, Windows(size=size, **windows), added, *of_rows)


CASES = {
    "a pixel": lambda: _case((2, 1, 1, 1), (1, 1, 1), (1, 1)),
    "same": lambda: _case((2, 6, 8, 16), (3, 3, 32), (6, 8), before=(1, 1), bias=True),
    "even and wide": lambda: _case((3, 7, 5, 33), (2, 4, 17), (7, 5), before=(0, 1)),
    "apart": lambda: _case((2, 9, 8, 12), (3, 3, 40), (5, 4), before=(1, 0), strides=(2, 2)),
    "far apart": lambda: _case((2, 9, 10, 12), (2, 1, 40), (3, 3), strides=(4, 4), bias=True),
    "dilated": lambda: _case((2, 9, 12, 20), (3, 2, 33), (5, 8), dilation=(2, 4)),
    "dilated and apart": lambda: _case(
        (2, 9, 12, 20), (3, 3, 7), (4, 3), before=(2, 1), strides=(2, 3), dilation=(3, 2)
    ),
    "over time": lambda: _case((3, 30, 1, 40), (5, 1, 32), (15, 1), before=(2, 0), strides=(2, 1)),
    "one channel": lambda: _case((3, 20, 16, 1), (3, 3, 32), (20, 16), before=(1, 1), bias=True),
    "many channels": lambda: _case((1, 6, 5, 140), (3, 2, 150), (5, 5), before=(1, 1)),
    "more than is summed at once": lambda: _case((2, 100, 48, 3), (2, 2, 5), (99, 47)),
    "several lengths": lambda: _case(
        (4, 9, 6, 5), (3, 3, 40), (9, 6), before=(1, 1), lengths=[9, 1, 0, 6], bias=True
    ),
    "several tops": lambda: _case(
        (3, 9, 4, 18), (4, 2, 9), (5, 4), strides=(2, 1), lengths=[9, 8, 3], tops=[1, 2, 0]
    ),
    "more zeros than pixels": lambda: _case((1, 2, 2, 5), (2, 2, 3), (9, 7), before=(4, 3)),
    "no image": lambda: _case((0, 4, 4, 3), (2, 2, 2), (3, 3)),
    "no row": lambda: _case((2, 0, 4, 3), (2, 2, 2), (2, 2), before=(2, 1), bias=True),
    "no output": lambda: _case((2, 4, 4, 3), (3, 3, 2), (0, 3)),
    "no input channel": lambda: _case((2, 4, 4, 0), (2, 2, 2), (3, 3), bias=True),
    "no output channel": lambda: _case((2, 4, 4, 3), (2, 2, 0), (3, 3)),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


def _run(case: Case, xp: ModuleType = np, **options: Any) -> list[Any]:
    """y, dx, dfilters, dbias."""
    x, filters, dy, bias, *rows = (
        None if a is None else xp.asarray(a) for a in (*case[:3], *case[4:])
    )
    of = case.windows
    found = [
        conv2d(x, filters, of, bias, *rows, **options),
        conv2d_input_gradient(dy, filters, of, x.shape[1:3], *rows, **options),
        *conv2d_filter_gradient(x, dy, of, filters.shape[:2], *rows, **options),
    ]
    return [a.get() if hasattr(a, "get") else a for a in found]


def _wanted(case: Case) -> list[Any]:
    x, filters, dy, of, bias, *rows = case
    return [
        reference.conv2d(x, filters, of, bias, *rows),
        reference.conv2d_input_gradient(dy, filters, of, x.shape[1:3], *rows),
        *reference.conv2d_filter_gradient(x, dy, of, filters.shape[:2], *rows),
    ]


def _assert_close(found: list[Any], case: Case) -> None:
    """Check sums by those of absolute values: where these cancel, float32 is no more exact."""
    arrays = {k: a for k, a in case._asdict().items() if k in ("x", "filters", "dy", "bias")}
    sizes = {k: None if a is None else np.abs(a) for k, a in arrays.items()}
    largest = _wanted(case._replace(**sizes))
    for a, b, most in zip(found, _wanted(case), largest, strict=True):
        assert a.dtype == np.float32 and a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=1e-6 * most.max(initial=0))


def test_equals_the_reference(xp: ModuleType, case: Case) -> None:
    _assert_close(_run(case, xp), case)


def test_the_steps_of_a_gpu_equal_the_reference(case: Case) -> None:
    """On the host, with numpy's products."""
    x, filters, dy, of, bias, *rows = case
    if not x.size or not dy.size or not filters.size:
        return  # nothing is launched
    found = [
        stepwise.convolve(np, x, filters, of, bias, *rows),
        stepwise.input_gradient(np, dy, filters, of, x.shape[1:3], *rows),
        *stepwise.filter_gradient(np, x, dy, of, filters.shape[:2], *rows),
    ]
    _assert_close(found, case)


def _pairs(least: int, most: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(least, most), st.integers(least, most))


@given(
    data=st.data(),
    image=_pairs(0, 12),
    size=_pairs(0, 9),
    filters=_pairs(1, 4),
    channels=st.tuples(*[st.sampled_from([1, 2, 15, 16, 31, 33, 130])] * 2),
    before=_pairs(0, 5),
    strides=_pairs(1, 4),
    dilation=_pairs(1, 4),
)
@settings(deadline=None, max_examples=60)
def test_any_sizes(
    data: st.DataObject,
    image: tuple[int, int],
    size: tuple[int, int],
    filters: tuple[int, int],
    channels: tuple[int, int],
    **windows: Any,
) -> None:
    def rows(most: int) -> Any:
        return data.draw(st.none() | st.lists(st.integers(0, most), min_size=2, max_size=2))

    inputs, outputs = channels
    of_rows: Any = {"lengths": rows(image[0]), "tops": rows(4)}
    case = _case((2, *image, inputs), (*filters, outputs), size, bias=True, **of_rows, **windows)
    _assert_close(_run(case), case)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_runs_are_equal_bit_for_bit(xp: ModuleType, case: Case, threads: int) -> None:
    for a, b in zip(_run(case, xp, threads=1), _run(case, xp, threads=threads), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"before": (1, -1)}, r"\(before\): found \(1, -1\), needed two whole numbers, 0 or more"),
        ({"size": (2.0, 3)}, r"\(size\): found \(2.0, 3\), needed two whole numbers, 0 or more"),
        ({"strides": (0, 1)}, r"\(strides\): found \(0, 1\), needed two whole numbers, 1 or more"),
        ({"dilation": 2}, r"\(dilation\): found 2, needed two whole numbers, 1 or more"),
    ],
)
def test_wrong_windows_are_named(changes: dict[str, Any], message: str) -> None:
    case = CASES["same"]()
    of: Any = Windows(**{"size": (6, 8), **changes})
    with pytest.raises(ArgumentError, match="^conv2d " + message):
        conv2d(case.x, case.filters, of)
    with pytest.raises(ArgumentError, match="^conv2d_input_gradient " + message):
        conv2d_input_gradient(case.dy, case.filters, of, (6, 8))
    with pytest.raises(ArgumentError, match="^conv2d_filter_gradient " + message):
        conv2d_filter_gradient(case.x, case.dy, of, (3, 3))


def test_what_does_not_fit_is_named() -> None:
    x, filters, dy, of, *_ = CASES["even and wide"]()
    with pytest.raises(ArgumentError, match=r"^conv2d \(windows\): found None, needed Windows"):
        conv2d(x, filters, None)  # type: ignore[arg-type]
    wrong = filters[:, :, :-1].copy()
    with pytest.raises(ArgumentError, match=r"\(filters\): found shape \(2, 4, 32, 17\), needed"):
        conv2d(x, wrong, of)
    with pytest.raises(ArgumentError, match=r"\(dy\): found shape \(3, 6, 5, 17\), needed \[b"):
        conv2d_input_gradient(dy[:, :-1].copy(), filters, of, (7, 5))
    with pytest.raises(ArgumentError, match=r"\(filter_size\): found \(0, 4\), needed two whole"):
        conv2d_filter_gradient(x, dy, of, (0, 4))
    lengths = np.array([7, 8, 1], np.int32)
    with pytest.raises(ArgumentError, match=r"\(lengths\[1\]\): found 8, needed 0 to 7"):
        conv2d(x, filters, of, None, lengths)
    with pytest.raises(ArgumentError, match=r"\(tops\[2\]\): found -1, needed 0 or more"):
        conv2d(x, filters, of, None, None, lengths - 2)
