"""Self-attention: the reference, padding, sizes of all kinds, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.check import ArgumentError
from cupy_kernels.self_attention import op, reference, self_attention, self_attention_backward

PAIRS = -1


class Case(NamedTuple):
    """Arguments of both passes."""

    d_out: Any
    qkv: Any
    key_shift: Any
    lengths: Any
    heads: int
    key_size: int
    left_only: bool
    every_query: bool


def _case(
    lengths: list[int],
    sizes: tuple[int, int, int],
    *,
    clipping: int | None = None,
    left_only: bool = False,
    every_query: bool = False,
    time: int | None = None,
    scale: float = 1.0,
) -> Case:
    """sizes: heads, key_size, value_size. clipping: PAIRS for shifts by pair. scale: of qkv."""
    heads, key_size, value_size = sizes
    rng = np.random.default_rng(key_size)
    batch, time = len(lengths), max(lengths) if time is None else time
    shifts = (time, time) if clipping == PAIRS else (2 * (clipping or 0) + 1,)
    qkv = rng.standard_normal((batch, time, heads * (2 * key_size + value_size)), np.float32)
    return Case(
        rng.standard_normal((batch, time, heads * value_size), np.float32),
        qkv * np.float32(scale),
        None if clipping is None else rng.standard_normal((*shifts, key_size), np.float32),
        np.array(lengths, np.int32),
        heads,
        key_size,
        left_only,
        every_query,
    )


CASES = {
    "ragged": lambda **o: _case([23, 7, 1, 15, 0], (3, 5, 7), **o),
    "every query": lambda **o: _case([23, 7, 1, 40, 0], (3, 5, 7), time=43, every_query=True, **o),
    "every query of many pieces": lambda **o: _case([131, 97], (20, 4, 3), every_query=True, **o),
    "padding behind the longest": lambda **o: _case([33, 12], (2, 8, 8), time=40, **o),
    "queries of many tiles": lambda **o: _case([131, 97, 48], (2, 64, 64), **o),
    "queries of many pieces": lambda **o: _case([131, 97, 48], (20, 4, 3), **o),
    "whole registers": lambda **o: _case([96, 64], (1, 32, 64), **o),
    "values of many panels": lambda **o: _case([50, 3], (2, 3, 133), **o),
    "keys of many panels": lambda **o: _case([50, 49], (2, 133, 3), **o),
    "more heads than frames": lambda **o: _case([4, 3], (40, 9, 8), **o),
    "one frame": lambda **o: _case([1, 0], (2, 4, 6), **o),
    "one number": lambda **o: _case([5, 4], (1, 1, 1), **o),
    "only empty sequences": lambda **o: _case([0, 0], (2, 4, 3), time=6, **o),
    "more keys than a product takes at once": lambda **o: _case([600], (1, 8, 8), **o),
    "sharp weights": lambda **o: _case([40, 60], (2, 16, 16), scale=6.0, **o),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, clipping: int | None, left_only: bool) -> Case:
    return CASES[request.param](clipping=clipping, left_only=left_only)


@pytest.fixture(params=[None, PAIRS, 9], ids=["plain", "shifted by pair", "shifted by distance"])
def clipping(request: pytest.FixtureRequest) -> int | None:
    return request.param


@pytest.fixture(params=[False, True], ids=["whole", "left only"])
def left_only(request: pytest.FixtureRequest) -> bool:
    return request.param


def _run(case: Case, xp: ModuleType = np, **options: Any) -> list[Any]:
    """out, log_sums, d_qkv and, where keys are shifted, d_key_shift."""
    d_out, *values = (None if x is None else xp.asarray(x) for x in case[:4])
    sizes = case[4:6]
    options = {"left_only": case.left_only, "every_query": case.every_query, **options}
    saved = self_attention(*values, *sizes, **options)
    gradients = self_attention_backward(d_out, *values, *saved, *sizes, **options)
    assert (gradients[1] is None) == (case.key_shift is None)
    found = [x for x in (*saved, *gradients) if x is not None]
    return [x.get() if hasattr(x, "get") else x for x in found]


def _run_rows(case: Case) -> list[Any]:
    """The same by the form of GPUs, on the host."""
    d_out, qkv, shift, lengths, heads, key_size, *flags = case
    batch, time, width = d_out.shape
    by_distance = shift is not None and shift.ndim == 2
    flags.append(len(shift) // 2 if by_distance else PAIRS)
    sizes = op.Sizes(batch, time, heads, key_size, width // heads, *map(int, flags))
    saved = [np.empty_like(d_out), np.empty((batch, heads, time), np.float32)]
    op.forward_rows(np, (qkv, shift, lengths, *saved), sizes, grid=2)
    gradients = [None if x is None else np.empty_like(x) for x in (qkv, shift)]
    op.backward_rows(np, (d_out, qkv, shift, lengths, *saved, *gradients), sizes, grid=2)
    return [x for x in (*saved, *gradients) if x is not None]


def _check(found: list[Any], case: Case) -> None:
    d_out, *values = case
    wanted = [
        *reference.self_attention(*values),
        *reference.self_attention_backward(d_out, *values),
    ]
    wanted = [x for x in wanted if x is not None]
    # What is subtracted in gradients may be all of it, as for a single frame.
    least = np.abs(d_out).max(initial=0) * np.abs(case.qkv).max(initial=0) ** 2
    for a, b, most in zip(found, wanted, (0, 0, least, least), strict=False):
        assert a.dtype == np.float32 and a.shape == b.shape
        largest = max(np.abs(b).max(initial=0), most)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * largest)
    assert len(found) == len(wanted)


def test_equals_the_reference(xp: ModuleType, case: Case) -> None:
    _check(_run(case, xp), case)


def test_the_form_of_gpus_equals_the_reference(case: Case) -> None:
    _check(_run_rows(case), case)


sizes = st.integers(1, 40)


@given(
    lengths=st.lists(st.integers(0, 110), min_size=1, max_size=3),
    sizes=st.tuples(st.integers(1, 3), sizes, sizes),
    clipping=st.sampled_from([None, PAIRS]) | st.integers(0, 120),
    left_only=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_any_sizes(
    lengths: list[int], sizes: tuple[int, int, int], clipping: int | None, left_only: bool
) -> None:
    case = _case(lengths, sizes, clipping=clipping, left_only=left_only)
    _check(_run(case), case)
    _check(_run_rows(case), case)


@pytest.mark.parametrize("form", [_run, _run_rows])
@pytest.mark.parametrize("clipping", [0, 1, 29, 30, 100])
@pytest.mark.parametrize("every_query", [False, True])
def test_distances_that_no_pair_has(form: Any, clipping: int, every_query: bool) -> None:
    case = _case([23, 7], (2, 5, 7), time=30, clipping=clipping, every_query=every_query)
    spoilt = case._replace(key_shift=case.key_shift.copy())
    unused = np.abs(np.arange(-clipping, clipping + 1)) >= 30
    spoilt.key_shift[unused] = np.nan
    found = form(spoilt)
    _check(found, case)
    assert not found[3][unused].any()


def test_padding_is_zero_and_is_not_read(
    xp: ModuleType, clipping: int | None, left_only: bool
) -> None:
    case = CASES["ragged"](clipping=clipping, left_only=left_only, time=30)
    _check_padding(case, lambda x: _run(x, xp))


def test_padding_in_the_form_of_gpus(clipping: int | None, left_only: bool) -> None:
    _check_padding(CASES["ragged"](clipping=clipping, left_only=left_only, time=30), _run_rows)


def _check_padding(case: Case, form: Any) -> None:
    behind = np.arange(30) >= case.lengths[:, None]
    spoilt = case._replace(d_out=case.d_out.copy(), qkv=case.qkv.copy())
    spoilt.d_out[behind] = np.nan
    spoilt.qkv[behind] = np.nan
    by_pair = case.key_shift is not None and case.key_shift.ndim == 3
    if by_pair:
        spoilt = spoilt._replace(key_shift=case.key_shift.copy())
        spoilt.key_shift[23:] = np.nan
        spoilt.key_shift[:, 23:] = np.nan
    found = form(spoilt)
    for a, b in zip(found, form(case), strict=True):
        np.testing.assert_array_equal(a, b)
    out, log_sums, d_qkv, *d_shift = found
    assert not out[behind].any() and not d_qkv[behind].any()
    assert not log_sums.transpose(0, 2, 1)[behind].any()
    assert not any(by_pair and (x[23:].any() or x[:, 23:].any()) for x in d_shift)


@pytest.mark.parametrize("form", [_run, _run_rows])
def test_the_left_does_not_see_the_right(form: Any, clipping: int | None) -> None:
    case = _case([70], (2, 8, 8), clipping=clipping, left_only=True)
    other = case._replace(qkv=case.qkv.copy())
    other.qkv[:, 50:] = 7.0
    np.testing.assert_array_equal(form(case)[0][:, :50], form(other)[0][:, :50])


def test_all_frames_count_where_there_are_no_lengths(xp: ModuleType, clipping: int | None) -> None:
    case = _case([53, 20, 7], (2, 9, 8), clipping=clipping)
    whole = case._replace(lengths=np.full(3, 53, np.int32))
    runs = _run(case._replace(lengths=None), xp), _run(whole, xp)
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("threads", [2, 3])
def test_runs_are_equal_bit_for_bit(case: Case, threads: int) -> None:
    for a, b in zip(_run(case, threads=1), _run(case, threads=threads), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("batch", "time"), [(0, 5), (3, 0), (0, 0)])
def test_empty_arrays(xp: ModuleType, batch: int, time: int, clipping: int | None) -> None:
    case = _case([time] * batch, (2, 4, 3), clipping=clipping, time=time)
    out, log_sums, d_qkv, *d_shift = _run(case, xp)
    assert out.shape == (batch, time, 6) and log_sums.shape == (batch, 2, time)
    assert d_qkv.shape == case.qkv.shape
    assert all(x.shape == case.key_shift.shape and not x.any() for x in d_shift)


def test_no_number_stays_none(xp: ModuleType) -> None:
    case = CASES["queries of many tiles"](left_only=True)
    case.qkv[1, 60, 64] = np.nan  # of a key of the first head
    out = np.isnan(_run(case, xp)[0]).reshape(3, 131, 2, 64)
    assert out[1, 60:97, 0].all() and out.sum() == 37 * 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qkv": lambda x: x[:, :, ::2]}, r"\(qkv\): found a non-contiguous view, needed a conti"),
        ({"qkv": lambda x: x[0]}, r"\(qkv\): found shape \(23, 51\), needed \[batch=any, time=a"),
        ({"qkv": lambda x: x.astype(np.float64)}, r"\(qkv\): found float64, needed float32; try"),
        (
            {"heads": lambda x: 2},
            r"\(qkv\): found 51 columns, needed a multiple of 2 \(heads\), fo",
        ),
        ({"key_size": lambda x: 9}, r"\(qkv\): found 51 columns, needed .* more than 18 \(2 key_s"),
        ({"key_size": lambda x: 0}, r"\(key_size\): found 0, needed at least 1"),
        ({"heads": lambda x: 3.0}, r"\(heads\): found 3.0, needed a whole number"),
        ({"left_only": lambda x: 1}, r"\(left_only\): found 1, needed True or False"),
        ({"every_query": lambda x: 1}, r"\(every_query\): found 1, needed True or False"),
        ({"key_shift": lambda x: x[1:]}, r"\(key_shift\): found shape \(22, 23, 5\), needed \[que"),
        (
            {"key_shift": lambda x: x[0, :22]},
            r"\(key_shift\): found 22 distances, needed an odd numb",
        ),
        (
            {"key_shift": lambda x: x[0, :, 1:]},
            r"\(key_shift\): found shape \(23, 4\), needed \[dist",
        ),
        ({"key_shift": lambda x: x.tolist()}, r"\(key_shift\): found a list, needed a numpy or "),
        ({"lengths": lambda x: x + 1}, r"\(lengths\[0\]\): found 24, needed 0 to 23 \(the time a"),
        ({"lengths": lambda x: x[1:]}, r"\(lengths\): found shape \(4,\), needed \[batch=5\]"),
    ],
)
def test_wrong_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    case = CASES["ragged"](clipping=PAIRS)
    out, log_sums = _run(case)[:2]
    arguments = {**case._asdict(), "out": out, "log_sums": log_sums}
    for name, change in changes.items():
        arguments[name] = change(arguments[name])
    with pytest.raises(ArgumentError, match="^self_attention_backward " + message):
        self_attention_backward(**arguments)
    for name in ("d_out", "out", "log_sums"):
        del arguments[name]
    with pytest.raises(ArgumentError, match="^self_attention " + message):
        self_attention(**arguments)


@pytest.mark.parametrize("name", ["d_out", "out", "log_sums"])
def test_what_the_forward_pass_gave_must_fit(name: str) -> None:
    case = CASES["ragged"]()
    out, log_sums = _run(case)[:2]
    arguments = {**case._asdict(), "out": out, "log_sums": log_sums}
    arguments[name] = arguments[name][:, :2].copy()
    with pytest.raises(ArgumentError, match=rf"\({name}\): found shape \(5, 2, \d+\), needed \["):
        self_attention_backward(**arguments)
