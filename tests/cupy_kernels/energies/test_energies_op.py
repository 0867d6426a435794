"""Energies of additive attention: the reference, padding, large numbers, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.check import ArgumentError
from cupy_kernels.energies import additive_energies, additive_energies_backward, reference


class Case(NamedTuple):
    """Arguments of both passes."""

    denergies: Any
    keys: Any
    queries: Any
    v: Any
    lengths: Any


def _case(lengths: list[int], count: int, size: int, scale: float = 1.0) -> Case:
    rng = np.random.default_rng(size)
    batch, time = len(lengths), max(lengths)
    return Case(
        rng.standard_normal((batch, count, time), np.float32),
        rng.standard_normal((batch, time, size), np.float32) * np.float32(scale),
        rng.standard_normal((batch, count, size), np.float32) * np.float32(scale),
        rng.standard_normal(size, np.float32),
        np.array(lengths, np.int32),
    )


CASES = {
    "ragged": lambda: _case([23, 7, 1, 15, 0], 3, 40),
    "a beam": lambda: _case([40, 33], 12, 300),
    "one query": lambda: _case([9, 12], 1, 129),
    "one frame": lambda: _case([1, 0], 2, 128),
    "one entry": lambda: _case([4, 3], 5, 1),
    "no entry": lambda: _case([4, 3], 5, 0),
    "small numbers": lambda: _case([6, 5], 4, 70, 1e-4),
    "numbers of 2": lambda: _case([8, 8], 3, 150, 2.0),
    "numbers of 3": lambda: _case([40, 33], 12, 300, 3.0),
    "numbers of 4": lambda: _case([8, 8], 3, 150, 4.0),
    "numbers of 8": lambda: _case([8, 8], 3, 150, 8.0),
    "too large to be multiplied": lambda: _case([8, 8], 3, 150, 30.0),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


def _run(case: Case, xp: ModuleType = np, **options: Any) -> list[Any]:
    """Energies, dkeys, dqueries, dv."""
    denergies, *values = (xp.asarray(x) for x in case)
    found = [
        additive_energies(*values, **options),
        *additive_energies_backward(denergies, *values, **options),
    ]
    return [x.get() if hasattr(x, "get") else x for x in found]


def test_equals_the_reference(xp: ModuleType, case: Case) -> None:
    wanted = [
        reference.additive_energies(*case[1:]),
        *reference.additive_energies_backward(*case),
    ]
    for a, b in zip(_run(case, xp), wanted, strict=True):
        assert a.dtype == np.float32 and a.shape == b.shape
        largest = np.abs(b).max(initial=0)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=3e-6 * largest)


def test_padding_is_zero_and_is_not_read(xp: ModuleType) -> None:
    case = CASES["ragged"]()
    behind = np.arange(23) >= case.lengths[:, None]
    spoilt = case._replace(keys=case.keys.copy(), denergies=case.denergies.copy())
    spoilt.keys[behind] = np.nan
    spoilt.denergies.transpose(0, 2, 1)[behind] = np.nan
    found = _run(spoilt, xp)
    for a, b in zip(found, _run(case, xp), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not found[0].transpose(0, 2, 1)[behind].any() and not found[1][behind].any()


def test_all_keys_count_where_there_are_no_lengths(xp: ModuleType) -> None:
    case = CASES["a beam"]()
    values = [xp.asarray(x) for x in case._replace(lengths=np.array([40, 40], np.int32))]
    for a, b in zip(_run(case._replace(lengths=values[-1])), _run(Case(*values)), strict=True):
        np.testing.assert_array_equal(a, b)
    denergies, keys, queries, v, lengths = values
    np.testing.assert_array_equal(
        additive_energies(keys, queries, v), additive_energies(keys, queries, v, lengths)
    )
    pairs = zip(
        additive_energies_backward(denergies, keys, queries, v),
        additive_energies_backward(denergies, keys, queries, v, lengths),
        strict=True,
    )
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_runs_are_equal_bit_for_bit(xp: ModuleType, case: Case, threads: int) -> None:
    for a, b in zip(_run(case, xp, threads=1), _run(case, xp, threads=threads), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("count", [1, 3])
def test_infinite_and_opposite_numbers(xp: ModuleType, count: int) -> None:
    """A key may be as large as it likes: what counts is its sum with the query."""
    keys = np.array([np.inf, -np.inf, 60, -60, 25, 1e30, 3], np.float32)
    queries = np.array([1, 1, -59.5, 60.25, -25.5, -1e30, 0], np.float32)
    keys = np.repeat(keys[None, :, None], 2, axis=0)
    wanted = np.array([1, -1, np.tanh(0.5), np.tanh(0.25), np.tanh(-0.5), 0, np.tanh(3)])
    for t in range(7):
        query = np.full((2, count, 1), queries[t], np.float32)
        found = additive_energies(*(xp.asarray(x) for x in (keys, query, np.ones(1, np.float32))))
        np.testing.assert_allclose(found[:, :, t].tolist(), wanted[t], rtol=1e-5)


def _of_pair(key: float, query: float, count: int) -> list[Any]:
    """All results of one key and the same query so many times, whose energies share a gradient."""
    shapes = (1, count, 1), (1, 1, 1), (1, count, 1), (1,)
    values = (1 / count, key, query, 1.0)
    arrays = [np.full(s, x, np.float32) for s, x in zip(shapes, values, strict=True)]
    return [x.ravel() for x in _run(Case(*arrays, np.ones(1, np.int32)))]


numbers = st.floats(-45, 45, width=32)
PAIRS = [(-7.9, 8), (7.9, -8), (-9.9, 10), (9.9, -10), (-19.9, 19.95), (-0.3, 0.4), (-8, 8)]


@pytest.mark.parametrize(("key", "query"), PAIRS)
def test_opposite_numbers(key: float, query: float) -> None:
    _check_pair(key, query)


@given(key=numbers, query=numbers)
@settings(deadline=None, max_examples=300)
def test_any_two_numbers(key: float, query: float) -> None:
    _check_pair(key, query)


def _check_pair(key: float, query: float) -> None:
    """Against float64, and that a query alone and among others gives the same."""
    y = np.tanh(np.float64(np.float32(key)) + np.float32(query))
    for count in (1, 2):
        energies, dkeys, dqueries, dv = _of_pair(key, query, count)
        np.testing.assert_allclose(energies, y, rtol=1e-6, atol=5e-7)
        np.testing.assert_allclose(dkeys, 1 - y**2, atol=1e-6)
        np.testing.assert_allclose(dqueries.sum(), 1 - y**2, atol=1e-6)
        np.testing.assert_allclose(dv, y, rtol=1e-6, atol=5e-7)


small = st.floats(-(2**-10), 2**-10, width=32)


@given(key=small, query=small)
@settings(deadline=None)
def test_small_numbers_keep_their_digits(key: float, query: float) -> None:
    energies, *_, dv = _of_pair(key, query, 2)
    largest = max(abs(key), abs(query))
    np.testing.assert_allclose(energies, np.tanh(np.float64(key) + query), atol=5e-7 * largest)
    np.testing.assert_array_equal(dv, energies[:1])


def test_no_number_stays_none(xp: ModuleType) -> None:
    case = CASES["a beam"]()
    case.keys[1, 5, 7] = np.nan
    energies, dkeys, dqueries, dv = _run(case, xp)
    assert np.isnan(energies[1, :, 5]).all() and np.isnan(energies).sum() == 12
    assert np.isnan(dkeys).sum() == 1 and np.isnan(dqueries).sum() == 12 and np.isnan(dv).sum() == 1


@pytest.mark.parametrize(("batch", "time", "count"), [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_empty_arrays(xp: ModuleType, batch: int, time: int, count: int) -> None:
    keys, queries, v, denergies = (
        xp.zeros(shape, np.float32)
        for shape in ((batch, time, 4), (batch, count, 4), (4,), (batch, count, time))
    )
    assert additive_energies(keys, queries, v).shape == (batch, count, time)
    found = additive_energies_backward(denergies, keys, queries, v)
    for x, like in zip(found, (keys, queries, v), strict=True):
        assert x.shape == like.shape and not x.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keys": lambda x: x[:, :, ::2]}, r"\(keys\): found a non-contiguous view, needed a con"),
        ({"keys": lambda x: x[0]}, r"\(keys\): found shape \(23, 40\), needed \[batch=any, time=a"),
        ({"queries": lambda x: x[1:]}, r"\(queries\): found shape \(4, 3, 40\), needed \[batch=5"),
        ({"v": lambda x: x[:3].copy()}, r"\(v\): found shape \(3,\), needed \[size=40\]"),
        ({"v": lambda x: x.astype(np.float64)}, r"\(v\): found float64, needed float32; try v.as"),
        ({"v": lambda x: x.tolist()}, r"\(v\): found a list, needed a numpy or cupy array; try"),
        ({"lengths": lambda x: x + 1}, r"\(lengths\[0\]\): found 24, needed 0 to 23 \(the time a"),
        ({"lengths": lambda x: x[1:]}, r"\(lengths\): found shape \(4,\), needed \[batch=5\]"),
    ],
)
def test_wrong_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    case = CASES["ragged"]()._asdict()
    for name, change in changes.items():
        case[name] = change(case[name])
    with pytest.raises(ArgumentError, match="additive_energies_backward " + message):
        additive_energies_backward(**case)
    del case["denergies"]
    with pytest.raises(ArgumentError, match="additive_energies " + message):
        additive_energies(**case)


def test_a_gradient_of_another_shape_is_named() -> None:
    case = CASES["ragged"]()
    wrong = r"\(denergies\): found shape \(5, 2, 23\), needed \[batch=5, queries=3, time=23\]"
    with pytest.raises(ArgumentError, match=wrong):
        additive_energies_backward(case.denergies[:, :2].copy(), *case[1:])
