"""Convolution with 3 x 3 filters: the reference, sizes of all kinds, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.check import ArgumentError
from cupy_kernels.conv import (
    conv3x3,
    conv3x3_filter_gradient,
    conv3x3_input_gradient,
    reference,
    stepwise,
)
from cupy_kernels.conv.source import counted


class Case(NamedTuple):
    """Arguments of all passes."""

    x: Any
    filters: Any
    dy: Any
    before: tuple[int, int]
    size: tuple[int, int]
    lengths: Any = None


def _case(
    shape: tuple[int, int, int, int],
    outputs: int,
    before: tuple[int, int] = (1, 1),
    size: tuple[int, int] | None = None,
    lengths: list[int] | None = None,
) -> Case:
    rng = np.random.default_rng(sum(shape) + outputs)
    size = shape[1:3] if size is None else size
    shapes = shape, (3, 3, shape[3], outputs), (shape[0], *size, outputs)
    x, filters, dy = (rng.standard_normal(s, np.float32) for s in shapes)
    if lengths is None:
        return Case(x, filters, dy, before, size)
    for b, length in enumerate(lengths):
        x[b, length:] = np.nan
    return Case(x, filters, dy, before, size, np.array(lengths, np.int32))


CASES = {
    "a pixel": lambda: _case((2, 1, 1, 1), 1),
    "even": lambda: _case((2, 6, 8, 16), 32),
    "odd": lambda: _case((3, 7, 5, 33), 17),
    "three inputs": lambda: _case((1, 9, 4, 3), 64),
    "no zeros around": lambda: _case((2, 8, 9, 20), 12, (0, 0), (6, 7)),
    "zeros before alone": lambda: _case((2, 5, 6, 8), 8, (2, 2), (5, 6)),
    "more zeros than pixels": lambda: _case((1, 2, 2, 5), 3, (3, 0), (9, 7)),
    "a part": lambda: _case((2, 9, 9, 4), 4, (1, 0), (3, 2)),
    "more inputs than a cache has": lambda: _case((1, 6, 10, 700), 40),
    "more tiles than are summed at once": lambda: _case((2, 40, 44, 12), 10),
    "images of several lengths": lambda: _case((4, 9, 6, 5), 40, lengths=[9, 1, 0, 6]),
    "lengths, and zeros before": lambda: _case((3, 6, 6, 9), 4, (2, 0), (7, 5), [4, 6, 3]),
    "no image": lambda: _case((0, 4, 4, 3), 2),
    "no row": lambda: _case((2, 0, 4, 3), 2, (1, 1), (2, 2)),
    "no output": lambda: _case((2, 4, 4, 3), 2, (0, 0), (0, 3)),
    "no input channel": lambda: _case((2, 4, 4, 0), 2),
    "no output channel": lambda: _case((2, 4, 4, 3), 0),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


def _run(case: Case, xp: ModuleType = np, **options: Any) -> list[Any]:
    """y, dx, dfilters."""
    x, filters, dy, lengths = (
        None if a is None else xp.asarray(a) for a in (*case[:3], case.lengths)
    )
    found = [
        conv3x3(x, filters, case.before, case.size, lengths, **options),
        conv3x3_input_gradient(dy, filters, case.before, x.shape[1:3], lengths, **options),
        conv3x3_filter_gradient(x, dy, case.before, lengths, **options),
    ]
    return [a.get() if hasattr(a, "get") else a for a in found]


def _wanted(case: Case) -> list[Any]:
    x, filters, dy, before, size, lengths = case
    return [
        reference.conv3x3(x, filters, before, size, lengths),
        reference.conv3x3_input_gradient(dy, filters, before, x.shape[1:3], lengths),
        reference.conv3x3_filter_gradient(x, dy, before, lengths),
    ]


def _assert_close(found: list[Any], case: Case) -> None:
    """Check sums by those of absolute values: where these cancel, float32 is no more exact."""
    sizes = {k: np.abs(getattr(case, k)) for k in ("x", "filters", "dy")}
    largest = _wanted(case._replace(**sizes))
    for a, b, most in zip(found, _wanted(case), largest, strict=True):
        assert a.dtype == np.float32 and a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=1e-6 * most.max(initial=0))


def test_equals_the_reference(xp: ModuleType, case: Case) -> None:
    _assert_close(_run(case, xp), case)


def test_the_steps_of_a_gpu_equal_the_reference(case: Case) -> None:
    """On the host, with numpy's products."""
    x, filters, dy, before, size, lengths = case
    turned = np.ascontiguousarray(filters[::-1, ::-1].transpose(0, 1, 3, 2))
    around = (2 - before[0], 2 - before[1])
    if not x.size or not dy.size or not filters.size:
        return  # nothing is launched
    found = [
        stepwise.convolve(np, x, filters, before, size, lengths),
        counted(np, stepwise.convolve(np, dy, turned, around, x.shape[1:3], None), lengths),
        stepwise.filter_gradient(np, x, dy, before, lengths),
    ]
    _assert_close(found, case)


