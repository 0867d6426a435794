"""Depthwise convolution over time: the reference, sizes of all kinds, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.backend import host
from cupy_kernels.check import ArgumentError
from cupy_kernels.depthwise import depthwise, depthwise_gradient, reference, stepwise
from cupy_kernels.depthwise.source import SOURCE


class Case(NamedTuple):
    """Arguments of both passes."""

    dy: Any
    x: Any
    filters: Any
    bias: Any
    lengths: Any
    before: int
    dilation: int = 1


def _case(
    frames: list[int],
    channels: int,
    window: int,
    before: int | None = None,
    size: int | None = None,
    dilation: int = 1,
    **changes: Any,
) -> Case:
    """The frames of each sequence; by default windows around each frame of the longest one."""
    rng = np.random.default_rng(channels + window)
    longest = max(frames, default=0)
    size = longest if size is None else size
    before = (window - 1) * dilation // 2 if before is None else before
    dy, x = (rng.standard_normal((len(frames), n, channels), np.float32) for n in (size, longest))
    filters = rng.standard_normal((window, channels), np.float32)
    bias = rng.standard_normal(channels, np.float32)
    lengths = np.array(frames, np.int32)
    return Case(dy, x, filters, bias, lengths, before, dilation)._replace(**changes)


CASES = {
    "ragged": lambda: _case([23, 7, 1, 15, 0], 40, 5),
    "all frames, no bias": lambda: _case([9, 9], 32, 3, lengths=None, bias=None),
    "one number": lambda: _case([1], 1, 1),
    "an even window": lambda: _case([20, 11], 17, 6),
    "blocks of frames": lambda: _case([300, 127, 128, 0, 129], 33, 31),
    "dilation": lambda: _case([150, 20, 3], 16, 7, dilation=3),
    "dilation of more than a block": lambda: _case([400, 30], 9, 3, dilation=150),
    "inside alone": lambda: _case([40, 20], 18, 8, before=0, size=33),
    "the past alone": lambda: _case([40, 20], 18, 8, before=7),
    "more before than the window": lambda: _case([12, 5], 8, 3, before=9, size=40, dilation=2),
    "a long result": lambda: _case([12, 5], 8, 3, size=300),
    "a short result": lambda: _case([140, 5], 8, 9, size=3),
    "longer than its sequences": lambda: _case([5, 2], 20, 31),
    "no frame": lambda: _case([0, 0], 5, 3, size=4),
    "no sequence": lambda: _case([], 5, 3, size=4),
    "no result": lambda: _case([4, 2], 5, 3, size=0),
    "no channel": lambda: _case([4, 2], 0, 3),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


def _run(case: Case, xp: ModuleType = np, **options: Any) -> list[Any]:
    """y, dx, dfilters, dbias."""
    dy, *of_forward = (None if a is None else xp.asarray(a) for a in case[:5])
    x, filters, _, lengths = of_forward
    options = {"before": case.before, "dilation": case.dilation, **options}
    found = [
        depthwise(*of_forward, size=case.dy.shape[1], **options),
        *depthwise_gradient(dy, x, filters, lengths, **options),
    ]
    return [a.get() if hasattr(a, "get") else a for a in found]


def _wanted(case: Case) -> list[Any]:
    dy, x, filters, bias, lengths, before, dilation = case
    options = {"before": before, "dilation": dilation}
    y = reference.depthwise(x, filters, bias, lengths, size=dy.shape[1], **options)
    return [y, *reference.depthwise_gradient(dy, x, filters, lengths, **options)]


def _assert_close(found: list[Any], case: Case) -> None:
    """Check sums by those of absolute values: where these cancel, float32 is no more exact."""
    sizes = (None if a is None else np.abs(a) for a in case[:4])
    largest = _wanted(Case(*sizes, *case[4:]))
    for a, b, most in zip(found, _wanted(case), largest, strict=True):
        assert a.dtype == np.float32 and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * most.max(initial=0))


def test_equals_the_reference(xp: ModuleType, case: Case) -> None:
    _assert_close(_run(case, xp), case)


@pytest.mark.skipif(host._compiler() is None, reason="no C++ compiler here")
def test_the_steps_of_a_gpu_equal_the_reference(case: Case) -> None:
    """On the host."""
    dy, x, filters, bias, lengths, before, dilation = case
    if not x.size or not dy.size:
        return  # nothing is launched
    assert host.library(SOURCE) is not None
    y = stepwise.convolve(np, x, filters, bias, lengths, before, dy.shape[1], dilation)
    gradients = stepwise.gradients(np, dy, x, filters, lengths, before, dilation)
    _assert_close([y, *gradients], case)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_sizes(data: st.DataObject) -> None:
    frames = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=3))
    limits = {"channels": (1, 40), "window": (1, 20), "before": (0, 30), "size": (0, 60)}
    sizes = {n: data.draw(st.integers(*limit)) for n, limit in limits.items()}
    case = _case(frames, **sizes, dilation=data.draw(st.integers(1, 5)))
    _assert_close(_run(case), case)


def test_padding_is_never_read(xp: ModuleType) -> None:
    case = CASES["ragged"]()
    behind = np.arange(case.x.shape[1]) >= case.lengths[:, None]
    x = np.where(behind[..., None], np.float32(np.nan), case.x)
    for a, b in zip(_run(case, xp), _run(case._replace(x=x), xp), strict=True):
        np.testing.assert_array_equal(a, b)


def test_windows_behind_the_end_have_the_bias_alone(xp: ModuleType) -> None:
    case = CASES["ragged"]()  # two frames before: the windows of two more reach a sequence
    y, dx, *_ = _run(case, xp)
    for b, n in enumerate(case.lengths):
        np.testing.assert_array_equal(
            y[b, n + 2 :], np.broadcast_to(case.bias, y[b, n + 2 :].shape)
        )
        assert not dx[b, n:].any()


def test_the_result_does_not_depend_on_threads() -> None:
    for name in ("blocks of frames", "dilation"):
        case = CASES[name]()
        one = _run(case, threads=1)
        for threads in (2, 3):
            for a, b in zip(one, _run(case, threads=threads), strict=True):
                np.testing.assert_array_equal(a, b)


def test_a_filter_of_one_frame_moves_a_sequence(xp: ModuleType) -> None:
    """Small whole numbers stay what they are."""
    x = np.arange(2 * 9 * 3, dtype=np.float32).reshape(2, 9, 3)
    filters = np.zeros((4, 3), np.float32)
    filters[0] = 1
    y = depthwise(xp.asarray(x), xp.asarray(filters), before=2, size=9)
    y = y.get() if hasattr(y, "get") else y
    np.testing.assert_array_equal(y[:, 2:], x[:, :-2])
    assert not y[:, :2].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"before": -1}, r"\(before\): found -1, needed a whole number, 0 or more"),
        ({"dilation": 0}, r"\(dilation\): found 0, needed a whole number, 1 or more"),
        ({"dilation": 1.5}, r"\(dilation\): found 1.5, needed a whole number, 1 or more"),
        (
            {"lengths": np.array([24, 1, 1, 1, 1], np.int32)},
            r"\(lengths\[0\]\): found 24, needed 0",
        ),
        ({"filters": np.zeros((5, 41), np.float32)}, r"\(filters\): found shape \(5, 41\), needed"),
        (
            {"filters": np.zeros((0, 40), np.float32)},
            r"\(filters\): found shape \(0, 40\), needed a",
        ),
    ],
)
def test_bad_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    case = CASES["ragged"]()._asdict() | changes
    dy, bias = case.pop("dy"), case.pop("bias")
    with pytest.raises(ArgumentError, match="^depthwise " + message):
        depthwise(**case, bias=bias, size=9)
    with pytest.raises(ArgumentError, match="^depthwise_gradient " + message):
        depthwise_gradient(dy, **case)


def test_what_does_not_fit_is_named() -> None:
    dy, x, filters, bias, lengths, before, _ = CASES["ragged"]()
    with pytest.raises(
        ArgumentError, match=r"\(size\): found -1, needed a whole number, 0 or more"
    ):
        depthwise(x, filters, bias, lengths, before=before, size=-1)
    with pytest.raises(ArgumentError, match=r"\(bias\): found shape \(39,\), needed"):
        depthwise(x, filters, bias[1:].copy(), lengths, before=before, size=9)
    with pytest.raises(ArgumentError, match=r"\(dy\): found shape \(4, 23, 40\), needed \[batch=5"):
        depthwise_gradient(dy[1:], x, filters, lengths, before=before)
