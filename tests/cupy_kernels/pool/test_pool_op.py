"""Pooling: the reference, windows of all kinds, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.backend import host
from cupy_kernels.check import ArgumentError
from cupy_kernels.pool import op, pool, pool_gradient, reference

Pair = tuple[int, int]
MODES = ("max", "mean", "mean_of_all")


class Case(NamedTuple):
    """Arguments of both passes."""

    x: Any
    dy: Any
    arrays: list[Any]  # lengths, before
    options: dict[str, Any]


def _case(
    shape: tuple[int, int, int, int],
    size: Pair,
    window: Pair = (2, 2),
    strides: Pair | None = None,
    *,
    lengths: list[int] | None = None,
    before: list[int] | None = None,
    **options: Any,
) -> Case:
    rng = np.random.default_rng(sum(shape))
    # Whole numbers, many of which are equal.
    x = rng.integers(-3, 3, shape).astype(np.float32)
    dy = rng.standard_normal((shape[0], *size, shape[3]), np.float32)
    arrays = [None if a is None else np.array(a, np.int32) for a in (lengths, before)]
    return Case(x, dy, arrays, {"window": window, "strides": strides or window, **options})


CASES = {
    "a pixel": lambda: _case((2, 1, 1, 1), (1, 1)),
    "halves": lambda: _case((2, 6, 8, 16), (3, 4)),
    "of columns alone": lambda: _case((3, 7, 6, 33), (7, 3), (1, 2)),
    "of sequences": lambda: _case((3, 9, 1, 70), (5, 1), (2, 1), lengths=[9, 4, 0]),
    "around the middle": lambda: _case(
        (3, 9, 5, 12), (3, 3), (3, 3), lengths=[9, 7, 1], before=[0, 1, 2], left=1
    ),
    "overlapping": lambda: _case(
        (2, 9, 8, 20), (9, 8), (3, 4), (1, 1), lengths=[5, 9], before=[1], left=2
    ),
    "overlapping in a long image": lambda: _case((1, 70, 40, 3), (35, 20), (3, 3), (2, 2), left=1),
    "far from each other": lambda: _case((2, 11, 9, 8), (3, 2), (2, 1), (4, 5)),
    "dilated": lambda: _case((2, 11, 9, 9), (4, 7), (3, 2), (2, 1), dilation=(3, 2), before=[2]),
    "fewer than there could be": lambda: _case((2, 9, 9, 4), (2, 1), (2, 3)),
    "more than see anything": lambda: _case((2, 3, 2, 4), (6, 5), before=[3], left=2),
    "as large as the image": lambda: _case((2, 5, 4, 10), (1, 1), (5, 4)),
    "no image": lambda: _case((0, 4, 4, 3), (2, 2), lengths=[]),
    "no row": lambda: _case((2, 0, 4, 3), (2, 2)),
    "no column": lambda: _case((2, 4, 0, 3), (2, 2)),
    "no window": lambda: _case((2, 4, 4, 3), (0, 2)),
    "no channel": lambda: _case((2, 4, 4, 0), (2, 2)),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


def _run(case: Case, mode: str, xp: ModuleType = np, **options: Any) -> list[Any]:
    """y, dx."""
    x, dy = xp.asarray(case.x), xp.asarray(case.dy)
    arrays = [None if a is None else xp.asarray(a) for a in case.arrays]
    options |= {"mode": mode, **case.options}
    y = pool(x, *arrays, size=dy.shape[1:3], **options)
    found = y, pool_gradient(dy, x, *arrays, **options)
    return [a.get() if hasattr(a, "get") else a for a in found]


def _wanted(case: Case, mode: str) -> list[Any]:
    x, dy, (lengths, before), _ = case
    options = {"dilation": (1, 1), "left": 0, **case.options}
    window, strides, dilation, left = (
        options[n] for n in ("window", "strides", "dilation", "left")
    )
    of = lengths, before, mode, window, strides
    return [
        reference.pool(x, *of, dy.shape[1:3], dilation, left),
        reference.pool_gradient(dy, x, *of, dilation, left),
    ]


def _assert_close(found: list[Any], wanted: list[Any]) -> None:
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == np.float32 and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("mode", MODES)
def test_equals_the_reference(xp: ModuleType, case: Case, mode: str) -> None:
    _assert_close(_run(case, mode, xp), _wanted(case, mode))


@pytest.mark.skipif(host._compiler() is None, reason="no C++ compiler here")
@pytest.mark.parametrize("mode", MODES)
def test_the_gradient_of_a_gpu_is_the_same(
    case: Case, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, on the host: by pixels, not by windows."""
    wanted, run = _run(case, mode), op._run

    def by_pixels(xp: ModuleType, name: str, *arguments: Any) -> None:
        run(xp, name.removesuffix("_of_rows"), *arguments)

    monkeypatch.setattr(op, "_run", by_pixels)
    for a, b in zip(_run(case, mode), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
sizes = st.tuples(st.integers(0, 12), st.integers(0, 12))


@given(
    image=sizes,
    size=sizes,
    window=pairs,
    strides=pairs,
    dilation=pairs,
    before=st.lists(st.integers(0, 9), min_size=2, max_size=2),
    left=st.integers(0, 9),
    channels=st.sampled_from([1, 7, 8, 33]),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    mode=st.sampled_from(MODES),
    side_by_side=st.booleans(),
)
@settings(deadline=None, max_examples=100)
def test_any_windows(
    image: Pair,
    size: Pair,
    channels: int,
    shares: Pair,
    mode: str,
    side_by_side: bool,
    **options: Any,
) -> None:
    if side_by_side:
        options |= {"strides": options["window"], "dilation": (1, 1)}
    options["lengths"] = [int(share * image[0]) for share in shares]
    case = _case((2, *image, channels), size, **options)
    _assert_close(_run(case, mode), _wanted(case, mode))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("mode", MODES)
def test_runs_are_equal_bit_for_bit(xp: ModuleType, case: Case, threads: int, mode: str) -> None:
    found = _run(case, mode, xp, threads=1), _run(case, mode, xp, threads=threads)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("mode", MODES)
def test_what_does_not_count_is_not_read(xp: ModuleType, mode: str) -> None:
    case = CASES["overlapping"]()
    wanted = _run(case, mode, xp)
    case.x[0, 5:] = np.nan
    for a, b in zip(_run(case, mode, xp), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("mode", MODES)
def test_no_number_stays_near(mode: str) -> None:
    """A maximum is no number, too, wherever in its window that is, and none has its gradient."""
    case = CASES["halves"]()
    case.x[1, [0, 2, 3], [0, 3, 4], 0] = np.nan
    y, dx = _run(case, mode)
    assert np.argwhere(np.isnan(y)).tolist() == [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 2, 0]]
    assert np.isfinite(dx).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "min"}, r"\(mode\): found 'min', needed one of 'max', 'mean', 'mean_of_all'"),
        (
            {"window": (0, 2)},
            r"\(window\): found \(0, 2\), needed two whole numbers from 1 to 65536",
        ),
        ({"strides": 2}, r"\(strides\): found 2, needed two whole numbers from 1 to 65536"),
        ({"dilation": (1, 1.0)}, r"\(dilation\): found \(1, 1.0\), needed two whole numbers from"),
        ({"left": -1}, r"\(left\): found -1, needed 0 or more"),
        ({"left": 1.5}, r"\(left\): found 1.5, needed a whole number"),
    ],
)
def test_wrong_options_are_named(changes: dict[str, Any], message: str) -> None:
    case = CASES["halves"]()
    options = {"mode": "max", **case.options, **changes}
    with pytest.raises(ArgumentError, match="^pool " + message):
        pool(case.x, None, None, size=(3, 4), **options)
    with pytest.raises(ArgumentError, match="^pool_gradient " + message):
        pool_gradient(case.dy, case.x, None, None, **options)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (1, [7, 0], r"\(lengths\[0\]\): found 7, needed 0 to 6 \(the height of x\)"),
        (1, [6], r"\(lengths\): found shape \(1,\), needed \[batch=2\]"),
        (2, [0, -1], r"\(before\[1\]\): found -1, needed 0 or more"),
        (2, [0, 1, 2], r"\(before\): found shape \(3,\), needed \[batch=2\]"),
    ],
)
def test_wrong_arrays_are_named(place: int, value: list[int], message: str) -> None:
    case = CASES["halves"]()
    arrays = [case.x, None, None]
    arrays[place] = np.array(value, np.int32)
    options = {"mode": "max", **case.options}
    with pytest.raises(ArgumentError, match="^pool " + message):
        pool(*arrays, size=(3, 4), **options)
    with pytest.raises(ArgumentError, match="^pool_gradient " + message):
        pool_gradient(case.dy, *arrays, **options)


def test_other_windows_are_named() -> None:
    case = CASES["halves"]()
    message = r"\(size\): found \(3, -1\), needed two whole numbers from 0 to 65536"
    with pytest.raises(ArgumentError, match="^pool " + message):
        pool(case.x, None, None, size=(3, -1), mode="max", **case.options)
    message = r"\(dy\): found shape \(1, 3, 4, 16\), needed \[batch=2, "
    with pytest.raises(ArgumentError, match="^pool_gradient " + message):
        pool_gradient(case.dy[:1].copy(), case.x, None, None, mode="max", **case.options)