sizes = st.tuples(st.integers(0, 12), st.integers(0, 12))
channels = st.sampled_from([1, 2, 7, 8, 9, 31, 32, 33, 70])


@given(data=st.data(), image=sizes, size=sizes, inputs=channels, outputs=channels, before=sizes)
@settings(deadline=None, max_examples=60)
def test_any_sizes(
    data: st.DataObject,
    image: tuple[int, int],
    size: tuple[int, int],
    inputs: int,
    outputs: int,
    before: tuple[int, int],
) -> None:
    lengths = data.draw(st.none() | st.lists(st.integers(0, image[0]), min_size=2, max_size=2))
    case = _case((2, *image, inputs), outputs, before, size, lengths)
    _assert_close(_run(case), case)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_runs_are_equal_bit_for_bit(xp: ModuleType, case: Case, threads: int) -> None:
    for a, b in zip(_run(case, xp, threads=1), _run(case, xp, threads=threads), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_filter_of_one_pixel_moves_the_image(xp: ModuleType) -> None:
    """Small whole numbers stay what they are."""
    x = np.arange(2 * 5 * 6 * 3, dtype=np.float32).reshape(2, 5, 6, 3)
    filters = np.zeros((3, 3, 3, 3), np.float32)
    filters[2, 0] = np.eye(3)  # a row below, a column to the left
    found = conv3x3(xp.asarray(x), xp.asarray(filters), (1, 1), (5, 6))
    found = found.get() if hasattr(found, "get") else found
    np.testing.assert_array_equal(found[:, :-1, 1:], x[:, 1:, :-1])
    assert not found[:, -1].any() and not found[:, :, 0].any()


def test_no_number_stays_near(xp: ModuleType) -> None:
    """Beyond the tiles that see it, nothing does."""
    case = CASES["even"]()
    case.x[1, 3, 3, 0] = np.nan
    y, dx, dfilters = _run(case, xp)
    assert np.isnan(y[1, 2:5, 2:5]).all()
    y[1, 2:6, 2:6] = 0
    assert np.isfinite(y).all() and np.isfinite(dx).all()
    assert np.isnan(dfilters[:, :, 0]).all() and np.isfinite(dfilters[:, :, 1:]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"before": (1, -1)}, r"\(before\): found \(1, -1\), needed two whole numbers, 0 or more"),
        ({"before": 1}, r"\(before\): found 1, needed two whole numbers, 0 or more"),
        ({"size": (2.0, 3)}, r"\(size\): found \(2.0, 3\), needed two whole numbers, 0 or more"),
        ({"size": (2, 3, 4)}, r"\(size\): found \(2, 3, 4\), needed two whole numbers, 0 or more"),
    ],
)
def test_wrong_options_are_named(changes: dict[str, Any], message: str) -> None:
    case = CASES["even"]()._asdict() | changes
    dy = case.pop("dy")
    with pytest.raises(ArgumentError, match="^conv3x3 " + message):
        conv3x3(**case)
    x = case.pop("x")
    with pytest.raises(ArgumentError, match="^conv3x3_input_gradient " + message):
        conv3x3_input_gradient(dy, **case)
    if "before" in changes:
        with pytest.raises(ArgumentError, match="^conv3x3_filter_gradient " + message):
            conv3x3_filter_gradient(x, dy, case["before"])


def test_channels_that_do_not_fit_are_named() -> None:
    x, filters, dy, before, size, _ = CASES["odd"]()
    wrong = filters[:, :, :-1].copy()
    with pytest.raises(ArgumentError, match=r"\(filters\): found shape \(3, 3, 32, 17\), needed"):
        conv3x3(x, wrong, before, size)
    wrong = filters[..., :-1].copy()
    with pytest.raises(ArgumentError, match=r"\(filters\): found shape \(3, 3, 33, 16\), needed"):
        conv3x3_input_gradient(dy, wrong, before, size)
    with pytest.raises(
        ArgumentError, match=r"\(dy\): found shape \(2, 7, 5, 17\), needed \[batch=3"
    ):
        conv3x3_filter_gradient(x, dy[:2].copy(), before)


def test_wrong_lengths_are_named() -> None:
    case = CASES["images of several lengths"]()
    wrong = case._replace(lengths=np.array([9, 1, 10, 6], np.int32))
    with pytest.raises(ArgumentError, match=r"\(lengths\[2\]\): found 10, needed 0 to 9"):
        _run(wrong)
